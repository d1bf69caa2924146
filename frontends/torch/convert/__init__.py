"""Converters by family. A converter's signature is its op's schema; importing this package fills the table."""

from ..table import TABLE
from . import (
    activations,
    arithmetic,
    attention,
    control,
    creation,
    indexing,
    layout,
    linear,
    norm,
    parts,
    pooling,
    quantised,
    recurrent,
    reductions,
    resize,
    sizes,
)

__all__ = [
    "TABLE",
    "activations",
    "arithmetic",
    "attention",
    "control",
    "creation",
    "indexing",
    "layout",
    "linear",
    "norm",
    "parts",
    "pooling",
    "quantised",
    "recurrent",
    "reductions",
    "resize",
    "sizes",
]
