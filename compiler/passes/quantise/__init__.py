"""Post-training quantisation: from a float graph and sample inputs to 8-bit integer arithmetic."""

from . import elementwise, imported, movement, products, rows
from .prepare import PREPARE
from .quantise import Choices, Quantise
from .ranges import METHODS
from .report import LayerError, Report
from .statistics import Runner, interpreted

LOWERINGS_ARE_IN = (elementwise, imported, movement, products, rows)
"""Importing them registers what they lower."""

__all__ = ["METHODS", "PREPARE", "Choices", "LayerError", "Quantise", "Report", "Runner", "interpreted"]
