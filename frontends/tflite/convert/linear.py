"""Contractions and pooling on floats. Images come as [N, H, W, C] and are computed as the IR's [N, C, H, W]."""

from collections.abc import Callable, Sequence
from typing import Any

from ....compiler.diagnostics import ModelError, UnsupportedError
from ....compiler.ir.dims import Dim, product
from ....compiler.ir.graph import Value
from ....runtime.records import dataclass
from ...build import math, nn, shape
from ...driver import Converter
from ...known import dims
from ...normalise import channels_first, channels_last, same_pads
from ..activation import activated
from ..schema import Operator
from ..table import converter


@dataclass(frozen=True, slots=True)
class Window:
    """Kernel extents, strides, dilations and pads (begins, then ends) of a window op, one an axis."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]

    @staticmethod
    def of(
        extents: Sequence[Dim],
        kernel: Sequence[Dim],
        strides: Sequence[int],
        dilations: Sequence[int],
        padding: str,
    ) -> "Window":
        if not all(isinstance(k, int) for k in kernel):
            raise ModelError("the extents of its window are not fixed")
        fixed = tuple(k for k in kernel if isinstance(k, int))
        pads = (0,) * (2 * len(fixed))
        if padding == "SAME":
            pads = same_pads(extents, fixed, strides, dilations, upper=True)
        return Window(fixed, tuple(strides), tuple(dilations), pads)

    @property
    def convolution(self) -> dict[str, Any]:
        """The attributes of a convolution, whose weight states the kernel."""
        return {"strides": self.strides, "pads": self.pads, "dilations": self.dilations}

    @property
    def pooling(self) -> dict[str, Any]:
        return {"kernel": self.kernel, **self.convolution}


def depthwise_weight(w: Value, channels: Dim) -> tuple[Value, int]:
    """[1, H, W, C * M] as [C * M, 1, H, W], and the number of groups, which is C."""
    if not isinstance(channels, int) or w.shape[3] % channels:
        raise ModelError(f"its weight {w.type} does not fit an input of {channels} channels")
    return shape.transpose(w, perm=(3, 0, 1, 2)), channels


def groups_of(x: Value, w: Value) -> int:
    """A weight with a part of the input's channels convolves in groups."""
    inputs, each = x.shape[3], w.shape[3]
    if not isinstance(inputs, int) or not isinstance(each, int) or not each or inputs % each:
        raise ModelError(f"its weight {w.type} does not fit its input {x.type}")
    return inputs // each


def register_convolutions(
    register: Callable[..., Callable[[Converter], Converter]],
    convolved: Callable[[Value, Value, Value | None, Window, int, str, Operator], Value],
) -> None:
    """CONV_2D and DEPTHWISE_CONV_2D, given what convolves x with a weight [O, I/groups, H, W]: floats or integers."""

    @register("CONV_2D", newest=8)
    def conv_2d(
        x,
        w,
        bias=None,
        *,
        padding,
        stride_w,
        stride_h,
        dilation_w_factor=1,
        dilation_h_factor=1,
        fused_activation_function="NONE",
        quantized_bias_type=0,
        call,
    ):
        dilations = (dilation_h_factor, dilation_w_factor)
        window = Window.of(x.shape[1:3], w.shape[1:3], (stride_h, stride_w), dilations, padding)
        weight, groups = channels_first(w), groups_of(x, w)
        return convolved(x, weight, bias, window, groups, fused_activation_function, call.node.origin)

    @register("DEPTHWISE_CONV_2D", newest=7)
    def depthwise_conv_2d(
        x,
        w,
        bias=None,
        *,
        padding,
        stride_w,
        stride_h,
        depth_multiplier=1,
        dilation_w_factor=1,
        dilation_h_factor=1,
        fused_activation_function="NONE",
        call,
    ):
        dilations = (dilation_h_factor, dilation_w_factor)
        window = Window.of(x.shape[1:3], w.shape[1:3], (stride_h, stride_w), dilations, padding)
        weight, groups = depthwise_weight(w, x.shape[3])
        return convolved(x, weight, bias, window, groups, fused_activation_function, call.node.origin)


def _convolved(
    x: Value, w: Value, bias: Value | None, window: Window, groups: int, activation: str, origin: Operator
) -> Value:
    y = nn.conv(channels_first(x), w, bias, groups=groups, **window.convolution)
    return activated(channels_last(y), activation)


register_convolutions(converter, _convolved)


@converter("CONV_3D")
def conv_3d(
    x,
    w,
    bias=None,
    *,
    padding,
    stride_d,
    stride_w,
    stride_h,
    dilation_d_factor=1,
    dilation_w_factor=1,
    dilation_h_factor=1,
    fused_activation_function="NONE",
):
    """The weight is [D, H, W, in, out]."""
    strides = (stride_d, stride_h, stride_w)
    dilations = (dilation_d_factor, dilation_h_factor, dilation_w_factor)
    window = Window.of(x.shape[1:4], w.shape[:3], strides, dilations, padding)
    y = nn.conv(
        channels_first(x), shape.transpose(w, perm=(4, 3, 0, 1, 2)), bias, groups=1, **window.convolution
    )
    return activated(channels_last(y), fused_activation_function)


def transposed_pads(
    output: Value, w: Value, x: Value, strides: Sequence[int], padding: str
) -> tuple[int, ...]:
    """Pads of a transposed convolution with a stated result [N, H, W, C]: those of the forward one.

    Where the windows do not reach the end of the result, the end pad is negative.
    """
    known = dims(output)
    if known is None:
        raise UnsupportedError("its output shape is known only at run time", hint="make it a constant")
    extents = known[1:3]
    window = Window.of(extents, w.shape[1:3], strides, (1, 1), padding)
    reach = [(n - 1) * s + k for n, s, k in zip(x.shape[1:3], strides, window.kernel, strict=True)]
    begins = window.pads[:2]
    ends = [full - before - extent for full, before, extent in zip(reach, begins, extents, strict=True)]
    if not all(isinstance(end, int) for end in ends):
        raise UnsupportedError(
            f"its padding depends on the extents of {x.type}", hint="fix them with shapes="
        )
    return (*begins, *ends)  # type: ignore[arg-type]


@converter("TRANSPOSE_CONV", newest=5)
def transpose_conv(
    output,
    w,
    x,
    bias=None,
    *,
    padding,
    stride_w,
    stride_h,
    fused_activation_function="NONE",
    quantized_bias_type=0,
):
    """The weight is [out, H, W, in]; the result's extents are an operand."""
    strides = (stride_h, stride_w)
    pads = transposed_pads(output, w, x, strides, padding)
    y = nn.conv_transpose(
        channels_first(x),
        shape.transpose(w, perm=(3, 0, 1, 2)),
        bias,
        strides=strides,
        pads=tuple(max(pad, 0) for pad in pads),
        dilations=(1, 1),
        output_padding=tuple(max(-pad, 0) for pad in pads[2:]),
    )
    return activated(channels_last(y), fused_activation_function)


@converter("FULLY_CONNECTED", newest=13)
def fully_connected(
    x,
    w,
    bias=None,
    *,
    fused_activation_function="NONE",
    weights_format="DEFAULT",
    keep_num_dims=False,
    asymmetric_quantize_inputs=False,
    quantized_bias_type=0,
):
    rows = rows_of(x, w, weights_format)
    y = nn.matmul(rows, shape.transpose(w, perm=(1, 0)))
    y = y if bias is None else math.add(y, bias)
    return activated(unrowed(y, x, keep_num_dims), fused_activation_function)


def rows_of(x: Value, w: Value, weights_format: str) -> Value:
    """x as rows of what the weight [out, in] takes."""
    if weights_format != "DEFAULT":
        raise UnsupportedError(
            f"weights in the order {weights_format} are not supported", hint="convert it again"
        )
    width = w.shape[1]
    count = product(x.shape[:-1]) if x.shape[-1] == width else product(x.shape) // width
    return x if x.shape == (count, width) else shape.reshape(x, shape=(count, width))


def unrowed(y: Value, x: Value, keep: bool) -> Value:
    """The rows of a result in the shape of the operand."""
    return shape.reshape(y, shape=(*x.shape[:-1], y.shape[-1])) if keep and x.type.rank != 2 else y


@converter("BATCH_MATMUL", newest=5)
def batch_matmul(x, y, *, adj_x=False, adj_y=False, asymmetric_quantize_inputs=False):
    return nn.matmul(turned(x, adj_x), turned(y, adj_y))


def turned(x: Value, turn: bool) -> Value:
    """x with its last two axes exchanged."""
    rank = x.type.rank
    return shape.transpose(x, perm=(*range(rank - 2), rank - 1, rank - 2)) if turn else x


def pool_window(x: Value, padding: str, stride_w, stride_h, filter_width, filter_height) -> Window:
    return Window.of(x.shape[1:3], (filter_height, filter_width), (stride_h, stride_w), (1, 1), padding)


@converter("AVERAGE_POOL_2D", newest=3)
def average_pool_2d(
    x, *, padding, stride_w, stride_h, filter_width, filter_height, fused_activation_function="NONE"
):
    window = pool_window(x, padding, stride_w, stride_h, filter_width, filter_height)
    y = nn.avg_pool(channels_first(x), **window.pooling)
    return activated(channels_last(y), fused_activation_function)


@converter("MAX_POOL_2D", newest=3)
def max_pool_2d(
    x, *, padding, stride_w, stride_h, filter_width, filter_height, fused_activation_function="NONE"
):
    window = pool_window(x, padding, stride_w, stride_h, filter_width, filter_height)
    y = nn.max_pool(channels_first(x), **window.pooling)
    return activated(channels_last(y), fused_activation_function)
