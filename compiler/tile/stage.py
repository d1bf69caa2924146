"""Stages: what a kernel computes, as pure data.

A stage is an iteration domain, affine accesses and a scalar body; a kernel is a list of stages over named buffers.
Nothing here says how it is tiled (`schedule.py`), checked (`check.py`) or emitted (the backends). Scalar operations are
names; their meaning is in `compiler/ops/scalar.py`. The notation follows linalg's structured ops (maps + kinds + body).
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from operator import is_not

from ...runtime.records import dataclass, replace
from ..diagnostics import UnsupportedError
from ..ir.dims import Dim as Extent
from ..ir.location import NOWHERE, Location
from ..ir.types import DType, boolean, i64

Number = int | float | bool | complex

PARALLEL, REDUCE, SCAN = "parallel", "reduce", "scan"
COMBINES = ("sum", "prod", "max", "min", "and", "or")


@dataclass(frozen=True, slots=True)
class Affine:
    """sum(coefficient * dim) + const, terms sorted by dim name and never zero."""

    terms: tuple[tuple[str, int], ...] = ()
    const: int = 0

    @staticmethod
    def of(terms: Iterable[tuple[str, int]], const: int = 0) -> "Affine":
        total: dict[str, int] = {}
        for name, coefficient in terms:
            total[name] = total.get(name, 0) + coefficient
        return Affine(tuple(sorted([term for term in total.items() if term[1]])), const)

    def __add__(self, other: "Affine | int") -> "Affine":
        if isinstance(other, int):
            return Affine(self.terms, self.const + other) if other else self
        const = self.const + other.const
        if not other.terms:
            return Affine(self.terms, const)
        return Affine.of(self.terms + other.terms, const) if self.terms else Affine(other.terms, const)

    __radd__ = __add__

    def __mul__(self, factor: int) -> "Affine":
        if factor == 1:
            return self
        terms = tuple([(n, c * factor) for n, c in self.terms]) if factor else ()
        return Affine(terms, self.const * factor)

    __rmul__ = __mul__

    def __neg__(self) -> "Affine":
        return self * -1

    def __sub__(self, other: "Affine | int") -> "Affine":
        return self + -other

    def __rsub__(self, other: int) -> "Affine":
        return -self + other

    @property
    def dims(self) -> tuple[str, ...]:
        return tuple([name for name, _ in self.terms])

    @property
    def single(self) -> str | None:
        """The dim's name if this is just that dim."""
        return self.terms[0][0] if len(self.terms) == 1 and self.terms[0][1] == 1 and not self.const else None

    def coefficient(self, dim: str) -> int:
        for name, coefficient in self.terms:
            if name == dim:
                return coefficient
        return 0

    def substitute(self, values: "dict[str, Affine]") -> "Affine":
        """Each dim in `values` replaced by its affine expression."""
        if not self.terms:
            return self
        if len(self.terms) == 1:
            ((name, coefficient),) = self.terms
            found = values.get(name)
            return self if found is None else found * coefficient + self.const
        total: dict[str, int] = {}
        const = self.const
        for name, coefficient in self.terms:
            value = values.get(name)
            if value is None:
                total[name] = total.get(name, 0) + coefficient
                continue
            const += value.const * coefficient
            for inner, factor in value.terms:
                total[inner] = total.get(inner, 0) + factor * coefficient
        return Affine(tuple(sorted([term for term in total.items() if term[1]])), const)

    def __str__(self) -> str:
        parts = [name if c == 1 else f"{c}*{name}" for name, c in self.terms]
        if self.const or not parts:
            parts.append(str(self.const))
        return " + ".join(parts)


def dim(name: str) -> Affine:
    """The affine expression that is just the dim `name`."""
    return Affine(((name, 1),))


@dataclass(frozen=True, slots=True)
class Dim:
    """One dim of an iteration domain. `kind`: parallel, reduce, or scan (sequential, carried by what it writes)."""

    name: str
    extent: Extent
    kind: str = PARALLEL

    @property
    def size(self) -> int:
        """The extent as an int; UnsupportedError when it is symbolic."""
        if not isinstance(self.extent, int):
            raise UnsupportedError(
                f"dim '{self.name}' has the symbolic extent {self.extent}", hint="bind the shapes"
            )
        return self.extent


@dataclass(frozen=True, slots=True)
class Lookup:
    """A coordinate that is the value read from an index tensor (gather)."""

    access: "Access"


@dataclass(frozen=True, slots=True)
class Access:
    """A buffer at an index. `fill` None: every index is in range; else reads out of range give `fill`."""

    buffer: str
    index: tuple[Affine | Lookup, ...]
    fill: Number | None = None

    @property
    def dims(self) -> tuple[str, ...]:
        """Dims that occur, those inside lookups included, in order of first use."""
        found: dict[str, None] = {}
        for part in self.index:
            if isinstance(part, Lookup):
                found.update(dict.fromkeys(part.access.dims))
            else:
                for name, _ in part.terms:
                    found[name] = None
        return tuple(found)

    def accesses(self) -> Iterator["Access"]:
        """This access and those inside its lookups, inner ones first."""
        for part in self.index:
            if isinstance(part, Lookup):
                yield from part.access.accesses()
        yield self

    def map(self, affine: Callable[[Affine], Affine]) -> "Access":
        """The same access with every affine coordinate mapped."""
        index = tuple(
            [
                Lookup(part.access.map(affine)) if isinstance(part, Lookup) else affine(part)
                for part in self.index
            ]
        )
        return Access(self.buffer, index, self.fill)


class Expr:
    """A scalar expression over loads, constants and dims: an immutable DAG with structural equality."""

    __slots__ = ("_hash", "_key", "_order", "dtype")
    dtype: DType
    arguments: "tuple[Expr, ...]" = ()

    def __init__(self, dtype: DType, *key: object):
        self.dtype = dtype
        self._key = key
        self._hash: int | None = None
        self._order: tuple[Expr, ...] | None = None

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash((type(self).__name__, self.dtype, self._key))
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return (
            type(self) is type(other)
            and hash(self) == hash(other)
            and self.dtype == other.dtype
            and self._key == other._key
        )

    def _apply(self, op: str, *others: "Expr | Number", dtype: DType | None = None) -> "Expr":
        return Apply(op, (self, *(lift(other, self.dtype) for other in others)), dtype or self.dtype)

    def __add__(self, other: "Expr | Number") -> "Expr":
        return self._apply("add", other)

    def __radd__(self, other: Number) -> "Expr":
        return lift(other, self.dtype) + self

    def __sub__(self, other: "Expr | Number") -> "Expr":
        return self._apply("sub", other)

    def __rsub__(self, other: Number) -> "Expr":
        return lift(other, self.dtype) - self

    def __mul__(self, other: "Expr | Number") -> "Expr":
        return self._apply("mul", other)

    def __rmul__(self, other: Number) -> "Expr":
        return lift(other, self.dtype) * self

    def __truediv__(self, other: "Expr | Number") -> "Expr":
        return self._apply("div", other)

    def __rtruediv__(self, other: Number) -> "Expr":
        return lift(other, self.dtype) / self

    def __neg__(self) -> "Expr":
        return self._apply("neg")

    def __lt__(self, other: "Expr | Number") -> "Expr":
        return self._apply("lt", other, dtype=boolean)

    def __le__(self, other: "Expr | Number") -> "Expr":
        return self._apply("le", other, dtype=boolean)

    def __gt__(self, other: "Expr | Number") -> "Expr":
        return self._apply("gt", other, dtype=boolean)

    def __ge__(self, other: "Expr | Number") -> "Expr":
        return self._apply("ge", other, dtype=boolean)

    def equals(self, other: "Expr | Number") -> "Expr":
        """Elementwise comparison (`==` is structural equality of expressions)."""
        return self._apply("eq", other, dtype=boolean)

    def cast(self, dtype: DType) -> "Expr":
        return self if dtype == self.dtype else Apply("cast", (self,), dtype)


class Load(Expr):
    """The value of a buffer at an access."""

    __slots__ = ("access",)

    def __init__(self, access: Access, dtype: DType):
        self.access = access
        super().__init__(dtype, access)


class Const(Expr):
    """A literal."""

    __slots__ = ("value",)

    def __init__(self, value: Number, dtype: DType):
        self.value = value
        super().__init__(dtype, repr(value))


class Index(Expr):
    """The value of an affine expression over the stage's dims, as i64."""

    __slots__ = ("affine",)

    def __init__(self, affine: Affine):
        self.affine = affine
        super().__init__(i64, affine)


class Apply(Expr):
    """A named scalar operation; `dtype` is its result's (for `cast`: what it casts to)."""

    __slots__ = ("arguments", "op")

    def __init__(self, op: str, arguments: tuple[Expr, ...], dtype: DType):
        self.op = op
        self.arguments = arguments
        super().__init__(dtype, op, arguments)


class Held(Expr):
    """Inside a repair factor: the `old` or `new` value of the buffer that the repair follows."""

    __slots__ = ("which",)

    def __init__(self, which: str, dtype: DType):
        self.which = which
        super().__init__(dtype, which)


def lift(value: Expr | Number, dtype: DType) -> Expr:
    """A number as a constant of `dtype`; expressions unchanged."""
    return value if isinstance(value, Expr) else Const(value, dtype)


def apply(op: str, *arguments: Expr, dtype: DType | None = None) -> Expr:
    """`Apply` whose dtype is the first argument's unless given."""
    return Apply(op, arguments, dtype or arguments[0].dtype)


def select(condition: Expr, yes: Expr, no: Expr | Number) -> Expr:
    """`yes` where the condition holds, else `no`."""
    return Apply("where", (condition, yes, lift(no, yes.dtype)), yes.dtype)


def walk(expr: Expr) -> tuple[Expr, ...]:
    """Every distinct node of the DAG, arguments before users; found once."""
    if expr._order is None:
        # without itself: what refers to itself stays until the collector of garbage finds it
        expr._order = _postorder(expr)[:-1] if expr.arguments else ()
    return (*expr._order, expr)


def _postorder(expr: Expr) -> tuple[Expr, ...]:
    if not any(argument.arguments for argument in expr.arguments):
        leaves = {id(argument): argument for argument in expr.arguments}
        return (*leaves.values(), expr)
    order: dict[int, Expr] = {}
    stack = [expr]
    while stack:
        node = stack[-1]
        waiting = [argument for argument in node.arguments if id(argument) not in order]
        if waiting:
            stack += reversed(waiting)
        else:
            order[id(node)] = node
            stack.pop()
    return tuple(order.values())


def rewrite(expr: Expr, change: Callable[[Expr], Expr | None]) -> Expr:
    """The DAG rebuilt bottom up; `change` gives a replacement for a (rebuilt) node, or None to keep it."""
    done: dict[int, Expr] = {}
    for node in walk(expr):
        new = node
        if isinstance(node, Apply):
            arguments = [done[id(argument)] for argument in node.arguments]
            if any(map(is_not, arguments, node.arguments)):
                new = Apply(node.op, tuple(arguments), node.dtype)
        changed = change(new)
        done[id(node)] = new if changed is None else changed
    return done[id(expr)]


@dataclass(frozen=True, slots=True)
class Repair:
    """The accumulator is multiplied by `factor` (over Held old/new) whenever buffer `of` changes (online softmax)."""

    of: str
    factor: Expr


@dataclass(frozen=True)
class Stage:
    """write = combine over the reduce dims of body. `combine` is set exactly when there are reduce dims."""

    name: str
    dims: tuple[Dim, ...]
    body: Expr
    write: Access
    combine: str | None = None
    repair: Repair | None = None
    location: Location = NOWHERE

    @cached_property
    def loads(self) -> tuple[Load, ...]:
        """Distinct loads of the body, in order of first use."""
        loads = [node for node in walk(self.body) if isinstance(node, Load)]
        return tuple(loads) if len(loads) < 2 else tuple(dict.fromkeys(loads))

    @cached_property
    def load_dims(self) -> tuple[frozenset[str], ...]:
        """The dims that each of the `loads` moves along."""
        return tuple(frozenset(load.access.dims) for load in self.loads)

    @cached_property
    def reads(self) -> tuple[Access, ...]:
        """Distinct accesses that the stage reads, those inside lookups first."""
        reads = [inner for load in self.loads for inner in load.access.accesses()]
        return tuple(reads) if len(reads) < 2 else tuple(dict.fromkeys(reads))

    def located(self, location: Location) -> "Stage":
        """The same stage from another place; what was found out about its accesses stays known."""
        moved = replace(self, location=location)
        moved.__dict__.update(loads=self.loads, reads=self.reads)
        return moved

    def dim(self, name: str) -> Dim:
        return next(dim for dim in self.dims if dim.name == name)

    def kind(self, kind: str) -> tuple[Dim, ...]:
        """The dims of one kind, in order."""
        return tuple(dim for dim in self.dims if dim.kind == kind)

    def substitute(self, values: dict[str, Affine], dims: Iterable[Dim]) -> "Stage":
        """The stage over other dims: every old dim in `values` is replaced by its affine expression."""

        def affine(part: Affine) -> Affine:
            return part.substitute(values)

        def change(expr: Expr) -> Expr | None:
            if isinstance(expr, Load):
                return Load(expr.access.map(affine), expr.dtype)
            return Index(affine(expr.affine)) if isinstance(expr, Index) else None

        return replace(self, dims=tuple(dims), body=rewrite(self.body, change), write=self.write.map(affine))


INPUT, CONSTANT, OUTPUT, LOCAL = "input", "constant", "output", "local"


@dataclass(frozen=True, slots=True)
class Buffer:
    """A dense row-major array that a kernel reads or writes. `role`: input, constant, output or local."""

    name: str
    shape: tuple[Extent, ...]
    dtype: DType
    role: str

    @property
    def static_shape(self) -> tuple[int, ...]:
        """The shape as ints; UnsupportedError when an extent is symbolic."""
        if not all(isinstance(extent, int) for extent in self.shape):
            raise UnsupportedError(f"buffer '{self.name}' has symbolic extents", hint="bind the shapes")
        return self.shape  # type: ignore[return-value]


@dataclass(frozen=True)
class Kernel:
    """Buffers and stages in topological order: the unit of tiling, emission and timing."""

    name: str
    buffers: tuple[Buffer, ...]
    stages: tuple[Stage, ...]

    def buffer(self, name: str) -> Buffer:
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Buffer]:
        return {buffer.name: buffer for buffer in self.buffers}

    def role(self, *roles: str) -> tuple[Buffer, ...]:
        return tuple(buffer for buffer in self.buffers if buffer.role in roles)

    @cached_property
    def dims(self) -> dict[str, Dim]:
        """All dims of all stages by name; a shared name has one extent."""
        return {dim.name: dim for stage in self.stages for dim in stage.dims}

    def readers(self, buffer: str) -> tuple[Stage, ...]:
        return tuple(s for s in self.stages if any(access.buffer == buffer for access in s.reads))

    def writers(self, buffer: str) -> tuple[Stage, ...]:
        return tuple(s for s in self.stages if s.write.buffer == buffer)
