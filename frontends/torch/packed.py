"""Packed sequences while a graph is read: rows of different lengths, which torch lays out step after step.

Here they stay padded. A placeholder stands for the packed rows, and another for their counts at each step; both hold
the padded rows and the lengths, and none reaches the IR: only what knows them may take them.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ...compiler.diagnostics import UnsupportedError
from ...compiler.ir.dims import fresh
from ...compiler.ir.graph import Node, Value
from ...compiler.ir.types import TensorType, i64

_ROWS, _COUNTS = "torch.packed_rows", "torch.packed_counts"

FORMS: dict[str, Callable[..., Any]] = {}
"""What ops do with them, by ATen's names and overloads."""


def packed(x: Value, lengths: Value) -> tuple[Value, Value]:
    """The placeholders of x [length, batch, ...] with lengths i64[batch]."""
    return rows_of(x, lengths), Node(_COUNTS, (x, lengths), {}, (TensorType(i64, (fresh(),)),)).result


def rows_of(x: Value, lengths: Value) -> Value:
    """The placeholder of the rows alone."""
    return Node(_ROWS, (x, lengths), {}, (TensorType(x.dtype, (fresh(), *x.shape[2:])),)).result


def padded(placeholder: Value) -> tuple[Value, Value]:
    """The rows [length, batch, ...] and lengths that a placeholder holds."""
    x, lengths = placeholder.node.operands
    assert x is not None
    assert lengths is not None
    return x, lengths


def is_packed(x: Any) -> bool:
    """Whether an argument, or an entry of it, is a placeholder."""
    if isinstance(x, tuple):
        return any(map(is_packed, x))
    return isinstance(x, Value) and x.node.op in (_ROWS, _COUNTS)


def knows_packed(*ops: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register what ops do with placeholders; the parameters are those of the ops' converters."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        FORMS.update(dict.fromkeys(ops, function))
        return function

    return register


def convert_packed(op: str, given: Mapping[str, Any]) -> Any:
    """The results of an op that is given placeholders."""
    if op not in FORMS:
        raise UnsupportedError(
            "packed sequences are not supported by it", hint="pad them first, by pad_packed_sequence"
        )
    return FORMS[op](**given)
