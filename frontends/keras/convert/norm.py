"""Normalisations, scales and offsets."""

from collections.abc import Sequence

import numpy as np

from ....compiler.diagnostics import ModelError, UnsupportedError
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import f32
from ...build import math, nn, reduce, shape
from ...normalise import axes_of
from ..table import layer
from .activations import number


def named(arrays: Sequence[Value], *wanted: bool) -> list[Value | None]:
    """A layer's arrays, None in the places of those that it does without."""
    rest = iter(arrays)
    if len(arrays) != sum(wanted):
        raise ModelError(f"it has {len(arrays)} arrays, its configuration asks for {sum(wanted)}")
    return [next(rest) if flag else None for flag in wanted]


def single_axis(axis, x: Value) -> int:
    """The one axis that a configuration names."""
    axes = axes_of((axis,) if isinstance(axis, int) else tuple(axis), x.type.rank, "axis")
    if len(axes) != 1:
        raise UnsupportedError(f"it normalises along the axes {list(axes)}", hint="use one axis")
    return axes[0]


def _along(c: Value, axis: int, x: Value) -> Value:
    """A vector as a tensor that broadcasts along one axis of x."""
    return shape.reshape(c, shape=tuple(c.shape[0] if n == axis else 1 for n in range(x.type.rank)))


@layer("BatchNormalization")
def batch_norm(x, *arrays, axis=(-1,), epsilon=1e-3, center=True, scale=True):
    """By the statistics of training."""
    gamma, beta, mean, variance = named(arrays, scale, center, True, True)
    assert mean is not None
    assert variance is not None
    at, channels = single_axis(axis, x), mean.shape
    gamma = constant(np.ones(channels, np.float32)) if gamma is None else gamma
    beta = constant(np.zeros(channels, np.float32)) if beta is None else beta
    rank = x.type.rank
    perm = (0, at, *(n for n in range(1, rank) if n != at))
    moved = x if at == 1 else shape.transpose(x, perm=perm)
    out = nn.batch_norm(moved, gamma, beta, mean, variance, epsilon=epsilon)
    return out if at == 1 else shape.transpose(out, perm=tuple(perm.index(n) for n in range(rank)))


@layer("LayerNormalization")
def layer_norm(x, *arrays, axis=(-1,), epsilon=1e-3, center=True, scale=True, rms_scaling=False):
    rank = x.type.rank
    axes = sorted(axes_of((axis,) if isinstance(axis, int) else axis, rank, "axis"))
    gamma, beta = named(arrays, scale or rms_scaling, center and not rms_scaling)
    perm = (*(n for n in range(rank) if n not in axes), *axes)
    moved, first = shape.transpose(x, perm=perm), rank - len(axes)
    if rms_scaling:
        out = nn.rms_norm(moved, gamma, axis=first, epsilon=epsilon)
    else:
        out = nn.layer_norm(moved, gamma, beta, axis=first, epsilon=epsilon)
    return shape.transpose(out, perm=tuple(map(perm.index, range(rank))))


@layer("RMSNormalization")
def rms_norm(x, gamma, *, axis=(-1,), epsilon=1e-6):
    if single_axis(axis, x) != x.type.rank - 1:
        raise UnsupportedError("it normalises an inner axis", hint="normalise the last axis")
    return nn.rms_norm(x, gamma, axis=x.type.rank - 1, epsilon=epsilon)


@layer("GroupNormalization")
def group_norm(x, *arrays, groups=32, axis=(-1,), epsilon=1e-3, center=True, scale=True):
    gamma, beta = named(arrays, scale, center)
    at, rank = single_axis(axis, x), x.type.rank
    perm = (0, at, *(n for n in range(1, rank) if n != at))
    moved = shape.transpose(x, perm=perm)
    channels = moved.shape[1]
    gamma = constant(np.ones(channels, np.float32)) if gamma is None else gamma
    beta = constant(np.zeros(channels, np.float32)) if beta is None else beta
    count = channels if groups == -1 else groups
    out = nn.group_norm(moved, gamma, beta, groups=count, epsilon=epsilon)
    return shape.transpose(out, perm=tuple(perm.index(n) for n in range(rank)))


@layer("UnitNormalization")
def unit_norm(x, *, axis=(-1,)):
    axes = axes_of((axis,) if isinstance(axis, int) else axis, x.type.rank, "axis")
    total = reduce.sum(math.mul(x, x), axes=axes, keepdims=True)
    return math.div(x, math.sqrt(math.max(total, number(1e-12, x))))


@layer("Rescaling")
def rescaling(x, *, scale=(1.0,), offset=(0.0,)):
    """Numbers, or one for each channel."""
    x = x if x.dtype.is_float else math.cast(x, dtype=f32)
    return math.add(math.mul(x, number(scale, x)), number(offset, x))


@layer("Normalization")
def normalization(x, *arrays, axis=(-1,), mean=None, variance=None, invert=False):
    """(x - mean) / max(sqrt(variance), 1e-7), the statistics given or learnt; the third array counts samples."""
    x = x if x.dtype.is_float else math.cast(x, dtype=f32)
    if mean is None:
        if len(arrays) < 2:
            raise ModelError(
                "it has neither statistics nor arrays of them", hint="adapt the layer before saving"
            )
        centre, spread = arrays[0], arrays[1]
    else:
        centre, spread = number(mean, x), number(variance, x)
    axes = () if axis is None else axes_of((axis,) if isinstance(axis, int) else axis, x.type.rank, "axis")
    if centre.type.rank == 1 and len(axes) == 1:
        centre, spread = _along(centre, axes[0], x), _along(spread, axes[0], x)
    deviation = math.max(math.sqrt(spread), number(1e-7, x))
    if invert:
        return math.add(math.mul(x, deviation), centre)
    return math.div(math.sub(x, centre), deviation)


@layer("LayerScale")
def layer_scale(x, gamma, *, init_values=None, projection_dim=None):
    """ConvNeXt's scale of a branch."""
    return math.mul(x, gamma)
