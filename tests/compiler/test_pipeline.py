"""A kernel that the backend can't emit is taken apart first; what it can't emit alone runs by its meaning."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from isthmus.backends.cpu import CpuBackend
from isthmus.compiler.diagnostics import UnsupportedError
from isthmus.compiler.ir import Graph, constant, graph_input
from isthmus.compiler.ops import get
from isthmus.compiler.ops.engine import parse_type
from isthmus.compiler.passes.plan import HostStep, KernelStep
from isthmus.compiler.pipeline import build
from isthmus.compiler.rewrite import Rule, Var
from isthmus.compiler.target.backend import Call, Compiled, KernelsRefused


class Picky(CpuBackend):
    """The CPU, but for kernels that `refuses` says something against."""

    def __init__(self, refuses):
        self.refuses = refuses

    def compile(self, segments: Sequence[Sequence[Call]], arena: int, options: Mapping[str, Any]) -> Compiled:
        calls = [call for segment in segments for call in segment]
        reasons = {n: self.refuses(call.kernel) for n, call in enumerate(calls)}
        if any(reasons.values()):
            raise KernelsRefused({n: reason for n, reason in reasons.items() if reason})
        return super().compile(segments, arena, options)


def layer() -> Graph:
    x = graph_input("x", parse_type("f32[4, 8]"))
    product = get("nn.matmul")(x, constant(np.ones((8, 8), np.float32)))
    y = get("nn.softmax")(get("math.relu")(product), axis=1)
    return Graph([x], [get("math.exp")(y)], ["y"])


def test_a_refused_kernel_is_taken_apart():
    backend = Picky(lambda kernel: "too much" if "relu" in kernel.name and "+" in kernel.name else "")
    built = build(layer(), backend, tool_version="0")
    assert [step.kernel.name for step in built.plan.steps if isinstance(step, KernelStep)] == [
        "matmul",
        "relu",
        "softmax+exp",
    ]
    assert built.artefact.manifest.fallbacks == ()


def test_what_can_not_be_emitted_even_alone_runs_by_its_meaning():
    built = build(layer(), Picky(lambda kernel: "no exp" if "exp" in kernel.name else ""), tool_version="0")
    (host,) = (step for step in built.plan.steps if isinstance(step, HostStep))
    assert host.node.op == "math.exp"
    assert any("no exp" in text for text in built.artefact.manifest.fallbacks)


def test_a_kernel_of_the_compiler_itself_that_is_refused_is_an_error():
    x = graph_input("x", parse_type("f32[1, 4, 6, 6]"))
    w = constant(np.ones((8, 4, 1, 1), np.float32))
    y = get("nn.conv")(x, w, strides=(1, 1), pads=(0,) * 4, dilations=(1, 1))
    backend = Picky(lambda kernel: "no copies" if kernel.name == "copy" else "")
    with pytest.raises(UnsupportedError, match="no copies"):
        build(Graph([x], [y], ["y"]), backend, tool_version="0")


class WithoutExp(CpuBackend):
    """The CPU, which is made to run e^x as sinh x + cosh x."""

    def rules(self, options):
        x = Var("x")
        sinh, cosh, add = (get(f"math.{name}") for name in ("sinh", "cosh", "add"))
        return (Rule("exp(x) => sinh(x) + cosh(x)", get("math.exp")(x), lambda x: add(sinh(x), cosh(x))),)


def test_the_rewrites_of_a_backend_are_applied_last():
    built = build(layer(), WithoutExp(), tool_version="0")
    assert {"math.sinh", "math.cosh"} <= {node.op for node in built.graph.nodes}
    assert "math.exp" not in {node.op for node in built.graph.nodes}
    assert built.artefact.manifest.passes[-1] == "legalise"
    assert built.hits["legalise"] == {"exp(x) => sinh(x) + cosh(x)": 1}
