"""The ops: `engine` declares them, the family modules hold them, `interpret` runs graphs by their numpy meaning.

Importing this package registers every family.
"""

from . import activation, attention, contract, convolution, math, norm, pool, reduce, shape
from .engine import REGISTRY, Op, get, op

__all__ = [
    "REGISTRY",
    "Op",
    "activation",
    "attention",
    "contract",
    "convolution",
    "get",
    "math",
    "norm",
    "op",
    "pool",
    "reduce",
    "shape",
]
