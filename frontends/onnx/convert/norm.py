"""Normalisations, softmax and dropout."""

import numpy as np

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.dims import product
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import f32
from ...build import math, nn, random, reduce, shape
from ...extents import everywhere, positions
from ...known import known
from ...normalise import axis_of
from ..table import converter
from ..tensors import dtype_of


@converter("BatchNormalization", since=14)
def batch_normalization(x, scale, bias, mean, var, *, epsilon=1e-5, momentum=0.9, training_mode=0):
    if not training_mode:
        return nn.batch_norm(x, *(_as(p, x) for p in (scale, bias, mean, var)), epsilon=epsilon)
    axes = (0, *range(2, x.type.rank))
    wide = math.cast(x, dtype=mean.dtype) if x.dtype != mean.dtype else x
    now = reduce.mean(wide, axes=axes, keepdims=True)
    centred = math.sub(wide, now)
    spread = reduce.mean(math.mul(centred, centred), axes=axes, keepdims=False)
    now = shape.reshape(now, shape=(x.shape[1],))
    y = nn.batch_norm(x, *(_as(p, x) for p in (scale, bias, now, spread)), epsilon=epsilon)
    return y, _moved(mean, now, momentum), _moved(var, spread, momentum)


def _as(parameter: Value, x: Value) -> Value:
    return parameter if parameter.dtype == x.dtype else math.cast(parameter, dtype=x.dtype)


def _moved(old: Value, new: Value, momentum: float) -> Value:
    return math.add(math.mul(old, momentum), math.mul(_as(new, old), 1 - momentum))


@converter("BatchNormalization", since=9)
def batch_normalization_9(x, scale, bias, mean, var, *, epsilon=1e-5, momentum=0.9, call):
    if any(map(call.wants, range(1, 5))):
        raise UnsupportedError(
            "it is written for training (it has more outputs than Y)", hint="export for inference"
        )
    return batch_normalization(x, scale, bias, mean, var, epsilon=epsilon)


@converter("BatchNormalization", since=7)
def batch_normalization_7(x, scale, bias, mean, var, *, epsilon=1e-5, momentum=0.9, spatial=1, call):
    if not spatial:
        raise UnsupportedError(
            "statistics for each position (spatial=0) are not supported", hint="export with opset 9"
        )
    return batch_normalization_9(x, scale, bias, mean, var, epsilon=epsilon, call=call)


@converter("InstanceNormalization", since=6)
def instance_normalization(x, scale, bias, *, epsilon=1e-5):
    return nn.instance_norm(x, scale, bias, epsilon=epsilon)


@converter("LayerNormalization", since=17)
def layer_normalization(x, scale, bias=None, *, axis=-1, epsilon=1e-5, stash_type=1, call):
    axis = axis_of(axis, x.type.rank)
    tail = x.shape[axis:]
    out = nn.layer_norm(x, _tail(scale, tail), _tail(bias, tail), axis=axis, epsilon=epsilon)
    if not call.wants(1) and not call.wants(2):
        return out
    wide = math.cast(x, dtype=dtype_of(stash_type, "its attribute 'stash_type'"))
    axes = tuple(range(axis, x.type.rank))
    mean = reduce.mean(wide, axes=axes)
    centred = math.sub(wide, mean)
    variance = reduce.mean(math.mul(centred, centred), axes=axes)
    return out, mean, math.reciprocal(math.sqrt(math.add(variance, epsilon)))


def _tail(parameter: Value | None, tail) -> Value | None:
    """A scale or bias in the normalised axes' full shape."""
    if parameter is None or parameter.shape == tail:
        return parameter
    return shape.expand(parameter, shape=tail)


@converter("RMSNormalization", since=23)
def rms_normalization(x, scale, *, axis=-1, epsilon=1e-5, stash_type=1):
    axis = axis_of(axis, x.type.rank)
    return nn.rms_norm(x, _tail(scale, x.shape[axis:]), axis=axis, epsilon=epsilon)


@converter("GroupNormalization", since=21)
def group_normalization(x, scale, bias, *, epsilon=1e-5, num_groups, stash_type=1):
    return nn.group_norm(x, scale, bias, groups=num_groups, epsilon=epsilon)


@converter("GroupNormalization", since=18)
def group_normalization_18(x, scale, bias, *, epsilon=1e-5, num_groups):
    """Scale and bias are given for each group here, not for each channel."""
    channels = x.shape[1]

    def spread(p: Value) -> Value:
        columns = shape.reshape(p, shape=(num_groups, 1))
        return shape.reshape(
            shape.expand(columns, shape=(num_groups, channels // num_groups)), shape=(channels,)
        )

    return nn.group_norm(x, spread(scale), spread(bias), groups=num_groups, epsilon=epsilon)


@converter("LRN")
def lrn(x, *, alpha=1e-4, beta=0.75, bias=1.0, size):
    return nn.lrn(x, size=size, alpha=alpha, beta=beta, bias=bias)


@converter("LpNormalization")
def lp_normalization(x, *, axis=-1, p=2):
    axes = (axis_of(axis, x.type.rank),)
    if p == 1:
        length = reduce.sum(math.abs(x), axes=axes)
    else:
        length = math.sqrt(reduce.sum(math.mul(x, x), axes=axes))
    # where the whole vector is 0 the result is 0
    zero = math.eq(length, 0)
    return math.where(zero, math.mul(x, 0), math.div(x, math.where(zero, math.add(length, 1), length)))


@converter("MeanVarianceNormalization", since=9)
def mean_variance_normalization(x, *, axes=(0, 2, 3)):
    axes = tuple(axis_of(axis, x.type.rank) for axis in axes)
    centred = math.sub(x, reduce.mean(x, axes=axes))
    deviation = math.sqrt(reduce.mean(math.mul(centred, centred), axes=axes))
    return math.div(centred, math.add(deviation, 1e-9))


@converter("Softmax", since=13)
def softmax(x, *, axis=-1):
    return nn.softmax(x, axis=axis_of(axis, x.type.rank))


@converter("LogSoftmax", since=13)
def log_softmax(x, *, axis=-1):
    return nn.log_softmax(x, axis=axis_of(axis, x.type.rank))


@converter("Hardmax", since=13)
def hardmax(x, *, axis=-1):
    axis = axis_of(axis, x.type.rank)
    best = reduce.argmax(x, axis=axis, keepdims=True)
    return math.cast(math.eq(positions(x, axis), best), dtype=x.dtype)


def flattened(op):
    """The form before opset 13: the axes from `axis` on are one axis."""

    def convert(x, *, axis=1):
        axis = axis_of(axis, x.type.rank) if axis != x.type.rank else axis
        matrix = shape.reshape(x, shape=(product(x.shape[:axis]), product(x.shape[axis:])))
        return shape.reshape(op(matrix, axis=1), shape=x.shape)

    return convert


for _name, _op in {"Softmax": softmax, "LogSoftmax": log_softmax, "Hardmax": hardmax}.items():
    converter(_name)(flattened(_op))


@converter("Dropout", since=12)
def dropout(x, ratio=None, training=None, *, seed=None, call):
    """Nothing happens in inference; a training mode that is set or comes at run time draws a mask."""
    on = known(training) if training is not None else np.array(False)
    if on is not None and not on.any():
        return (x, everywhere(x)) if call.wants(1) else x
    rate = (
        constant(np.float32(0.5)) if ratio is None else shape.reshape(math.cast(ratio, dtype=f32), shape=())
    )
    drawn = random.uniform(shape=x.shape, dtype=f32, seed=None if seed is None else int(seed))
    kept = math.ge(drawn, rate)
    factor = math.div(constant(np.float32(1)), math.sub(constant(np.float32(1)), rate))
    if on is None:
        switch = shape.reshape(training, shape=())
        kept = math.logical_or(kept, math.logical_not(switch))
        factor = math.where(switch, factor, constant(np.float32(1)))
    scaled = math.mul(x, math.cast(factor, dtype=x.dtype))
    return math.where(kept, scaled, constant(0, x.dtype)), kept


@converter("Dropout", since=7)
def dropout_7(x, *, ratio=0.5, call):
    return (x, everywhere(x)) if call.wants(1) else x
