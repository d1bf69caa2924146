"""Reductions. Axes moved from an attribute to an operand at opset 13 (ReduceSum) and 18 (the others)."""

from collections.abc import Callable

from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import u8
from ....runtime.records import dataclass
from ...build import math, reduce, shape
from ...known import dims, ints
from ...normalise import axes_of, axis_of
from ..table import register
from . import runtime_axes


@dataclass(frozen=True, slots=True)
class Along:
    """The axes of a reduction, known or (a vector) not, and whether they stay with extent 1."""

    axes: tuple[int, ...] | Value
    keepdims: bool

    def __call__(self, core: Callable[..., Value], x: Value) -> Value:
        if isinstance(self.axes, tuple):
            return core(x, axes=self.axes, keepdims=self.keepdims)
        return runtime_axes.reduced(core, x, self.axes, self.keepdims)

    def dropped(self, x: Value) -> Value:
        """A value that kept its axes, without them if they are not to stay."""
        if self.keepdims:
            return x
        if isinstance(self.axes, tuple):
            extents = tuple(dim for axis, dim in enumerate(x.shape) if axis not in self.axes)
            return shape.reshape(x, shape=extents)
        return runtime_axes.squeezed(x, self.axes)


def _log_sum_exp(x: Value, along: Along) -> Value:
    """log(sum(exp(x))), shifted by the greatest element so that exp does not overflow."""
    keeping = Along(along.axes, True)
    top = keeping(reduce.max, x)
    top = math.where(math.isinf(top), constant(0, top.dtype), top) if x.dtype.is_float else top
    total = math.log(keeping(reduce.sum, math.exp(math.sub(x, top))))
    return along.dropped(math.add(total, top))


def _ordered(core: Callable[..., Value], x: Value, along: Along) -> Value:
    """The greatest or least element; of bools by way of u8, which orders them as False < True."""
    if x.dtype.kind != "bool":
        return along(core, x)
    return math.cast(along(core, math.cast(x, dtype=u8)), dtype=x.dtype)


_REDUCTIONS: dict[str, Callable[[Value, Along], Value]] = {
    "ReduceSum": lambda x, along: along(reduce.sum, x),
    "ReduceMean": lambda x, along: along(reduce.mean, x),
    "ReduceProd": lambda x, along: along(reduce.prod, x),
    "ReduceMax": lambda x, along: _ordered(reduce.max, x, along),
    "ReduceMin": lambda x, along: _ordered(reduce.min, x, along),
    "ReduceL1": lambda x, along: along(reduce.sum, math.abs(x)),
    "ReduceL2": lambda x, along: math.sqrt(along(reduce.sum, math.mul(x, x))),
    "ReduceSumSquare": lambda x, along: along(reduce.sum, math.mul(x, x)),
    "ReduceLogSum": lambda x, along: math.log(along(reduce.sum, x)),
    "ReduceLogSumExp": _log_sum_exp,
}


def _with_operand(op):
    def convert(x, axes=None, *, keepdims=1, noop_with_empty_axes=0):
        if axes is None or axes.shape == (0,):
            listed = () if noop_with_empty_axes else tuple(range(x.type.rank))
        elif dims(axes) is None:
            listed = axes
        else:
            listed = axes_of(ints(axes, "axes"), x.type.rank)
        return op(x, Along(listed, bool(keepdims)))

    return convert


def _with_attribute(op):
    def convert(x, *, axes=None, keepdims=1):
        listed = range(x.type.rank) if axes is None else axes
        return op(x, Along(axes_of(listed, x.type.rank), bool(keepdims)))

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


for _name, _arg in {
    "ArgMax": lambda x, **form: reduce.argmax(x, **form),
    "ArgMin": lambda x, **form: reduce.argmin(x, **form),
}.items():
    register(_name, _position(_arg), since=12)
    register(_name, _position_1(_arg))


def _cumulative(op):
    def convert(x, axis, *, exclusive=0, reverse=0):
        form = {"exclusive": bool(exclusive), "reverse": bool(reverse)}
        listed = dims(axis)
        if listed is None:
            return runtime_axes.selected(lambda n: op(x, axis=n, **form), axis, x.type.rank)
        return op(x, axis=axis_of(ints(axis, "axis")[0], x.type.rank), **form)

    return convert


register("CumSum", _cumulative(lambda x, **form: reduce.cumsum(x, **form)), since=11)
register("CumProd", _cumulative(lambda x, **form: reduce.cumprod(x, **form)), since=26)
