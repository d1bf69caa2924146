"""How much single instructions of a chip do, and work cut into pieces that they can do."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product as cartesian
from operator import gt

from ...runtime.records import dataclass
from .copies import Copy
from .multiply import Multiply
from .vectors import Stream, VectorWork

LINE = 64
"""Bytes of runs in pieces are multiples of it, as bursts are."""

WHOLE_VECTORS = 256
"""Pieces along the lanes are multiples of it where they can be, which fill the vectors of most engines."""

_FIELD = (1 << 16) - 1


@dataclass(frozen=True)
class Limits:
    """What single instructions of a chip can do.

    `copy`: contiguous bytes, then rows and planes of them, for as many strided dims (1 or 2) as copies have. `rows`: of
    a product, for each of its dims of rows (1 or 2), the inner one first; `sums` (0 to 2): dims of the sum beside its
    run; `far_columns`: tiles of columns of one product may lie any distance apart. `vector`: elements of vector work
    along each of its dims, the one along the lanes first, and `strides`: how far apart they may be. `fill_bytes`: how
    long the pattern of padding may be.
    """

    copy: tuple[int, ...]
    rows: tuple[int, ...] = (_FIELD, _FIELD)
    sums: int = 2
    far_columns: bool = False
    vector: tuple[int, ...] = (_FIELD, _FIELD, _FIELD, _FIELD, 511)
    strides: tuple[int, ...] = (_FIELD, _FIELD, (1 << 19) - 1, (1 << 21) - 1, (1 << 21) - 1)
    fill_bytes: tuple[int, ...] = (1,)

    @property
    def copy_dims(self) -> int:
        """Strided dims of a copy."""
        return len(self.copy) - 1

    def copies(self, copy: Copy) -> Iterator[Copy]:
        """A copy in pieces that instructions can do: runs of bytes, rows with the padding beside them, and planes."""
        run, *others = (*self.copy, 1)[:3]
        counts = (copy.n0, copy.n1, copy.n2)
        if not any(map(gt, counts, (run, *others))):
            yield copy
            return
        most = (run // LINE * LINE, *others)
        pitch = copy.d1 or copy.n0
        plane = copy.d2 or (copy.before1 + copy.n1 + copy.after1) * pitch
        lines, several = copy.before1 + copy.n1 + copy.after1 > 1, copy.before2 + copy.n2 + copy.after2 > 1
        for (k, nk), (j, nj), (i, ni) in cartesian(*map(_pieces, counts[::-1], most[::-1])):
            above, below = (copy.before2 if k == 0 else 0), (copy.after2 if k + nk == copy.n2 else 0)
            before, after = (copy.before1 if j == 0 else 0), (copy.after1 if j + nj == copy.n1 else 0)
            yield Copy(
                home=copy.home + i + j * copy.s1 + k * copy.s2,
                near=copy.near + i + (j + copy.before1 - before) * pitch + (k + copy.before2 - above) * plane,
                n0=ni,
                n1=nj,
                n2=nk,
                s1=copy.s1,
                s2=copy.s2,
                d1=pitch if lines else 0,
                d2=plane if several else 0,
                before1=before,
                after1=after,
                before2=above,
                after2=below,
            )

    def products(self, work: Multiply) -> Iterator[Multiply]:
        """A product in pieces of as many rows as instructions take."""
        inner, middle = (*self.rows, 1)[:2]
        if work.m0 <= inner and work.m1 <= middle:
            yield work
            return
        middle = middle if work.m0 <= inner else 1  # the result's rows lie end to end
        for (i1, m1), (i0, m0) in cartesian(_pieces(work.m1, middle), _pieces(work.m0, inner)):
            yield replace(
                work,
                a=work.a + i1 * work.am1 + i0 * work.am0,
                c=work.c + (i1 * work.m0 + i0) * work.pitch,
                m0=m0,
                m1=m1,
            )

    def vectors(self, work: VectorWork, item_bytes: Mapping[str, int]) -> Iterator[VectorWork]:
        """Vector work in pieces of as many elements along each dim as instructions take, each dim where its strides
        fit; one that fits nowhere is run out."""
        reaches = [max(abs(s.strides[axis]) for s in work.streams) for axis in range(len(work.counts))]
        if not any(map(gt, work.counts, self.vector)) and not any(map(gt, reaches, self.strides)):
            yield work
            return
        places = self._places(work.counts, reaches)
        most = [1 if place is None else self.vector[place] for place in places]
        if most[0] > WHOLE_VECTORS:
            most[0] -= most[0] % WHOLE_VECTORS
        target = work.streams[0].strides
        for piece in cartesian(*map(_pieces, work.counts, most)):
            begins, counts = zip(*piece)
            again = any(begin and not stride for begin, stride in zip(begins, target))
            yield replace(
                work,
                counts=_placed(counts, places, 1),
                initialise=work.initialise and not again,
                streams=tuple(_moved(stream, begins, places, item_bytes) for stream in work.streams),
            )

    def _places(self, counts: Sequence[int], reaches: Sequence[int]) -> list[int | None]:
        """For each dim the place among an instruction's that it gets, in their order; None for one without."""
        found: list[int | None] = []
        free = 0
        for count, reach in zip(counts, reaches):
            fitting = (n for n in range(free, len(counts)) if reach <= self.strides[n])
            place = next(fitting, None) if free == 0 or count > 1 else None
            found.append(place)
            free = free if place is None else place + 1
        return found


def _pieces(count: int, most: int) -> list[tuple[int, int]]:
    """Where pieces of at most so many begin and how many each has; one of 0 where there is nothing."""
    return [(begin, min(most, count - begin)) for begin in range(0, count, most)] or [(0, 0)]


def _placed(numbers: Sequence[int], places: Sequence[int | None], rest: int) -> tuple[int, ...]:
    """Numbers of dims by the places that these have in an instruction."""
    found = [rest] * len(places)
    for number, place in zip(numbers, places):
        if place is not None:
            found[place] = number
    return tuple(found)


def _moved(
    stream: Stream, begins: Sequence[int], places: Sequence[int | None], item_bytes: Mapping[str, int]
) -> Stream:
    """A stream that begins so many elements further along each dim; a table is where it was."""
    if stream.table:
        return stream
    size = item_bytes.get(stream.memory, stream.dtype.bytes) if stream.memory else 1
    further = sum(begin * stride for begin, stride in zip(begins, stream.strides))
    return replace(stream, base=stream.base + further * size, strides=_placed(stream.strides, places, 0))
