"""Converters by family. A converter's signature is its op's schema; importing this package fills the table."""

from ..table import TABLE
from . import arithmetic, attention, gather, layout, linear, norm, pool, reductions, resize

__all__ = [
    "TABLE",
    "arithmetic",
    "attention",
    "gather",
    "layout",
    "linear",
    "norm",
    "pool",
    "reductions",
    "resize",
]
