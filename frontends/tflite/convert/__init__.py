"""Converters by family. A converter's signature is its op's schema; importing this package fills the table."""

from ..table import TABLE
from . import (
    arithmetic,
    control,
    integer_arithmetic,
    integer_linear,
    integer_tables,
    layout,
    linear,
    parts,
    reductions,
    resize,
    signals,
)

__all__ = [
    "TABLE",
    "arithmetic",
    "control",
    "integer_arithmetic",
    "integer_linear",
    "integer_tables",
    "layout",
    "linear",
    "parts",
    "reductions",
    "resize",
    "signals",
]
