"""What torch's exporters, old and new, make of common modules, and the ops that remain after the passes."""

import contextlib
import io
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from isthmus.compiler.ir.verify import verify
from isthmus.compiler.ops import get
from isthmus.compiler.ops.interpret import run_graph
from isthmus.compiler.passes import GRAPH_PASSES

pytestmark = pytest.mark.frameworks

NEW, OLD, OLDEST = 18, 17, 11
ALL, SINCE_SDPA = (NEW, OLD, OLDEST), (NEW, OLD)


def eager_attention(torch, q, k, v):
    scores = q @ k.transpose(-1, -2) / 8**0.5
    return torch.softmax(scores.float(), -1).to(q.dtype) @ v


def grouped_attention(torch, q, k, v):
    k, v = (x[:, :, None].expand(2, 2, 3, 5, 8).reshape(2, 6, 5, 8) for x in (k, v))
    return sdpa(torch, q, k, v, is_causal=True)


def sdpa(torch, *operands, **options):
    return torch.nn.functional.scaled_dot_product_attention(*operands, **options)


def rms_norm(torch, x):
    power = x.to(torch.float32).pow(2).mean(-1, keepdim=True)
    return x.new_tensor([0.5, 1, 1.5, 2]) * (x * torch.rsqrt(power + 1e-6))


SMALL, IMAGE, HEADS, FEW = (3, 4), (1, 3, 6, 6), (2, 6, 5, 8), (2, 2, 5, 8)

# name: (function of torch and operands, shapes of the operands, opsets, op that remains)
FUNCTIONS = {
    "gelu": (lambda torch, x: torch.nn.functional.gelu(x), [SMALL], ALL, "math.gelu"),
    "gelu by tanh": (
        lambda torch, x: torch.nn.functional.gelu(x, approximate="tanh"),
        [SMALL],
        ALL,
        "math.gelu",
    ),
    "silu": (lambda torch, x: torch.nn.functional.silu(x), [SMALL], ALL, "math.silu"),
    "quick gelu": (lambda torch, x: x * torch.sigmoid(1.702 * x), [SMALL], ALL, "math.silu"),
    "hardswish": (lambda torch, x: torch.nn.functional.hardswish(x), [SMALL], ALL, "math.hard_swish"),
    "hardsigmoid": (lambda torch, x: torch.nn.functional.hardsigmoid(x), [SMALL], ALL, "math.hard_sigmoid"),
    "mish": (lambda torch, x: torch.nn.functional.mish(x), [SMALL], ALL, "math.mish"),
    "relu6": (lambda torch, x: torch.nn.functional.relu6(x), [SMALL], ALL, "math.clip"),
    "rms norm": (rms_norm, [SMALL], ALL, "nn.rms_norm"),
    "attention": (eager_attention, [HEADS] * 3, ALL, "nn.attention"),
    "sdpa": (sdpa, [HEADS] * 3, SINCE_SDPA, "nn.attention"),
    "masked sdpa": (sdpa, [*[HEADS] * 3, (2, 1, 5, 5)], SINCE_SDPA, "nn.attention"),
    "causal sdpa": (
        lambda torch, q, k, v: sdpa(torch, q, k, v, is_causal=True),
        [HEADS] * 3,
        SINCE_SDPA,
        "nn.attention",
    ),
    "grouped sdpa": (grouped_attention, [HEADS, FEW, FEW], SINCE_SDPA, "nn.attention"),
}

# name: (function from torch.nn to a module, shape of its operand, ops that remain)
MODULES = {
    "layer norm": (lambda nn: nn.LayerNorm(4), SMALL, ["nn.layer_norm"]),
    "group norm": (lambda nn: nn.GroupNorm(2, 8), (3, 8, 4), ["nn.group_norm"]),
    "conv and batch norm": (
        lambda nn: nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
        IMAGE,
        ["nn.conv", "math.relu"],
    ),
    "transposed conv and batch norm": (
        lambda nn: nn.Sequential(nn.ConvTranspose2d(3, 4, 3, stride=2), nn.BatchNorm2d(4)),
        IMAGE,
        ["nn.conv_transpose"],
    ),
    "linear and batch norm": (
        lambda nn: nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5)),
        SMALL,
        ["nn.matmul", "math.add"],
    ),
    "padding and conv": (
        lambda nn: nn.Sequential(nn.ZeroPad2d((1, 2, 0, 1)), nn.Conv2d(3, 4, 3)),
        IMAGE,
        ["nn.conv"],
    ),
}


@pytest.fixture(scope="module")
def torch():
    module = pytest.importorskip("torch")
    module.manual_seed(0)
    return module


def export(torch, module, operands, opset: int, path: Path) -> None:
    """By the exporter that traces programs from opset 18 on, by the older one below."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        if opset >= NEW:
            torch.onnx.export(module, operands, dynamo=True, opset_version=opset, verbose=False).save(path)
        else:
            torch.onnx.export(module, operands, path, dynamo=False, opset_version=opset)


def assert_becomes(torch, module, operands, opset: int, path: Path, expected: list[str]) -> None:
    """After all passes these ops remain, and the outputs are torch's."""
    from isthmus.frontends.onnx import frontend
    from isthmus.frontends.registry import read

    module = module.eval()
    export(torch, module, operands, opset, path)
    graph = read(path, [frontend])
    for step in GRAPH_PASSES:
        graph = step.run(graph).graph
    verify(graph, get)
    assert Counter(node.op for node in graph.nodes if node.op not in ("input", "constant")) == Counter(
        expected
    )
    with torch.no_grad():
        want = module(*operands).numpy()
    (got,) = run_graph(graph, [operand.numpy() for operand in operands])
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "opset"), [(name, opset) for name, (_, _, opsets, _) in FUNCTIONS.items() for opset in opsets]
)
def test_a_function_becomes_the_op_it_means(torch, name: str, opset: int, tmp_path: Path) -> None:
    function, shapes, _, expected = FUNCTIONS[name]

    class Function(torch.nn.Module):
        def forward(self, *operands):
            return function(torch, *operands)

    operands = tuple(torch.randn(*shape) for shape in shapes)
    assert_becomes(torch, Function(), operands, opset, tmp_path / "model.onnx", [expected])


@pytest.mark.parametrize("opset", ALL)
@pytest.mark.parametrize("name", MODULES)
def test_a_module_becomes_the_ops_it_means(torch, name: str, opset: int, tmp_path: Path) -> None:
    make, shape, expected = MODULES[name]
    module = make(torch.nn)
    for norm in module.modules():
        if isinstance(norm, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
            norm.weight.data.uniform_(0.5, 2)
            norm.bias.data.normal_()
    assert_becomes(torch, module, (torch.randn(*shape),), opset, tmp_path / "model.onnx", expected)
