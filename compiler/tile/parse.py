"""Text to kernels and schedules: what `grammar.lark` accepts is checked for names and dtypes, and built."""

import json
from functools import cache, reduce
from importlib import resources
from operator import add, mul
from typing import Any, NoReturn

import lark

from ...runtime.records import replace
from ..diagnostics import ModelError
from ..ir import dims
from ..ir.location import NOWHERE, Location
from ..ir.types import DTYPES, DType
from ..ops.scalar import SCALARS
from .schedule import PARALLEL_LOOP, SERIAL, Hold, Loop, Place, Schedule
from .stage import (
    CONSTANT,
    INPUT,
    LOCAL,
    OUTPUT,
    PARALLEL,
    Access,
    Affine,
    Apply,
    Buffer,
    Const,
    Dim,
    Expr,
    Held,
    Index,
    Kernel,
    Load,
    Lookup,
    Number,
    Repair,
    Stage,
)
from .text import default_dtype

_WORDS: dict[str, Number] = {"true": True, "false": False, "nan": float("nan")}


def parse(text: str, start: str) -> Any:
    """See `text.parse_kernel` and `text.parse_schedule`."""
    try:
        return _Builder().transform(_parser().parse(text, start=start))
    except lark.exceptions.UnexpectedInput as error:
        if isinstance(error, lark.exceptions.UnexpectedToken) and error.token.type == "$END":
            _refuse(None, "the text breaks off")
        lines = text.splitlines()
        found = lines[error.line - 1][error.column - 1 :][:40] if 0 < error.line <= len(lines) else ""
        _refuse(error, f"unexpected text: {found}")
    except lark.exceptions.VisitError as error:
        if isinstance(error.orig_exc, ModelError):
            raise error.orig_exc from None
        _refuse(getattr(error.obj, "meta", None), str(error.orig_exc))


@cache
def _parser() -> lark.Lark:
    grammar = resources.files(__package__).joinpath("grammar.lark").read_text(encoding="utf-8")
    return lark.Lark(
        grammar,
        start=["kernel", "schedule"],
        parser="lalr",
        propagate_positions=True,
        maybe_placeholders=True,
    )


def _refuse(at: Any, message: str) -> NoReturn:
    line, column = getattr(at, "line", None), getattr(at, "column", None)
    where = f"line {line}, column {column}" if line is not None and line > 0 else "end of text"
    raise ModelError(message, location=where)


def _present(children: list[Any]) -> list[Any]:
    return [child for child in children if child is not None]


def _dtype(name: lark.Token) -> DType:
    if name not in DTYPES:
        _refuse(name, f"no such dtype: {name}")
    return DTYPES[name]


class _Builder(lark.Transformer):
    """Bottom up. Loads need their buffer's dtype, which precedes them in the text."""

    def __init__(self) -> None:
        super().__init__(visit_tokens=False)
        self.dtypes: dict[str, DType] = {}
        self.lets: dict[str, Expr] = {}

    def name(self, children: list[Any]) -> str:
        (token,) = children
        return json.loads(token) if token.startswith('"') else str(token)

    # kernels

    def kernel(self, children: list[Any]) -> Kernel:
        name, *parts = children
        return Kernel(
            name,
            tuple(part for part in parts if isinstance(part, Buffer)),
            tuple(part for part in parts if isinstance(part, Stage)),
        )

    def buffer(self, children: list[Any]) -> Buffer:
        role, name, dtype, *shape = children
        roles = (INPUT, CONSTANT, OUTPUT, LOCAL)
        if role not in roles:
            _refuse(role, f"a buffer is one of {', '.join(roles)}, not {role}")
        self.dtypes[name] = _dtype(dtype)
        return Buffer(name, tuple(_present(shape)), self.dtypes[name], str(role))

    def dim(self, children: list[Any]) -> Dim:
        kind, name, extent = children
        return Dim(name, extent, PARALLEL if kind is None else str(kind))

    def let(self, children: list[Any]) -> None:
        token, expression = children
        self.lets[str(token)] = expression

    def plain(self, children: list[Any]) -> tuple[str | None, Expr]:
        return None, children[0]

    def combined(self, children: list[Any]) -> tuple[str | None, Expr]:
        return str(children[0]), children[1]

    def repair(self, children: list[Any]) -> Repair:
        of, *_, factor = children
        return Repair(of, factor)

    def stage(self, children: list[Any]) -> Stage:
        self.lets.clear()
        *front, write, (combine, body), repair, location = children
        name, *dims = _present(front)
        return Stage(name, tuple(dims), body, write, combine, repair, location or NOWHERE)

    def location(self, children: list[Any]) -> Location:
        source, *names = (json.loads(token) for token in children)
        return Location(source, tuple(names))

    # expressions

    def dtype(self, children: list[Any]) -> DType:
        return _dtype(children[0])

    def load(self, children: list[Any]) -> Load:
        (access,) = children
        if access.buffer not in self.dtypes:
            raise ModelError(f"no buffer '{access.buffer}'")
        return Load(access, self.dtypes[access.buffer])

    def apply(self, children: list[Any]) -> Apply:
        op, *arguments, dtype = children
        given = tuple(_present(arguments))
        if op != "cast" and op not in SCALARS:
            _refuse(op, f"no scalar operation '{op}'")
        dtype = dtype or default_dtype(str(op), given, op in SCALARS and SCALARS[op].predicate)
        if dtype is None:
            _refuse(op, f"'{op}' needs a dtype")
        return Apply(str(op), given, dtype)

    def constant(self, children: list[Any]) -> Const:
        return Const(*children)

    def word(self, children: list[Any]) -> Expr:
        token, dtype = children
        if token in ("old", "new"):
            return Held(str(token), dtype)
        return Const(self._word(token), dtype)

    def complex(self, children: list[Any]) -> Const:
        _, real, imaginary, dtype = children
        return Const(complex(real, imaginary), dtype)

    def index(self, children: list[Any]) -> Index:
        return Index(children[0])

    def shared(self, children: list[Any]) -> Expr:
        (token,) = children
        if token not in self.lets:
            _refuse(token, f"{token} is used before it is defined")
        return self.lets[str(token)]

    def number(self, children: list[Any]) -> Number:
        minus, token = children
        value = int(token) if token.type == "UINT" else float(token)
        return value if minus is None else -value

    def _word(self, token: lark.Token) -> Number:
        if token not in _WORDS:
            _refuse(token, f"expected a number, got {token}")
        return _WORDS[token]

    def access(self, children: list[Any]) -> Access:
        name, *index, fill = children
        return Access(name, tuple(_present(index)), fill)

    def fill(self, children: list[Any]) -> Number:
        (value,) = children
        return self._word(value) if isinstance(value, lark.Token) else value

    def lookup(self, children: list[Any]) -> Lookup:
        return Lookup(children[0])

    def affine(self, children: list[Any]) -> Affine:
        minus, first, *rest = children
        total = -first if minus is not None else first
        for sign, term in zip(rest[::2], rest[1::2]):
            total = total + (term if sign == "+" else -term)
        return total

    def scaled(self, children: list[Any]) -> Affine:
        return Affine.of([(children[1], int(children[0]))])

    def single(self, children: list[Any]) -> Affine:
        return Affine.of([(children[0], 1)])

    def offset(self, children: list[Any]) -> Affine:
        return Affine((), int(children[0]))

    # extents

    def sum(self, children: list[Any]) -> dims.Dim:
        return reduce(add, children[::2])

    def product(self, children: list[Any]) -> dims.Dim:
        return reduce(mul, children)

    def integer(self, children: list[Any]) -> int:
        minus, token = children
        return int(token) if minus is None else -int(token)

    def symbol(self, children: list[Any]) -> dims.Dim:
        return dims.symbol(children[0])

    def call(self, children: list[Any]) -> dims.Dim:
        name, a, b = children
        if name == "floordiv":
            return dims.floordiv(a, b)
        if name in ("max", "min"):
            return dims.extreme(str(name), a, b)
        _refuse(name, f"no function of dimensions: {name}; they are floordiv, max, min")

    # schedules

    def schedule(self, children: list[Any]) -> Schedule:
        loops: list[Loop] = []
        holds: list[Hold] = []
        places: list[Place] = []
        for part in children:
            if isinstance(part, Loop):
                loops.append(part)
            elif isinstance(part, Hold):
                holds.append(replace(part, at=len(loops)))
            else:
                places += [Place(p.stage, len(loops), p.engine, p.loops, p.bind, p.lag) for p in part]
        return Schedule(tuple(loops), tuple(holds), tuple(places))

    def loop(self, children: list[Any]) -> Loop:
        dim, step, unit, parallel = children
        return Loop(dim, int(step), PARALLEL_LOOP if parallel else SERIAL, int(unit or 1))

    def hold(self, children: list[Any]) -> Hold:
        buffer, memory, slots, *layout, roll, panel = children
        order = tuple(int(axis) for axis in _present(layout))
        return Hold(buffer, memory, 0, int(slots or 1), order or None, roll, panel and int(panel))

    def place(self, children: list[Any]) -> list[Place]:
        names = [part for part in children if isinstance(part, str) and not isinstance(part, lark.Token)]
        lag = next((int(part) for part in children if isinstance(part, lark.Token)), 0)
        ribs = tuple(part for part in children if isinstance(part, Loop))
        bind = tuple(part for part in children if isinstance(part, tuple))
        return [Place(stage, 0, names[-1], ribs, bind, lag) for stage in names[:-1]]

    def rib(self, children: list[Any]) -> Loop:
        dim, step, unit = children
        return Loop(dim, int(step), SERIAL, int(unit or 1))

    def bind(self, children: list[Any]) -> tuple[str, tuple[str, ...]]:
        role, *dims = children
        return role, tuple(_present(dims))
