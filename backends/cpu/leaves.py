"""Operations that multiply a few neighbours along a sum and add the products to wide lanes, one for each engine.

What a leaf wants to find is said here: in which type the two factors lie, and how many neighbours beside each other.
`dot.py` and `arrays.py` make blocks of them; which products they serve is data of the engines of the same names in
`cpu.toml`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field

from ...compiler.ir.types import DType, f32, i8, i16, u8
from ...runtime.records import dataclass
from .builder import Register
from .machine import Machine
from .scalars import Scalars, vector_type


@dataclass(frozen=True)
class Leaf:
    """`group`: neighbours that lie beside each other in panels of columns.

    `row`, `column`: the types of the factors in copied tiles and packed panels, None for their own. Where rows are
    signed and `row` is not, half its range is added to them, taken off where it is the other way round, and the panels
    hold what that adds to the sums. `signs`: columns lie as magnitudes, each group followed by masks of its signs.
    `features`: what a machine must have, by its number of 32-bit lanes. `calls`: the intrinsic likewise, for operations
    on registers; it `accumulates` if the sums so far are its first operand. `form`: LLVM's type of an element.
    """

    group: int
    features: Mapping[int, frozenset[str]]
    row: DType | None = None
    column: DType | None = None
    calls: Mapping[int, str] = field(default_factory=dict)
    accumulates: bool = False
    form: str | None = None
    signs: bool = False

    def serves(self, machine: Machine) -> bool:
        """Whether a machine has the operation at its own width."""
        needs = self.features.get(machine.lanes)
        return needs is not None and needs <= machine.features

    def shift(self, rows: DType) -> int:
        """What is added to rows of a type."""
        if self.row is None or self.row.bits != rows.bits or self.row.kind == rows.kind:
            return 0
        half = 1 << (rows.bits - 1)
        return half if self.row.kind == "uint" else -half

    def add(
        self, scalars: Scalars, total: Register, row: Register, columns: Sequence[Register], lanes: int
    ) -> Register:
        """total + the sum of the products of each lane's neighbours: a row's, and a column's with what masks it has.
        They hold lanes * group elements."""
        builder, type, (column,) = scalars.b, total.type, columns
        if self.form is not None:
            form = vector_type(self.form, lanes * self.group)
            row, column = (
                builder.pure(form, f"bitcast {x.type} {{0}} to {form}", [x]) for x in (row, column)
            )
        factors = [row.type, column.type]
        taken = [total, row, column] if self.accumulates else [row, column]
        callee = builder.intrinsic(self.calls[lanes], type, [type, *factors] if self.accumulates else factors)
        arguments = ", ".join(f"{x.type} {{{n}}}" for n, x in enumerate(taken))
        result = builder.pure(type, f"call {type} {callee}({arguments})", taken)
        if self.accumulates:
            return result
        return builder.pure(type, f"add {type} {{0}}, {{1}}", [total, result])


@dataclass(frozen=True)
class Widened(Leaf):
    """One product a lane, of factors that were widened where they were copied and packed."""

    def add(
        self, scalars: Scalars, total: Register, row: Register, columns: Sequence[Register], lanes: int
    ) -> Register:
        (column,) = columns
        return scalars.fma(row, column, total)


@dataclass(frozen=True)
class Signed(Leaf):
    """Products of unsigned columns and signed rows in 16-bit sums of two, which 127 * 127 * 2 and 128 * -128 * 2 don't
    pass: so columns are magnitudes, and where they are negative rows are turned round, x to -1 - x."""

    def add(
        self, scalars: Scalars, total: Register, row: Register, columns: Sequence[Register], lanes: int
    ) -> Register:
        builder, (size, mask) = scalars.b, columns
        turned = builder.pure(row.type, f"xor {row.type} {{0}}, {{1}}", [row, mask])
        pairs = vector_type("i16", lanes * 2)
        callee = builder.intrinsic(self.calls[lanes], pairs, [row.type, row.type])
        sums = builder.pure(
            pairs, f"call {pairs} {callee}({row.type} {{0}}, {row.type} {{1}})", [size, turned]
        )
        return _PAIRS.add(scalars, total, sums, [scalars.constant(1, i16, lanes * 2)], lanes)


def _all(*names: str) -> frozenset[str]:
    return frozenset(names)


_PAIRS = Leaf(
    2,
    {4: _all("sse2"), 8: _all("avx2"), 16: _all("avx512bw")},
    row=i16,
    column=i16,
    calls={4: "llvm.x86.sse2.pmadd.wd", 8: "llvm.x86.avx2.pmadd.wd", 16: "llvm.x86.avx512.pmaddw.d.512"},
)
_SIGNS = Signed(
    4,
    {8: _all("avx2")},
    row=i8,
    column=u8,
    calls={8: "llvm.x86.avx2.pmadd.ub.sw"},
    signs=True,
)
_EVERY = {4: _all(), 8: _all(), 16: _all()}
LEAVES: dict[str, Leaf] = {
    "tiles_i8": Leaf(4, {16: _all("amx-tile", "amx-int8")}),
    "tiles_bf16": Leaf(2, {16: _all("amx-tile", "amx-bf16")}, form="bfloat"),
    "dots": Leaf(
        4,
        {8: _all("avxvnni"), 16: _all("avx512vnni")},
        row=u8,
        calls={8: "llvm.x86.avx512.vpdpbusd.256", 16: "llvm.x86.avx512.vpdpbusd.512"},
        accumulates=True,
    ),
    "pairs": _PAIRS,
    "words": _PAIRS,
    "signs": _SIGNS,
    "signs_u8": _SIGNS,
    "pairs_bf16": Leaf(
        2,
        {16: _all("avx512bf16")},
        calls={16: "llvm.x86.avx512bf16.dpbf16ps.512"},
        accumulates=True,
        form="bfloat",
    ),
    "widened": Widened(1, _EVERY, row=f32, column=f32, calls=dict.fromkeys(_EVERY, "")),
}
"""By the name of the engine. Pairs of 8-bit values are multiplied as 16-bit ones: exact, whatever their signs."""
