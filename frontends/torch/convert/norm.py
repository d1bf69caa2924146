"""Normalisations, softmax, dropout."""

import numpy as np

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import DType
from ...build import math, nn, reduce, shape
from ...normalise import axis_of
from ..promotion import cast
from ..schema import Dim, Dims
from ..table import converter
from .layout import reshaped

_INFERENCE = "call model.eval() before you export: this op is written for training"


@converter("layer_norm")
def layer_norm(
    input, normalized_shape: Dims, weight=None, bias=None, eps: float = 1e-5, cudnn_enable: bool = True
):
    return nn.layer_norm(input, weight, bias, axis=input.type.rank - len(normalized_shape), epsilon=eps)


@converter("native_layer_norm")
def native_layer_norm(input, normalized_shape: Dims, weight, bias, eps: float):
    """The mean and the reciprocal deviation are results too."""
    axes = tuple(range(input.type.rank - len(normalized_shape), input.type.rank))
    mean = reduce.mean(input, axes=axes)
    centred = math.sub(input, mean)
    variance = reduce.mean(math.mul(centred, centred), axes=axes)
    scale = math.reciprocal(math.sqrt(math.add(variance, eps)))
    return layer_norm(input, normalized_shape, weight, bias, eps), mean, scale


@converter("rms_norm")
def rms_norm(input, normalized_shape: Dims, weight=None, eps: float | None = None):
    epsilon = float(np.finfo(np.float32).eps) if eps is None else eps
    return nn.rms_norm(input, weight, axis=input.type.rank - len(normalized_shape), epsilon=epsilon)


def _channels(parameter: Value | None, x: Value, default: float) -> Value:
    """A parameter of each channel, or what stands for an absent one."""
    if parameter is not None:
        return cast(parameter, x.dtype)
    return shape.expand(constant(default, x.dtype), shape=(x.shape[1],))


@converter("batch_norm")
def batch_norm(
    input,
    weight,
    bias,
    running_mean,
    running_var,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
):
    if training and running_mean is not None:
        raise UnsupportedError("it changes its statistics while it runs", hint=_INFERENCE)
    if running_mean is None or training:
        axes = (0, *range(2, input.type.rank))
        running_mean = reduce.mean(input, axes=axes, keepdims=False)
        line = (1, -1, *(1,) * (input.type.rank - 2))
        centred = math.sub(input, reshaped(running_mean, line))
        running_var = reduce.mean(math.mul(centred, centred), axes=axes, keepdims=False)
    parameters = (_channels(weight, input, 1), _channels(bias, input, 0))
    statistics = (_channels(running_mean, input, 0), _channels(running_var, input, 1))
    return nn.batch_norm(input, *parameters, *statistics, epsilon=eps)


@converter("_native_batch_norm_legit_no_training")
def batch_norm_no_training(input, weight, bias, running_mean, running_var, momentum: float, eps: float):
    empty = constant(np.zeros(0, np.float32))
    return batch_norm(input, weight, bias, running_mean, running_var, False, momentum, eps), empty, empty


@converter("group_norm")
def group_norm(input, num_groups: int, weight=None, bias=None, eps: float = 1e-5, cudnn_enabled: bool = True):
    parameters = (_channels(weight, input, 1), _channels(bias, input, 0))
    return nn.group_norm(input, *parameters, groups=num_groups, epsilon=eps)


@converter("native_group_norm")
def native_group_norm(input, weight, bias, N: Dim, C: Dim, HxW: Dim, group: int, eps: float):
    """The means and reciprocal deviations of the groups are read in training only."""
    return group_norm(input, group, weight, bias, eps), None, None


@converter("instance_norm")
def instance_norm(
    input,
    weight,
    bias,
    running_mean,
    running_var,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
):
    if not use_input_stats:
        return batch_norm(input, weight, bias, running_mean, running_var, False, momentum, eps)
    return nn.instance_norm(input, _channels(weight, input, 1), _channels(bias, input, 0), epsilon=eps)


@converter("_weight_norm")
def weight_norm(v, g, dim: int = 0):
    """The length is that of all of v where dim is -1: torch writes None so."""
    kept = None if dim == -1 else axis_of(dim, v.type.rank, "dim")
    axes = tuple(n for n in range(v.type.rank) if n != kept)
    length = math.sqrt(reduce.sum(math.mul(v, v), axes=axes))
    return math.mul(v, math.div(g, length))


@converter("softmax", "special_softmax", "_safe_softmax")
def softmax(self, dim: int, dtype: DType | None = None):
    x = cast(self, dtype)
    return nn.softmax(x, axis=axis_of(dim, x.type.rank, "dim")) if x.type.rank else math.div(x, x)


@converter("log_softmax")
def log_softmax(self, dim: int, dtype: DType | None = None):
    x = cast(self, dtype)
    return nn.log_softmax(x, axis=axis_of(dim, x.type.rank, "dim"))


@converter("_softmax")
def softmax_only(self, dim: int, half_to_float: bool = False):
    return softmax(self, dim)


@converter("_log_softmax")
def log_softmax_only(self, dim: int, half_to_float: bool = False):
    return log_softmax(self, dim)


@converter("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout")
def dropout(input, p: float, train: bool):
    if train and p > 0:
        raise UnsupportedError("it draws random numbers", hint=_INFERENCE)
    return input


@converter("cosine_similarity")
def cosine_similarity(x1, x2, dim: int = 1, eps: float = 1e-8):
    axes = (axis_of(dim, max(x1.type.rank, x2.type.rank), "dim"),)

    def dot(a: Value, b: Value) -> Value:
        return reduce.sum(math.mul(a, b), axes=axes, keepdims=False)

    lengths = math.mul(math.max(math.sqrt(dot(x1, x1)), eps), math.max(math.sqrt(dot(x2, x2)), eps))
    return math.div(dot(x1, x2), lengths)
