"""Keras's operations that reduce axes, or find places along them."""

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import i32, i64
from ...build import math, reduce, shape
from ...normalise import axes_of, axis_of, reshape_target
from ..table import operation
from .operations import squeeze


def _reduction(op):
    def convert(x, *, axis=None, keepdims=False):
        axes = tuple(range(x.type.rank)) if axis is None else (axis,) if isinstance(axis, int) else axis
        return op(x, axes=axes_of(axes, x.type.rank), keepdims=keepdims)

    return convert


_REDUCTIONS = {
    "Amax": reduce.max,
    "Amin": reduce.min,
    "Max": reduce.max,
    "Mean": reduce.mean,
    "Min": reduce.min,
    "Prod": reduce.prod,
    "Sum": reduce.sum,
}
for _name, _reduce in _REDUCTIONS.items():
    operation(_name)(_reduction(_reduce))


def _logical(op):
    reduced = _reduction(op)

    def convert(x, *, axis=None, keepdims=False):
        return math.ne(reduced(math.cast(math.ne(x, 0), dtype=i32), axis=axis, keepdims=keepdims), 0)

    return convert


operation("Any")(_logical(reduce.max))
operation("All")(_logical(reduce.min))


def _centred(x: Value, axis) -> tuple[Value, tuple[int, ...]]:
    """x less its mean over some axes, and these."""
    axes = tuple(range(x.type.rank)) if axis is None else (axis,) if isinstance(axis, int) else axis
    axes = axes_of(axes, x.type.rank)
    return math.sub(x, reduce.mean(x, axes=axes)), axes


@operation("Var")
def variance(x, *, axis=None, keepdims=False):
    gap, axes = _centred(x, axis)
    return reduce.mean(math.mul(gap, gap), axes=axes, keepdims=keepdims)


@operation("Std")
def deviation(x, *, axis=None, keepdims=False):
    return math.sqrt(variance(x, axis=axis, keepdims=keepdims))


@operation("Logsumexp")
def logsumexp(x, *, axis=None, keepdims=False):
    """Shifted by the greatest element, so that exp does not overflow."""
    axes = _centred(x, axis)[1]
    top = reduce.max(x, axes=axes)
    total = math.add(math.log(reduce.sum(math.exp(math.sub(x, top)), axes=axes)), top)
    return total if keepdims else squeeze(total, axis=axes)


def _position(op):
    def convert(x, *, axis=None, keepdims=False):
        x = x if axis is not None else shape.reshape(x, shape=reshape_target(x.shape, (-1,), False))
        place = op(x, axis=axis_of(axis or 0, x.type.rank), keepdims=keepdims)
        return math.cast(place, dtype=i32)

    return convert


operation("Argmax")(_position(reduce.argmax))
operation("Argmin")(_position(reduce.argmin))


@operation("Cumsum")
def cumsum(x, *, axis=None):
    if axis is None:
        raise UnsupportedError("running sums over all axes at once", hint="name the axis")
    return reduce.cumsum(x, axis=axis_of(axis, x.type.rank))


@operation("TopK")
def top_k(x, *, k, sorted=True):
    values, places = shape.topk(x, constant(k, i64), axis=x.type.rank - 1, largest=True, sorted=True, size=k)
    return values, math.cast(places, dtype=i32)
