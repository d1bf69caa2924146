"""Bodies of stages as programs of a vector engine: expressions to operations over registers, streams and immediates.

What an engine's programs may be is a `Machine`; how its instructions spell them is the chip's affair.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field

import numpy as np

from ...runtime.records import dataclass
from ...runtime.sim.fields import Instruction
from ..diagnostics import UnsupportedError
from ..ir.types import DType, boolean, i32
from ..tile.stage import Apply, Const, Expr, Index, Load, Stage
from ..tile.work import is_product, terms

DIRECT = frozenset(
    (
        *(
            "add",
            "sub",
            "mul",
            "div",
            "max",
            "min",
            "neg",
            "abs",
            "lt",
            "le",
            "eq",
            "where",
            "requantize",
            "lookup",
        ),
        *(
            "bit_and",
            "bit_or",
            "bit_xor",
            "shift_left",
            "shift_right",
            "sqrt",
            "exp",
            "tanh",
            "erf",
            "floor",
            "round",
            "log",
        ),
    )
)
"""Scalar operations that are an operation of programs under the same name."""

SWAPPED = {"gt": "lt", "ge": "le"}
NEGATED = ("not", "ne", "isnan")
LOGICAL = {"and": "bit_and", "or": "bit_or", "xor": "bit_xor"}

RING = frozenset(("add", "sub", "mul", "neg"))
"""Operations of integers whose low bits follow from the low bits of their operands."""

LEAVING = RING | {"abs", "div", "shift_left"}
"""Operations that leave the range of a narrow type, in which they are meant to wrap."""

Place = tuple[str, int]
"""Where a value is: ("register" | "stream" | "immediate", number); streams count from 1, 0 is the destination."""


@dataclass(frozen=True)
class Machine:
    """What the programs of a vector engine may be.

    `operations` gives for each operation the types that it computes in, of "i32", "f32" and "i64": those of `DIRECT`
    as `ops/scalar.py` means them; copy(a), cast(a) to a type (narrowing limits), mac(a, b, c) = a*b + c and isqrt(a).
    `elements` are the types that streams bring. The other figures are limits of one program; `streams` are sources.
    """

    operations: Mapping[str, tuple[str, ...]]
    elements: tuple[str, ...]
    registers: int
    streams: int
    immediates: int
    length: int

    def value_type(self, dtype: DType) -> str:
        """What a value is computed in: narrow integers in i32, narrow floats in f32."""
        if dtype == boolean or (dtype.kind in ("int", "uint") and dtype.bits <= 32 and str(dtype) != "u32"):
            name = "i32"
        else:
            name = "f32" if str(dtype) == "bf16" else str(dtype)
        if name not in self.operations["copy"]:
            raise UnsupportedError(f"the vector engine has no {dtype}")
        return name

    def element_type(self, dtype: DType) -> str:
        """The name of a type in memory."""
        name = "u8" if dtype == boolean else str(dtype)
        if name not in self.elements:
            raise UnsupportedError(f"the vector engine neither reads nor writes {dtype}")
        return name

    def body(self, stage: Stage, result: DType) -> "Body":
        """The program of a stage's body; UnsupportedError names what the vector engine has not."""
        return _Builder(self, stage.body, result, stage.combine).build()


@dataclass(frozen=True, slots=True)
class Operation:
    """register `register` = op(operands), computed in `type`; `to` is the type of the result where that is another."""

    op: str
    type: str
    to: str
    operands: tuple[Place, ...]
    register: int


@dataclass(frozen=True)
class Body:
    """A program: the last operation's result is what it gives.

    `immediates` are numbers of 32 bits, reals as the bits of f32; `sources` what streams 1, 2, ... bring."""

    operations: tuple[Operation, ...]
    immediates: tuple[int, ...]
    sources: tuple[Load | Index, ...]

    @property
    def key(self) -> object:
        """Equal for equal programs."""
        return self.immediates, self.operations


@dataclass
class Pending:
    """An instruction whose program has no number yet."""

    body: Body
    instruction: Instruction


def number_programs(
    instructions: Sequence[Instruction | Pending],
    slots: int,
    known: dict[object, int],
    define: Callable[[Body, int], Instruction],
) -> list[Instruction]:
    """Instructions of an engine that stores `slots` programs, each with the `number` of its own: a program is defined
    before its first use and kept while there is room. `known` says what is there, and is brought up to date."""
    out: list[Instruction] = []
    for each in instructions:
        if isinstance(each, Instruction):
            out.append(each)
            continue
        key = each.body.key
        number = known.pop(key, None)
        if number is None:
            free = next((n for n in range(slots) if n not in set(known.values())), None)
            number = known.pop(next(iter(known))) if free is None else free
            out.append(define(each.body, number))
        known[key] = number  # the last one used goes last
        each.instruction.number = number  # type: ignore[attr-defined]
        out.append(each.instruction)
    return out


@dataclass
class _Step:
    """An operation before registers are given: operands are steps, sources or immediates."""

    op: str
    type: str
    to: str
    operands: tuple[Place, ...]
    uses: int = 0
    register: int = -1


@dataclass
class _Builder:
    machine: Machine
    body: Expr
    result: DType
    combine: str | None = None
    steps: list[_Step] = field(default_factory=list)
    immediates: list[int] = field(default_factory=list)
    sources: list[Load | Index] = field(default_factory=list)
    done: dict[Expr, Place] = field(default_factory=dict)
    wrapped: dict[Expr, Place] = field(default_factory=dict)

    def build(self) -> Body:
        place = self.low_bits(self.body) if self.combine in (None, "sum") else self.value(self.body)
        place = self.converted(place, self.body.dtype, self.result)
        if place[0] != "step" or place[1] != len(self.steps) - 1:
            place = self.step("copy", self.machine.value_type(self.result), (place,))
        if len(self.steps) > self.machine.length:
            raise UnsupportedError(
                f"a body of {len(self.steps)} operations is too long for a vector program of {self.machine.length}"
            )
        return Body(self._allocated(), tuple(self.immediates), tuple(self.sources))

    # --- values ------------------------------------------------------------------------------------------------

    def value(self, expr: Expr) -> Place:
        """Where the value of an expression is."""
        if expr not in self.wrapped:
            place = self.low_bits(expr)
            if (
                isinstance(expr, Apply)
                and expr.op in LEAVING
                and expr.dtype.is_integer
                and expr.dtype.bits < 32
            ):
                place = self._wrapped(place, expr.dtype)
            self.wrapped[expr] = place
        return self.wrapped[expr]

    def low_bits(self, expr: Expr) -> Place:
        """Where a number is whose low bits are those of an expression's value, as many as its type has: what is stored,
        and what operations of `RING` go on with."""
        if expr not in self.done:
            self.done[expr] = self._value(expr)
        return self.done[expr]

    def _value(self, expr: Expr) -> Place:
        if isinstance(expr, Const):
            return self.immediate(expr.value, self.machine.value_type(expr.dtype))
        if isinstance(expr, Load | Index):
            return self.source(expr)
        if not isinstance(expr, Apply):
            raise UnsupportedError(f"the vector engine has no {type(expr).__name__.lower()} in a body")
        if expr.op == "cast":
            return self.cast(expr)
        kind = self.machine.value_type(expr.arguments[0].dtype)
        if expr.op == "requantize":
            return self._requantized(expr)
        if expr.op == "lookup":
            index, element = expr.arguments
            assert isinstance(element, Load)
            place = self.converted(self.value(index), index.dtype, i32)
            return self.step("lookup", "i32", (place, self.source(element)))
        if expr.op == "add" and kind == "i32":
            return self._sum(terms(expr))
        if expr.op == "where":
            condition, yes, no = expr.arguments
            kind = self.machine.value_type(expr.dtype)
            return self.step("where", kind, self.values((condition, yes, no)))
        if expr.op in SWAPPED:
            return self.step(SWAPPED[expr.op], kind, self.values(expr.arguments[::-1]))
        if expr.op in LOGICAL:
            return self.step(LOGICAL[expr.op], "i32", self.values(expr.arguments))
        if expr.op in NEGATED:
            operands = self.values(expr.arguments)
            inner = operands[0] if expr.op == "not" else self.step("eq", kind, (operands[0], operands[-1]))
            return self.step("bit_xor", "i32", (inner, self.immediate(1, "i32")))
        if expr.op == "ceil":
            return self.step(
                "neg",
                kind,
                (self.step("floor", kind, (self.step("neg", kind, self.values(expr.arguments)),)),),
            )
        if expr.op not in DIRECT:
            raise UnsupportedError(f"the vector engine has no '{expr.op}' of {expr.arguments[0].dtype}")
        if expr.op in RING and expr.dtype.is_integer:
            return self.step(expr.op, kind, tuple(map(self.low_bits, expr.arguments)))
        return self.step(expr.op, kind, self.values(expr.arguments))

    def values(self, arguments: Sequence[Expr]) -> tuple[Place, ...]:
        return tuple(self.value(argument) for argument in arguments)

    def _requantized(self, expr: Apply) -> Place:
        """A requantisation, what is added last before it in the same operation where the machine can."""
        acc, *parameters = expr.arguments
        summed = terms(acc) if acc not in self.done and "rescale" in self.machine.operations else []
        last = next((term for term in summed if not is_product(term)), None)
        if last is None or len(summed) < 2:
            return self.step("requantize", "i32", self.values(expr.arguments), str(expr.dtype))
        summed.remove(last)
        operands = (self._sum(summed), *self.values(parameters), self.value(last))
        return self.step("rescale", "i32", operands, str(expr.dtype))

    def _sum(self, summed: Sequence[Expr]) -> Place:
        """A sum of integers, products in one operation with what they are added to: any order gives the same."""
        products = [t for t in summed if is_product(t) and t not in self.done]
        if "mac" not in self.machine.operations:
            products = []
        others = [t for t in summed if t not in products] or [products.pop()]
        total = self.low_bits(others[0])
        for term in others[1:]:
            total = self.step("add", "i32", (total, self.low_bits(term)))
        for term in products:
            assert isinstance(term, Apply)
            total = self.step("mac", "i32", (*map(self.low_bits, term.arguments), total))
        return total

    def cast(self, expr: Apply) -> Place:
        """A cast: none where the value is held as it is, a limit or a wrap where it narrows."""
        (inner,) = expr.arguments
        if isinstance(inner, Const) and inner.dtype.is_integer and str(expr.dtype) == "f32":
            return self.immediate(inner.value, "f32")
        limited = _limited(expr)
        if limited is not None:
            return self.step(
                "cast", self.machine.value_type(limited.dtype), (self.value(limited),), str(expr.dtype)
            )
        root = _root_of(expr)
        if root is not None:
            return self.step("isqrt", "i64", (self.value(root),))
        return self.converted(self.value(inner), inner.dtype, expr.dtype, inner)

    def converted(self, place: Place, source: DType, target: DType, expr: Expr | None = None) -> Place:
        """A value of one type as a value of another."""
        old, new = self.machine.value_type(source), self.machine.value_type(target)
        if target == boolean and source != boolean:
            zero = self.immediate(0, old)
            equal = self.step("eq", old, (place, zero))
            return self.step("bit_xor", "i32", (equal, self.immediate(1, "i32")))
        if str(target) in ("bf16",) and str(source) != "bf16":
            return self.step("cast", old, (place,), "bf16")
        if old != new:
            to = str(target) if new == "i32" else new
            return self.step("cast", old, (place,), to)
        if new == "i32" and target.bits < source.bits and not _fits(expr, target):
            return self._wrapped(place, target)
        return place

    def _wrapped(self, place: Place, target: DType) -> Place:
        """The low bits of a number as a narrow integer: integers wrap in stages."""
        shift = self.immediate(32 - target.bits, "i32")
        raised = self.step("shift_left", "i32", (place, shift))
        wrapped = self.step("shift_right", "i32", (raised, shift))
        if target.kind == "uint":
            return self.step("bit_and", "i32", (wrapped, self.immediate((1 << target.bits) - 1, "i32")))
        return wrapped

    def source(self, expr: Load | Index) -> Place:
        if expr not in self.sources:
            self.sources.append(expr)
        if len(self.sources) > self.machine.streams:
            raise UnsupportedError(f"a body reads more than {self.machine.streams} operands")
        return "stream", self.sources.index(expr) + 1

    def immediate(self, value: object, kind: str) -> Place:
        if kind == "f32":
            bits = int(np.float32(value).view(np.int32))  # type: ignore[arg-type]
        else:
            bits = int(value)  # type: ignore[call-overload]
        if not -(1 << 31) <= bits < 1 << 31:
            return self._wide(bits)
        if bits not in self.immediates:
            self.immediates.append(bits)
        if len(self.immediates) > self.machine.immediates:
            raise UnsupportedError(f"a body has more than {self.machine.immediates} constants")
        return "immediate", self.immediates.index(bits)

    def _wide(self, value: int) -> Place:
        """A number of more than 32 bits: a shorter one, shifted."""
        zeros = (value & -value).bit_length() - 1
        if not -(1 << 31) <= value >> zeros < 1 << 31:
            raise UnsupportedError(f"the constant {value} has more than 32 bits")
        return self.step(
            "shift_left", "i64", (self.immediate(value >> zeros, "i64"), self.immediate(zeros, "i64"))
        )

    def step(self, op: str, kind: str, operands: tuple[Place, ...], to: str = "") -> Place:
        if kind not in self.machine.operations.get(op, ()):
            raise UnsupportedError(f"the vector engine has no '{op}' of {kind}")
        for operand in operands:
            if operand[0] == "step":
                self.steps[operand[1]].uses += 1
        self.steps.append(_Step(op, kind, to or kind, operands))
        return "step", len(self.steps) - 1

    # --- registers ---------------------------------------------------------------------------------------------

    def _allocated(self) -> tuple[Operation, ...]:
        free = list(range(self.machine.registers))
        left = [step.uses for step in self.steps]
        out = []
        for step in self.steps:
            operands = []
            for kind, number in step.operands:
                if kind == "step":
                    left[number] -= 1
                    if not left[number]:
                        free.append(self.steps[number].register)
                        free.sort()
                    kind, number = "register", self.steps[number].register
                operands.append((kind, number))
            if not free:
                raise UnsupportedError(f"a body needs more than {self.machine.registers} registers")
            step.register = free.pop(0)
            out.append(Operation(step.op, step.type, step.to, tuple(operands), step.register))
        return tuple(out)


def _limited(expr: Apply) -> Expr | None:
    """x of an integer cast of x limited to that type's range: the cast itself limits; None for anything else."""
    if not expr.dtype.is_integer or expr.dtype.bits > 32:
        return None
    inner, limits = expr.arguments[0], {}
    for op in ("min", "max"):
        if not isinstance(inner, Apply) or inner.op != op or not isinstance(inner.arguments[1], Const):
            return None
        limits[op] = inner.arguments[1].value
        inner = inner.arguments[0]
    low, high = expr.dtype.limits
    return inner if (limits["max"], limits["min"]) == (low, high) else None


def _root_of(expr: Apply) -> Expr | None:
    """x of an integer cast of floor(sqrt(x as f64)), the integer square root; None for anything else."""
    inner = expr.arguments[0]
    if str(expr.dtype) != "i64" or not isinstance(inner, Apply) or inner.op != "floor":
        return None
    root = inner.arguments[0]
    if not isinstance(root, Apply) or root.op != "sqrt":
        return None
    wide = root.arguments[0]
    if not isinstance(wide, Apply) or wide.op != "cast" or str(wide.dtype) != "f64":
        return None
    return wide.arguments[0] if str(wide.arguments[0].dtype) == "i64" else None


def _fits(expr: Expr | None, target: DType) -> bool:
    """Whether an integer expression certainly lies within a narrower type: it has just been limited to it."""
    if not isinstance(expr, Apply):
        return False
    if expr.op == "requantize":
        return True
    low, high = target.limits
    bounds = {}
    for node in (expr, *expr.arguments):
        if isinstance(node, Apply) and node.op in ("min", "max"):
            for argument in node.arguments:
                if isinstance(argument, Const):
                    bounds[node.op] = argument.value
    return "min" in bounds and "max" in bounds and bounds["max"] >= low and bounds["min"] <= high  # type: ignore[operator]
