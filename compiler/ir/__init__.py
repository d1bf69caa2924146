"""The graph IR: whole tensors in typed, located SSA form. Ops are declared in `compiler/ops`."""

from .dims import Dim, Expr, symbol
from .graph import Graph, Node, Tensor, Value, constant, graph_input
from .location import Location, at, here
from .types import DTYPES, DType, OptionalType, SequenceType, TensorType, Type, dtype_of

__all__ = [
    "DTYPES",
    "DType",
    "Dim",
    "Expr",
    "Graph",
    "Location",
    "Node",
    "OptionalType",
    "SequenceType",
    "Tensor",
    "TensorType",
    "Type",
    "Value",
    "at",
    "constant",
    "dtype_of",
    "graph_input",
    "here",
    "symbol",
]
