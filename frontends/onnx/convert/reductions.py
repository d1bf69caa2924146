"""Reductions. Axes moved from an attribute to an operand at opset 13 (ReduceSum) and 18 (the others)."""

from collections.abc import Callable

from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import u8
from ...build import math, reduce, shape
from ...known import ints, number
from ...normalise import axes_of, axis_of
from ..table import converter, register


def _log_sum_exp(x: Value, *, axes: tuple[int, ...], keepdims: bool) -> Value:
    """log(sum(exp(x))), shifted by the largest finite element so that exp does not overflow."""
    top = reduce.max(x, axes=axes, keepdims=True)
    top = math.where(math.isinf(top), constant(0, top.dtype), top) if x.dtype.is_float else top
    total = math.log(reduce.sum(math.exp(math.sub(x, top)), axes=axes, keepdims=True))
    out = math.add(total, top)
    if keepdims:
        return out
    return shape.reshape(out, shape=tuple(dim for axis, dim in enumerate(out.shape) if axis not in axes))


def _max(x: Value, **form) -> Value:
    return _through_integers(reduce.max, x, **form)


def _min(x: Value, **form) -> Value:
    return _through_integers(reduce.min, x, **form)


def _through_integers(op, x: Value, **form) -> Value:
    """A reduction of bools by way of u8, which orders them as False < True."""
    if x.dtype.kind != "bool":
        return op(x, **form)
    return math.cast(op(math.cast(x, dtype=u8), **form), dtype=x.dtype)


_REDUCTIONS: dict[str, Callable[..., Value]] = {
    "ReduceSum": lambda x, **form: reduce.sum(x, **form),
    "ReduceMean": lambda x, **form: reduce.mean(x, **form),
    "ReduceProd": lambda x, **form: reduce.prod(x, **form),
    "ReduceMax": _max,
    "ReduceMin": _min,
    "ReduceL1": lambda x, **form: reduce.sum(math.abs(x), **form),
    "ReduceL2": lambda x, **form: math.sqrt(reduce.sum(math.mul(x, x), **form)),
    "ReduceSumSquare": lambda x, **form: reduce.sum(math.mul(x, x), **form),
    "ReduceLogSum": lambda x, **form: math.log(reduce.sum(x, **form)),
    "ReduceLogSumExp": _log_sum_exp,
}


def _with_operand(op):
    def convert(x, axes=None, *, keepdims=1, noop_with_empty_axes=0):
        if axes is None or axes.shape == (0,):
            listed = () if noop_with_empty_axes else range(x.type.rank)
        else:
            listed = ints(axes, "axes")
        return op(x, axes=axes_of(listed, x.type.rank), keepdims=bool(keepdims))

    return convert


def _with_attribute(op):
    def convert(x, *, axes=None, keepdims=1):
        listed = range(x.type.rank) if axes is None else axes
        return op(x, axes=axes_of(listed, x.type.rank), keepdims=bool(keepdims))

    return convert


for _name, _op in _REDUCTIONS.items():
    register(_name, _with_operand(_op), since=13 if _name == "ReduceSum" else 18)
    register(_name, _with_attribute(_op))


def _position(op):
    def convert(x, *, axis=0, keepdims=1, select_last_index=0):
        axis = axis_of(axis, x.type.rank)
        return op(x, axis=axis, keepdims=bool(keepdims), select_last=bool(select_last_index))

    return convert


def _position_1(op):
    def convert(x, *, axis=0, keepdims=1):
        return op(x, axis=axis_of(axis, x.type.rank), keepdims=bool(keepdims))

    return convert


for _name, _op in {
    "ArgMax": lambda x, **form: reduce.argmax(x, **form),
    "ArgMin": lambda x, **form: reduce.argmin(x, **form),
}.items():
    register(_name, _position(_op), since=12)
    register(_name, _position_1(_op))


@converter("CumSum", since=11)
def cumulative_sum(x, axis, *, exclusive=0, reverse=0):
    axis = axis_of(int(number(axis, "axis")), x.type.rank)
    return reduce.cumsum(x, axis=axis, exclusive=bool(exclusive), reverse=bool(reverse))


@converter("CumProd", since=26)
def cumulative_product(x, axis, *, exclusive=0, reverse=0):
    axis = axis_of(int(number(axis, "axis")), x.type.rank)
    return reduce.cumprod(x, axis=axis, exclusive=bool(exclusive), reverse=bool(reverse))
