"""The ops: `engine` declares them, the family modules hold them, `interpret` runs graphs by their numpy meaning.

Importing this package registers every family.
"""

from . import (
    activation,
    attention,
    contract,
    control,
    convolution,
    dynamic,
    gather,
    grid_sample,
    math,
    norm,
    pool,
    quant,
    random,
    reduce,
    resize,
    rnn,
    sequence,
    shape,
    tiles,
)
from .engine import REGISTRY, Op, get, op

__all__ = [
    "REGISTRY",
    "Op",
    "activation",
    "attention",
    "contract",
    "control",
    "convolution",
    "dynamic",
    "gather",
    "get",
    "grid_sample",
    "math",
    "norm",
    "op",
    "pool",
    "quant",
    "random",
    "reduce",
    "resize",
    "rnn",
    "sequence",
    "shape",
    "tiles",
]
