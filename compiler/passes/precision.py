"""Precisions as passes: what comes after all that every model goes through, and before a target's own rewrites."""

from collections.abc import Callable, Sequence

from ..target.integers import RULES
from .base import Pass, Rewrite
from .narrow import NARROW
from .products import PRODUCTS
from .quantise import PREPARE, Choices, Quantise, Report, Runner
from .quantise.statistics import Arrays

INTEGERS = Rewrite("integers", RULES)
"""What a model has brought as integers with float scales becomes what all 8-bit models are."""


def to_bf16(simplify: Pass) -> tuple[Pass, ...]:
    """Products in bf16."""
    return (PRODUCTS, NARROW, simplify)


def to_int8(
    simplify: Pass,
    samples: Sequence[Arrays],
    choices: Choices,
    runner: Runner,
    tell: Callable[[Report], None],
) -> tuple[Pass, ...]:
    """8-bit integers by post-training quantisation; what stays in floats in bf16 if so chosen."""
    rest = (NARROW, simplify) if choices.rest == "bf16" else ()
    quantise = Quantise(samples, choices, runner, tell, rest)
    return (PRODUCTS, PREPARE, simplify, quantise, INTEGERS, simplify, *rest)
