"""Products with an activation behind them, as ONNX Runtime's optimiser writes them (domain com.microsoft)."""

from collections.abc import Callable, Sequence

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.graph import Value
from ...build import math
from ..table import converter
from .contrib import MICROSOFT
from .linear import conv, gemm

# The numbers that each takes; what is left out keeps the default of its own op.
_ACTIVATIONS: dict[str, Callable[..., Value]] = {
    "": lambda x: x,
    "Relu": lambda x: math.relu(x),
    "Tanh": lambda x: math.tanh(x),
    "Sigmoid": lambda x: math.sigmoid(x),
    "LeakyRelu": lambda x, alpha=0.01: math.leaky_relu(x, alpha=alpha),
    "Clip": lambda x, low, high: math.clip(x, low, high),
    "HardSigmoid": lambda x, alpha=0.2, beta=0.5: math.hard_sigmoid(x, alpha=alpha, beta=beta),
}


def _activated(x: Value, name: str, numbers: Sequence[float]) -> Value:
    if name not in _ACTIVATIONS:
        raise UnsupportedError(
            f"the activation '{name}' is not supported",
            hint=f"it may be: {', '.join(filter(None, _ACTIVATIONS))}",
        )
    return _ACTIVATIONS[name](x, *numbers)


@converter("FusedConv", domain=MICROSOFT)
def fused_conv(
    x,
    w,
    bias=None,
    more=None,
    *,
    activation="",
    activation_params=None,
    auto_pad="NOTSET",
    dilations=None,
    group=1,
    kernel_shape=None,
    pads=None,
    strides=None,
):
    """A convolution, plus another tensor, activated."""
    window = {
        "dilations": dilations,
        "group": group,
        "kernel_shape": kernel_shape,
        "pads": pads,
        "strides": strides,
    }
    y = conv(x, w, bias, auto_pad=auto_pad, **window)
    return _activated(y if more is None else math.add(y, more), activation, activation_params or ())


@converter("FusedGemm", domain=MICROSOFT)
def fused_gemm(
    a,
    b,
    c=None,
    *,
    alpha=1.0,
    beta=1.0,
    transA=0,
    transB=0,
    activation="",
    activation_alpha=None,
    activation_beta=None,
    activation_gamma=None,
):
    """A product, plus another matrix, activated. No activation takes a third number."""
    numbers = [number for number in (activation_alpha, activation_beta) if number is not None]
    return _activated(
        gemm(a, b, c, alpha=alpha, beta=beta, transA=transA, transB=transB), activation, numbers
    )
