"""Converters by family. A converter's signature is its op's schema; importing this package fills the table."""

from ..table import TABLE
from . import (
    arithmetic,
    attention,
    chance,
    control,
    creation,
    gather,
    layout,
    linear,
    norm,
    parts,
    pool,
    quantised,
    recurrent,
    reductions,
    resize,
    sequences,
    signals,
)

__all__ = [
    "TABLE",
    "arithmetic",
    "attention",
    "chance",
    "control",
    "creation",
    "gather",
    "layout",
    "linear",
    "norm",
    "parts",
    "pool",
    "quantised",
    "recurrent",
    "reductions",
    "resize",
    "sequences",
    "signals",
]
