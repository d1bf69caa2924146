"""Random numbers. The standard fixes distributions and not generators, so values differ from other runtimes'."""

import struct

from ....compiler.ir.types import DType, f32
from ...build import random
from ..table import converter
from ..tensors import dtype_of


def _seed(seed: float | None) -> int | None:
    """The generator's seed from the file's float: its value where that is whole, else its bits."""
    if seed is None:
        return None
    return int(seed) if seed >= 0 and seed == int(seed) else struct.unpack("<I", struct.pack("<f", seed))[0]


def _dtype(number: int | None, default: DType) -> DType:
    return default if number is None else dtype_of(number, "its attribute 'dtype'")


@converter("RandomNormal")
def random_normal(*, dtype=1, mean=0.0, scale=1.0, seed=None, shape):
    return random.normal(shape=shape, dtype=_dtype(dtype, f32), mean=mean, deviation=scale, seed=_seed(seed))


@converter("RandomNormalLike")
def random_normal_like(x, *, dtype=None, mean=0.0, scale=1.0, seed=None):
    return random.normal(
        shape=x.shape, dtype=_dtype(dtype, x.dtype), mean=mean, deviation=scale, seed=_seed(seed)
    )


@converter("RandomUniform")
def random_uniform(*, dtype=1, high=1.0, low=0.0, seed=None, shape):
    return random.uniform(shape=shape, dtype=_dtype(dtype, f32), low=low, high=high, seed=_seed(seed))


@converter("RandomUniformLike")
def random_uniform_like(x, *, dtype=None, high=1.0, low=0.0, seed=None):
    return random.uniform(shape=x.shape, dtype=_dtype(dtype, x.dtype), low=low, high=high, seed=_seed(seed))


@converter("Bernoulli", since=15)
def bernoulli(p, *, dtype=None, seed=None):
    return random.bernoulli(p, dtype=_dtype(dtype, p.dtype), seed=_seed(seed))


@converter("Multinomial", since=7)
def multinomial(x, *, dtype=6, sample_size=1, seed=None):
    return random.multinomial(x, dtype=_dtype(dtype, f32), size=sample_size, seed=_seed(seed))
