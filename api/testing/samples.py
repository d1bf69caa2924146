"""What a backend is tried on: the ops' own samples, their samples with extreme elements, and kernels of all sizes."""

from collections.abc import Iterator, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from isthmus.compiler.ir.graph import Graph, Value, constant, graph_input
from isthmus.compiler.ir.location import Location, at
from isthmus.compiler.ir.types import TensorType, dtype_of
from isthmus.compiler.ops import math, quant
from isthmus.compiler.ops.engine import REGISTRY, Op, Sample, get, sample_arrays
from isthmus.runtime.records import dataclass


@dataclass(frozen=True, eq=False)
class Trial:
    """A piece of a graph with arrays for its inputs. `name` stands in the locations of its nodes."""

    name: str
    inputs: tuple[Value, ...]
    arrays: tuple[np.ndarray, ...]
    outputs: tuple[Value, ...]


def joined(trials: Sequence[Trial]) -> tuple[Graph, list[np.ndarray]]:
    """One graph of several trials side by side, and the arrays for its inputs."""
    outputs = [output for trial in trials for output in trial.outputs]
    names = [f"y{n}" for n in range(len(outputs))]
    arrays = [array for trial in trials for array in trial.arrays]
    return Graph([value for trial in trials for value in trial.inputs], outputs, names, "trials"), arrays


def op_samples(constants: bool) -> Iterator[Trial]:
    """All samples of tensors, results that vary left out; operands after the first one are constants on demand, as
    weights are."""
    for op, number, sample in _samples():
        yield _trial(op, f"{op.name} {number}", sample_arrays(sample), sample, constants)


def extremes() -> Iterator[Trial]:
    """Samples whose first operand holds what arithmetic stumbles over: the ends of integers; NaN, infinities, signed
    zeros, subnormal and huge reals."""
    for op, number, sample in _samples():
        arrays = sample_arrays(sample)
        if op.name.startswith(_PLAIN) and op.name not in _UNDEFINED and arrays and arrays[0] is not None:
            values = _extreme(arrays[0].dtype, sums=not op.name.startswith("math."))
            if values is not None and arrays[0].size:
                first = np.resize(values, arrays[0].shape)
                yield _trial(op, f"{op.name} {number} extreme", (first, *arrays[1:]), sample, True)
    yield from _saturations()


_PLAIN = ("math.", "quant.", "reduce.", "nn.conv", "nn.relu", "nn.max_pool")
_UNDEFINED = ("math.cast", "math.pow", "math.mod", "nn.conv_transpose", "math.bitcast")
# Casts of what a type can't hold mean nothing; a phase that lacks a tap multiplies by 0, which makes NaN of infinity.


def _samples() -> Iterator[tuple[Op, int, Sample]]:
    for op in REGISTRY.values():
        for number, sample in enumerate(op.samples):
            arrays = sample_arrays(sample)
            lists = any(isinstance(array, list) for array in arrays)
            if not lists and not op.regions and op.foldable and not op.name.startswith(_NO_TENSORS):
                yield op, number, sample


_NO_TENSORS = ("sequence.", "optional.")


def _trial(op: Op, name: str, arrays: Sequence[Any], sample: Sample, constants: bool) -> Trial:
    inputs: list[Value] = []
    given: list[np.ndarray] = []
    operands: list[Value | None] = []
    with at(Location("trial", (name,))):
        for number, array in enumerate(arrays):
            if array is None or (constants and number):
                operands.append(None if array is None else constant(array))
                continue
            value = graph_input(f"{name}.{number}", TensorType(dtype_of(array.dtype), array.shape))
            operands.append(value)
            inputs.append(value)
            given.append(array)
        result = op(*operands, **sample.attributes)
    results = result if isinstance(result, tuple) else (result,)
    return Trial(name, tuple(inputs), tuple(given), results)


def _extreme(dtype: np.dtype, sums: bool) -> np.ndarray | None:
    """The ends of a type; in sums of reals no finite one, for their order decides whether a part of them overflows."""
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return np.array([limits.min, limits.max, 0, limits.max - 1, limits.min + 1, 1], dtype)
    if dtype.kind == "f" or dtype.name == "bfloat16":
        real = ml_dtypes.finfo(dtype)
        huge = 2.5 if sums else float(real.max)
        values = (np.nan, np.inf, -np.inf, 0.0, -0.0, float(real.smallest_subnormal), huge, -1.5)
        return np.array(values).astype(dtype)
    return None


def _input(name: str, shape: tuple[int, ...], dtype: Any, seed: int = 0) -> tuple[Value, np.ndarray]:
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        array = rng.standard_normal(shape).astype(kind)
    else:
        limits = np.iinfo(kind)
        array = rng.integers(
            max(limits.min, -(1 << 20)), min(limits.max, 1 << 20), shape, endpoint=True
        ).astype(kind)
    return graph_input(name, TensorType(dtype_of(array.dtype), shape)), array


def _made(name: str, build: Any, *operands: tuple[tuple[int, ...], Any]) -> Trial:
    """A trial of a function of inputs of the given shapes and dtypes."""
    with at(Location("trial", (name,))):
        pairs = [_input(f"{name}.{n}", shape, dtype, n) for n, (shape, dtype) in enumerate(operands)]
        result = build(*(value for value, _ in pairs))
    return Trial(name, tuple(v for v, _ in pairs), tuple(a for _, a in pairs), (result,))


def _saturations() -> Iterator[Trial]:
    """Sums of products that leave 8 bits far behind, with zero points at the ends of their types."""
    weights = np.random.default_rng(1).integers(-128, 128, (7, 5, 3, 3)).astype(np.int8)
    for zero in (-128, 127, 0):

        def conv(x: Value, zero: int = zero) -> Value:
            acc = quant.conv_integer(
                x, constant(weights), strides=(1, 1), pads=(1, 1, 1, 1), dilations=(1, 1), fill=zero
            )
            numbers = (constant(np.int32(n)) for n in (1_500_000_000, 37))
            i8 = dtype_of(np.dtype(np.int8))
            requantize = get("quant.requantize_fixed")
            return requantize(acc, *numbers, constant(np.int8(zero)), axis=1, dtype=i8, rounding="half_up")

        yield _made(f"requantised convolution, zero point {zero}", conv, ((1, 5, 6, 7), np.int8))


def capacities() -> Iterator[Trial]:
    """Kernels from one element to far more than small chips hold; each runs or is refused with a reason."""
    for m, k, n in ((1, 1, 1), (3, 700, 5), (130, 33, 300), (5, 4100, 70), (300, 64, 257)):
        y = np.random.default_rng(k).integers(-128, 128, (k, n)).astype(np.int8)

        def product(x: Value, y: np.ndarray = y) -> Value:
            return quant.matmul(x, constant(y))

        yield _made(f"product {m} x {k} x {n} with weights", product, ((m, k), np.int8))
        yield _made(f"product {m} x {k} x {n}", quant.matmul, ((m, k), np.int8), ((k, n), np.int8))
    for channels, extent in ((1, 1), (3, 40), (48, 14), (130, 5)):
        w = np.random.default_rng(extent).integers(-128, 128, (37, channels, 3, 3)).astype(np.int8)

        def conv(x: Value, w: np.ndarray = w) -> Value:
            return quant.conv_integer(x, constant(w), strides=(2, 1), pads=(1, 1, 1, 1), dilations=(1, 1))

        yield _made(
            f"convolution of {channels} channels of {extent}", conv, ((1, channels, extent, extent), np.int8)
        )
    for shape in ((1,), (70_000,), (3, 1, 30_011), (17, 1, 65, 33)):
        for dtype in (np.int32, np.float32):
            yield _made(
                f"sum of two {np.dtype(dtype)}{list(shape)}", math.add, (shape, dtype), (shape, dtype)
            )
        yield _made(f"maximum of {list(shape)}", _maximum, (shape, np.int32))
    for rows, row in ((1, 1), (2, 20_000)):
        yield _made(f"softmax of {rows} x {row}", _softmax, ((rows, row), np.float32))


def _maximum(x: Value) -> Value:
    return get("reduce.max")(x, axes=(x.type.rank - 1,), keepdims=True)


def _softmax(x: Value) -> Value:
    return get("nn.softmax")(x, axis=1)
