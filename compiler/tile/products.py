"""Which stages an array of multipliers can do: sums of products of two operands, their dims by role.

A dim of both operands and the result is batch, of one operand and the result a row (m) or a column (n), of both
operands and not of the result part of the sum (k). Casts of the factors belong to the product: an array multiplies
narrow values into wide sums.
"""

from collections.abc import Sequence

from ...runtime.records import dataclass
from .access_maps import factor, strides
from .stage import CONSTANT, PARALLEL, REDUCE, Access, Affine, Apply, Kernel, Stage


@dataclass(frozen=True, slots=True)
class Product:
    """A stage as sum over k of rows[m, k] * columns[k, n]; names of dims in the stage's order.

    `lane` is the column dim that goes along the array's columns: the innermost one of the result.
    """

    rows: Access
    columns: Access
    batch: tuple[str, ...]
    m: tuple[str, ...]
    n: tuple[str, ...]
    k: tuple[str, ...]
    lane: str
    type: str


def product(kernel: Kernel, stage: Stage, types: Sequence[str]) -> Product | None:
    """The stage as a product of one of the given types ("i8*i8+i32"), or None.

    The columns are the operand that has the result's innermost dim; of two such ways the one with constant columns.
    """
    body = stage.body
    if stage.combine != "sum" or not isinstance(body, Apply) or body.op != "mul" or stage.repair is not None:
        return None
    factors = [factor(argument) for argument in body.arguments]
    if None in factors:
        return None
    (left, right) = factors
    assert left is not None
    assert right is not None
    type = f"{left.dtype}*{right.dtype}+{body.dtype}"
    if type not in types or any(not isinstance(p, Affine) for f in (left, right) for p in f.access.index):
        return None
    found = [
        each
        for a, b in ((left, right), (right, left))
        if (each := _roles(stage, a.access, b.access, type)) is not None
    ]
    found.sort(key=lambda each: kernel.buffer(each.columns.buffer).role != CONSTANT)
    streamed = [each for each in found if _streams(kernel, stage, each)]
    return streamed[0] if streamed else None


def _roles(stage: Stage, rows: Access, columns: Access, type: str) -> Product | None:
    a, b = set(rows.dims), set(columns.dims)
    parallel = [d.name for d in stage.kind(PARALLEL)]
    k = tuple(d.name for d in stage.kind(REDUCE))
    n = tuple(name for name in parallel if name in b and name not in a)
    if not n or not set(k) <= a or not set(k) <= b or columns.fill is not None:
        return None
    if any(isinstance(part, Affine) and part.terms and part.single is None for part in columns.index):
        return None  # of several groups at once: what is packed has one dim an axis
    batch = tuple(name for name in parallel if name in a and name in b)
    m = tuple(name for name in parallel if name in a and name not in b)
    written = [name for part in stage.write.index for name in getattr(part, "dims", ())]
    lane = next((name for name in reversed(written) if name in n), n[-1])
    return Product(rows, columns, batch, m, n, k, lane, type)


def _streams(kernel: Kernel, stage: Stage, found: Product) -> bool:
    """Whether columns lie side by side where they are read, or will: constants are packed."""
    return kernel.buffer(found.columns.buffer).role == CONSTANT or any(
        strides(kernel, found.columns, name) == 1 for name in found.n
    )
