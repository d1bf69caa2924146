"""Rewrites as data: patterns, rules and the driver that applies them."""

from .driver import Trace, apply
from .pattern import (
    Absent,
    AnyOf,
    As,
    Attr,
    Const,
    Maybe,
    Number,
    Operation,
    Pattern,
    Rest,
    Splat,
    Var,
    uniform,
)
from .rule import Rule, example, sample_graphs

__all__ = [
    "Absent",
    "AnyOf",
    "As",
    "Attr",
    "Const",
    "Maybe",
    "Number",
    "Operation",
    "Pattern",
    "Rest",
    "Rule",
    "Splat",
    "Trace",
    "Var",
    "apply",
    "example",
    "sample_graphs",
    "uniform",
]
