"""Graphs from a few lines, and plans held against the reference: every test of forming goes through `check`."""

from collections.abc import Callable, Sequence

import numpy as np

from isthmus.compiler.ir import Graph, Value, constant, graph_input
from isthmus.compiler.ops import get
from isthmus.compiler.ops.engine import parse_type
from isthmus.compiler.ops.interpret import run_graph
from isthmus.compiler.passes.form import form
from isthmus.compiler.passes.plan import DEFAULT, KernelStep, Plan, Preferences
from isthmus.compiler.passes.trial import Trial
from isthmus.compiler.tile.verify import verify_kernel


class Build:
    """Ops by name: `b("math.relu", x)`; weights: `b.weight(8, 3, 3, 3)`."""

    def __init__(self, *inputs: str):
        self.rng = np.random.default_rng(7)
        self.inputs = tuple(graph_input(f"x{n}", parse_type(text)) for n, text in enumerate(inputs))

    def __call__(self, op: str, *operands: object, **attributes: object):
        return get(op)(*operands, **attributes)

    def weight(self, *shape: int) -> Value:
        return constant((self.rng.standard_normal(shape) / 4).astype(np.float32))

    def conv(self, x: Value, outputs: int, kernel: int = 1, *, groups: int = 1, stride: int = 1) -> Value:
        spatial = x.type.rank - 2
        w = self.weight(outputs, x.shape[1] // groups, *[kernel] * spatial)  # type: ignore[operator]
        return self(
            "nn.conv",
            x,
            w,
            self.weight(outputs),
            strides=(stride,) * spatial,
            pads=(kernel // 2,) * 2 * spatial,
            dilations=(1,) * spatial,
            groups=groups,
        )

    def linear(self, x: Value, outputs: int) -> Value:
        product = self("nn.matmul", x, self.weight(x.shape[-1], outputs))  # type: ignore[arg-type]
        return self("math.add", product, self.weight(outputs))

    def graph(self, *outputs: Value) -> Graph:
        return Graph(self.inputs, outputs, [f"y{n}" for n in range(len(outputs))])


def arrays(graph: Graph, seed: int = 0) -> list[np.ndarray]:
    """Random inputs; integers are small."""
    rng = np.random.default_rng(seed)
    out = []
    for value in graph.inputs:
        shape = value.type.static_shape
        if value.dtype.is_float:
            out.append(rng.standard_normal(shape).astype(value.dtype.numpy))
        else:
            out.append(rng.integers(0, 2, shape).astype(value.dtype.numpy))
    return out


def planned(
    graph: Graph, supports: Callable[..., bool] = lambda node: True, preferences: Preferences = DEFAULT
) -> Plan:
    return form(graph, supports, preferences)


def check(
    graph: Graph, supports: Callable[..., bool] = lambda node: True, preferences: Preferences = DEFAULT
) -> Plan:
    """The plan, after its kernels gave what the reference gives, twice in one arena."""
    plan = planned(graph, supports, preferences)
    for step in plan.steps:
        assert not isinstance(step, KernelStep) or verify_kernel(step.kernel) == []
    trial = Trial(plan)
    for seed in (0, 1):
        given = arrays(graph, seed)
        for got, want in zip(trial.run(given), run_graph(graph, given), strict=True):
            assert (got.shape, got.dtype) == (want.shape, want.dtype)
            np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-5)
    return plan


def names(plan: Plan) -> list[str]:
    """What each step computes: op names without family, joined; host steps in capitals."""
    return [step.kernel.name if isinstance(step, KernelStep) else step.node.op.upper() for step in plan.steps]


def kernel_of(plan: Plan, op: str) -> KernelStep:
    """The only kernel step that computes a node of the op."""
    (found,) = (
        step
        for step in plan.steps
        if isinstance(step, KernelStep) and any(node.op == op for node in step.nodes)
    )
    return found


def shapes(step: KernelStep, *roles: str) -> Sequence[tuple[int, ...]]:
    return [buffer.shape for buffer in step.kernel.role(*roles)]  # type: ignore[misc]
