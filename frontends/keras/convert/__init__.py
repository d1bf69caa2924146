"""Converters by family. A converter's signature is its layer's configuration; importing this fills the table."""

from ..table import TABLE
from . import (
    activations,
    attention,
    dense,
    images,
    merging,
    norm,
    operations,
    pool,
    recurrent,
    reductions,
    shapes,
    wrappers,
)

__all__ = [
    "TABLE",
    "activations",
    "attention",
    "dense",
    "images",
    "merging",
    "norm",
    "operations",
    "pool",
    "recurrent",
    "reductions",
    "shapes",
    "wrappers",
]
