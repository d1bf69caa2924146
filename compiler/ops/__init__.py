"""The ops: `engine` declares them, the family modules hold them, `interpret` runs graphs by their numpy meaning.

Importing this package registers every family.
"""

from . import attention, contract, math, norm, pool
from .engine import REGISTRY, Op, get, op

__all__ = ["REGISTRY", "Op", "attention", "contract", "get", "math", "norm", "op", "pool"]
