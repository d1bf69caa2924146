"""Keras's operations in functional models: `x + y`, `x[:, 0]`, `keras.ops.mean(x)`."""

from collections.abc import Sequence

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.graph import Value
from ....compiler.ir.types import dtype_of
from ...build import math, nn, reduce, shape
from ...normalise import axes_of, axis_of, reshape_target, slice_extent
from ...tensorflow.convert.layout import inserted
from ..table import operation

_UNARY = {
    "Absolute": "abs",
    "Abs": "abs",
    "Ceil": "ceil",
    "Cos": "cos",
    "Erf": "erf",
    "Exp": "exp",
    "Floor": "floor",
    "Log": "log",
    "LogicalNot": "logical_not",
    "Negative": "neg",
    "Relu": "relu",
    "Sigmoid": "sigmoid",
    "Sign": "sign",
    "Silu": "silu",
    "Sin": "sin",
    "Softplus": "softplus",
    "Sqrt": "sqrt",
    "Tanh": "tanh",
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


def _reduction(op):
    def convert(x, *, axis=None, keepdims=False):
        axes = tuple(range(x.type.rank)) if axis is None else (axis,) if isinstance(axis, int) else axis
        return op(x, axes=axes_of(axes, x.type.rank), keepdims=keepdims)

    return convert


for _name, _reduce in {"Mean": reduce.mean, "Sum": reduce.sum, "Max": reduce.max, "Min": reduce.min}.items():
    operation(_name)(_reduction(_reduce))


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
        if key is None:
            x = expand_dims(x, axis=axis)
            axis += 1
            continue
        extent = x.shape[axis]
        step = 1 if isinstance(key, int) or key.step is None else key.step
        first, last = (key, key + 1 or None) if isinstance(key, int) else (key.start, key.stop)
        far = 2**31
        start = first if first is not None else 0 if step > 0 else far
        stop = last if last is not None else far if step > 0 else -far
        found = slice_extent(extent, start, stop, step)
        if found is None:
            raise UnsupportedError(f"a slice of the extent '{extent}'", hint="fix it with shapes=")
        starts = tuple(found[0] if n == axis else 0 for n in range(x.type.rank))
        sizes = tuple(found[1] if n == axis else dim for n, dim in enumerate(x.shape))
        x = shape.slice(
            x, starts=starts, sizes=sizes, steps=tuple(step if n == axis else 1 for n in range(x.type.rank))
        )
        if isinstance(key, int):
            x = shape.reshape(x, shape=(*x.shape[:axis], *x.shape[axis + 1 :]))
        else:
            axis += 1
    return x
