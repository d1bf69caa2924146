"""Every op on its own samples, formed alone and between transposes that go into it: the plan equals the meaning."""

import numpy as np
import pytest

from isthmus.compiler.ir import DType, Graph, TensorType, Value, constant, dtype_of, graph_input
from isthmus.compiler.ops import REGISTRY, get
from isthmus.compiler.ops.engine import Op, Sample, sample_arrays
from isthmus.compiler.ops.interpret import run_graph
from isthmus.compiler.passes.form import form
from isthmus.compiler.passes.plan import KernelStep
from isthmus.compiler.passes.trial import Trial
from isthmus.compiler.tile.verify import verify_kernel

FORMS = ("weights", "inputs", "flipped")


def is_numeric(dtype: DType) -> bool:
    return dtype.kind not in ("string", "complex")


def flip(value: Value) -> Value:
    return get("shape.transpose")(value, perm=tuple(reversed(range(value.type.rank))))


def graph_of(op: Op, sample: Sample, form: str) -> tuple[Graph, list[np.ndarray]] | None:
    """The sample as a graph and its inputs; None where the op needs its operands otherwise."""
    inputs: list[Value] = []
    given: list[np.ndarray] = []
    operands: list[Value | None] = []
    for n, array in enumerate(sample_arrays(sample)):
        if array is None:
            operands.append(None)
        elif isinstance(array, list) or not is_numeric(dtype_of(array.dtype)):
            return None
        elif n and form == "weights":
            operands.append(constant(array))
        else:
            array = np.asarray(array.T, order="C") if form == "flipped" else array
            given.append(array)
            inputs.append(graph_input(f"x{n}", TensorType(dtype_of(array.dtype), array.shape)))
            operands.append(flip(inputs[-1]) if form == "flipped" else inputs[-1])
    results = op(*operands, **sample.attributes)
    outputs = results if isinstance(results, tuple) else (results,)
    if not all(isinstance(v.type, TensorType) and is_numeric(v.dtype) for v in outputs):
        return None
    if form == "flipped":
        outputs = tuple(map(flip, outputs))
    return Graph(inputs, outputs, [f"y{n}" for n in range(len(outputs))]), given


def cases() -> list[str]:
    return [name for name, op in REGISTRY.items() if op.samples and not op.regions and op.foldable]


@pytest.mark.parametrize("name", cases())
def test_a_formed_op_equals_its_meaning(name):
    op = get(name)
    for sample in op.samples:
        for each in FORMS:
            made = graph_of(op, sample, each)
            if made is None:
                continue
            graph, given = made
            plan = form(graph, lambda node: True)
            for step in plan.steps:
                assert not isinstance(step, KernelStep) or verify_kernel(step.kernel) == []
            want = run_graph(graph, given)
            for got, expected in zip(Trial(plan).run(given), want, strict=True):
                assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
                close(got, expected, op)


def close(got: np.ndarray, want: np.ndarray, op: Op) -> None:
    """Within the op's tolerance, or a unit in the last place of a narrow float."""
    dtype = dtype_of(want.dtype)
    if not dtype.is_float:
        np.testing.assert_array_equal(got, want)
        return
    relative = op.tolerance.relative if dtype.bits >= 32 else 2.0**-6
    absolute = max(op.tolerance.absolute, relative if dtype.bits < 32 else 1e-5)
    np.testing.assert_allclose(got.astype(np.float64), want.astype(np.float64), relative, absolute)
