"""Keras's operations in functional models: `x + y`, `x[:, 0]`, `keras.ops.mean(x)`."""

import itertools
from collections.abc import Sequence

import numpy as np

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.graph import Value
from ....compiler.ir.types import dtype_of
from ...angles import arc_tangent
from ...build import math, nn, shape
from ...normalise import axes_of, axis_of, reshape_target
from ...slices import ranged, taken
from ...tensorflow.convert.layout import inserted
from ..table import operation
from .activations import number

_UNARY = {
    "Absolute": "abs",
    "Abs": "abs",
    "Ceil": "ceil",
    "Cos": "cos",
    "Erf": "erf",
    "Exp": "exp",
    "Floor": "floor",
    "Isinf": "isinf",
    "Isnan": "isnan",
    "Log": "log",
    "LogicalNot": "logical_not",
    "Negative": "neg",
    "Relu": "relu",
    "Round": "round",
    "Sigmoid": "sigmoid",
    "Sign": "sign",
    "Silu": "silu",
    "Sin": "sin",
    "Softplus": "softplus",
    "Sqrt": "sqrt",
    "Tan": "tan",
    "Tanh": "tanh",
    "Trunc": "trunc",
}
_BINARY = {
    "Add": "add",
    "Divide": "div",
    "Equal": "eq",
    "FloorDivide": "floordiv",
    "Greater": "gt",
    "GreaterEqual": "ge",
    "Less": "lt",
    "LessEqual": "le",
    "LogicalAnd": "logical_and",
    "LogicalOr": "logical_or",
    "Maximum": "max",
    "Minimum": "min",
    "Mod": "mod",
    "Multiply": "mul",
    "NotEqual": "ne",
    "Power": "pow",
    "Subtract": "sub",
    "TrueDivide": "div",
}


def _alike(x: Value, y: Value) -> tuple[Value, Value]:
    """Operands of one dtype: a number takes that of the tensor, unless it is a fraction beside integers."""
    if x.dtype == y.dtype:
        return x, y
    if x.dtype.is_float != y.dtype.is_float:
        return (x, math.cast(y, dtype=x.dtype)) if x.dtype.is_float else (math.cast(x, dtype=y.dtype), y)
    if x.constant is not None and not x.type.rank:
        return math.cast(x, dtype=y.dtype), y
    if y.constant is not None and not y.type.rank:
        return x, math.cast(y, dtype=x.dtype)
    raise UnsupportedError(f"operands {x.type} and {y.type} of one operation", hint="cast one of them")


def _unary(op):
    return lambda x: getattr(math, op)(x)


def _binary(op):
    return lambda x, y: getattr(math, op)(*_alike(x, y))


for _name, _op in _UNARY.items():
    operation(_name)(_unary(_op))
for _name, _op in _BINARY.items():
    operation(_name)(_binary(_op))


@operation("Arctan2")
def arctan2(y, x):
    return arc_tangent(*_alike(y, x))


@operation("Square")
def square(x):
    return math.mul(x, x)


@operation("Rsqrt")
def rsqrt(x):
    return math.reciprocal(math.sqrt(x))


@operation("Gelu")
def gelu(x, *, approximate=True):
    return math.gelu(x, approximate="tanh" if approximate else "none")


@operation("Softmax")
def softmax(x, *, axis=-1):
    return nn.softmax(x, axis=axis_of(axis, x.type.rank))


@operation("Where")
def where(condition, x, y):
    return math.where(condition, *_alike(x, y))


@operation("Cast")
def cast(x, *, dtype):
    return math.cast(x, dtype=dtype_of(dtype))


@operation("Log1p")
def log1p(x):
    return math.log(math.add(x, number(1, x)))


@operation("LogSoftmax")
def log_softmax(x, *, axis=-1):
    return nn.log_softmax(x, axis=axis_of(axis, x.type.rank))


@operation("Clip")
def clip(x, *, x_min, x_max):
    return math.clip(x, number(x_min, x), number(x_max, x))


@operation("OneHot")
def one_hot(x, *, num_classes, axis=-1, sparse=False, dtype="float32"):
    place = axis_of(axis, x.type.rank + 1)
    classes = np.arange(num_classes).reshape([-1 if n == place else 1 for n in range(x.type.rank + 1)])
    return math.cast(math.eq(inserted(x, place), number(classes, x)), dtype=dtype_of(dtype or "float32"))


@operation("Flip")
def flip(x, *, axis=None):
    axes = axes_of(
        range(x.type.rank) if axis is None else (axis,) if isinstance(axis, int) else axis, x.type.rank
    )
    return shape.slice(
        x,
        starts=tuple(dim - 1 if n in axes else 0 for n, dim in enumerate(x.shape)),
        sizes=x.shape,
        steps=tuple(-1 if n in axes else 1 for n in range(x.type.rank)),
    )


@operation("Split")
def split(x, *, indices_or_sections, axis=0):
    """Equal parts, or parts that end at given places."""
    along = axis_of(axis, x.type.rank)
    extent, ends = x.shape[along], indices_or_sections
    if isinstance(ends, int):
        if not isinstance(extent, int):
            raise UnsupportedError(f"splitting the extent '{extent}'", hint="fix it with shapes=")
        ends = range(extent // ends, extent, extent // ends)
    parts, ones = [], (1,) * x.type.rank
    for begin, end in itertools.pairwise((0, *ends, extent)):
        starts = tuple(begin if n == along else 0 for n in range(x.type.rank))
        sizes = tuple(end - begin if n == along else dim for n, dim in enumerate(x.shape))
        parts.append(shape.slice(x, starts=starts, sizes=sizes, steps=ones))
    return tuple(parts)


@operation("Tile")
def tile(x, *, repeats):
    repeats = (repeats,) if isinstance(repeats, int) else tuple(repeats)
    return shape.tile(x, repeats=(*(1,) * (x.type.rank - len(repeats)), *repeats))


@operation("Swapaxes")
def swap_axes(x, *, axis1, axis2):
    perm = list(range(x.type.rank))
    a, b = axis_of(axis1, x.type.rank), axis_of(axis2, x.type.rank)
    perm[a], perm[b] = perm[b], perm[a]
    return shape.transpose(x, perm=tuple(perm))


@operation("Pad")
def pad(x, *, pad_width, mode="constant", constant_values=None):
    if mode not in ("constant", "reflect"):
        raise UnsupportedError(f"padding by '{mode}'", hint="pad with a constant, or by reflection")
    pairs = [(pad_width, pad_width)] * x.type.rank if isinstance(pad_width, int) else pad_width
    pads = (*(begin for begin, _ in pairs), *(end for _, end in pairs))
    filler = number(constant_values or 0, x) if mode == "constant" else None
    return shape.pad(x, filler, pads=pads, mode=mode)


@operation("Matmul")
def matmul(x, y):
    if x.type.rank < 2 or y.type.rank < 2:
        raise UnsupportedError(f"a product of {x.type} and {y.type}", hint="use matrices")
    return nn.matmul(*_alike(x, y))


@operation("Einsum")
def einsum(*operands, subscripts):
    return nn.einsum(*operands, equation=subscripts)


@operation("Concatenate")
def concatenate(*xs, axis=-1):
    return shape.concat(*xs, axis=axis_of(axis, xs[0].type.rank)) if len(xs) > 1 else xs[0]


@operation("Stack")
def stack(*xs, axis=0):
    place = axis_of(axis, xs[0].type.rank + 1)
    parts = [inserted(x, place) for x in xs]
    return shape.concat(*parts, axis=place) if len(parts) > 1 else parts[0]


@operation("Reshape")
def reshape(x, *, newshape):
    return shape.reshape(x, shape=reshape_target(x.shape, newshape, zero_copies=False))


@operation("Transpose")
def transpose(x, *, axes=None):
    return shape.transpose(
        x, perm=tuple(reversed(range(x.type.rank))) if axes is None else axes_of(axes, x.type.rank)
    )


@operation("ExpandDims")
def expand_dims(x, *, axis):
    return inserted(x, axis_of(axis, x.type.rank + 1))


@operation("Squeeze")
def squeeze(x, *, axis=None):
    given = [n for n, dim in enumerate(x.shape) if dim == 1] if axis is None else axis
    axes = axes_of((given,) if isinstance(given, int) else tuple(given), x.type.rank)
    return shape.reshape(x, shape=tuple(dim for n, dim in enumerate(x.shape) if n not in axes))


@operation("GetItem")
def get_item(x, *, argument1):
    """`argument1` is what stands in the brackets."""
    keys: Sequence = argument1 if isinstance(argument1, tuple) else (argument1,)
    if any(not isinstance(key, int | slice | None) or isinstance(key, bool) for key in keys):
        raise UnsupportedError("an index that is no number and no slice", hint="use numbers and slices")
    axis = 0
    for key in keys:
        if isinstance(key, int):
            x = taken(x, axis, key)
            continue
        x = expand_dims(x, axis=axis) if key is None else ranged(x, axis, key.start, key.stop, key.step or 1)
        axis += 1
    return x
