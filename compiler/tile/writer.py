"""The small language in which ops state their stages: subscripted tensors, arithmetic, `store` and `total`.

    i, j, k = s.dims(M, N), s.reduce(K)                 # dims are affine expressions
    s.store(s.results[0][i, j], s.total("sum", x[i, k] * w[k, j]))

Dims of a stage are those that occur in its expression and its target; a stage is recorded where a value is stored.
A dim that its target lacks is reduced, so one dim may be parallel in one stage and reduced in the next (softmax's row).
"""

from collections.abc import Iterable

from ..ir.dims import Dim as Extent
from ..ir.types import DType, TensorType
from .stage import (
    LOCAL,
    PARALLEL,
    REDUCE,
    SCAN,
    Access,
    Affine,
    Apply,
    Buffer,
    Dim,
    Expr,
    Index,
    Kernel,
    Load,
    Lookup,
    Number,
    Repair,
    Stage,
    dim,
    walk,
)

Coordinate = Affine | int | Load


class Ref:
    """A tensor that stages read or write; subscript it with affine expressions, ints or loads of integer tensors.

    `scalar` is the value of a tensor that is known to hold one number throughout.
    """

    def __init__(self, buffer: Buffer, scalar: Number | None = None):
        self.buffer = buffer
        self.scalar = scalar

    @property
    def shape(self) -> tuple[Extent, ...]:
        return self.buffer.shape

    @property
    def rank(self) -> int:
        return len(self.buffer.shape)

    @property
    def dtype(self) -> DType:
        return self.buffer.dtype

    def at(self, *index: Coordinate, fill: Number | None = None) -> Load:
        """The element at `index`; outside the tensor `fill`, if given."""
        return Load(Access(self.buffer.name, tuple(map(_coordinate, index)), fill), self.dtype)

    def __getitem__(self, index: Coordinate | tuple[Coordinate, ...]) -> Load:
        return self.at(*(index if isinstance(index, tuple) else (index,)))

    def broadcast(self, index: Iterable[Affine], *inner: Affine) -> Load:
        """Numpy broadcasting: the trailing part of `index` that this tensor has, 0 where its extent is 1.

        The innermost axes take `inner` as it is: a reduced dim of extent 1 must not vanish.
        """
        outer = self.rank - len(inner)
        tail = tuple(index)[-outer:] if outer else ()
        shape = self.shape[:outer]
        return self.at(
            *(0 if extent == 1 else part for part, extent in zip(tail, shape, strict=True)), *inner
        )


def _coordinate(part: Coordinate) -> Affine | Lookup:
    if isinstance(part, Load):
        return Lookup(part.access)
    return Affine((), part) if isinstance(part, int) else part


class Stages:
    """Collects the stages of one op. `operands` and `results` are its tensors (None for an absent operand)."""

    def __init__(
        self,
        operands: Iterable[TensorType | None],
        results: Iterable[TensorType],
        roles: Iterable[str],
        scalars: Iterable[Number | None],
    ):
        roles, scalars = tuple(roles), tuple(scalars)
        self._buffers: list[Buffer] = []
        self._dims: dict[str, Dim] = {}
        self._stages: list[Stage] = []
        self.operands = tuple(
            None if type is None else self._ref(f"x{n}", type.shape, type.dtype, roles[n], scalars[n])
            for n, type in enumerate(operands)
        )
        self.results = tuple(
            self._ref(f"y{n}", type.shape, type.dtype, "output") for n, type in enumerate(results)
        )

    def _ref(
        self, name: str, shape: tuple[Extent, ...], dtype: DType, role: str, scalar: Number | None = None
    ) -> Ref:
        buffer = Buffer(name, shape, dtype, role)
        self._buffers.append(buffer)
        return Ref(buffer, scalar)

    def _new(self, extents: Iterable[Extent], kind: str) -> tuple[Affine, ...]:
        out = []
        for extent in extents:
            name = f"d{len(self._dims)}"
            self._dims[name] = Dim(name, extent, kind)
            out.append(dim(name))
        return tuple(out)

    def dims(self, *extents: Extent) -> tuple[Affine, ...]:
        """New parallel dims."""
        return self._new(extents, PARALLEL)

    def reduce(self, *extents: Extent) -> tuple[Affine, ...]:
        """New reduce dims."""
        return self._new(extents, REDUCE)

    def scan(self, extent: Extent) -> Affine:
        """A new sequential dim: a step may read what earlier steps wrote."""
        return self._new([extent], SCAN)[0]

    def index(self, affine: Affine) -> Expr:
        """The value of an affine expression as i64."""
        return Index(affine)

    def guarded(self, ref: Ref, *index: Coordinate, fill: Number = 0) -> Load:
        """The element at `index`; `fill` outside the tensor (a write is dropped), where an index can be outside."""
        inside = all(
            self._inside(Affine((), part) if isinstance(part, int) else part, extent)
            for part, extent in zip(index, ref.shape, strict=True)
        )
        return ref.at(*index, fill=None if inside else fill)

    def _inside(self, part: Affine | Load, extent: Extent) -> bool:
        """Whether a coordinate is known to be in range for all values of its dims."""
        if isinstance(part, Load):
            return False
        low: Extent = part.const
        high: Extent = part.const
        for name, coefficient in part.terms:
            reach = (self._dims[name].extent - 1) * coefficient
            low, high = (low, high + reach) if coefficient > 0 else (low + reach, high)
        room = extent - 1 - high
        return isinstance(low, int) and low >= 0 and isinstance(room, int) and room >= 0

    def local(self, shape: Iterable[Extent], dtype: DType) -> Ref:
        """A tensor that lives inside the op."""
        return self._ref(f"t{len(self._buffers)}", tuple(shape), dtype, LOCAL)

    def store(
        self,
        target: Load,
        body: Expr,
        combine: str | None = None,
        repair: Repair | None = None,
    ) -> None:
        """Record the stage target = body, or target = combine over the reduce dims of body.

        A reduction in another dtype than the target's goes through a local, so that it is rounded once, at the end.
        """
        if combine and body.dtype != target.dtype:
            body = self.total(combine, body, map(dim, target.access.dims), repair=repair)
            combine = repair = None
        names = dict.fromkeys(
            [
                *target.access.dims,
                *(n for e in walk(body) if isinstance(e, Load) for n in e.access.dims),
                *(n for e in walk(body) if isinstance(e, Index) for n in e.affine.dims),
            ]
        )
        dims = tuple(self._kinded(d, target.access) for name, d in self._dims.items() if name in names)
        if body.dtype != target.dtype:
            body = Apply("cast", (body,), target.dtype)
        self._stages.append(Stage(f"s{len(self._stages)}", dims, body, target.access, combine, repair))

    @staticmethod
    def _kinded(dim: Dim, target: Access) -> Dim:
        if dim.kind == SCAN:
            return dim
        return Dim(dim.name, dim.extent, PARALLEL if dim.name in target.dims else REDUCE)

    def total(
        self,
        combine: str | None,
        body: Expr,
        over: Iterable[Affine],
        dtype: DType | None = None,
        repair: Repair | None = None,
    ) -> Load:
        """Reduce `body` into a new local indexed by the dims `over`; returns the element read back."""
        over = tuple(over)
        extents = [self._dims[part.dims[0]].extent for part in over]
        element = self.local(extents, dtype or body.dtype)[over]
        self.store(element, body, combine, repair)
        return element

    def value(self, body: Expr, over: Iterable[Affine]) -> Load:
        """Keep `body` in a new local indexed by the dims `over`; returns the element read back."""
        return self.total(None, body, over)

    def kernel(self, name: str) -> Kernel:
        """What was recorded."""
        return Kernel(name, tuple(self._buffers), tuple(self._stages))
