"""Small programs, each for one family of ATen ops or one trap of their semantics. Needs torch."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import rarer
import torch
from torch import nn
from torch.nn import functional

Tensor = torch.Tensor


class Program(nn.Module):
    """A function of tensors as a module, which is what torch.export takes."""

    def __init__(self, function: Callable[..., Any]):
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(*inputs)


@dataclass(frozen=True)
class Case:
    """A function, its inputs, and the dimensions that stay open: for each input, names by axis.

    Not all can be traced, or exported.
    """

    function: Callable[..., Any]
    inputs: Callable[[], tuple[Tensor, ...]]
    dynamic: tuple[dict[int, str], ...] = ()
    traced: bool = True
    exported: bool = True
    options: dict[str, Any] = field(default_factory=dict)


def normal(*shapes: tuple[int, ...]) -> Callable[[], tuple[Tensor, ...]]:
    return lambda: tuple(torch.randn(shape) for shape in shapes)


def written_in_place(x: Tensor) -> dict[str, Tensor]:
    """Writes to fresh values, through views and views of views; later readers see them."""
    y = x.clone()
    row = y[1]
    row.mul_(2)
    part = y[:, 1:3]
    part.add_(1)
    corner = y.transpose(0, 1)[2]
    corner.fill_(7.0)
    y[0, 0] = -1
    halves = y.split(2, dim=1)
    halves[1].relu_()
    flat = y.view(-1)
    flat[3].zero_()
    return {"y": y, "row": row * 1, "part": part * 1, "corner": corner * 1, "flat": flat + 0}


def promoted(x: Tensor, n: Tensor, b: Tensor, h: Tensor) -> dict[str, Tensor]:
    """What torch casts by itself: tensors of rank 0 and numbers give way, integers divide to floats."""
    scalar = torch.tensor(2.5, dtype=torch.float64)
    return {
        "int_div": n / 3,
        "int_float": n + 1.5,
        "int_int": n + n.to(torch.int32),
        "bool_int": b + n,
        "bool_sum": b.sum(),
        "half": h * 2.5,
        "half_zero_rank": h + scalar,
        "float_zero_rank": x + scalar,
        "mixed": x * n,
        "compare": x > n,
        "floor": n // 2,
        "floor_negative": torch.floor_divide(x, -0.7),
        "remainder": torch.remainder(n, -3),
        "fmod": torch.fmod(n, 3),
        "where": torch.where(b, n, x),
        "mean": n.to(torch.float64).mean(),
        "trunc": torch.div(n, 4, rounding_mode="trunc"),
        "half_float": h + x,
        "pow": n**2,
        "bool_and": b & (n > 0),
    }


def activated(x: Tensor) -> list[Tensor]:
    f = functional
    functions = (
        f.relu6, f.hardswish, f.hardsigmoid, f.silu, f.mish, f.softplus, f.elu, f.selu, f.celu, f.leaky_relu,
        f.logsigmoid, f.softsign, f.tanhshrink, f.hardshrink, f.softshrink, f.gelu, torch.tanh, torch.sigmoid,
        torch.erf, torch.expm1, torch.log1p, torch.rsqrt, torch.sign, torch.frac, torch.exp2, torch.isnan,
    )  # fmt: skip
    more = [f.gelu(x, approximate="tanh"), f.glu(x, 1), f.hardtanh(x, -0.3, 0.4), f.threshold(x, 0.1, -5.0)]
    return [function(x.abs() if function is torch.rsqrt else x) for function in functions] + more


def arranged(x: Tensor) -> list[Tensor]:
    a, b, c = x.chunk(3, dim=1)
    first, rest = x.split([1, 5], dim=1)
    grid = torch.meshgrid(x[0, :, 0], x[0, 0, :], indexing="xy")
    return [
        torch.cat([c, a], 1), torch.stack([a, b], -1), first, rest.flatten(1), x.permute(2, 0, 1), x.movedim(0, 2),
        x.roll((1, -2), (0, 1)), x.roll(3), x.flip(0, 2), x.repeat(2, 1, 3), x.repeat_interleave(2, 1),
        x.unfold(1, 3, 2), x.unbind(1)[2], x[:, ::2], x[..., -1], x[:, 1:-1, None], *grid, x.tril(1), x.triu(),
        functional.pad(x, (1, 2, 0, 1)), functional.pad(x, (1, 1), mode="reflect"), x.unflatten(1, (2, 3)),
        functional.pad(x, (2, 1), mode="circular"), functional.pad(x, (1, 0), mode="replicate", value=None),
        x.expand(2, 2, 6, 4), x[:, None].squeeze(1), x.mT, torch.diagonal(x, 1, 1, 2), x.narrow(2, 1, 2),
        x.tensor_split(4, 1)[0], functional.pixel_shuffle(x.reshape(1, 4, 3, 4), 2), torch.diff(x, dim=1),
        functional.pixel_unshuffle(x.reshape(1, 1, 6, 8), 2), torch.broadcast_to(x[:1], (3, 6, 4)),
    ]  # fmt: skip


def indexed(x: Tensor, i: Tensor, j: Tensor) -> list[Tensor]:
    mask = x > 0.3
    spread = i.view(-1, 1, 1).expand(-1, 6, 4)
    updates = x[i] * 2
    return [
        x[i], x[:, i], x[i, j], x[:, i[:, None], j[:2]], x[i, :, j], x.gather(0, spread), x.index_select(1, i),
        x.masked_fill(mask, 9.0), x.clone().index_put((i, j), torch.ones(4)),
        x.index_put((i,), updates, accumulate=True), x.scatter(0, spread, 3.0), x.scatter(0, spread, updates),
        x.scatter_add(0, spread, updates), torch.take_along_dim(x, x.argsort(1), 1), x.topk(2, 1)[0],
        x.topk(2, 1, largest=False)[1], x.sort(2, descending=True)[0], functional.one_hot(i, 3),
        x.index_add(0, i, updates), torch.bucketize(x, torch.tensor([-0.5, 0.0, 0.5])), x.index_fill(1, i, 2.0),
        x.scatter_reduce(0, spread, updates, "amax"), x.masked_scatter(mask, x.flip(0)),
        torch.histc(x, 5, -1, 1), x.select_scatter(x[0] * 2, 0, 1), x.slice_scatter(x[:, :3] * 2, 1, 0, 6, 2),
    ]  # fmt: skip


def reduced(x: Tensor, n: Tensor) -> list[Tensor]:
    return [
        x.sum(), x.sum((0, 2), keepdim=True), x.mean(-1), x.prod(1), x.amax((0, 1)), x.amin(), x.max(), x.min(1)[0],
        x.max(2)[1], x.argmax(), x.argmin(1, keepdim=True), x.var(1), x.std((0, 2), unbiased=False), x.norm(),
        x.norm(1, dim=2), torch.linalg.vector_norm(x, 3, dim=1), x.logsumexp((1, 2)), x.cumsum(1), x.cumprod(2),
        (x > 0).any(1), (x > -3).all(), n.sum(1), n.cumsum(0), torch.var_mean(x, 1)[0], x.softmax(1),
        x.log_softmax(-1), n.max(0)[0], torch.count_nonzero(n, 1), functional.normalize(x, dim=1),
        functional.cosine_similarity(x, x.flip(0), dim=2), x.float().softmax(0, dtype=torch.float64),
    ]  # fmt: skip


def pooled(x: Tensor) -> list[Tensor]:
    f = functional
    return [
        f.max_pool2d(x, 3, 2, 1), f.max_pool2d(x, 2, ceil_mode=True), f.avg_pool2d(x, 3, 2, 1),
        f.avg_pool2d(x, 3, 2, 1, ceil_mode=True), f.avg_pool2d(x, 2, count_include_pad=False),
        f.adaptive_avg_pool2d(x, 1), f.adaptive_avg_pool2d(x, (3, 7)), f.adaptive_avg_pool2d(x, (4, 3)),
        f.adaptive_max_pool2d(x, 2), f.max_pool2d(x, 2, return_indices=True)[1], f.avg_pool1d(x[0], 3, 2),
        f.max_pool1d(x[0], 2, dilation=2), f.lp_pool2d(x, 2, 2), f.local_response_norm(x, 2),
        f.avg_pool2d(x, 2, divisor_override=3), f.max_pool3d(x[None], 2),
    ]  # fmt: skip


def resized(x: Tensor) -> list[Tensor]:
    f = functional.interpolate
    grid = torch.stack(torch.meshgrid(torch.linspace(-1, 1, 4), torch.linspace(-1, 1, 3), indexing="ij"), -1)[
        None
    ]
    exact = f(x, (4, 9), mode="nearest-exact")
    return [
        f(x, scale_factor=2), f(x, size=(4, 9)), f(x, (4, 9), mode="bilinear"), f(x, scale_factor=1.7, mode="bilinear"),
        f(x, (4, 9), mode="bilinear", align_corners=True), f(x, (9, 5), mode="bicubic"), exact,
        f(x[0], 5, mode="linear"), functional.grid_sample(x, grid, align_corners=False),
        f(x, (3, 4), mode="bilinear", antialias=True),
    ]  # fmt: skip


class Layers(nn.Module):
    """Convolutions, products and norms with their less usual options."""

    def __init__(self) -> None:
        super().__init__()
        self.same = nn.Conv2d(4, 6, 3, padding="same", dilation=2)
        self.grouped = nn.Conv2d(4, 4, (3, 1), stride=(2, 1), padding=(1, 0), groups=2)
        self.transposed = nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1, output_padding=1)
        self.line = nn.ConvTranspose1d(6, 2, 2, bias=False)
        self.plain = nn.BatchNorm2d(4, affine=False)
        self.instance = nn.InstanceNorm2d(4, affine=True)
        self.group = nn.GroupNorm(2, 4, affine=False)
        self.root = nn.RMSNorm(8)
        self.bilinear = nn.Bilinear(8, 8, 3)
        self.prelu = nn.PReLU(4)
        self.rnn = nn.RNN(8, 5, nonlinearity="relu")
        self.cell = nn.LSTMCell(8, 4)
        self.gates = nn.GRUCell(8, 4)
        self.heads = nn.MultiheadAttention(8, 2, batch_first=True)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, activation="gelu")

    def forward(self, x: Tensor) -> list[Tensor]:
        flat, row = x[0], x[0, 0]
        attended = functional.scaled_dot_product_attention(x, x, x, is_causal=True)
        return [
            self.same(x), self.grouped(x), self.transposed(x), self.line(flat), self.plain(x), self.instance(x),
            self.group(x), self.root(x), self.bilinear(row, row.flip(0)), self.prelu(x), self.rnn(flat)[0],
            self.cell(row)[1], self.gates(row), self.heads(flat, flat, flat)[0], self.encoder(flat), attended,
            torch.einsum("bchw,bcvw->bhv", x, x), torch.baddbmm(flat @ flat.mT, flat, flat.mT, beta=0.5, alpha=2),
            row @ row[0], row[0] @ row[1], torch.addmm(flat[0, :, :6], row, row.mT, beta=2), torch.cdist(row, row),
            torch.outer(row[0], row[1]), self.same(x[0]),
        ]  # fmt: skip


def open_sizes(x: Tensor, y: Tensor) -> list[Tensor]:
    """Sizes that stay symbols: arithmetic on them, ranges, masks, reshapes."""
    batch, length, width = x.shape
    places = torch.arange(length)
    causal = places[:, None] >= places
    heads = x.view(batch, length, 2, width // 2).transpose(1, 2)
    mixed = functional.scaled_dot_product_attention(heads, heads, heads, attn_mask=causal)
    joined = torch.cat([x, y], dim=1)
    return [
        mixed.transpose(1, 2).reshape(batch, length, width), joined[:, length - 1 :],
        joined.mean(1) * joined.shape[1], torch.zeros(batch, 2 * length) + length, x.flatten(0, 1),
        x.new_ones(length, batch).cumsum(0), functional.pad(y, (0, 0, 1, 0)), x.expand(3, -1, -1, -1)[1],
    ]  # fmt: skip


class Branches(nn.Module):
    """torch.cond keeps both of its branches."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cond(x.sum() > 0, lambda v: v * 2, lambda v: v - 1, (x,))


def whole() -> tuple[Tensor, ...]:
    return (torch.tensor([0, 2, 1, 2]), torch.tensor([3, 0, 1, 2]))


def _mixed() -> tuple[Tensor, ...]:
    n = torch.tensor([[-7, 3, 0], [5, -2, 8]])
    return torch.randn(2, 3), n, n > 1, torch.randn(2, 3).half()


MODULES = ("layers", "branches", "projections", "ragged")
"""Cases whose function makes a module; the others are functions of the inputs."""

CASES: dict[str, Case] = {
    "in_place": Case(written_in_place, normal((3, 4))),
    "promotion": Case(promoted, _mixed),
    "activations": Case(activated, normal((3, 8))),
    "layout": Case(arranged, normal((2, 6, 4))),
    "indexing": Case(indexed, lambda: (torch.randn(3, 6, 4), *whole())),
    "reductions": Case(reduced, lambda: (torch.randn(3, 4, 5), torch.tensor([[3, -1, 0], [5, 2, -8]]))),
    "pooling": Case(pooled, normal((2, 3, 7, 9))),
    "resize": Case(resized, normal((1, 2, 6, 7))),
    "layers": Case(lambda: Layers(), normal((2, 4, 6, 8))),
    "open_sizes": Case(
        open_sizes,
        normal((2, 5, 4), (2, 3, 4)),
        dynamic=({0: "batch", 1: "length"}, {0: "batch", 1: "more"}),
    ),
    "branches": Case(lambda: Branches(), normal((3,)), traced=False),
    "complexes": Case(rarer.turned, normal((2, 3, 8), (2, 3, 8))),
    "fourier": Case(rarer.transformed, normal((32, 16))),
    "windows": Case(
        rarer.windowed,
        lambda: (torch.randn(2, 3, 8, 6), torch.randn(2, 2, 3), torch.tensor([[5, 3, 3], [3, 7, 0]])),
    ),
    "losses": Case(
        rarer.lost, lambda: (torch.randn(2, 4), torch.randn(2, 4), torch.arange(16).reshape(4, 4) % 4)
    ),
    "order": Case(rarer.ordered, lambda: (torch.randn(2, 4, 5), torch.tensor([[3, -1, 0], [5, 2, -8]]))),
    "put": Case(rarer.put, lambda: (torch.randn(4, 4, 4), torch.tensor([3, 0, 1]))),
    "projections": Case(lambda: rarer.Projected(), normal((7, 2, 6), (4, 2, 3), (4, 2, 5))),
    "ragged": Case(
        lambda: rarer.Ragged(), lambda: (torch.randn(3, 5, 6), torch.tensor([3, 4, 1])), exported=False
    ),
    "seldom": Case(
        rarer.seldom,
        lambda: (
            torch.randn(2, 3, 4, 6),
            torch.randn(2, 2, 5, 2) * 1.2,
            torch.arange(24).reshape(4, 6) % 7 - 2,
        ),
    ),
}


def make(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A program as a module in inference mode, and its inputs."""
    case = CASES[name]
    torch.manual_seed(0)
    module = case.function() if name in MODULES else Program(case.function)
    torch.manual_seed(1)
    return module.eval(), case.inputs()
