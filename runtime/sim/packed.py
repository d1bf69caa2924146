"""Products of an array as one instruction: implicit convolution of strided rows with packed columns onto accumulators.

C[i1*m0 + i0, j] = or += sum over t2 < k2, t1 < k1, t0 < k0 of A[i1, i0, t2, t1, t0] * W[t2, t1, t0, j]. Strides of A in
bytes are am1, am0, ak2, ak1 and the bytes of a factor. W is packed [column tiles, k2, k1, k0 rounded up to whole rows
of the array, cols]; what lies in it beyond k0 and the n columns is ignored. Elements of C have 32 bits.
"""

from collections.abc import Iterator, Mapping

from ..records import dataclass
from .access import Access
from .products import View

SUM_BYTES = 4


@dataclass(frozen=True, slots=True)
class Packed:
    """One such product: its fields by name, where A, W and C begin as (memory, byte address), bytes of a factor and
    from row to row of C, rows and columns of the array."""

    field: Mapping[str, int]
    a: tuple[str, int]
    w: tuple[str, int]
    c: tuple[str, int]
    size: int
    pitch: int
    rows: int
    cols: int

    @property
    def depth(self) -> int:
        """Terms of a packed run: whole rows of the array."""
        return -(-self.field["k0"] // self.rows) * self.rows

    def views(self) -> tuple[View, View, View]:
        """A, W and C as `products.prepare` takes them, two dims of rows."""
        field, size = self.field, self.size
        m1, m0, k2, k1, k0, n = (field[name] for name in ("m1", "m0", "k2", "k1", "k0", "n"))
        run = self.depth * size * self.cols
        strides = (*(field[name] for name in ("am1", "am0", "ak2", "ak1")), size)
        shape = (k2, k1, k0, -(-n // self.cols), self.cols)
        return (
            View(*self.a, (m1, m0, k2, k1, k0), strides),
            View(*self.w, shape, (k1 * run, run, size * self.cols, k2 * k1 * run, size)),
            View(*self.c, (m1 * m0, n), (self.pitch, SUM_BYTES)),
        )

    def accesses(self, accumulate: int) -> tuple[Access, ...]:
        """What it touches; sums that are added to are read as well."""
        field = self.field
        names = (("k1", "ak1"), ("k2", "ak2"), ("m0", "am0"), ("m1", "am1"))
        dims = tuple((field[count], field[stride]) for count, stride in names)
        rows = ((field["m1"] * field["m0"], self.pitch),)
        sums = Access(self.c[0], True, self.c[1], SUM_BYTES * field["n"], rows)
        operands = (Access(self.a[0], False, self.a[1], self.size * field["k0"], dims), *self._columns())
        return (*operands, sums._replace(write=False), sums) if accumulate else (*operands, sums)

    def _columns(self) -> Iterator[Access]:
        """What is read of W: whole tiles of columns, then the columns that are left."""
        field, line = self.field, self.size * self.cols
        runs = field["k2"] * field["k1"]
        tile = runs * self.depth * line
        whole, rest = divmod(field["n"], self.cols)
        for first, count, columns in ((0, whole, self.cols), (whole, 1, rest)):
            if count and columns:
                dims = ((field["k0"], line), (runs, self.depth * line), (count, tile))
                yield Access(self.w[0], False, self.w[1] + first * tile, self.size * columns, dims)
