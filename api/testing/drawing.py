"""Draws random graphs of ops' samples and of layers, each op fed by earlier ones as far as types can be fitted."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from isthmus.compiler.diagnostics import IsthmusError
from isthmus.compiler.ir.graph import Graph, Node, Value, constant, graph_input
from isthmus.compiler.ir.types import TensorType, dtype_of
from isthmus.compiler.ops import math, shape
from isthmus.compiler.ops.engine import REGISTRY, Op, Sample, get, parse_type, sample_arrays
from isthmus.testing.layers import grow

NODES = (3, 12)
"""Fewest and most drawn ops; what fits one to the next comes on top."""

SHAPES = (
    *(
        (1, 3, 9, 11),
        (2, 6, 13),
        (5, 17),
        (1, 4, 3, 16),
        (33,),
        (2, 2, 3, 4, 5),
        (3, 16, 16),
        (1, 64),
        (3, 1, 7),
    ),
    *((1, 16, 20, 21), (197, 48), (2, 4, 35, 8), (1, 33, 130), (3, 32, 5, 6), (1030,), ()),
)
"""Of the values that a graph begins with."""

LARGEST = 50_000
"""Elements of the largest value that a later op may take."""

_FINITE = ("nn.conv_transpose", "math.bitcast")
# Phases that lack a tap multiply by a zero instead, which makes NaN of an infinity next to it.
# NaN has many bit patterns.


def _usable() -> dict[Op, list[Sample]]:
    """Samples of ops that always give the same, whose operands are tensors of numbers."""
    found: dict[Op, list[Sample]] = {}
    for op in REGISTRY.values():
        if not op.foldable or op.regions or op.name.startswith(("sequence.", "optional.")):
            continue
        for sample in op.samples:
            tensors = [_tensor(operand) for operand in sample.operands if operand is not None]
            numbers = all(t is not None and t.dtype.kind not in ("string", "complex") for t in tensors)
            if numbers:
                found.setdefault(op, []).append(sample)
    return found


def _tensor(operand: Any) -> TensorType | None:
    """The type of a sample's operand; None for a sequence."""
    if isinstance(operand, list):
        return None
    if isinstance(operand, tuple):
        operand = operand[0]
    if isinstance(operand, str):
        return parse_type(operand)
    array = np.asarray(operand)
    return TensorType(dtype_of(array.dtype), array.shape)


class Drawing:
    """One graph under construction; `pool` holds the values that later ops may take, `arrays` what all values are."""

    def __init__(self, rng: np.random.Generator, name: str):
        self.rng = rng
        self.name = name
        self.inputs: list[Value] = []
        self.arrays: dict[Value, Any] = {}
        self.pool: list[Value] = []
        self.made: list[Value] = []

    def graph(self) -> tuple[Graph, tuple[Any, ...]]:
        """A graph and arrays for its inputs."""
        for _ in range(int(self.rng.integers(1, 3))):
            array = self.rng.standard_normal(self.one(SHAPES)).astype(np.float32)
            self.keep(self.leaf(array, first=True))
        samples = _usable()
        ops = list(samples)
        for _ in range(int(self.rng.integers(NODES[0], NODES[1] + 1))):
            floats = [
                v for v in self.pool[-8:] if v.dtype.is_float and v.dtype.bits >= 16 and v.type.rank <= 5
            ]
            if floats and self.chance(0.6):
                made = grow(self.rng, self.one(floats), self.pool)
                self.evaluate(made.node)
                self.keep(made)
                continue
            op = self.one(ops)  # by op, then by sample: ops with many samples are not more important
            self.add(op, self.one(samples[op]))
        used = {operand for value in self.made for operand in value.node.operands}
        ends = [value for value in self.made if value not in used]
        more = [value for value in self.made if value in used and self.chance(0.1)]
        outputs = [*ends, *more]
        graph = Graph(self.inputs, outputs, [f"y{n}" for n in range(len(outputs))], self.name)
        return graph, tuple(self.arrays[value] for value in self.inputs)

    def keep(self, value: Value) -> None:
        """Let later ops take a value, if it is one that they can take."""
        if value.node.op not in ("input", "constant"):
            self.made.append(value)
        static = isinstance(value.type, TensorType) and value.type.is_static
        if static and 0 < prod(value.type.static_shape) <= LARGEST:
            self.pool.append(value)

    def add(self, op: Op, sample: Sample) -> None:
        """One more op. Where the drawn values do not suit it, it takes what its sample says."""
        arrays = sample_arrays(sample, int(self.rng.integers(1000)))
        bound = any(
            array is not None and not isinstance(spec, str) for spec, array in zip(sample.operands, arrays)
        )
        free = not bound and self.chance(0.5)  # the attributes may or may not suit another shape
        for keep in (free, False):
            operands = [
                None if array is None else self.operand(spec, array, first=n == 0, keep=keep and n == 0)
                for n, (spec, array) in enumerate(zip(sample.operands, arrays, strict=True))
            ]
            if op.name in _FINITE:
                operands = [
                    v and self.finite(v, array, n) for n, (v, array) in enumerate(zip(operands, arrays))
                ]
            try:
                node = op.build(operands, sample.attributes)
                self.evaluate(node)
            except (IsthmusError, IndexError, ValueError):  # types or elements that the op does not take
                if not keep:
                    raise
                continue
            for value in node.results:
                self.keep(value)
            return

    def evaluate(self, node: Node) -> None:
        """Compute what a new node's results are."""
        operands = [None if v is None else self.array(v) for v in node.operands]
        results = get(node.op).evaluate(*operands, **node.attributes)
        self.arrays.update(zip(node.results, results, strict=True))

    def array(self, value: Value) -> Any:
        return self.arrays[value] if value.constant is None else value.constant

    def finite(self, value: Value, array: np.ndarray, position: int) -> Value:
        """The value, or a leaf with the sample's array where it has infinities or NaN."""
        known = self.array(value)
        return value if np.isfinite(known.astype(np.float64)).all() else self.leaf(array, first=position == 0)

    def operand(self, spec: Any, array: np.ndarray, first: bool, keep: bool) -> Value:
        """A drawn value as the sample's operand; a leaf where there is none or the sample asks for certain values."""
        type = TensorType(dtype_of(array.dtype), array.shape)
        if type.dtype.kind == "bool":
            fitting = [v for v in self.pool if v.dtype.kind == "bool"]
        else:
            fitting = [
                v for v in self.pool if v.dtype.is_float == type.dtype.is_float and v.dtype.kind != "bool"
            ]
        certain = not isinstance(spec, str) or type.dtype.is_integer or not array.size
        if certain or not fitting or self.chance(0.1 if first else 0.5):
            return self.leaf(array, first)
        value = self.one(fitting[-6:])
        if value.dtype != type.dtype:
            value = self.glue(math.cast(value, dtype=type.dtype))
        return value if keep else self.fitted(value, type.static_shape)

    def leaf(self, array: np.ndarray, first: bool) -> Value:
        """A constant or an input; what comes first is no constant, or all would fold away."""
        if not first and self.chance(0.6):
            return constant(array)
        value = graph_input(f"x{len(self.inputs)}", TensorType(dtype_of(array.dtype), array.shape))
        self.inputs.append(value)
        self.arrays[value] = array
        return value

    def fitted(self, value: Value, wanted: tuple[int, ...]) -> Value:
        """The value's elements in another shape: as they are, some of them, or some of them several times."""
        have = value.type.static_shape
        if sorted(have) == sorted(wanted) and len(set(have)) == len(have):
            perm = tuple(have.index(extent) for extent in wanted)
            return value if have == wanted else self.glue(shape.transpose(value, perm=perm))
        count, size = prod(wanted), prod(have)
        if size < count:
            times = -(-count // max(size, 1))
            if self.chance(0.5):
                value = self.glue(
                    shape.concat(*[value] * times, axis=0) if have else self.spread(value, times)
                )
            else:
                value = self.spread(value, times)
            size *= times
        if size > count:
            flat = self.glue(shape.reshape(value, shape=(size,)))
            step = int(self.rng.integers(1, size // count + 1)) if count else 1
            first = int(self.rng.integers(0, size - (count - 1) * step)) if count else 0
            if self.chance(0.25) and count:
                first, step = first + (count - 1) * step, -step
            value = self.glue(shape.slice_of(flat, starts=(first,), sizes=(count,), steps=(step,)))
        return value if value.type.static_shape == wanted else self.glue(shape.reshape(value, shape=wanted))

    def spread(self, value: Value, times: int) -> Value:
        """The value several times, along a new first axis."""
        have = value.type.static_shape
        wide = self.glue(shape.expand(value, shape=(times, *have)))
        return self.glue(shape.reshape(wide, shape=(times * prod(have),)))

    def glue(self, value: Value) -> Value:
        """A value between two drawn ops, which may be an output or be taken once more."""
        self.evaluate(value.node)
        self.made.append(value)
        if self.chance(0.3):
            self.pool.append(value)
        return value

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def one(self, items: Sequence[Any]) -> Any:
        return items[int(self.rng.integers(len(items)))]
