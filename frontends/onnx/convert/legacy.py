"""Forms of ops that opset 7 changed: one-way broadcasting with an axis, and inference flags.

Opset 6 is read because the oldest models in use are written in it, the onnx package's own suite among them.
"""

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.graph import Value
from ...build import math, shape
from ...normalise import axis_of
from ..table import converter, register
from .linear import gemm
from .norm import batch_normalization, everywhere
from .pool import average_pool

_BINARY = {
    "Add": "add",
    "And": "logical_and",
    "Div": "div",
    "Equal": "eq",
    "Greater": "gt",
    "Less": "lt",
    "Mul": "mul",
    "Or": "logical_or",
    "Pow": "pow",
    "Sub": "sub",
    "Xor": "logical_xor",
}


def aligned(x: Value, y: Value, axis: int | None) -> Value:
    """y in a shape that broadcasts with x when its axes are x's from `axis` on (by default the last ones)."""
    if axis is None or not y.type.rank:
        return y
    axis = axis_of(axis, x.type.rank)
    return shape.reshape(y, shape=(*y.shape, *(1,) * (x.type.rank - axis - y.type.rank)))


def _binary(op):
    def convert(x, y, *, axis=None, broadcast=0):
        return getattr(math, op)(x, aligned(x, y, axis) if broadcast else y)

    return convert


for _name, _op in _BINARY.items():
    register(_name, _binary(_op), since=1)


@converter("PRelu")
def prelu(x, slope):
    return math.prelu(x, aligned(x, slope, 1) if slope.type.rank == 1 and x.type.rank > 1 else slope)


@converter("Gemm")
def gemm_6(a, b, c, *, alpha=1.0, beta=1.0, broadcast=0, transA=0, transB=0):
    return gemm(a, b, c, alpha=alpha, beta=beta, transA=transA, transB=transB)


@converter("AveragePool")
def average_pool_1(x, *, auto_pad="NOTSET", kernel_shape, pads=None, strides=None):
    return average_pool(x, auto_pad=auto_pad, kernel_shape=kernel_shape, pads=pads, strides=strides)


@converter("BatchNormalization", since=6)
def batch_normalization_6(
    x, scale, bias, mean, var, *, epsilon=1e-5, is_test=0, momentum=0.9, spatial=1, call
):
    if not spatial or any(map(call.wants, range(1, 5))):
        raise UnsupportedError("only its inference form with statistics for each channel is supported")
    return batch_normalization(x, scale, bias, mean, var, epsilon=epsilon)


@converter("Dropout", since=6)
def dropout_6(x, *, is_test=0, ratio=0.5, call):
    return (x, everywhere(x)) if call.wants(1) else x
