"""Converters by family. A converter's signature is its op's schema; importing this package fills the table."""

from ..table import TABLE
from . import arithmetic, gather, layout, linear, norm, pool, reductions

__all__ = ["TABLE", "arithmetic", "gather", "layout", "linear", "norm", "pool", "reductions"]
