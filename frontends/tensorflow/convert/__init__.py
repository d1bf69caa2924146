"""Converters by family. A converter's signature is its op's schema; importing this package fills the table."""

from ..table import TABLE
from . import control, elementwise, gather, images, layout, linear, lists, pool, reductions, segments, slices

__all__ = [
    "TABLE",
    "control",
    "elementwise",
    "gather",
    "images",
    "layout",
    "linear",
    "lists",
    "pool",
    "reductions",
    "segments",
    "slices",
]
