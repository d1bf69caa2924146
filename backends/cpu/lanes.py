"""Registers with Python's operators, so that the formulas of vector math read as such.

Operations are those written, in that order; only `fma` may be rounded once or twice, as the machine can.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...compiler.ir.types import DType, boolean, f32, f64, i32, i64
from ...runtime.records import dataclass
from .builder import Register
from .literals import element_type, suffix, vector_type

if TYPE_CHECKING:
    from .scalars import Scalars

_FLOAT = {"+": "fadd", "-": "fsub", "*": "fmul", "/": "fdiv"}
_INTEGER = {"+": "add", "-": "sub", "*": "mul", "&": "and", "|": "or", "^": "xor", "<<": "shl"}


@dataclass(frozen=True, slots=True, eq=False)
class Lanes:
    """A value of `count` lanes (0: a scalar) of one dtype; numbers beside it become constants."""

    scalars: "Scalars"
    register: Register
    dtype: DType
    count: int

    def constant(self, value: "Lanes | float | int") -> "Lanes":
        """The value itself, or a number in every lane of this one's form."""
        if isinstance(value, Lanes):
            return value
        return self._of(self.scalars.constant(value, self.dtype, self.count), self.dtype)

    def _of(self, register: Register, dtype: DType) -> "Lanes":
        return Lanes(self.scalars, register, dtype, self.count)

    def _type(self, dtype: DType) -> str:
        return vector_type(element_type(dtype), self.count)

    def _emit(self, verb: str, other: "Lanes | float | int", dtype: DType | None = None) -> "Lanes":
        right = self.constant(other)
        type = self._type(dtype or self.dtype)
        text = f"{verb} {self.register.type} {{0}}, {{1}}"
        return self._of(self.scalars.b.pure(type, text, [self.register, right.register]), dtype or self.dtype)

    def _arithmetic(self, sign: str, other: "Lanes | float | int") -> "Lanes":
        return self._emit((_FLOAT if self.dtype.is_float else _INTEGER)[sign], other)

    def __add__(self, other: "Lanes | float | int") -> "Lanes":
        return self._arithmetic("+", other)

    def __sub__(self, other: "Lanes | float | int") -> "Lanes":
        return self._arithmetic("-", other)

    def __rsub__(self, other: float | int) -> "Lanes":
        return self.constant(other) - self

    def __mul__(self, other: "Lanes | float | int") -> "Lanes":
        return self._arithmetic("*", other)

    def __truediv__(self, other: "Lanes | float | int") -> "Lanes":
        return self._arithmetic("/", other)

    def __rtruediv__(self, other: float | int) -> "Lanes":
        return self.constant(other) / self

    def __and__(self, other: "Lanes | int") -> "Lanes":
        return self._emit("and", other)

    def __or__(self, other: "Lanes | int") -> "Lanes":
        return self._emit("or", other)

    def __xor__(self, other: "Lanes | int") -> "Lanes":
        return self._emit("xor", other)

    def __invert__(self) -> "Lanes":
        return self ^ (True if self.dtype == boolean else -1)

    def __lshift__(self, places: "Lanes | int") -> "Lanes":
        return self._emit("shl", places)

    def __rshift__(self, places: "Lanes | int") -> "Lanes":
        return self._emit("ashr" if self.dtype.kind == "int" else "lshr", places)

    def unsigned_shift(self, places: int) -> "Lanes":
        """Shifted right, zeros following."""
        return self._emit("lshr", places)

    def __neg__(self) -> "Lanes":
        text = f"fneg {self.register.type} {{0}}"
        return self._of(self.scalars.b.pure(self.register.type, text, [self.register]), self.dtype)

    def _compare(self, kind: str, other: "Lanes | float | int") -> "Lanes":
        verb = (
            f"fcmp o{kind}" if self.dtype.is_float else f"icmp {kind if kind in ('eq', 'ne') else 's' + kind}"
        )
        return self._emit(verb, other, boolean)

    def __lt__(self, other: "Lanes | float | int") -> "Lanes":
        return self._compare("lt", other)

    def __le__(self, other: "Lanes | float | int") -> "Lanes":
        return self._compare("le", other)

    def __gt__(self, other: "Lanes | float | int") -> "Lanes":
        return self._compare("gt", other)

    def __ge__(self, other: "Lanes | float | int") -> "Lanes":
        return self._compare("ge", other)

    def compare(self, verb: str, other: "Lanes | float | int") -> "Lanes":
        """One of LLVM's comparisons."""
        return self._emit(verb, other, boolean)

    def equals(self, other: "Lanes | float | int") -> "Lanes":
        """Lanes that are equal (NaN equals nothing)."""
        return self._compare("eq", other)

    def is_nan(self) -> "Lanes":
        return self._emit("fcmp uno", self, boolean)

    def call(self, intrinsic: str, *others: "Lanes | float | int") -> "Lanes":
        """An LLVM intrinsic on values of this form."""
        operands = [self.register, *(self.constant(other).register for other in others)]
        return self._of(self.scalars.call(intrinsic, *operands), self.dtype)

    def apply(self, op: str, *others: "Lanes") -> "Lanes":
        """A scalar operation by name, its result of the same dtype."""
        operands = [self.register, *(other.register for other in others)]
        return self._of(self.scalars.apply(op, operands, self.dtype, self.dtype, self.count), self.dtype)

    def size(self) -> "Lanes":
        """Without its sign."""
        return self.call("fabs")

    def root(self) -> "Lanes":
        return self.call("sqrt")

    def with_sign_of(self, other: "Lanes") -> "Lanes":
        return self.call("copysign", other)

    def fma(self, factor: "Lanes | float", addend: "Lanes | float") -> "Lanes":
        """self * factor + addend, rounded once where the machine can."""
        return self.call("fmuladd", factor, addend)

    def polynomial(self, coefficients: Sequence[float]) -> "Lanes":
        """Of this variable, lowest coefficient first."""
        total = self.constant(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            total = total.fma(self, coefficient)
        return total

    def to(self, dtype: DType) -> "Lanes":
        """Converted."""
        return self._of(self.scalars.cast(self.register, self.dtype, dtype, self.count), dtype)

    def bits(self) -> "Lanes":
        """A float's bits, as a signed integer of its width."""
        return self.convert("bitcast", i64 if self.dtype == f64 else i32)

    def floats(self) -> "Lanes":
        """The float that has these bits."""
        return self.convert("bitcast", f64 if self.dtype == i64 else f32)

    def convert(self, verb: str, dtype: DType) -> "Lanes":
        """One of LLVM's conversions."""
        text = f"{verb} {self.register.type} {{0}} to {self._type(dtype)}"
        return self._of(self.scalars.b.pure(self._type(dtype), text, [self.register]), dtype)

    def as_dtype(self, dtype: DType) -> "Lanes":
        """The same register, whose LLVM type both dtypes have."""
        return self._of(self.register, dtype)

    def lane(self, n: int) -> Register:
        """One element."""
        if not self.count:
            return self.register
        text = f"extractelement {self.register.type} {{0}}, i64 {n}"
        return self.scalars.b.pure(element_type(self.dtype), text, [self.register])

    def with_lane(self, value: Register, n: int) -> "Lanes":
        """One element replaced."""
        if not self.count:
            return self._of(value, self.dtype)
        text = f"insertelement {self.register.type} {{0}}, {value.type} {{1}}, i64 {n}"
        return self._of(self.scalars.b.pure(self.register.type, text, [self.register, value]), self.dtype)

    def any(self) -> Register:
        """Whether some lane of a mask is set, as i1."""
        if not self.count:
            return self.register
        type = self.register.type
        callee = self.scalars.b.intrinsic(f"llvm.vector.reduce.or.{suffix(type)}", "i1", [type])
        return self.scalars.b.pure("i1", f"call i1 {callee}({type} {{0}})", [self.register])


def choose(condition: Lanes, yes: "Lanes | float | int", no: "Lanes | float | int") -> Lanes:
    """yes where the condition holds, else no; at least one of them is no mere number."""
    form = yes if isinstance(yes, Lanes) else no
    assert isinstance(form, Lanes)
    left, right = form.constant(yes), form.constant(no)
    register = form.scalars.select(condition.register, left.register, right.register)
    return Lanes(form.scalars, register, form.dtype, form.count)


def two_sum(x: Lanes, y: Lanes) -> tuple[Lanes, Lanes]:
    """x + y rounded, and what rounding lost (Knuth); for finite sums."""
    total = x + y
    part = total - x
    return total, (x - (total - part)) + (y - part)


def ordered_sum(x: Lanes, y: Lanes) -> tuple[Lanes, Lanes]:
    """As `two_sum`, where x is 0 only if y is, and not smaller than y (Dekker)."""
    total = x + y
    return total, y - (total - x)


def _halves(x: Lanes) -> tuple[Lanes, Lanes]:
    """An f64 as the sum of two numbers of at most 26 bits each."""
    high = (x.bits() & -(1 << 27)).floats()
    return high, x - high


def two_product(x: Lanes, y: Lanes) -> tuple[Lanes, Lanes]:
    """x * y in f64 rounded, and what rounding lost: by a fused operation, or from products of halves."""
    product = x * y
    if x.scalars.fuses:
        return product, x.call("fma", y, -product)
    (a, b), (c, d) = _halves(x), _halves(y)
    return product, (((a * c - product) + a * d) + b * c) + b * d
