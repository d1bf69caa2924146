"""Rules on ops that only move elements: what does nothing goes, what follows one another becomes one."""

import numpy as np

from ..diagnostics import TypeRuleError
from ..ir.dims import Dim
from ..ir.graph import Node, Value, constant
from ..ir.types import f16
from ..ops import REGISTRY, contract, get, math, reduce, shape
from ..rewrite import AnyOf, As, Attr, Maybe, Operation, Rule, Var, example, uniform
from .algebra import keeps_type

X = Var("x")
REDUCTIONS = (reduce.sum_of, reduce.mean, reduce.max_of, reduce.min_of, reduce.product_of)

MOST_PARTS = 256
"""Operands of a concatenation that others are taken into: what doubles again and again has no end of them."""


def _compose(x: Value, inner: tuple[int, ...], outer: tuple[int, ...]) -> Value:
    return shape.transpose(x, perm=tuple(inner[axis] for axis in outer))


def _moves_nothing(x: Value, perm: tuple[int, ...]) -> bool:
    """Whether only extents of 1 change places, so that the order of elements stays."""
    moved = [axis for axis in perm if x.shape[axis] != 1]
    return moved == sorted(moved)


def _reordered(x: Value, perm: tuple[int, ...]) -> tuple[Dim, ...]:
    return tuple(x.shape[axis] for axis in perm)


def _splits_first_axis(y: Value, shape: tuple[Dim, ...], **_: object) -> bool:
    """Whether `shape` is that of y with the last two axes exchanged and the first one split up."""
    return shape[-2:] == (y.shape[2], y.shape[1])


def _turned(x: Value, y: Value, shape: tuple[Dim, ...]) -> Value:
    lead = len(shape) - 2
    return transpose(reshape(x, shape=(*shape[:-2], *y.shape[1:])), perm=(*range(lead), lead + 1, lead))


def _slice_of_slice(x: Value, s: tuple, t: tuple, starts: tuple, sizes: tuple, steps: tuple) -> Value:
    return shape.slice_of(
        x,
        starts=tuple(a + b * c for a, b, c in zip(s, starts, t, strict=True)),
        sizes=sizes,
        steps=tuple(a * b for a, b in zip(t, steps, strict=True)),
    )


def _slice_of_concat(whole: Value, starts: tuple, sizes: tuple, steps: tuple) -> Value | None:
    """The slice of the one operand that it lies in; None if it crosses from one to the next."""
    axis, node = whole.node.attributes["axis"], whole.node
    start, size, step = starts[axis], sizes[axis], steps[axis]
    if step < 0 or not all(isinstance(part, int) for part in (start, size)) or size == 0:
        return None
    begin = 0
    for part in node.operands:
        assert part is not None
        extent = part.shape[axis]
        if not isinstance(extent, int):
            return None
        if begin <= start < begin + extent:
            if start + (size - 1) * step >= begin + extent:
                return None
            moved = (*starts[:axis], start - begin, *starts[axis + 1 :])
            return shape.slice_of(part, starts=moved, sizes=sizes, steps=steps)
        begin += extent
    return None


def _is_nested_concat(whole: Value) -> bool:
    inner = [_inner_concat(part, whole) for part in whole.node.operands]
    return any(inner) and sum(1 if node is None else len(node.operands) for node in inner) <= MOST_PARTS


def _inner_concat(part: Value | None, whole: Value) -> Node | None:
    node = part.node if part is not None else None
    same = node is not None and node.op == whole.node.op and node.attributes == whole.node.attributes
    return node if same else None


def _flat_concat(whole: Value) -> Value:
    parts: list[Value | None] = []
    for part in whole.node.operands:
        inner = _inner_concat(part, whole)
        parts.extend([part] if inner is None else inner.operands)
    return shape.concat(*parts, axis=whole.node.attributes["axis"])


def _pads_add_up(
    a: Value | None, b: Value | None, p: tuple[int, ...], q: tuple[int, ...], **_: object
) -> bool:
    fills = [0 if value is None else uniform(value) for value in (a, b)]
    return None not in fills and _bits(fills[0]) == _bits(fills[1]) and min(*p, *q, 0) >= 0


def _bits(number: object) -> bytes:
    return np.asarray(number, np.float64).tobytes()


def _keeps_leading(x: Value, shape: tuple[Dim, ...], w: Value) -> bool:
    """Whether a product of a reshaped matrix with w is reshaped so that only its rows are split up."""
    return x.node.op == "shape.reshape" and x.type.rank == 2 and w.type.rank == 2 and _same_last(w, shape)


def _same_last(w: Value, shape: tuple[Dim, ...]) -> bool:
    return len(shape) > 2 and shape[-1] == w.shape[-1]


def _row_wise(x: Value, w: Value, shape: tuple[Dim, ...]) -> Value:
    return contract.matmul(reshape(x, shape=(*shape[:-1], x.shape[-1])), w)


def _not_expanded(y: Value) -> Value | None:
    """The elementwise op on what its operands were before they were expanded."""
    node = y.node
    narrow = [
        v.node.operands[0] if v is not None and v.node.op == "shape.expand" else v for v in node.operands
    ]
    if all(a is b for a, b in zip(narrow, node.operands, strict=True)):
        return None
    try:
        result = get(node.op).build(narrow, node.attributes).result
        if result.type == y.type:
            return result
        pairs = zip(narrow, node.operands, strict=True)
        if any(a is b and a is not None and uniform(a) is None for a, b in pairs):
            return None  # the operation would still be done on all elements
        narrow = [a if a is None or uniform(a) is None else constant(uniform(a)) for a in narrow]
        return expand(get(node.op).build(narrow, node.attributes).result, shape=y.shape)
    except TypeRuleError:
        return None  # some ops broadcast one operand only


reshape, transpose, expand = shape.reshape, shape.transpose, shape.expand
STARTS, SIZES, STEPS = Attr("starts"), Attr("sizes"), Attr("steps")

RULES = (
    Rule(
        "transpose that moves nothing => reshape",
        transpose(X, perm=Attr("perm")),
        lambda x, perm: reshape(x, shape=_reordered(x, perm)),
        guard=_moves_nothing,
        samples=({"x": "f32[2, 3]", "perm": (0, 1)}, {"x": "f32[4, 1, 3]", "perm": (1, 0, 2)}),
    ),
    Rule(
        "transpose(transpose(x)) => transpose(x)",
        transpose(transpose(X, perm=Attr("inner")), perm=Attr("outer")),
        _compose,
        shared=True,
        samples=({"x": "f32[2, 3, 5]", "inner": (1, 2, 0), "outer": (1, 0, 2)},),
    ),
    Rule(
        "op that keeps the shape => x",
        As("y", AnyOf((reshape(X), expand(X), shape.tile(X)))),
        lambda x, y: x,
        guard=keeps_type,
        samples=(
            {
                "x": "f32[2, 3]",
                "shape.reshape.shape": (2, 3),
                "shape.expand.shape": (1, 3),
                "shape.tile.repeats": (1, 1),
            },
        ),
    ),
    Rule(
        "reshape(reshape(x)) => reshape(x)",
        reshape(reshape(X), shape=Attr("shape")),
        lambda x, shape: reshape(x, shape=shape),
        shared=True,
        samples=({"x": "f32[2, 6]", "shape.reshape.shape": (12,), "shape": (3, 4)},),
    ),
    Rule(
        "reshape(transpose(reshape(x))) => transpose(reshape(x))",
        reshape(transpose(As("y", reshape(X)), perm=(0, 2, 1)), shape=Attr("shape")),
        _turned,
        guard=_splits_first_axis,
        shared=True,
        samples=(
            example(
                lambda x: reshape(transpose(reshape(x, shape=(6, 4, 5)), perm=(0, 2, 1)), shape=(2, 3, 5, 4)),
                "f32[2, 3, 4, 5]",
            ),
        ),
    ),
    Rule(
        "expand(expand(x)) => expand(x)",
        As("y", expand(expand(X))),
        lambda x, y: expand(x, shape=y.shape),
        shared=True,
        samples=({"x": "f32[3, 1]", "shape.expand.shape": (2, 3, 4)},),
    ),
    Rule(
        "f(expand(x)) => expand(f(x)), or f(x) where f broadcasts",
        AnyOf(tuple(Operation(name, "y") for name in sorted(REGISTRY) if name.startswith("math."))),
        _not_expanded,
        samples=(
            example(lambda x: math.cast(expand(x, shape=(3, 4)), dtype=f16), "f32[3, 1]"),
            example(
                lambda c, a, b: math.where(expand(c, shape=(3, 4)), a, b),
                "bool[1, 4]",
                np.float32(0),
                np.full((1, 1), -3e38, np.float32),
            ),
            example(lambda x, y: math.add(expand(x, shape=(3, 4)), y), "f32[1, 4]", "f32[3, 1]"),
        ),
    ),
    Rule(
        "reshape(x w) => reshape(x) w",
        reshape(contract.matmul(X, Var("w")), shape=Attr("shape")),
        _row_wise,
        guard=_keeps_leading,
        samples=(
            example(
                lambda x, w: reshape(contract.matmul(reshape(x, shape=(6, 4)), w), shape=(2, 3, 5)),
                "f32[2, 3, 4]",
                "f32[4, 5]",
            ),
        ),
    ),
    Rule(
        "reshape(x w + b) => reshape(x) w + b",
        reshape(math.add(contract.matmul(X, Var("w")), Var("b")), shape=Attr("shape")),
        lambda x, w, b, shape: math.add(_row_wise(x, w, shape), b),
        guard=lambda x, w, b, shape: _keeps_leading(x, shape, w) and b.type.rank <= 1,
        samples=(
            example(
                lambda x, w, b: reshape(
                    math.add(contract.matmul(reshape(x, shape=(6, 4)), w), b), shape=(2, 3, 5)
                ),
                "f32[2, 3, 4]",
                "f32[4, 5]",
                "f32[5]",
            ),
        ),
    ),
    Rule(
        "slice of all => x",
        As("y", shape.slice_of(X, starts=STARTS, steps=STEPS)),
        lambda x, y, starts, steps: x,
        guard=lambda x, y, starts, steps: keeps_type(x, y) and not any(starts) and set(steps) <= {1},
        samples=({"x": "f32[2, 3]", "starts": (0, 0), "steps": (1, 1), "shape.slice.sizes": (2, 3)},),
    ),
    Rule(
        "slice(slice(x)) => slice(x)",
        shape.slice_of(
            shape.slice_of(X, starts=Attr("s"), steps=Attr("t")), starts=STARTS, sizes=SIZES, steps=STEPS
        ),
        _slice_of_slice,
        shared=True,
        samples=(
            example(
                lambda x: shape.slice_of(
                    shape.slice_of(x, starts=(1, 6), sizes=(4, 3), steps=(1, -2)),
                    starts=(3, 0),
                    sizes=(2, 2),
                    steps=(-2, 2),
                ),
                "f32[5, 7]",
            ),
        ),
    ),
    Rule(
        "slice(concat(x, y)) => slice(x)",
        shape.slice_of(Operation("shape.concat", "whole"), starts=STARTS, sizes=SIZES, steps=STEPS),
        _slice_of_concat,
        shared=True,
        samples=(
            example(
                lambda x, y: shape.slice_of(
                    shape.concat(x, y, axis=1), starts=(1, 3), sizes=(1, 2), steps=(1, 1)
                ),
                "f32[2, 2]",
                "f32[2, 4]",
            ),
        ),
    ),
    Rule("concat(x) => x", shape.concat(X), lambda x: x, samples=({"x": "f32[2]", "shape.concat.axis": 0},)),
    Rule(
        "concat(x, concat(y, z)) => concat(x, y, z)",
        Operation("shape.concat", "whole"),
        _flat_concat,
        guard=_is_nested_concat,
        samples=(
            example(
                lambda x, y, z: shape.concat(x, shape.concat(y, z, axis=1), axis=1),
                "f32[2, 1]",
                "f32[2, 2]",
                "f32[2, 3]",
            ),
        ),
    ),
    Rule(
        "pad by nothing => x",
        shape.pad(X, Maybe("value"), pads=Attr("pads")),
        lambda x, value, pads: x,
        guard=lambda x, value, pads: not any(pads),
        samples=({"x": "f32[3]", "pads": (0, 0)},),
    ),
    Rule(
        "pad(pad(x)) => pad(x)",
        shape.pad(
            shape.pad(X, Maybe("a"), pads=Attr("p"), mode="constant"),
            Maybe("b"),
            pads=Attr("q"),
            mode="constant",
        ),
        lambda x, a, b, p, q: shape.pad(x, a, pads=tuple(map(sum, zip(p, q, strict=True)))),
        guard=_pads_add_up,
        samples=({"x": "f32[3]", "p": (1, 2), "q": (0, 1)},),
    ),
    Rule(
        "reduction over extents of 1 => reshape",
        As("y", AnyOf(tuple(op(X, axes=Attr("axes")) for op in REDUCTIONS))),
        lambda x, y, axes: reshape(x, shape=y.shape),
        guard=lambda x, y, axes: all(x.shape[axis] == 1 for axis in axes),
        samples=({"x": "f32[3, 1, 2]", "axes": (1,)},),
    ),
    Rule(
        "shape of a static shape => constant",
        shape.shape_of(X),
        lambda x: constant(np.array(x.type.static_shape, np.int64)),
        guard=lambda x: x.type.is_static,
        samples=({"x": "f32[3, 1, 2]"},),
    ),
)
