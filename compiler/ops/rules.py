"""Type rules and stage builders that many ops share: broadcasting, same-type, pointwise stages."""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from ..diagnostics import TypeRuleError
from ..ir.dims import Dim
from ..ir.types import DType, TensorType, boolean, dtype_of, f32, i64
from ..tile.stage import Apply, Const, Expr
from ..tile.writer import Ref, Stages
from .engine import Cost

NUMBERS = ("float", "int", "uint")
"""The dtype kinds that have an order and wrap or round: all but bool, complex and string."""


def wide(dtype: DType) -> DType:
    """The dtype that values of `dtype` are computed in: f32 for the floats narrower than it, else `dtype`.

    This is the rule for all ops: f16, bf16, fp8 and fp4 operands are widened to f32, and a result is rounded once.
    """
    return f32 if dtype.is_float and dtype.bits < 32 else dtype


def widen(x: np.ndarray) -> np.ndarray:
    """The array in the dtype that it is computed in."""
    return x.astype(wide(dtype_of(x.dtype)).numpy, copy=False)


def only(kinds: Sequence[str], rule: Callable[..., Any]) -> Callable[..., Any]:
    """`rule`, for operands whose dtype is of one of `kinds`."""

    def infer(*operands: TensorType | None, **attributes: Any) -> Any:
        for operand in operands:
            if operand is not None and operand.dtype.kind not in kinds:
                raise TypeRuleError(
                    f"an operand is {operand}, expected a dtype of kind {' or '.join(kinds)}",
                    hint="insert a cast",
                )
        return rule(*operands, **attributes)

    return infer


def same_type(position: int = 0) -> Callable[..., TensorType]:
    """The result has the type of one operand."""

    def infer(*operands: TensorType | None, **_: Any) -> TensorType:
        operand = operands[position]
        assert operand is not None
        return operand

    return infer


def broadcast_shapes(*shapes: tuple[Dim, ...]) -> tuple[Dim, ...]:
    """Numpy broadcasting over dims that may be symbolic; a symbol meets 1 or itself, else it is refused."""
    rank = max(map(len, shapes), default=0)
    out: list[Dim] = []
    for axis in range(rank):
        dim: Dim = 1
        for shape in shapes:
            position = axis - rank + len(shape)
            here: Dim = shape[position] if position >= 0 else 1
            if dim == 1:
                dim = here
            elif here != 1 and here != dim:
                # a symbol against a known extent greater than 1 must be that extent (or 1) at run time
                if isinstance(dim, int) and isinstance(here, int):
                    listed = " and ".join(f"[{', '.join(map(str, s))}]" for s in shapes)
                    raise TypeRuleError(f"shapes {listed} do not broadcast")
                dim = dim if isinstance(dim, int) else here
        out.append(dim)
    return tuple(out)


def broadcast(*operands: TensorType | None, **_: Any) -> TensorType:
    """All operands have one dtype and broadcast; the result has that dtype."""
    present = [operand for operand in operands if operand is not None]
    dtype = same_dtype(*present)
    return TensorType(dtype, broadcast_shapes(*(operand.shape for operand in present)))


def compare(*operands: TensorType | None, **_: Any) -> TensorType:
    """As `broadcast`, with a bool result."""
    return broadcast(*operands).with_dtype(boolean)


def same_dtype(*operands: TensorType) -> DType:
    """The dtype that all operands share."""
    dtypes = dict.fromkeys(operand.dtype for operand in operands)
    if len(dtypes) != 1:
        raise TypeRuleError(
            f"operands have different dtypes: {', '.join(map(str, dtypes))}", hint="insert a cast"
        )
    return next(iter(dtypes))


def differ(a: Dim, b: Dim) -> bool:
    """Whether two extents are known to be different; symbols may turn out to be equal."""
    difference = a - b
    return isinstance(difference, int) and difference != 0


def check_axis(axis: int, rank: int, name: str = "axis") -> None:
    """Refuses an axis that is not 0 <= axis < rank: inside the IR axes count from the front."""
    if not 0 <= axis < rank:
        raise TypeRuleError(f"'{name}' is {axis}, expected 0 to {rank - 1} for rank {rank}")


def normalise_axis(axis: int, rank: int) -> int:
    """A possibly negative axis as 0 <= axis < rank."""
    if not -rank <= axis < rank:
        raise TypeRuleError(f"axis {axis} is out of range for rank {rank}")
    return axis % rank


def per_element(operations: int) -> Callable[..., Cost]:
    """Cost of an elementwise op: so many scalar operations per result element."""

    def cost(results: tuple[TensorType, ...], *_: Any, **__: Any) -> Cost:
        return Cost(operations=results[0].elements * operations)

    return cost


def pointwise(body: Callable[..., Expr], widened: bool = True) -> Callable[..., None]:
    """Stages of an elementwise op with numpy broadcasting: `body(*operand elements, **attributes)`.

    Elements come in the dtype that they are computed in (see `wide`), unless `widened` is False.
    """

    def stages(s: Stages, *operands: Ref | None, **attributes: Any) -> None:
        result = s.results[0]
        index = s.dims(*result.shape)
        elements: list[Expr | None] = []
        for operand in operands:
            element = None if operand is None else operand.broadcast(index)
            elements.append(element.cast(wide(element.dtype)) if element is not None and widened else element)
        s.store(result[index], body(*elements, **attributes))

    return stages


def numbers(dims: Sequence[Dim]) -> tuple[int, ...]:
    """Dimensions as ints, for a numpy meaning: ValueError if the interpreter has not bound a symbol."""
    for dim in dims:
        if not isinstance(dim, int):
            raise ValueError(f"the dimension {dim} is not known")
    return tuple(dims)  # type: ignore[arg-type]


def extent_value(s: Stages, ref: Ref, axis: int) -> Expr:
    """An extent as an i64 value; a symbolic one, which no expression can name, as its last index plus 1."""
    extent = ref.shape[axis]
    if isinstance(extent, int):
        return Const(extent, i64)
    (d,) = s.reduce(extent)
    return s.total("max", s.index(d), ()) + 1


def every(*flags: Expr) -> Expr:
    """Whether all of some conditions hold."""
    return reduce(lambda a, b: Apply("and", (a, b), boolean), flags)


def scalar(name: str, dtype: DType | None = None) -> Callable[..., Expr]:
    """A body that applies one named scalar op to the operands."""

    def body(*elements: Expr, **_: Any) -> Expr:
        return Apply(name, elements, dtype or elements[0].dtype)

    return body
