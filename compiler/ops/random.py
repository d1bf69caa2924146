"""Random numbers: opaque, never folded. The generator is numpy's PCG64; without a seed every run draws afresh."""

from typing import Any

import numpy as np

from ..diagnostics import TypeRuleError
from ..ir.dims import Dim
from ..ir.types import DType, TensorType, f16, f32, f64, i32, i64
from .engine import case, op
from .rules import numbers, only, widen


def _filled_type(*, shape: tuple[Dim, ...], dtype: DType, **_: Any) -> TensorType:
    if not dtype.is_float:
        raise TypeRuleError(f"random numbers are floats, not {dtype}")
    return TensorType(dtype, shape)


@op(
    "random.uniform",
    infer=_filled_type,
    foldable=False,
    samples=(case(shape=(3, 5), dtype=f32, seed=1), case(shape=(), dtype=f64, low=-2.0, high=-1.0)),
)
def uniform(
    *, shape: tuple[Dim, ...], dtype: DType, low: float = 0.0, high: float = 1.0, seed: int | None = None
):
    """Independent values, uniform between low and high."""
    return np.asarray(np.random.default_rng(seed).uniform(low, high, numbers(shape))).astype(dtype.numpy)


@op(
    "random.normal",
    infer=_filled_type,
    foldable=False,
    samples=(case(shape=(4, 2), dtype=f16, seed=7), case(shape=(5,), dtype=f32, mean=3.0, deviation=0.5)),
)
def normal(
    *,
    shape: tuple[Dim, ...],
    dtype: DType,
    mean: float = 0.0,
    deviation: float = 1.0,
    seed: int | None = None,
):
    """Independent values, normal with the mean and standard deviation given."""
    return np.asarray(np.random.default_rng(seed).normal(mean, deviation, numbers(shape))).astype(dtype.numpy)


def _bernoulli_type(p: TensorType, *, dtype: DType, seed: int | None) -> TensorType:
    return p.with_dtype(dtype)


@op(
    "random.bernoulli",
    infer=only(("float",), _bernoulli_type),
    foldable=False,
    samples=(case(("f32[3, 4]", 0, 1), dtype=f32, seed=3), case(("f16[]", 0, 1), dtype=i64)),
)
def bernoulli(p, *, dtype: DType, seed: int | None = None):
    """1 with probability p, else 0, for each element."""
    return np.asarray(np.random.default_rng(seed).uniform(size=p.shape) < widen(p)).astype(dtype.numpy)


def _multinomial_type(x: TensorType, *, dtype: DType, size: int, seed: int | None) -> TensorType:
    if x.rank != 2 or dtype not in (i32, i64):
        raise TypeRuleError(f"multinomial takes [batch, classes] to i32 or i64, got {x} and {dtype}")
    return TensorType(dtype, (x.shape[0], size))


@op(
    "random.multinomial",
    infer=only(("float",), _multinomial_type),
    foldable=False,
    samples=(case("f32[3, 4]", dtype=i64, size=5, seed=3), case("f16[1, 9]", dtype=i32, size=1)),
)
def multinomial(x, *, dtype: DType, size: int, seed: int | None = None):
    """`size` class numbers drawn for each row of x [batch, classes], which holds unnormalised log probabilities."""
    weights = x.astype(np.float64)
    rising = np.cumsum(np.exp(weights - weights.max(1, keepdims=True)), 1)
    drawn = np.random.default_rng(seed).uniform(size=(x.shape[0], size, 1)) * rising[:, None, -1:]
    return np.sum(drawn >= rising[:, None, :], 2).astype(dtype.numpy)
