"""Bodies of stages as vector programs: expressions to operations over registers, streams and immediates."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ...compiler.diagnostics import UnsupportedError
from ...compiler.ir.types import DType, boolean, i32
from ...compiler.tile.stage import Apply, Const, Expr, Index, Load, Stage
from .isa import Micro, Program, Vec
from .micro import MICRO_OPS, SOURCES, TYPES, VALUE_TYPES

REGISTERS = 1 << next(o.bits for o in Micro.operands if o.name == "dst")
MOST_STREAMS = Vec.groups[0].most - 1
MOST_IMMEDIATES, MOST_OPERATIONS = (group.most for group in Program.groups)

DIRECT = frozenset(
    [
        "add",
        "sub",
        "mul",
        "max",
        "min",
        "neg",
        "abs",
        "bit_and",
        "bit_or",
        "bit_xor",
        "shift_left",
        "shift_right",
        "lt",
        "le",
        "eq",
        "where",
        "requantize",
        "div",
        "sqrt",
        "exp",
        "tanh",
        "erf",
        "floor",
        "round",
        "lookup",
    ]
)
"""Scalar operations that are an operation of vector programs under the same name."""

SWAPPED = {"gt": "lt", "ge": "le"}
NEGATED = ("not", "ne", "isnan")
LOGICAL = {"and": "bit_and", "or": "bit_or", "xor": "bit_xor"}


def value_type(dtype: DType) -> str:
    """What a value is computed in: narrow integers in i32, narrow floats in f32."""
    if dtype == boolean or (dtype.kind in ("int", "uint") and dtype.bits <= 32 and str(dtype) != "u32"):
        return "i32"
    if str(dtype) in ("f32", "bf16"):
        return "f32"
    if str(dtype) in VALUE_TYPES:
        return str(dtype)
    raise UnsupportedError(f"the vector engine has no {dtype}")


def element_type(dtype: DType) -> str:
    """The name of a type in memory."""
    name = "u8" if dtype == boolean else str(dtype)
    if name not in TYPES:
        raise UnsupportedError(f"the vector engine neither reads nor writes {dtype}")
    return name


@dataclass(frozen=True)
class Body:
    """A vector program without its number; `sources` are the loads and indices that its streams bring, in order."""

    micros: tuple[Micro, ...]
    immediates: tuple[int, ...]
    sources: tuple[Load | Index, ...]

    @property
    def key(self) -> object:
        """Equal for equal programs."""
        return self.immediates, tuple(micro.text() for micro in self.micros)

    def program(self, number: int) -> Program:
        """The instruction that defines it."""
        return Program(number=number, immediates=self.immediates, micros=self.micros)


def body_of(stage: Stage, result: DType) -> Body:
    """The program of a stage's body; UnsupportedError names what the vector engine has not."""
    return _Builder(stage.body, result).build()


@dataclass
class _Step:
    """An operation before registers are given: operands are steps, sources or immediates."""

    op: str
    type: str
    to: str
    operands: tuple[tuple[str, int], ...]
    uses: int = 0
    register: int = -1


@dataclass
class _Builder:
    body: Expr
    result: DType
    steps: list[_Step] = field(default_factory=list)
    immediates: list[int] = field(default_factory=list)
    sources: list[Load | Index] = field(default_factory=list)
    done: dict[Expr, tuple[str, int]] = field(default_factory=dict)

    def build(self) -> Body:
        place = self.value(self.body)
        place = self.converted(place, self.body.dtype, self.result)
        if place[0] != "step" or place[1] != len(self.steps) - 1:
            place = self.step("copy", value_type(self.result), (place,))
        if len(self.steps) > MOST_OPERATIONS:
            raise UnsupportedError(
                f"a body of {len(self.steps)} operations is too long for a vector program of {MOST_OPERATIONS}"
            )
        return Body(self._allocated(), tuple(self.immediates), tuple(self.sources))

    # --- values ------------------------------------------------------------------------------------------------

    def value(self, expr: Expr) -> tuple[str, int]:
        """Where the value of an expression is."""
        if expr not in self.done:
            self.done[expr] = self._value(expr)
        return self.done[expr]

    def _value(self, expr: Expr) -> tuple[str, int]:
        if isinstance(expr, Const):
            return self.immediate(expr.value, value_type(expr.dtype))
        if isinstance(expr, Load | Index):
            return self.source(expr)
        if not isinstance(expr, Apply):
            raise UnsupportedError(f"the vector engine has no {type(expr).__name__.lower()} in a body")
        if expr.op == "cast":
            return self.cast(expr)
        kind = value_type(expr.arguments[0].dtype)
        if expr.op == "requantize":
            return self._requantized(expr)
        if expr.op == "lookup":
            index, element = expr.arguments
            assert isinstance(element, Load)
            place = self.converted(self.value(index), index.dtype, i32)
            return self.step("lookup", "i32", (place, self.source(element)))
        if expr.op == "add" and kind == "i32":
            return self._sum(expr)
        if expr.op == "where":
            condition, yes, no = expr.arguments
            kind = value_type(expr.dtype)
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
        if expr.op not in DIRECT or (kind != "i64" and kind not in MICRO_OPS[expr.op].types):
            raise UnsupportedError(f"the vector engine has no '{expr.op}' of {expr.arguments[0].dtype}")
        return self.step(expr.op, kind, self.values(expr.arguments))

    def values(self, arguments: Sequence[Expr]) -> tuple[tuple[str, int], ...]:
        return tuple(self.value(argument) for argument in arguments)

    def _requantized(self, expr: Apply) -> tuple[str, int]:
        """A requantisation, what is added before it in the same operation."""
        acc, *parameters = expr.arguments
        if isinstance(acc, Apply) and acc.op == "add" and acc not in self.done:
            terms = _terms(acc)
            if len(terms) == 2 and not any(isinstance(t, Apply) and t.op == "mul" for t in terms):
                operands = (self.value(terms[0]), *self.values(parameters), self.value(terms[1]))
                return self.step("rescale", "i32", operands, str(expr.dtype))
        return self.step("requantize", "i32", self.values(expr.arguments), str(expr.dtype))

    def _sum(self, expr: Apply) -> tuple[str, int]:
        """A sum of integers, products in one operation with what they are added to: any order gives the same."""
        terms = _terms(expr)
        products = [t for t in terms if isinstance(t, Apply) and t.op == "mul" and t not in self.done]
        others = [t for t in terms if t not in products]
        if not others:
            others = [products.pop()]
        total = self.value(others[0])
        for term in others[1:]:
            total = self.step("add", "i32", (total, self.value(term)))
        for term in products:
            total = self.step("mac", "i32", (*self.values(term.arguments), total))
        return total

    def cast(self, expr: Apply) -> tuple[str, int]:
        """A cast: none where the value is held as it is, a limit or a wrap where it narrows."""
        (inner,) = expr.arguments
        limited = _limited(expr)
        if limited is not None:
            return self.step("cast", value_type(limited.dtype), (self.value(limited),), str(expr.dtype))
        root = _root_of(expr)
        if root is not None:
            return self.step("isqrt", "i64", (self.value(root),))
        return self.converted(self.value(inner), inner.dtype, expr.dtype, inner)

    def converted(
        self, place: tuple[str, int], source: DType, target: DType, expr: Expr | None = None
    ) -> tuple[str, int]:
        """A value of one type as a value of another."""
        old, new = value_type(source), value_type(target)
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
            shift = self.immediate(32 - target.bits, "i32")  # wraps, as integers do in stages
            raised = self.step("shift_left", "i32", (place, shift))
            wrapped = self.step("shift_right", "i32", (raised, shift))
            if target.kind == "uint":
                return self.step("bit_and", "i32", (wrapped, self.immediate((1 << target.bits) - 1, "i32")))
            return wrapped
        return place

    def source(self, expr: Load | Index) -> tuple[str, int]:
        if expr not in self.sources:
            self.sources.append(expr)
        if len(self.sources) > MOST_STREAMS:
            raise UnsupportedError(f"a body reads more than {MOST_STREAMS} operands")
        return "stream", self.sources.index(expr) + 1

    def immediate(self, value: object, kind: str) -> tuple[str, int]:
        if kind == "f32":
            bits = int(np.float32(value).view(np.int32))  # type: ignore[arg-type]
        else:
            bits = int(value)  # type: ignore[call-overload]
        if not -(1 << 31) <= bits < 1 << 31:
            return self._wide(bits)
        if bits not in self.immediates:
            self.immediates.append(bits)
        if len(self.immediates) > MOST_IMMEDIATES:
            raise UnsupportedError(f"a body has more than {MOST_IMMEDIATES} constants")
        return "immediate", self.immediates.index(bits)

    def _wide(self, value: int) -> tuple[str, int]:
        """A number of more than 32 bits: a shorter one, shifted."""
        zeros = (value & -value).bit_length() - 1
        if not -(1 << 31) <= value >> zeros < 1 << 31:
            raise UnsupportedError(f"the constant {value} has more than 32 bits")
        return self.step(
            "shift_left", "i64", (self.immediate(value >> zeros, "i64"), self.immediate(zeros, "i64"))
        )

    def step(
        self, op: str, kind: str, operands: tuple[tuple[str, int], ...], to: str = ""
    ) -> tuple[str, int]:
        for operand in operands:
            if operand[0] == "step":
                self.steps[operand[1]].uses += 1
        self.steps.append(_Step(op, kind, to or kind, operands))
        return "step", len(self.steps) - 1

    # --- registers ---------------------------------------------------------------------------------------------

    def _allocated(self) -> tuple[Micro, ...]:
        free = list(range(REGISTERS))
        left = [step.uses for step in self.steps]
        out = []
        for step in self.steps:
            fields = {}
            for name, (kind, number) in zip("abcde", step.operands):
                if kind == "step":
                    left[number] -= 1
                    if not left[number]:
                        free.append(self.steps[number].register)
                        free.sort()
                    kind, number = "register", self.steps[number].register
                fields[f"{name}_from"] = SOURCES.index(kind)
                fields[name] = number
            if not free:
                raise UnsupportedError(f"a body needs more than {REGISTERS} registers")
            step.register = free.pop(0)
            out.append(
                Micro(
                    op=list(MICRO_OPS).index(step.op),
                    type=VALUE_TYPES.index(step.type),
                    to=TYPES.index(step.to) if step.to in TYPES else 0,
                    dst=step.register,
                    **fields,
                )
            )
        return tuple(out)


def _terms(expr: Expr) -> list[Expr]:
    """The terms of a sum of sums, of one dtype."""
    if isinstance(expr, Apply) and expr.op == "add":
        return [term for argument in expr.arguments for term in _terms(argument)]
    return [expr]


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
