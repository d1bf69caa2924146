"""Rebuilding nodes on other operands. Where an operand's type became better known, so do the types that follow."""

from collections.abc import Sequence
from typing import Any

from ..ir.dims import Dim, Expr, substitute
from ..ir.graph import Graph, Node, Value
from ..ir.location import at
from ..ir.types import TensorType, Type
from ..ops.engine import get


class Renewal:
    """Gives nodes new operands, and remembers which symbols have turned out to be known dimensions."""

    def __init__(self) -> None:
        self.dims: dict[str, Dim] = {}

    def renew(self, node: Node, operands: Sequence[Value | None], regions: Sequence[Graph]) -> Node:
        """The node itself where nothing changed, else one like it, types inferred anew if operands' types changed."""
        if all(a is b for a, b in zip(operands, node.operands, strict=True)) and all(
            a is b for a, b in zip(regions, node.regions, strict=True)
        ):
            return node
        same_types = all(
            a is None or b is None or a.node.types[a.index] == b.node.types[b.index]
            for a, b in zip(operands, node.operands, strict=True)
        )
        # the inputs of regions keep their types, and so must the operands that they stand for
        if same_types or regions:
            return Node(node.op, operands, node.attributes, node.types, regions, node.location)
        attributes = {name: self.settle(value) for name, value in node.attributes.items()}
        with at(node.location):
            inferred = get(node.op).build(operands, attributes)
        types = [self.learn(old, new) for old, new in zip(node.types, inferred.types, strict=True)]
        return Node(node.op, operands, attributes, types, (), node.location)

    def learn(self, old: Type, new: Type) -> Type:
        """The better known of two types of one value."""
        if not isinstance(old, TensorType) or not isinstance(new, TensorType) or old == new:
            return old
        shape = []
        for before, after in zip(old.shape, new.shape, strict=True):
            if before == after or isinstance(before, int) or _is_fresh(after):
                shape.append(before)  # a fresh symbol says nothing that the old one does not
                continue
            shape.append(after)
            name = _name(before)
            if name is not None and "$" in name:
                self.dims[name] = after
        return TensorType(new.dtype, tuple(shape))

    def settle(self, value: Any) -> Any:
        """An attribute with the symbols replaced that have become known."""
        if isinstance(value, tuple):
            return tuple(map(self.settle, value))
        return substitute(value, self.dims) if isinstance(value, Expr) else value


def _name(dim: Dim) -> str | None:
    if isinstance(dim, Expr) and len(dim.terms) == 1:
        (monomial, coefficient), *_ = dim.terms
        if coefficient == 1 and len(monomial) == 1 and isinstance(monomial[0], str):
            return monomial[0]
    return None


def _is_fresh(dim: Dim) -> bool:
    """Whether the dimension is a symbol that an op made up because only data decide it; see `ir.dims.fresh`."""
    name = _name(dim)
    return name is not None and "$" in name
