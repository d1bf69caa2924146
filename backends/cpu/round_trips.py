"""Values that are narrowed only to be widened at once: quantised ones stay floats, which hold whole numbers as well;
those in bf16 are rounded once, after bounds (ReLU, ReLU6) that change nothing of the order, but for a zero's sign.

A model with quantize nodes that computes in floats quantises at every layer. Between the two casts are numbers of at
most 16 bits, so every bit of the result is the same, NaN (which is 0 as an integer) and -0 (which is 0) included.
"""

from ...compiler.ir.types import DType, bf16, f32, f64, i32
from ...compiler.tile.stage import Apply, Const, Expr, Kernel, apply, lift, rewrite, select, walk
from ...runtime.records import replace

_REALS = (f32, f64)
_NARROW = 16
"""Bits of integers whose sums and differences f32 holds exactly."""


def in_floats(kernel: Kernel) -> Kernel:
    """The kernel without integers on the way from floats to floats, and without bf16 on the way to bf16."""
    bodies = [
        rewrite(stage.body, _without_trip) if any(map(_narrows, walk(stage.body))) else stage.body
        for stage in kernel.stages
    ]
    if all(body is stage.body for body, stage in zip(bodies, kernel.stages, strict=True)):
        return kernel
    stages = zip(kernel.stages, bodies, strict=True)
    return replace(kernel, stages=tuple(replace(stage, body=body) for stage, body in stages))


def _narrows(expr: Expr) -> bool:
    return (
        isinstance(expr, Apply)
        and expr.op == "cast"
        and (_is_narrow(expr.dtype) or expr.dtype == bf16)
        and expr.arguments[0].dtype in _REALS
    )


def _without_trip(expr: Expr) -> Expr | None:
    """What takes the place of a cast; None where it stays."""
    return _rounded_once(expr) or _real_cast(expr)


def _rounded_once(expr: Expr) -> Expr | None:
    """A value in bf16 that was rounded to it before bounds that bf16 has: they leave order as rounding does."""
    if not isinstance(expr, Apply) or expr.op != "cast" or expr.dtype != bf16:
        return None
    bounded = _unrounded(expr.arguments[0])
    return None if bounded is None else bounded.cast(bf16)


def _unrounded(expr: Expr) -> Expr | None:
    """An f32 expression without the rounding to bf16 that is in it, below bounds alone; None where there is none."""
    if not isinstance(expr, Apply):
        return None
    if expr.op in ("max", "min") and isinstance(bound := expr.arguments[1], Const):
        value = _unrounded(expr.arguments[0]) if _is_bf16(bound) else None
        return None if value is None else apply(expr.op, value, bound)
    if expr.op != "cast" or expr.arguments[0].dtype != bf16:
        return None
    (narrow,) = expr.arguments
    trip = isinstance(narrow, Apply) and narrow.op == "cast" and narrow.arguments[0].dtype == expr.dtype
    return narrow.arguments[0] if trip else None


def _is_bf16(bound: Const) -> bool:
    return float(bf16.numpy.type(bound.value)) == float(bound.value)  # type: ignore[arg-type]


def _is_narrow(dtype: DType) -> bool:
    return dtype.is_integer and dtype.bits <= _NARROW


def _real_cast(expr: Expr) -> Expr | None:
    """What takes the place of a cast from integers to floats; None where it stays."""
    if not isinstance(expr, Apply) or expr.op != "cast" or expr.dtype not in _REALS:
        return None
    return _real(expr.arguments[0], expr.dtype)


def _real(expr: Expr, dtype: DType) -> Expr | None:
    """An expression of integers as one of floats that has the same values; None where that is not known."""
    if isinstance(expr, Const) and _is_narrow(expr.dtype):
        return Const(float(expr.value), dtype)  # type: ignore[arg-type]
    if not isinstance(expr, Apply):
        return None
    if expr.op == "cast":
        (source,) = expr.arguments
        if source.dtype == dtype:
            return _rounded(source, expr.dtype)
        return _real(source, dtype) if _is_narrow(source.dtype) and _holds(expr.dtype, source.dtype) else None
    if expr.op in ("add", "sub") and expr.dtype == i32 and all(map(_is_widened, expr.arguments)):
        parts = [part for each in expr.arguments if (part := _real(each, dtype)) is not None]
        return apply(expr.op, *parts) if len(parts) == 2 else None
    return None


def _holds(wide: DType, narrow: DType) -> bool:
    least, most = wide.limits
    return least <= narrow.limits[0] and narrow.limits[1] <= most


def _is_widened(expr: Expr) -> bool:
    return isinstance(expr, Apply) and expr.op == "cast" and _is_narrow(expr.arguments[0].dtype)


def _rounded(clipped: Expr, dtype: DType) -> Expr | None:
    """A whole number between two limits that an integer dtype has and 0 is within, 0 for NaN, never -0."""
    value, high = _bound(clipped, "min")
    value, low = _bound(value, "max")
    least, most = dtype.limits
    if low is None or high is None or not least <= low <= 0 <= high <= most or not _is_whole(value):
        return None
    if isinstance(value, Apply) and value.op == "add" and value.arguments[1] == lift(0.0, value.dtype):
        value = value.arguments[0]
    if low == 0:
        value = select(value > 0.0, value, 0.0)
        return apply("min", value, lift(high, value.dtype))
    value = select(value.equals(value), value, 0.0)
    return apply("min", apply("max", value, lift(low, value.dtype)), lift(high, value.dtype)) + 0.0


def _bound(expr: Expr, op: str) -> tuple[Expr, float | None]:
    """What is bounded by an operation with a literal, and the literal."""
    if isinstance(expr, Apply) and expr.op == op and isinstance(bound := expr.arguments[1], Const):
        return expr.arguments[0], float(bound.value)  # type: ignore[arg-type]
    return expr, None


def _is_whole(expr: Expr) -> bool:
    """Whether an expression of floats has whole numbers only, or infinities, or NaN."""
    if isinstance(expr, Const):
        return float(expr.value).is_integer()  # type: ignore[arg-type]
    if not isinstance(expr, Apply):
        return False
    if expr.op in ("add", "sub"):
        return all(map(_is_whole, expr.arguments))
    return expr.op == "round" or (expr.op == "cast" and expr.arguments[0].dtype.is_integer)
