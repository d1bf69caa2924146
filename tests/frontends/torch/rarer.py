"""Functions of tensors for the rarer families of ATen ops; programs.py makes cases of them. Needs torch."""

import torch
from torch import nn
from torch.nn import functional

Tensor = torch.Tensor


def turned(x: Tensor, f: Tensor) -> list[Tensor]:
    """Complex numbers inside a program whose inputs and outputs are real, as rotary embeddings have them."""
    pairs = torch.view_as_complex(x.reshape(2, 3, 4, 2))
    angles = torch.outer(torch.arange(3), 1.0 / 100 ** (torch.arange(4) / 4))
    steps = torch.polar(torch.ones_like(angles), angles)
    other = torch.complex(f[..., :4], f[..., 4:])
    return [
        torch.view_as_real(pairs * steps).flatten(2), (pairs * other.conj()).real, (pairs / other).imag, pairs.abs(),
        other.angle(), torch.view_as_real(torch.cat([pairs, other], 1).transpose(1, 2) * 2.0 - 1), (pairs - other).real,
        torch.exp(other).imag, torch.view_as_real(other + pairs),
    ]  # fmt: skip


def transformed(x: Tensor) -> list[Tensor]:
    """Fourier transforms: of real and complex numbers, cut and filled up, of several axes."""
    f, window = torch.fft, torch.hann_window(12)
    y = f.rfft(x, dim=1)
    return [
        y.real, y.imag, f.irfft(y, n=16, dim=1), f.irfft(y, dim=1, norm="ortho"), f.fft(x, n=9, dim=0).abs(),
        f.ifft(f.fft(x, norm="ortho"), norm="ortho").real, f.fft2(x).imag, f.irfftn(f.rfftn(x)),
        f.ifft2(f.fft2(x)).real, torch.stft(x.T, 16, 8, 12, window=window, return_complex=True).abs(),
        f.fftn(x, norm="forward").real, torch.hamming_window(5), torch.blackman_window(5, False),
    ]  # fmt: skip


def windowed(x: Tensor, theta: Tensor, words: Tensor) -> list[Tensor]:
    """Windows as columns and back, grids, bags of rows of a table."""
    f, table = functional, x.reshape(-1, 4)
    columns = f.unfold(x, (3, 2), dilation=(1, 2), padding=1, stride=2)
    bags, starts = words.reshape(-1), torch.tensor([0, 2, 2, 5])
    return [
        columns, f.fold(f.unfold(x, 3, padding=1), (8, 6), 3, padding=1), f.unfold(x[0], 2),
        f.fold(f.unfold(x, 2, stride=2), (8, 6), 2, stride=2), f.affine_grid(theta, (2, 3, 4, 5), align_corners=False),
        f.grid_sample(x, f.affine_grid(theta, (2, 3, 4, 1), align_corners=True), align_corners=True),
        f.embedding_bag(words, table, mode="mean"), f.embedding_bag(words, table, mode="max"),
        f.embedding_bag(bags, table, starts, mode="sum"),
        f.embedding_bag(bags, table, starts, mode="mean", padding_idx=3),
    ]  # fmt: skip


def lost(x: Tensor, y: Tensor, n: Tensor) -> list[Tensor]:
    f, share = functional, torch.sigmoid(y)
    classes = torch.tensor([1.0, 2.0, 3.0, 4.0])
    return [
        f.mse_loss(x, y), f.l1_loss(x, y, reduction="sum"), f.smooth_l1_loss(x, y, reduction="none", beta=0.7),
        f.huber_loss(x, y, delta=0.5), f.binary_cross_entropy(torch.sigmoid(x), share),
        f.binary_cross_entropy_with_logits(x, share, pos_weight=classes), f.cross_entropy(x, n[0, :2]),
        f.kl_div(x.log_softmax(-1), y.softmax(-1), reduction="batchmean"), f.cross_entropy(x[:, :, None], n[1:3, :1]),
        f.nll_loss(x.log_softmax(1), n[0, :2], weight=classes), f.cross_entropy(x[0], n[0, 0]),
        f.cross_entropy(x, torch.tensor([2, -100])), f.kl_div(x, y.log_softmax(-1), log_target=True, reduction="sum"),
    ]  # fmt: skip


def ordered(x: Tensor, n: Tensor) -> list[Tensor]:
    """Order statistics, running extremes, what is on diagonals, and arithmetic that few models have."""
    a, b, square = x[0], x[1], x[:, :, 0]
    return [
        x.median(), x.median(1)[0], x.kthvalue(2, 1)[1], torch.quantile(x, 0.3, dim=1), *x.cummax(1), x.cummin(2)[1],
        n.cummax(0)[0], torch.logcumsumexp(x, 1), *x.aminmax(dim=1), *torch.std_mean(x, (0, 2)), x.nansum(1),
        x.nanmean(2), torch.linalg.norm(x), torch.linalg.matrix_norm(x), functional.pairwise_distance(a, b),
        square.trace(), torch.diag(square), torch.diag(a[0], 1), torch.diag_embed(a, -1), torch.isin(n, n[:1]),
        a.fliplr(), a.rot90(), a.rot90(2), a.rot90(3), a.flipud().ravel(), torch.column_stack((a[0], a.T)),
        torch.kron(a, b[0]), torch.linalg.cross(a[:, :3], b[:, :3]), torch.tensordot(a, x, dims=([0, 1], [1, 2])),
        torch.addr(a, a[:, 0], b[0]), torch.hypot(a, b), torch.logaddexp(a, b), torch.special.xlogy(n, n.abs()),
        torch.logit(a, 0.1), a.sinc(), torch.copysign(a, b), torch.heaviside(n, n), torch.float_power(a.abs(), 2.5),
        torch.isclose(a, a + 1e-7), a.signbit(), torch.isposinf(a / 0), torch.isneginf(a / 0), a.deg2rad(), a.rad2deg(),
        torch.special.expit(a),
    ]  # fmt: skip


def put(x: Tensor, i: Tensor) -> list[Tensor]:
    """Parts that index tensors choose on later axes, or on axes apart."""
    y = x.clone()
    y[:, i] = x[:, i] * 2
    z = x.clone()
    z[:, :, i] += 1
    w = x.clone()
    w[i[:2], :, i[:2]] = x[:2, :, 0]
    mask = torch.tensor([True, False, True, False])
    v = x.clone()
    v[:, mask] = x[:, ~mask]
    return [y, z, w, v, x[:, i[:, None], i], x[i[:2], :, i[:2]], x[:, mask]]


class Projected(nn.Module):
    """LSTMs whose outputs are projected, with states that are given and without; RNNs of the other activation."""

    def __init__(self) -> None:
        super().__init__()
        self.deep = nn.LSTM(6, 5, proj_size=3, num_layers=2, bidirectional=True)
        self.plain = nn.LSTM(6, 5, proj_size=2, bias=False, batch_first=True)
        self.rnn = nn.RNN(6, 4, nonlinearity="relu", bidirectional=True)
        self.cell = nn.RNNCell(6, 4, nonlinearity="relu")

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> list[Tensor]:
        y, (hn, cn) = self.deep(x, (h, c))
        z, (_, last) = self.plain(x)
        return [y, hn, cn, z, last, *self.rnn(x), self.cell(x[0])]


class Ragged(nn.Module):
    """Sequences of different lengths, packed; torch.export can't follow them."""

    def __init__(self) -> None:
        super().__init__()
        self.deep = nn.LSTM(6, 4, num_layers=2, bidirectional=True, batch_first=True)
        self.plain = nn.GRU(6, 3)
        self.rnn = nn.RNN(6, 3, nonlinearity="relu")

    def forward(self, x: Tensor, lengths: Tensor) -> list[Tensor]:
        pack, pad = nn.utils.rnn.pack_padded_sequence, nn.utils.rnn.pad_packed_sequence
        y, (h, c) = self.deep(pack(x, lengths, batch_first=True, enforce_sorted=False))
        rows, counted = pad(y, batch_first=True)
        z, last = self.plain(pack(x.transpose(0, 1), lengths, enforce_sorted=False))
        w, _ = self.rnn(pack(x, torch.tensor([5, 2, 2]), batch_first=True))
        return [
            rows,
            counted,
            h,
            c,
            pad(z, total_length=6, padding_value=-1.0)[0],
            last,
            pad(w, total_length=5)[0],
        ]


def seldom(x: Tensor, grid: Tensor, n: Tensor) -> list[Tensor]:
    """What libraries around torch use now and then; edges of what is common."""
    f, rows = functional, x[0, 0]
    places, ones = n.clamp(0, 3), torch.ones(4, 6)
    most, where = f.max_pool2d(x, 2, return_indices=True)
    turns = torch.view_as_complex(x.reshape(2, 3, 4, 3, 2))
    return [
        f.grid_sample(x, grid, mode="bicubic", padding_mode="border", align_corners=False),
        f.grid_sample(x, grid, mode="bicubic", padding_mode="border", align_corners=True),
        f.interpolate(x, scale_factor=1.7, mode="bilinear", recompute_scale_factor=True),
        torch._weight_norm(rows, torch.full((1,), 2.0), -1), torch.ops.aten.max_unpool2d(most, where, (4, 6)),
        *(torch.scatter_reduce(rows, 0, places, ones, how, include_self=False) for how in ("mean", "amax", "prod")),
        torch.scatter_reduce(rows, 0, places, ones, "mean"),
        torch.scatter_reduce(n, 0, places, n, "amin", include_self=False),
        torch.vdot(rows[0], rows[1]), x.msort(), torch.dstack((rows, rows)), torch.dstack((rows[0], rows[1])),
        torch.block_diag(rows, rows[0], rows.T), torch.logspace(0, 2, 4), torch.bartlett_window(6),
        torch.fft.fftshift(x[:, :, :3]), torch.fft.ifftshift(x[:, :, :3], dim=2), torch.view_as_real(turns.cumsum(3)),
        *torch.unique(n, return_inverse=True, return_counts=True), torch.unique(n[:, :2] > 0, dim=0),
        torch.repeat_interleave(rows, torch.tensor([1, 0, 2, 1]), dim=0),
    ]  # fmt: skip
