"""Conversions between dtypes on vectors, as numpy's astype has them."""

from ...compiler.ir.types import DType, bf16, boolean, f16, f32, f64, i16, i32, i64
from .lanes import Lanes, choose
from .literals import suffix, vector_type
from .narrow import is_narrow, narrowed, register_type, widened


def cast(x: Lanes, dtype: DType) -> Lanes:
    """Floats truncate towards zero, integers wrap, anything nonzero is true; narrow floats are rounded to once."""
    source = x.dtype
    if source == dtype:
        return x
    if is_narrow(source):
        return cast(widened(x), dtype)
    if dtype == boolean:
        return _flags(x)
    if is_narrow(dtype):
        exact = _to_odd_f32(x) if source == f64 and dtype.is_float else cast(x, register_type(dtype))
        return narrowed(exact, dtype)
    if source == bf16:
        return cast((x.convert("zext", i32) << 16).floats(), dtype)
    if dtype == bf16:
        return _to_bf16(cast(x, f32))
    if source == f64 and dtype == f16:
        return cast(_to_odd_f32(x), f16)
    if source.is_float and dtype.is_float:
        return x.convert("fpext" if dtype.bits > source.bits else "fptrunc", dtype)
    if source.is_float:
        return _to_integer(x, dtype)
    if dtype.is_float:
        return x.convert("sitofp" if source.kind == "int" else "uitofp", dtype)
    if dtype.bits > source.bits or source == boolean:
        return x.convert("sext" if source.kind == "int" else "zext", dtype)
    if dtype.bits < source.bits:
        return x.convert("trunc", dtype)
    return x.as_dtype(dtype)


def _flags(x: Lanes) -> Lanes:
    if x.dtype == bf16:
        return _flags(x.as_dtype(i16) & 0x7FFF)
    return x.compare("fcmp une" if x.dtype.is_float else "icmp ne", 0)


def _to_integer(x: Lanes, dtype: DType) -> Lanes:
    """Through i32 or i64 (saturating, NaN to 0), then wrapped: equal to numpy wherever numpy defines the result."""
    if x.count and x.dtype == f32 and dtype.bits <= 32 and dtype.name != "u32":
        return cast(_saturated(x), dtype)
    wide = vector_type("i64" if dtype.bits > 32 or dtype.name == "u32" else "i32", x.count)
    verb = "fptoui" if dtype.name == "u64" else "fptosi"
    type = x.register.type
    callee = x.scalars.b.intrinsic(f"llvm.{verb}.sat.{suffix(wide)}.{suffix(type)}", wide, [type])
    register = x.scalars.b.pure(wide, f"call {wide} {callee}({type} {{0}})", [x.register])
    value = Lanes(x.scalars, register, i64 if "i64" in wide else i32, x.count)
    return cast(value, dtype)


def _saturated(x: Lanes) -> Lanes:
    """Vectors of f32 as i32: LLVM takes its own saturating conversion apart, lane by lane."""
    least, most = i32.limits
    inside = choose(x < float(least), least, x.convert("fptosi", i32))
    return choose(x.is_nan(), 0, choose(x >= float(most + 1), most, inside))


def _to_odd_f32(x: Lanes) -> Lanes:
    """An f64 towards zero with the last bit set where digits are lost: rounding it further then errs once only.

    Machines have no instruction from f64 to f16.
    """
    near = x.convert("fptrunc", f32)
    back = near.convert("fpext", f64)
    bits = near.bits() - choose(back.size() > x.size(), near.bits().constant(1), 0)
    return choose(back.equals(x) | x.is_nan(), bits, bits | 1).floats()


def _to_bf16(x: Lanes) -> Lanes:
    """Round to nearest even by integer arithmetic on the bits; NaN stays NaN. The machine's own operation takes numbers
    below the least normal one for zeros, so it is for where that does not matter."""
    if x.scalars.flushes and x.count == 16 and "avx512bf16" in x.scalars.features:
        source, made, type = x.register.type, "<16 x bfloat>", "<16 x i16>"
        builder = x.scalars.b
        callee = builder.intrinsic("llvm.x86.avx512bf16.cvtneps2bf16.512", made, [source])
        found = builder.pure(made, f"call {made} {callee}({source} {{0}})", [x.register])
        return Lanes(x.scalars, builder.pure(type, f"bitcast {made} {{0}} to {type}", [found]), bf16, 16)
    bits = x.bits()
    rounded = bits + 0x7FFF + (bits.unsigned_shift(16) & 1)
    kept = choose(x.is_nan(), 0x7FC00000, rounded)
    return kept.unsigned_shift(16).convert("trunc", bf16)
