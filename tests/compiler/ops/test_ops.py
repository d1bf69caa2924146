"""Every declared op against its own samples: types, attributes, and stages that mean what the op means.

Nothing here knows an op by name: a new op is tested by being declared. What an op's samples can't show (errors, corner
cases of one family) is in that family's own file.
"""

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from isthmus.compiler.diagnostics import TypeRuleError
from isthmus.compiler.ir import (
    DType,
    Node,
    OptionalType,
    SequenceType,
    TensorType,
    Type,
    constant,
    dtype_of,
    graph_input,
    symbol,
)
from isthmus.compiler.ops import REGISTRY, Op
from isthmus.compiler.ops.engine import Sample, Tolerance, sample_arrays
from isthmus.compiler.tile.stage import LOCAL, OUTPUT, SCAN, Affine, Index, Kernel, walk
from isthmus.compiler.tile.untiled import run_untiled

CASES = [
    pytest.param(op, sample, id=f"{op.name}-{n}")
    for op in REGISTRY.values()
    for n, sample in enumerate(op.samples)
]
STAGED = [case for case in CASES if case.values[0].stages is not None]
OPS = [pytest.param(op, id=name) for name, op in REGISTRY.items()]


def type_of(value: Any) -> Type:
    if isinstance(value, list):
        shapes = {item.shape for item in value}
        shape = tuple(
            dims[0] if len(set(dims)) == 1 else symbol(f"any{n}") for n, dims in enumerate(zip(*shapes))
        )
        return SequenceType(TensorType(dtype_of(value[0].dtype), shape))
    return TensorType(dtype_of(value.dtype), value.shape)


def build(op: Op, sample: Sample, arrays: list[Any], constants: bool = False) -> Node:
    """The op on inputs (or constants) of the arrays' types."""

    def value(n: int, array: Any) -> Any:
        if array is None:
            return None
        if constants and isinstance(array, np.ndarray):
            return constant(array)
        return graph_input(f"x{n}", type_of(array))

    return op.build([value(n, array) for n, array in enumerate(arrays)], sample.attributes)


def allowed(dtype: DType, tolerance: Tolerance) -> tuple[float, float]:
    """Relative and absolute tolerance for results of `dtype`: what the op states for f32, at least a few roundings."""
    if not dtype.is_float:
        return 0.0, 0.0
    rounding = float(ml_dtypes.finfo(dtype.numpy).eps) if dtype.bits < 32 else 0.0
    return max(tolerance.relative, 2 * rounding), max(
        tolerance.absolute, 2 * rounding if rounding < 0.1 else 0.0
    )


def assert_close(got: np.ndarray, want: np.ndarray, tolerance: Tolerance) -> None:
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    if want.dtype == object:
        assert (got == want).all()
        return
    relative, absolute = allowed(dtype_of(want.dtype), tolerance)
    wider = np.float64 if dtype_of(want.dtype).is_float else want.dtype
    np.testing.assert_allclose(got.astype(wider), want.astype(wider), relative, absolute, equal_nan=True)


def fits(type: Type, value: Any) -> bool:
    """Whether a value has the type; a symbolic dimension takes any extent."""
    if isinstance(type, OptionalType):
        return value is None or fits(type.element, value)
    if isinstance(type, SequenceType):
        return isinstance(value, list) and all(fits(type.element, item) for item in value)
    assert isinstance(type, TensorType)
    return (
        type.dtype == dtype_of(value.dtype)
        and type.rank == value.ndim
        and all(a == b for a, b in zip(type.shape, value.shape) if isinstance(a, int))
    )


def buffers(op: Op, node: Node, arrays: list[Any]) -> dict[str, np.ndarray]:
    return {f"x{n}": a for n, a in enumerate(arrays[: len(node.operands)]) if a is not None}


@pytest.mark.parametrize("op", OPS)
def test_op_is_documented_and_sampled(op: Op) -> None:
    doc = op.__doc__ or ""
    assert doc
    assert doc[0] != " "
    assert doc.splitlines()[0].endswith((".", ":"))
    assert len(op.samples) >= 2 or op.regions


@pytest.mark.parametrize(("op", "sample"), CASES)
def test_inferred_types_are_those_of_the_meaning(op: Op, sample: Sample) -> None:
    arrays = sample_arrays(sample)
    node = build(op, sample, arrays)
    results = op.evaluate(*arrays, **node.attributes)
    assert len(results) == len(node.types)
    for type, value in zip(node.types, results):
        assert fits(type, value), f"{type} inferred, {value!r} evaluated"


@pytest.mark.parametrize(("op", "sample"), CASES)
def test_attributes_bind_to_themselves(op: Op, sample: Sample) -> None:
    bound = op.bind(sample.attributes)
    assert op.bind(bound) == bound
    assert set(bound) == {spec.name for spec in op.attributes}


@pytest.mark.parametrize("op", OPS)
def test_unknown_and_missing_attributes_are_refused(op: Op) -> None:
    given = dict(op.samples[0].attributes) if op.samples else {}
    with pytest.raises(TypeRuleError, match="has no attribute 'no_such'"):
        op.bind({**given, "no_such": 1})
    for spec in op.attributes:
        if spec.required and op.samples:
            with pytest.raises(TypeRuleError, match=f"needs attribute '{spec.name}'"):
                op.bind({name: value for name, value in given.items() if name != spec.name})


@pytest.mark.parametrize(("op", "sample"), STAGED)
def test_stages_are_well_formed(op: Op, sample: Sample) -> None:
    kernel = op.kernel(build(op, sample, sample_arrays(sample)))
    if kernel is not None:
        problems = list(defects(kernel))
        assert not problems, "\n".join(problems)


def defects(kernel: Kernel) -> Iterator[str]:
    """What makes a kernel ill-formed, one sentence each."""
    known = {buffer.name: buffer for buffer in kernel.buffers}
    written: set[str] = set()
    extents: dict[str, Any] = {}
    for stage in kernel.stages:
        names = {dim.name for dim in stage.dims}
        reduced = {dim.name for dim in stage.kind("reduce")}
        scans = set(stage.kind(SCAN))
        for dim in stage.dims:
            if extents.setdefault(dim.name, dim.extent) != dim.extent:
                yield f"{stage.name}: dim {dim.name} has another extent in an earlier stage"
        for access in (*stage.reads, stage.write):
            buffer = known.get(access.buffer)
            if buffer is None:
                yield f"{stage.name}: no buffer '{access.buffer}'"
                continue
            if len(access.index) != len(buffer.shape):
                yield f"{stage.name}: {len(access.index)} coordinates for '{buffer.name}'"
            factors = [
                factor for part in access.index if isinstance(part, Affine) for _, factor in part.terms
            ]
            if not all(isinstance(factor, int) for factor in factors):
                yield f"{stage.name}: '{buffer.name}' has an index that is not affine: {factors}"
            if not set(access.dims) <= names:
                yield f"{stage.name}: '{buffer.name}' is indexed by {set(access.dims) - names}, not dims of the stage"
        for access in stage.reads:
            carried = any(scans & set(writer.kind(SCAN)) for writer in kernel.writers(access.buffer))
            if known[access.buffer].role in (LOCAL, OUTPUT) and access.buffer not in written and not carried:
                yield f"{stage.name}: '{access.buffer}' is read before it is written"
        if known[stage.write.buffer].role == LOCAL:
            singles = [part.single for part in stage.write.index]  # type: ignore[union-attr]
            if None in singles or len(set(singles)) != len(singles):
                yield f"{stage.name}: local '{stage.write.buffer}' is not indexed by one dim an axis"
        if set(stage.write.dims) & reduced:
            yield f"{stage.name}: reduce dims occur in the write"
        if bool(reduced) != (stage.combine is not None):
            yield f"{stage.name}: combine is {stage.combine}, reduce dims are {sorted(reduced)}"
        used = set(stage.write.dims).union(*(access.dims for access in stage.reads))
        used = used.union(*(expr.affine.dims for expr in walk(stage.body) if isinstance(expr, Index)))
        if used != names:
            yield f"{stage.name}: dims {sorted(names ^ used)} are declared or used, not both"
        if stage.body.dtype != known[stage.write.buffer].dtype:
            yield f"{stage.name}: body is {stage.body.dtype}, '{stage.write.buffer}' is not"
        written.add(stage.write.buffer)
    for buffer in kernel.buffers:
        if buffer.role in (LOCAL, OUTPUT) and buffer.name not in written and 0 not in buffer.shape:
            yield f"'{buffer.name}' is never written"


@pytest.mark.parametrize("constants", [False, True], ids=["inputs", "constants"])
@pytest.mark.parametrize(("op", "sample"), STAGED)
def test_stages_mean_what_the_op_means(op: Op, sample: Sample, constants: bool) -> None:
    arrays = sample_arrays(sample)
    node = build(op, sample, arrays, constants)
    kernel = op.kernel(node)
    if kernel is None:
        return
    got = run_untiled(kernel, buffers(op, node, arrays))
    for n, want in enumerate(op.evaluate(*arrays, **node.attributes)):
        assert_close(got[f"y{n}"], want, op.tolerance)


@pytest.mark.parametrize(("op", "sample"), CASES)
def test_symbolic_types_and_stages_specialise_to_the_static_ones(op: Op, sample: Sample) -> None:
    """Equal extents become one symbol; whatever the type rule then says must hold for the values of the sample."""
    arrays = sample_arrays(sample)
    if any(isinstance(a, list) for a in arrays):
        return
    values = {f"n{extent}": extent for a in arrays if a is not None for extent in a.shape if extent > 1}
    operands = [
        None
        if a is None
        else graph_input(
            f"x{n}", TensorType(dtype_of(a.dtype), tuple(symbol(f"n{e}") if e > 1 else e for e in a.shape))
        )
        for n, a in enumerate(arrays)
    ]
    try:
        node = op.build(operands, sample.attributes)
    except TypeRuleError:
        return  # the attributes of the sample fit its static shapes only
    results = op.evaluate(*arrays, **node.attributes)
    for type, value in zip(node.types, results):
        if isinstance(type, TensorType):
            assert fits(type.substitute(values), value), f"{type} inferred, {value!r} evaluated"
    kernel = op.kernel(node)
    if kernel is None:
        return
    problems = list(defects(kernel))
    assert not problems, "\n".join(problems)
    got = run_untiled(kernel, buffers(op, node, arrays))
    for n, want in enumerate(results):
        assert_close(got[f"y{n}"], want, op.tolerance)


def test_every_op_states_its_stages_for_a_sample_or_is_opaque() -> None:
    """An op that declares stages has them for at least one of its samples."""
    for op in REGISTRY.values():
        if op.stages is not None and op.samples:
            assert any(op.kernel(build(op, s, sample_arrays(s))) is not None for s in op.samples), op.name
