"""Type rules and stage builders that many ops share: broadcasting, same-type, pointwise stages."""

from collections.abc import Callable
from typing import Any

from ..diagnostics import TypeRuleError
from ..ir.dims import Dim
from ..ir.types import DType, TensorType, boolean
from ..tile.stage import Apply, Expr
from ..tile.writer import Ref, Stages
from .engine import Cost


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


def pointwise(body: Callable[..., Expr]) -> Callable[..., None]:
    """Stages of an elementwise op with numpy broadcasting: `body(*operand elements, **attributes)`."""

    def stages(s: Stages, *operands: Ref | None, **attributes: Any) -> None:
        result = s.results[0]
        index = s.dims(*result.shape)
        elements = [None if operand is None else operand.broadcast(index) for operand in operands]
        s.store(result[index], body(*elements, **attributes))

    return stages


def scalar(name: str, dtype: DType | None = None) -> Callable[..., Expr]:
    """A body that applies one named scalar op to the operands."""

    def body(*elements: Expr, **_: Any) -> Expr:
        return Apply(name, elements, dtype or elements[0].dtype)

    return body
