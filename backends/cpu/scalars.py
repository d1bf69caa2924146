"""Scalar operations as LLVM IR on vectors: arithmetic, comparisons, casts and this project's own polynomials.

LLVM would turn vector exp, tanh or erf into scalar library calls, so none is used. The coefficients were fitted for
these forms (Lawson-weighted least squares on Chebyshev nodes); errors against correctly rounded results in f32:
exp 1 ulp, log 2 ulp, erf 3 ulp, tanh 3 ulp. NaN propagates, infinities and denormals are exact where the operation is.
"""

import math
import struct

from ...compiler.diagnostics import UnsupportedError
from ...compiler.ir.types import DType, bf16, boolean, f16, f32, i16, i32
from .builder import Builder, Register

_LLVM = {
    "f64": "double", "f32": "float", "f16": "half", "bf16": "i16",
    "i64": "i64", "u64": "i64", "i32": "i32", "u32": "i32", "i16": "i16", "u16": "i16", "i8": "i8", "u8": "i8",
    "bool": "i1",
}  # fmt: skip


def element_type(dtype: DType) -> str:
    """The LLVM type that carries a value of `dtype` in registers; UnsupportedError for dtypes without machine code."""
    if dtype.name not in _LLVM:
        raise UnsupportedError(f"no machine code for {dtype} values")
    return _LLVM[dtype.name]


def vector_type(element: str, lanes: int) -> str:
    """`<lanes x element>`, or the element itself for 0 lanes (a scalar)."""
    return f"<{lanes} x {element}>" if lanes else element


def literal(value: float | int | bool, dtype: DType) -> str:
    """A literal of one element; floats are written as exact bit patterns."""
    if dtype == boolean:
        return "true" if value else "false"
    if dtype.is_integer:
        return str(int(value))
    if dtype == bf16:
        return str(round_to_bf16(float(value)))
    if dtype == f16:
        return "0xH" + struct.pack(">e", value).hex().upper()
    if dtype == f32:
        value = struct.unpack("<f", struct.pack("<f", _saturated(value)))[0]
    return "0x" + struct.pack(">d", value).hex().upper()


def _saturated(value: float) -> float:
    largest = 3.4028234663852886e38
    return value if not math.isfinite(value) or abs(value) <= largest else math.copysign(math.inf, value)


def round_to_bf16(value: float) -> int:
    """The bits of the bf16 nearest to `value`."""
    (bits,) = struct.unpack("<I", struct.pack("<f", _saturated(value)))
    if math.isnan(value):
        return 0x7FC0
    return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16


def has_registers(dtype: DType) -> bool:
    """Whether values of a dtype have a machine type."""
    return dtype.name in _LLVM


def has_code(op: str, dtype: DType) -> bool:
    """Whether a scalar operation has code for operands of `dtype` (for where: of the chosen values)."""
    if op in ("cast", "where", "not", *_LOGIC):
        return True
    if dtype in (f16, bf16):
        dtype = f32
    if dtype.is_float:
        return op in _FLOAT or hasattr(Scalars, f"_{op}_{dtype}")
    return op in _INTEGER and dtype != boolean or op in ("eq", "ne", "bit_and", "bit_or", "bit_xor")


_EXP32 = (0.5, 0.16666573286056519, 0.04166686162352562, 0.008363739587366581, 0.0013901529600843787)
_ERF32 = (
    (1.1283791065216064, 0.19058461487293243, 0.052767906337976456, 0.0037721095141023397, 0.0002848257136065513,
     2.0459942788875196e-06),
    (1.0, 0.5022339820861816, 0.11417877674102783, 0.014982319436967373, 0.001163736218586564, 3.804649895755574e-05),
)  # fmt: skip
_TANH32 = (
    (1.0, 0.1308315545320511, 0.0031029987148940563, 1.1144217751279939e-05, -2.018375511170234e-08,
     5.257651258805396e-11, -8.43566481858321e-14),
    (1.0, 0.4641648232936859, 0.02449137158691883, 0.0002544746675994247),
)  # fmt: skip
_LOG32 = (
    0.3333333134651184, -0.250008225440979, 0.20001226663589478, -0.16623356938362122, 0.14201761782169342,
    -0.131601944565773, 0.12761549651622772, -0.07634429633617401,
)  # fmt: skip
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4  # ln 2 split so that n * high is exact (Cody and Waite)

_COMPARE = {"eq": "eq", "ne": "ne", "lt": "lt", "le": "le", "gt": "gt", "ge": "ge"}
_SIMPLE_FLOAT = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
_SIMPLE_INT = {"add": "add", "sub": "sub", "mul": "mul", "bit_and": "and", "bit_or": "or", "bit_xor": "xor"}
_ROUNDING = {
    "floor": "floor",
    "ceil": "ceil",
    "round": "roundeven",
    "trunc": "trunc",
    "sqrt": "sqrt",
    "abs": "fabs",
}
_LOGIC = {"and": "and", "or": "or", "xor": "xor"}
_FLOAT = {*_SIMPLE_FLOAT, *_COMPARE, *_ROUNDING, "max", "min", "neg", "isnan", "isinf", "sign"}
_INTEGER = {
    *_SIMPLE_INT, *_COMPARE, "max", "min", "neg", "bit_not", "abs", "sign", "div", "mod", "fmod", "shift_left",
    "shift_right", "floor", "ceil", "round", "trunc",
}  # fmt: skip


class Scalars:
    """Emits scalar operations at the builder's current point, on scalars (lanes 0) or vectors."""

    def __init__(self, builder: Builder, features: frozenset[str]):
        self.b = builder
        self.features = features
        self.rounds = bool(features & {"sse4.1", "neon", "fp-armv8"})  # else rounding would call a library

    # --- building blocks -------------------------------------------------------------------------------------

    def constant(self, value: float | int | bool, dtype: DType, lanes: int) -> Register:
        """A literal, splatted over the lanes."""
        element = element_type(dtype)
        text = literal(value, dtype)
        if lanes:
            return Register(f"splat ({element} {text})", vector_type(element, lanes))
        return Register(text, element)

    def splat(self, value: Register, lanes: int) -> Register:
        """A scalar in every lane."""
        if value.text[0] not in "%":
            return Register(f"splat ({value.type} {value.text})", vector_type(value.type, lanes), value.level)
        type = vector_type(value.type, lanes)
        first = self.b.pure(type, f"insertelement {type} poison, {value.type} {{0}}, i64 0", [value])
        mask = vector_type("i32", lanes)
        return self.b.pure(
            type, f"shufflevector {type} {{0}}, {type} poison, {mask} zeroinitializer", [first]
        )

    def _op(self, text: str, *operands: Register, type: str | None = None) -> Register:
        """An instruction on operands of one type; text has {t} for it."""
        body = text.format("{0}", "{1}", "{2}", t=operands[0].type)
        return self.b.pure(type or operands[0].type, body, operands)

    def _call(self, name: str, *operands: Register) -> Register:
        suffix = _suffix(operands[0].type)
        callee = self.b.intrinsic(f"llvm.{name}.{suffix}", operands[0].type, [o.type for o in operands])
        arguments = ", ".join(f"{o.type} {{{n}}}" for n, o in enumerate(operands))
        return self.b.pure(operands[0].type, f"call {operands[0].type} {callee}({arguments})", operands)

    def fma(self, x: Register, y: Register, z: Register) -> Register:
        """x * y + z, fused where the machine can."""
        return self._call("fmuladd", x, y, z)

    def select(self, condition: Register, yes: Register, no: Register) -> Register:
        return self.b.pure(
            yes.type,
            f"select {condition.type} {{0}}, {yes.type} {{1}}, {no.type} {{2}}",
            [condition, yes, no],
        )

    def _polynomial(self, x: Register, coefficients: tuple[float, ...], dtype: DType, lanes: int) -> Register:
        total = self.constant(coefficients[-1], dtype, lanes)
        for coefficient in reversed(coefficients[:-1]):
            total = self.fma(total, x, self.constant(coefficient, dtype, lanes))
        return total

    # --- operations ------------------------------------------------------------------------------------------

    def apply(self, op: str, operands: list[Register], source: DType, dtype: DType, lanes: int) -> Register:
        """One named operation. `source` is the dtype of the first (non-condition) operand, `dtype` the result's."""
        if op == "cast":
            return self.cast(operands[0], source, dtype, lanes)
        if op == "where":
            return self.select(operands[0], operands[1], operands[2])
        if op in _LOGIC and source == boolean:
            return self._op(f"{_LOGIC[op]} {{t}} {{0}}, {{1}}", *operands)
        if op == "not":
            return self._op("xor {t} {0}, {1}", operands[0], self.constant(True, boolean, lanes))
        if source in (f16, bf16):
            wide = [self.cast(operand, source, f32, lanes) for operand in operands]
            result = self.apply(op, wide, f32, boolean if dtype == boolean else f32, lanes)
            return result if dtype == boolean else self.cast(result, f32, dtype, lanes)
        if source.is_float:
            return self._float(op, operands, source, dtype, lanes)
        return self._integer(op, operands, source, lanes)

    def _float(self, op: str, operands: list[Register], source: DType, dtype: DType, lanes: int) -> Register:
        if op in _SIMPLE_FLOAT:
            return self._op(f"{_SIMPLE_FLOAT[op]} contract {{t}} {{0}}, {{1}}", *operands)
        if op in _COMPARE:
            kind = "une" if op == "ne" else f"o{_COMPARE[op]}"
            return self._op(f"fcmp {kind} {{t}} {{0}}, {{1}}", *operands, type=vector_type("i1", lanes))
        if op in ("floor", "ceil", "round", "trunc") and not self.rounds:
            return self._round_by_magic(op, operands[0], source, lanes)
        if op in _ROUNDING:
            return self._call(_ROUNDING[op], operands[0])
        if op in ("max", "min"):
            return self._extreme(op, operands[0], operands[1], lanes)
        if op == "neg":
            return self._op("fneg {t} {0}", operands[0])
        if op == "isnan":
            return self._op("fcmp uno {t} {0}, {1}", operands[0], operands[0], type=vector_type("i1", lanes))
        if op == "isinf":
            size = self._call("fabs", operands[0])
            inf = self.constant(math.inf, source, lanes)
            return self._op("fcmp oeq {t} {0}, {1}", size, inf, type=vector_type("i1", lanes))
        if op == "sign":
            zero = self.constant(0.0, source, lanes)
            one = self._call("copysign", self.constant(1.0, source, lanes), operands[0])
            nonzero = self._op("fcmp one {t} {0}, {1}", operands[0], zero, type=vector_type("i1", lanes))
            return self.select(nonzero, one, operands[0])
        method = getattr(self, f"_{op}_{source}", None)
        if method is None:
            raise UnsupportedError(f"no machine code for '{op}' on {source}")
        return method(*operands, lanes)

    def _round_by_magic(self, op: str, x: Register, dtype: DType, lanes: int) -> Register:
        """Rounding without an instruction for it: adding 2^23 (2^52) leaves no fraction; larger values have none."""
        flag = vector_type("i1", lanes)
        magic = self.constant(2.0 ** (52 if dtype.bits == 64 else 23), dtype, lanes)
        zero, one = self.constant(0.0, dtype, lanes), self.constant(1.0, dtype, lanes)
        size = self._call("fabs", x)
        nearest = self._op("fsub {t} {0}, {1}", self._op("fadd {t} {0}, {1}", size, magic), magic)
        if op == "trunc":
            above = self._op("fcmp ogt {t} {0}, {1}", nearest, size, type=flag)
            nearest = self._op("fsub {t} {0}, {1}", nearest, self.select(above, one, zero))
        signed = self._call("copysign", nearest, x)
        if op in ("floor", "ceil"):
            passed = self._op(f"fcmp {'ogt' if op == 'floor' else 'olt'} {{t}} {{0}}, {{1}}", signed, x, type=flag)
            verb = "fsub" if op == "floor" else "fadd"
            signed = self._op(f"{verb} {{t}} {{0}}, {{1}}", signed, self.select(passed, one, zero))
            signed = self._call("copysign", signed, x)
        small = self._op("fcmp olt {t} {0}, {1}", size, magic, type=flag)
        return self.select(small, signed, x)

    def _extreme(self, op: str, x: Register, y: Register, lanes: int) -> Register:
        """NaN-propagating max or min: the machine's instruction plus a test of the first operand, unless it is literal."""
        if not y.text.startswith("%"):
            x, y = y, x
        flag = vector_type("i1", lanes)
        comparison = "ogt" if op == "max" else "olt"
        better = self._op(f"fcmp {comparison} {{t}} {{0}}, {{1}}", x, y, type=flag)
        chosen = self.select(better, x, y)  # y when either is NaN: one machine instruction
        if not x.text.startswith("%"):
            return chosen
        return self.select(self._op("fcmp uno {t} {0}, {1}", x, x, type=flag), x, chosen)

    def _integer(self, op: str, operands: list[Register], source: DType, lanes: int) -> Register:
        signed = source.kind == "int"
        if op in _SIMPLE_INT:
            return self._op(f"{_SIMPLE_INT[op]} {{t}} {{0}}, {{1}}", *operands)
        if op in _COMPARE:
            kind = op if op in ("eq", "ne") else f"{'s' if signed else 'u'}{op}"
            return self._op(f"icmp {kind} {{t}} {{0}}, {{1}}", *operands, type=vector_type("i1", lanes))
        if op in ("max", "min"):
            return self._call(f"{'s' if signed else 'u'}{op}", *operands)
        if op == "neg":
            return self._op("sub {t} zeroinitializer, {0}" if lanes else "sub {t} 0, {0}", operands[0])
        if op == "bit_not":
            return self._op("xor {t} {0}, {1}", operands[0], self.constant(-1, source, lanes))
        if op == "abs":
            if not signed:
                return operands[0]
            zero = self.constant(0, source, lanes)
            return self._call("smax", operands[0], self._op("sub {t} {0}, {1}", zero, operands[0]))
        if op == "sign":
            low = self._call("smax", operands[0], self.constant(-1, source, lanes)) if signed else operands[0]
            return self._call("smin" if signed else "umin", low, self.constant(1, source, lanes))
        if op in ("div", "mod", "fmod"):
            return self._divide(op, operands[0], operands[1], source, lanes)
        if op in ("shift_left", "shift_right"):
            return self._shift(op, operands[0], operands[1], source, lanes)
        if op in ("floor", "ceil", "round", "trunc"):
            return operands[0]
        raise UnsupportedError(f"no machine code for '{op}' on {source}")

    def _divide(self, op: str, x: Register, y: Register, source: DType, lanes: int) -> Register:
        """Division by zero gives 0 (numpy's integer result), never a trap."""
        flag = vector_type("i1", lanes)
        zero, one = self.constant(0, source, lanes), self.constant(1, source, lanes)
        by_zero = self._op("icmp eq {t} {0}, {1}", y, zero, type=flag)
        safe = self.select(by_zero, one, y)
        signed = source.kind == "int"
        if signed:  # the most negative number by -1 overflows: divide by 1 and negate
            by_minus = self._op("icmp eq {t} {0}, {1}", safe, self.constant(-1, source, lanes), type=flag)
            positive = self.select(by_minus, one, safe)
            quotient = self._op("sdiv {t} {0}, {1}", x, positive)
            quotient = self.select(by_minus, self._op("sub {t} {0}, {1}", zero, quotient), quotient)
        else:
            quotient = self._op("udiv {t} {0}, {1}", x, safe)
        if op == "div":
            return self.select(by_zero, zero, quotient)
        rest = self._op("sub {t} {0}, {1}", x, self._op("mul {t} {0}, {1}", quotient, safe))
        if op == "mod" and signed:
            nonzero = self._op("icmp ne {t} {0}, {1}", rest, zero, type=flag)
            opposite = self._op(
                "icmp slt {t} {0}, {1}", self._op("xor {t} {0}, {1}", rest, safe), zero, type=flag
            )
            adjust = self._op("and {t} {0}, {1}", nonzero, opposite)
            rest = self.select(adjust, self._op("add {t} {0}, {1}", rest, safe), rest)
        return self.select(by_zero, zero, rest)

    def _shift(self, op: str, x: Register, y: Register, source: DType, lanes: int) -> Register:
        """Shifts by the width or more give 0 (or the sign)."""
        last = self.constant(source.bits - 1, source, lanes)
        inside = self._op("icmp ule {t} {0}, {1}", y, last, type=vector_type("i1", lanes))
        amount = self.select(inside, y, last)
        if op == "shift_right" and source.kind == "int":
            return self._op("ashr {t} {0}, {1}", x, amount)
        shifted = self._op(f"{'shl' if op == 'shift_left' else 'lshr'} {{t}} {{0}}, {{1}}", x, amount)
        return self.select(inside, shifted, self.constant(0, source, lanes))

    # --- casts -----------------------------------------------------------------------------------------------

    def cast(self, x: Register, source: DType, dtype: DType, lanes: int) -> Register:
        """Conversion as numpy's astype: floats truncate towards zero, integers wrap, anything nonzero is true."""
        if source == dtype:
            return x
        target = vector_type(element_type(dtype), lanes)
        if dtype == boolean:
            zero = self.constant(0, source, lanes)
            text = "fcmp une {t} {0}, {1}" if source.is_float and source != bf16 else "icmp ne {t} {0}, {1}"
            if source == bf16:
                x = self._op("and {t} {0}, {1}", x, self.constant(0x7FFF, i16, lanes))
            return self._op(text, x, zero, type=target)
        if source == bf16:
            bits = self._op(
                f"zext {{t}} {{0}} to {vector_type('i32', lanes)}", x, type=vector_type("i32", lanes)
            )
            high = self._op("shl {t} {0}, {1}", bits, self.constant(16, i32, lanes))
            single = self._op(
                f"bitcast {{t}} {{0}} to {vector_type('float', lanes)}",
                high,
                type=vector_type("float", lanes),
            )
            return self.cast(single, f32, dtype, lanes)
        if dtype == bf16:
            return self._to_bf16(self.cast(x, source, f32, lanes), lanes)
        if source.is_float and dtype.is_float:
            verb = "fpext" if dtype.bits > source.bits else "fptrunc"
        elif source.is_float:
            return self._float_to_int(x, source, dtype, lanes)
        elif dtype.is_float:
            verb = "sitofp" if source.kind == "int" else "uitofp"
        elif dtype.bits > source.bits or source == boolean:
            verb = "sext" if source.kind == "int" else "zext"
        elif dtype.bits < source.bits:
            verb = "trunc"
        else:
            return x
        return self._op(f"{verb} {{t}} {{0}} to {target}", x, type=target)

    def _float_to_int(self, x: Register, source: DType, dtype: DType, lanes: int) -> Register:
        """Through i64 (saturating, NaN to 0), then wrapped: equal to numpy wherever numpy defines the result."""
        wide = vector_type("i64" if dtype.bits > 32 or dtype.kind == "uint" else "i32", lanes)
        sign = "fptoui" if dtype.name == "u64" else "fptosi"
        callee = self.b.intrinsic(f"llvm.{sign}.sat.{_suffix(wide)}.{_suffix(x.type)}", wide, [x.type])
        value = self.b.pure(wide, f"call {wide} {callee}({x.type} {{0}})", [x])
        target = vector_type(element_type(dtype), lanes)
        return value if wide == target else self._op(f"trunc {{t}} {{0}} to {target}", value, type=target)

    def _to_bf16(self, x: Register, lanes: int) -> Register:
        """Round to nearest even by integer arithmetic on the bits; NaN stays NaN."""
        words, halves = vector_type("i32", lanes), vector_type("i16", lanes)
        bits = self._op(f"bitcast {{t}} {{0}} to {words}", x, type=words)
        odd = self._op("and {t} {0}, {1}", self._op("lshr {t} {0}, {1}", bits, self.constant(16, i32, lanes)),
                       self.constant(1, i32, lanes))  # fmt: skip
        rounded = self._op(
            "add {t} {0}, {1}", self._op("add {t} {0}, {1}", bits, self.constant(0x7FFF, i32, lanes)), odd
        )
        nan = self._op("fcmp uno {t} {0}, {1}", x, x, type=vector_type("i1", lanes))
        kept = self.select(nan, self.constant(0x7FC00000, i32, lanes), rounded)
        high = self._op("lshr {t} {0}, {1}", kept, self.constant(16, i32, lanes))
        return self._op(f"trunc {{t}} {{0}} to {halves}", high, type=halves)

    # --- transcendental functions, f32 -----------------------------------------------------------------------

    def _clamp(self, x: Register, low: float, high: float, lanes: int) -> Register:
        """Both bounds applied; NaN stays."""
        flag = vector_type("i1", lanes)
        bottom, top = self.constant(low, f32, lanes), self.constant(high, f32, lanes)
        x = self.select(self._op("fcmp olt {t} {0}, {1}", x, bottom, type=flag), bottom, x)
        return self.select(self._op("fcmp ogt {t} {0}, {1}", x, top, type=flag), top, x)

    def _exp_f32(self, x: Register, lanes: int) -> Register:
        x = self._clamp(x, -104.0, 89.0, lanes)
        magic = self.constant(12582912.0, f32, lanes)  # 1.5 * 2^23: adding it rounds to an integer
        shifted = self.fma(x, self.constant(math.log2(math.e), f32, lanes), magic)
        n = self._op("fsub {t} {0}, {1}", shifted, magic)
        r = self.fma(n, self.constant(-_LN2_HIGH, f32, lanes), x)
        r = self.fma(n, self.constant(-_LN2_LOW, f32, lanes), r)
        tail = self._polynomial(r, _EXP32, f32, lanes)
        y = self.fma(self._op("fmul {t} {0}, {1}", r, r), tail, r)
        y = self._op("fadd {t} {0}, {1}", y, self.constant(1.0, f32, lanes))
        if lanes == 16 and "avx512f" in self.features:
            callee = self.b.intrinsic(
                "llvm.x86.avx512.mask.scalef.ps.512",
                "<16 x float>",
                ["<16 x float>", "<16 x float>", "<16 x float>", "i16", "i32 immarg"],
            )
            return self.b.pure(
                y.type,
                f"call {y.type} {callee}({y.type} {{0}}, {y.type} {{1}}, {y.type} {{0}}, i16 -1, i32 4)",
                [y, n],
            )
        return self._scale_by_power(y, shifted, lanes)

    def _scale_by_power(self, y: Register, shifted: Register, lanes: int) -> Register:
        """y * 2^n in two factors, so that n from -150 to 128 needs no special case; n is in the low bits of `shifted`."""
        words = vector_type("i32", lanes)
        bits = self._op(f"bitcast {{t}} {{0}} to {words}", shifted, type=words)
        n = self._op("sub {t} {0}, {1}", bits, self.constant(0x4B400000, i32, lanes))
        half = self._op("ashr {t} {0}, {1}", n, self.constant(1, i32, lanes))
        for part in (half, self._op("sub {t} {0}, {1}", n, half)):
            biased = self._op("add {t} {0}, {1}", part, self.constant(127, i32, lanes))
            power = self._op("shl {t} {0}, {1}", biased, self.constant(23, i32, lanes))
            y = self._op(
                "fmul {t} {0}, {1}", y, self._op(f"bitcast {{t}} {{0}} to {y.type}", power, type=y.type)
            )
        return y

    def _odd_rational(self, x: Register, bound: float, form: tuple[tuple[float, ...], ...], lanes: int) -> Register:
        """x * P(x^2) / Q(x^2) below `bound`, exactly 1 with the sign of x from there on; NaN stays."""
        square = self._op("fmul {t} {0}, {1}", x, x)
        above = self._op("fmul {t} {0}, {1}", x, self._polynomial(square, form[0], f32, lanes))
        y = self._op("fdiv {t} {0}, {1}", above, self._polynomial(square, form[1], f32, lanes))
        size = self._call("fabs", x)
        inside = self._op("fcmp ult {t} {0}, {1}", size, self.constant(bound, f32, lanes), type=vector_type("i1", lanes))
        return self.select(inside, y, self._call("copysign", self.constant(1.0, f32, lanes), x))

    def _erf_f32(self, x: Register, lanes: int) -> Register:
        return self._odd_rational(x, 3.925, _ERF32, lanes)

    def _tanh_f32(self, x: Register, lanes: int) -> Register:
        return self._odd_rational(x, 9.02, _TANH32, lanes)

    def _log_f32(self, x: Register, lanes: int) -> Register:
        """x = 2^e * m with m in [sqrt 1/2, sqrt 2); log1p of m - 1 by a polynomial. 0 gives -inf, negatives NaN."""
        words, flag = vector_type("i32", lanes), vector_type("i1", lanes)
        tiny = self._op("fcmp olt {t} {0}, {1}", x, self.constant(1.17549435e-38, f32, lanes), type=flag)
        scaled = self.select(tiny, self._op("fmul {t} {0}, {1}", x, self.constant(2.0**24, f32, lanes)), x)
        bits = self._op(f"bitcast {{t}} {{0}} to {words}", scaled, type=words)
        moved = self._op("add {t} {0}, {1}", bits, self.constant(0x3F800000 - 0x3F3504F3, i32, lanes))
        exponent = self._op("sub {t} {0}, {1}", self._op("lshr {t} {0}, {1}", moved, self.constant(23, i32, lanes)),
                            self.constant(127, i32, lanes))  # fmt: skip
        mantissa = self._op("add {t} {0}, {1}", self._op("and {t} {0}, {1}", moved, self.constant(0x7FFFFF, i32, lanes)),
                            self.constant(0x3F3504F3, i32, lanes))  # fmt: skip
        f = self._op("fsub {t} {0}, {1}", self._op(f"bitcast {{t}} {{0}} to {x.type}", mantissa, type=x.type),
                     self.constant(1.0, f32, lanes))  # fmt: skip
        e = self._op(f"sitofp {{t}} {{0}} to {x.type}", exponent, type=x.type)
        e = self.select(tiny, self._op("fsub {t} {0}, {1}", e, self.constant(24.0, f32, lanes)), e)
        square = self._op("fmul {t} {0}, {1}", f, f)
        y = self._op(
            "fmul {t} {0}, {1}",
            self._op("fmul {t} {0}, {1}", f, square),
            self._polynomial(f, _LOG32, f32, lanes),
        )
        y = self.fma(e, self.constant(_LN2_LOW, f32, lanes), y)
        y = self.fma(square, self.constant(-0.5, f32, lanes), y)
        y = self.fma(e, self.constant(_LN2_HIGH, f32, lanes), self._op("fadd {t} {0}, {1}", y, f))
        finite = self._op("fcmp olt {t} {0}, {1}", x, self.constant(math.inf, f32, lanes), type=flag)
        y = self.select(finite, y, x)
        zero = self.constant(0.0, f32, lanes)
        y = self.select(
            self._op("fcmp oeq {t} {0}, {1}", x, zero, type=flag), self.constant(-math.inf, f32, lanes), y
        )
        return self.select(
            self._op("fcmp olt {t} {0}, {1}", x, zero, type=flag), self.constant(math.nan, f32, lanes), y
        )


def _suffix(type: str) -> str:
    """An LLVM type as it is spelt inside an intrinsic's name."""
    if type.startswith("<"):
        lanes, element = type[1:-1].split(" x ")
        return f"v{lanes}{_suffix(element)}"
    return {"float": "f32", "double": "f64", "half": "f16"}.get(type, type)
