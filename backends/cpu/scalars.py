"""Scalar operations as LLVM IR on vectors: arithmetic, comparisons, casts, and calls of this project's own functions.

LLVM would turn vector exp, tanh or erf into scalar library calls, so none is used: see `exponentials.py` and
`circular.py`. NaN propagates, infinities and denormals are exact where the operation is.
"""

import math
from collections.abc import Callable

from ...compiler.diagnostics import UnsupportedError
from ...compiler.ir.types import DType, bf16, boolean, f16, f32, f64, i32, i64
from . import casts, circular, exponentials, remainders
from .builder import Builder, Register
from .lanes import Lanes
from .literals import element_type, has_registers, literal, suffix, vector_type
from .machine import FUSING
from .narrow import is_narrow
from .requantise import FUSED, UPPER, requantized, requantized_fused, requantized_high

__all__ = ["Scalars", "element_type", "has_code", "has_registers", "literal", "vector_type"]


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
BESIDE_ONE = "exp_beside_one"
"""exp for a sum with 1 or more, which does not tell its smallest results from 0."""
_IN_PLACE: dict[str, Callable[[Lanes], Lanes]] = {
    "exp": exponentials.exp, "log": exponentials.log, "tanh": exponentials.tanh, "erf": exponentials.erf,
    BESIDE_ONE: exponentials.exp_beside_one,
}  # fmt: skip
"""Functions that f32 has code of its own for."""

_FUNCTIONS: dict[str, Callable[..., Lanes]] = {
    "exp": lambda x, short: exponentials.exp(x),
    "log": lambda x, short: exponentials.log(x),
    "tanh": lambda x, short: exponentials.tanh(x),
    "erf": lambda x, short: exponentials.erf(x),
    "pow": exponentials.power,
    "sinh": exponentials.sinh, "cosh": exponentials.cosh,
    "asinh": exponentials.asinh, "acosh": exponentials.acosh, "atanh": exponentials.atanh,
    "sin": circular.sin, "cos": circular.cos, "tan": circular.tan,
    "asin": circular.asin, "acos": circular.acos, "atan": circular.atan,
    "fmod": lambda x, y, short: remainders.fmod(x, y),
    "mod": lambda x, y, short: remainders.mod(x, y),
}  # fmt: skip
"""Functions in f64; the last argument says whether the precision of f32 is enough."""


def has_code(op: str, dtype: DType) -> bool:
    """Whether a scalar operation has code for operands of `dtype` (for where: of the chosen values)."""
    if op in ("cast", "bitcast", "where", "not", *_LOGIC):
        return True
    if op in _REQUANTIZE:
        return dtype == i32
    if is_narrow(dtype):
        return False
    if dtype in (f16, bf16):
        dtype = f32
    if dtype.is_float:
        return op in _FLOAT or op in _FUNCTIONS
    return (op in _INTEGER and dtype != boolean) or op in ("eq", "ne", "bit_and", "bit_or", "bit_xor")


_REQUANTIZE = {"requantize": requantized, UPPER: requantized_high, FUSED: requantized_fused}
"""Operations on vectors, of which single numbers need but one form."""


def _requantize(op: str, acc: Lanes, multiplier: Lanes, shift: Lanes, zero: Lanes, *, dtype: DType) -> Lanes:
    """((acc * multiplier + 2^(shift - 1)) >> shift) + zero in i64, saturated to `dtype`."""
    if acc.count > 1:
        return _REQUANTIZE[op](acc, multiplier, shift, zero, dtype=dtype)
    product = acc.to(i64) * multiplier.to(i64)
    places = shift.to(i64)
    half = product.constant(1) << (places + -1)
    scaled = ((product + half) >> places) + zero.to(i64)
    low, high = dtype.limits
    return scaled.call("smax", low).call("smin", high).to(dtype)


class Scalars:
    """Emits scalar operations at the builder's current point, on scalars (lanes 0) or vectors. `flushes`: numbers below
    the least normal one may be taken for zeros where bf16 is made."""

    def __init__(self, builder: Builder, features: frozenset[str], flushes: bool = False):
        self.b = builder
        self.features = features
        self.flushes = flushes
        self._defined: set[str] = set()
        self._calls: dict[tuple[str, str], str] = {}
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

    def call(self, name: str, *operands: Register) -> Register:
        """An LLVM intrinsic on operands of one type."""
        type = operands[0].type
        text = self._calls.get((name, type))
        if text is None:
            callee = self.b.intrinsic(f"llvm.{name}.{suffix(type)}", type, [type] * len(operands))
            arguments = ", ".join(f"{type} {{{n}}}" for n in range(len(operands)))
            text = self._calls[name, type] = f"call {type} {callee}({arguments})"
        return self.b.pure(type, text, operands)

    def fma(self, x: Register, y: Register, z: Register) -> Register:
        """x * y + z, fused where the machine can."""
        return self.call("fmuladd", x, y, z)

    def select(self, condition: Register, yes: Register, no: Register) -> Register:
        return self.b.pure(
            yes.type,
            f"select {condition.type} {{0}}, {yes.type} {{1}}, {no.type} {{2}}",
            [condition, yes, no],
        )

    # --- functions of the module -----------------------------------------------------------------------------

    @property
    def fuses(self) -> bool:
        """Whether one instruction multiplies and adds with one rounding."""
        return bool(self.features & FUSING)

    def scales(self, x: Lanes) -> bool:
        """Whether one instruction multiplies by a power of two."""
        return x.dtype == f32 and x.count == 16 and "avx512f" in self.features

    def scale(self, y: Lanes, n: Lanes) -> Lanes:
        """y * 2^n in one instruction."""
        type = y.register.type
        callee = self.b.intrinsic(
            "llvm.x86.avx512.mask.scalef.ps.512", type, [type, type, type, "i16", "i32 immarg"]
        )
        text = f"call {type} {callee}({type} {{0}}, {type} {{1}}, {type} {{0}}, i16 -1, i32 4)"
        return Lanes(self, self.b.pure(type, text, [y.register, n.register]), f32, y.count)

    def define(self, text: str) -> None:
        """Functions or data that the module holds once, however many kernels use them."""
        self.b.declarations.add(text)

    def _function(self, op: str, operands: list[Register], dtype: DType, lanes: int) -> Register:
        """A function of numbers: in place if networks are full of it, else a call of code that the module has once."""
        if dtype == f32 and op in _IN_PLACE:
            return _IN_PLACE[op](Lanes(self, operands[0], dtype, lanes)).register
        type = operands[0].type
        name = f"isthmus_{op}_{suffix(type)}"
        if name not in self._defined:
            self._defined.add(name)
            builder = Builder(self.b.declarations)
            inside = Scalars(builder, self.features)
            parameters = [Register(f"%x{n}", type) for n in range(len(operands))]
            numbers = [Lanes(inside, parameter, dtype, lanes).to(f64) for parameter in parameters]
            result = _FUNCTIONS[op](*numbers, dtype == f32).to(dtype)
            self.define(builder.function(name, parameters, "#0", "internal", result.register))
        arguments = ", ".join(f"{type} {{{n}}}" for n in range(len(operands)))
        return self.b.pure(type, f"call {type} @{name}({arguments})", operands)

    def _bits(self, value: Register, type: str) -> Register:
        """The same bits as another LLVM type of the same size."""
        if value.type == type:
            return value
        return self.b.pure(type, f"bitcast {value.type} {{0}} to {type}", [value])

    # --- operations ------------------------------------------------------------------------------------------

    def apply(self, op: str, operands: list[Register], source: DType, dtype: DType, lanes: int) -> Register:
        """One named operation. `source` is the dtype of the first (non-condition) operand, `dtype` the result's."""
        if op == "cast":
            return self.cast(operands[0], source, dtype, lanes)
        if op == "bitcast":
            return self._bits(operands[0], vector_type(element_type(dtype), lanes))
        if op == "where":
            return self.select(operands[0], operands[1], operands[2])
        if op in _LOGIC or op == "not":
            flags = [self.cast(operand, source, boolean, lanes) for operand in operands]
            if op == "not":
                flags.append(self.constant(True, boolean, lanes))
            return self._op(f"{_LOGIC.get(op, 'xor')} {{t}} {{0}}, {{1}}", *flags)
        if op in _REQUANTIZE:
            acc, *factors = (Lanes(self, operand, i32, lanes) for operand in operands)
            return _requantize(op, acc, *factors, dtype=dtype).register
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
            return self.call(_ROUNDING[op], operands[0])
        if op in ("max", "min"):
            return self._extreme(op, operands[0], operands[1], lanes)
        if op == "neg":
            return self._op("fneg {t} {0}", operands[0])
        if op == "isnan":
            return self._op("fcmp uno {t} {0}, {1}", operands[0], operands[0], type=vector_type("i1", lanes))
        if op == "isinf":
            size = self.call("fabs", operands[0])
            inf = self.constant(math.inf, source, lanes)
            return self._op("fcmp oeq {t} {0}, {1}", size, inf, type=vector_type("i1", lanes))
        if op == "sign":
            zero = self.constant(0.0, source, lanes)
            one = self.call("copysign", self.constant(1.0, source, lanes), operands[0])
            nonzero = self._op("fcmp one {t} {0}, {1}", operands[0], zero, type=vector_type("i1", lanes))
            return self.select(nonzero, one, operands[0])
        if op not in _FUNCTIONS and op not in _IN_PLACE:
            raise UnsupportedError(f"no machine code for '{op}' on {source}")
        return self._function(op, operands, source, lanes)

    def _round_by_magic(self, op: str, x: Register, dtype: DType, lanes: int) -> Register:
        """Rounding without an instruction for it: adding 2^23 (2^52) leaves no fraction; larger values have none."""
        flag = vector_type("i1", lanes)
        magic = self.constant(2.0 ** (52 if dtype.bits == 64 else 23), dtype, lanes)
        zero, one = self.constant(0.0, dtype, lanes), self.constant(1.0, dtype, lanes)
        size = self.call("fabs", x)
        nearest = self._op("fsub {t} {0}, {1}", self._op("fadd {t} {0}, {1}", size, magic), magic)
        if op == "trunc":
            above = self._op("fcmp ogt {t} {0}, {1}", nearest, size, type=flag)
            nearest = self._op("fsub {t} {0}, {1}", nearest, self.select(above, one, zero))
        signed = self.call("copysign", nearest, x)
        if op in ("floor", "ceil"):
            passed = self._op(
                f"fcmp {'ogt' if op == 'floor' else 'olt'} {{t}} {{0}}, {{1}}", signed, x, type=flag
            )
            verb = "fsub" if op == "floor" else "fadd"
            signed = self._op(f"{verb} {{t}} {{0}}, {{1}}", signed, self.select(passed, one, zero))
            signed = self.call("copysign", signed, x)
        small = self._op("fcmp olt {t} {0}, {1}", size, magic, type=flag)
        return self.select(small, signed, x)

    def _extreme(self, op: str, x: Register, y: Register, lanes: int) -> Register:
        """NaN-propagating max or min: one instruction, and a test of the first operand if it is no literal."""
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
            return self.call(f"{'s' if signed else 'u'}{op}", *operands)
        if op == "neg":
            return self._op("sub {t} zeroinitializer, {0}" if lanes else "sub {t} 0, {0}", operands[0])
        if op == "bit_not":
            return self._op("xor {t} {0}, {1}", operands[0], self.constant(-1, source, lanes))
        if op == "abs":
            if not signed:
                return operands[0]
            zero = self.constant(0, source, lanes)
            return self.call("smax", operands[0], self._op("sub {t} {0}, {1}", zero, operands[0]))
        if op == "sign":
            low = self.call("smax", operands[0], self.constant(-1, source, lanes)) if signed else operands[0]
            return self.call("smin" if signed else "umin", low, self.constant(1, source, lanes))
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

    def cast(self, x: Register, source: DType, dtype: DType, lanes: int) -> Register:
        """Conversion as numpy's astype; see `casts.py`."""
        return casts.cast(Lanes(self, x, source, lanes), dtype).register
