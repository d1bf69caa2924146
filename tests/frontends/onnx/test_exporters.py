"""Models as both of torch's exporters write them, with dynamic shapes: no dynamic op is left, results agree."""

import contextlib
import io
import warnings

import numpy as np
import pytest

pytestmark = pytest.mark.frameworks
torch = pytest.importorskip("torch")
ort = pytest.importorskip("onnxruntime")

from isthmus.compiler.ops.interpret import evaluate  # noqa: E402
from isthmus.frontends import registry  # noqa: E402
from isthmus.frontends.onnx import frontend  # noqa: E402

nn, functional = torch.nn, torch.nn.functional


class Encoder(nn.Module):
    """Embeddings and one attention block, its mask and heads computed from the shape."""

    def __init__(self):
        super().__init__()
        self.tokens, self.places = nn.Embedding(50, 32), nn.Embedding(16, 32)
        self.project, self.out, self.norm = nn.Linear(32, 96), nn.Linear(32, 32), nn.LayerNorm(32)

    def forward(self, tokens):
        batch, length = tokens.shape
        x = self.tokens(tokens) + self.places(torch.arange(length))[None]
        q, k, v = (
            part.view(batch, length, 4, 8).transpose(1, 2) for part in self.project(x).split(32, dim=-1)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.norm(x + self.out(mixed.transpose(1, 2).reshape(batch, length, 32)))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.gru = nn.LSTM(8, 6, 2, batch_first=True, bidirectional=True), nn.GRU(12, 5)

    def forward(self, x):
        return self.gru(self.lstm(x)[0])[0].softmax(-1)


class Image(nn.Module):
    """Resizes, pads, slices, reductions and norms whose sizes follow the input."""

    def __init__(self):
        super().__init__()
        self.conv, self.up, self.norm = (
            nn.Conv2d(3, 8, 3, 2, 1),
            nn.ConvTranspose2d(8, 8, 2, 2),
            nn.GroupNorm(2, 8),
        )
        self.instance, self.pool = nn.InstanceNorm2d(8, affine=True), nn.AdaptiveAvgPool2d(1)

    def forward(self, x):
        y = self.instance(self.up(functional.silu(self.conv(x))))
        y = functional.interpolate(functional.hardswish(self.norm(y)), scale_factor=2, mode="bilinear")
        y = functional.interpolate(y, size=x.shape[2:], mode="nearest")
        y = functional.pad(y, (1, 2, 0, 1), mode="reflect")[:, ::2, 1:-1, ::2]
        y = torch.cat([y, y.flip(2)], 1)
        return self.pool(y).flatten(1), y.flatten(2).topk(3)[0], torch.einsum("bchw,bdhw->bcd", y, y)


CASES = {
    "encoder": (Encoder, lambda: torch.randint(0, 50, (2, 7)), {0: "batch", 1: "length"}),
    "recurrent": (Recurrent, lambda: torch.randn(2, 7, 8), {0: "batch", 1: "length"}),
    "image": (Image, lambda: torch.randn(2, 3, 16, 20), {0: "batch", 2: "height", 3: "width"}),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("modern", [False, True], ids=["script", "dynamo"])
def test_exported(name, modern, tmp_path):
    torch.manual_seed(0)
    make, example, axes = CASES[name]
    network, x, path = make().eval(), example(), tmp_path / "m.onnx"
    options = {"dynamic_axes": {"x": axes}, "opset_version": 17, "do_constant_folding": False}
    if modern:
        dims = {axis: torch.export.Dim(label, min=2) for axis, label in axes.items()}
        options = {"dynamic_shapes": (dims,), "opset_version": 18, "optimize": False}
    quiet = contextlib.redirect_stdout(io.StringIO())
    with torch.inference_mode(), warnings.catch_warnings(), quiet:
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (x,), path, input_names=["x"], dynamo=modern, **options)
    graph = registry.read(path, [frontend])
    assert not [
        node.op for node in graph.nodes if node.op.endswith("_dynamic") or node.op.startswith("sequence.")
    ]
    wanted = ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": x.numpy()})
    for got, want in zip(evaluate(graph, {"x": x.numpy()}).values(), wanted, strict=True):
        assert got.shape == want.shape
        assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()
