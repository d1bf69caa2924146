"""Contractions: matrix products, convolutions, einsum. Images come with channels last, or first by `data_format`."""

from collections.abc import Sequence

from ....compiler.diagnostics import ModelError, UnsupportedError
from ....compiler.ir.graph import Value
from ...build import nn, shape
from ...known import dims, ints
from ...normalise import channels_first, channels_last, same_pads
from ..table import converter


@converter("MatMul")
def matmul(a, b, *, transpose_a=False, transpose_b=False, grad_a=False, grad_b=False):
    return batch_matmul(a, b, adj_x=transpose_a, adj_y=transpose_b)


@converter("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3")
def batch_matmul(x, y, *, adj_x=False, adj_y=False, grad_x=False, grad_y=False, Tout=None):
    x, y = (_adjoint(value) if flag else value for value, flag in ((x, adj_x), (y, adj_y)))
    return nn.matmul(x, y)


def _adjoint(x: Value) -> Value:
    if x.dtype.kind == "complex":
        raise UnsupportedError(
            "adjoints of complex matrices are not supported", hint="conjugate them explicitly"
        )
    rank = x.type.rank
    return shape.transpose(x, perm=(*range(rank - 2), rank - 1, rank - 2))


@converter("Einsum")
def einsum(*operands, equation, N=None):
    return nn.einsum(*operands, equation=equation)


def is_last(data_format: str) -> bool:
    """Whether channels stand last."""
    if data_format in ("NHWC", "NDHWC", "NWC"):
        return True
    if data_format in ("NCHW", "NCDHW", "NCW"):
        return False
    raise UnsupportedError(f"its data_format is '{data_format}'", hint="use NHWC or NCHW")


def spatial(values: Sequence[int], last: bool) -> tuple[int, ...]:
    """The entries of the spatial axes, of a list with one entry for each axis."""
    batch, channel = values[0], values[-1 if last else 1]
    if batch != 1 or channel != 1:
        raise UnsupportedError(
            f"windows or steps over batch or channels, as in {list(values)}, are not supported"
        )
    return tuple(values[1:-1] if last else values[2:])


def pads_of(
    x: Value,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    padding: str,
    explicit: Sequence[int] = (),
    last: bool = True,
) -> tuple[int, ...]:
    """Pads (begins, then ends) of an image batch with channels first."""
    if padding == "SAME":
        return same_pads(x.shape[2:], kernel, strides, dilations, True)
    if padding == "VALID":
        return (0,) * (2 * len(kernel))
    if padding != "EXPLICIT" or len(explicit) != 2 * x.type.rank:
        raise ModelError(
            f"its padding is '{padding}' {list(explicit)}, expected SAME, VALID or EXPLICIT with pads"
        )
    first = 1 if last else 2
    pairs = [explicit[2 * axis : 2 * axis + 2] for axis in range(first, first + len(kernel))]
    return (*(begin for begin, _ in pairs), *(end for _, end in pairs))


def window_of(w: Value, axes: slice) -> tuple[int, ...]:
    """The spatial extents of a weight, which must be known."""
    window = tuple(dim for dim in w.shape[axes] if isinstance(dim, int))
    if len(window) != len(w.shape[axes]):
        raise UnsupportedError(f"the window of its weight {w.type} is not fixed")
    return window


def out_in_first(w: Value) -> Value:
    """Weights [..., I, O] as [O, I, ...]."""
    rank = w.type.rank
    return shape.transpose(w, perm=(rank - 1, rank - 2, *range(rank - 2)))


@converter("Conv2D", "Conv3D")
def conv(
    x,
    w,
    *,
    strides,
    padding,
    use_cudnn_on_gpu=True,
    explicit_paddings=(),
    data_format="NHWC",
    dilations=(),
):
    last = is_last(data_format)
    steps = spatial(strides, last)
    reach = spatial(dilations, last) if dilations else (1,) * len(steps)
    x = channels_first(x) if last else x
    pads = pads_of(x, window_of(w, slice(0, -2)), steps, reach, padding, explicit_paddings, last)
    groups, rest = divmod(x.shape[1], w.shape[-2])
    if rest:
        raise ModelError(f"its input has {x.shape[1]} channels, its weight takes {w.shape[-2]}")
    out = nn.conv(x, out_in_first(w), None, strides=steps, pads=pads, dilations=reach, groups=groups)
    return channels_last(out) if last else out


@converter("DepthwiseConv2dNative")
def depthwise(x, w, *, strides, padding, explicit_paddings=(), data_format="NHWC", dilations=()):
    last = is_last(data_format)
    steps = spatial(strides, last)
    reach = spatial(dilations, last) if dilations else (1,) * len(steps)
    x = channels_first(x) if last else x
    window = window_of(w, slice(0, -2))
    pads = pads_of(x, window, steps, reach, padding, explicit_paddings, last)
    weight = depthwise_weight(w)
    out = nn.conv(x, weight, None, strides=steps, pads=pads, dilations=reach, groups=w.shape[-2])
    return channels_last(out) if last else out


def depthwise_weight(w: Value) -> Value:
    """Weights [..., C, M] as [C*M, 1, ...]: the M results of a channel stand together."""
    rank, (channels, multiplier) = w.type.rank, w.shape[-2:]
    moved = shape.transpose(w, perm=(rank - 2, rank - 1, *range(rank - 2)))
    return shape.reshape(moved, shape=(channels * multiplier, 1, *w.shape[:-2]))


@converter("Conv2DBackpropInput", "Conv3DBackpropInputV2")
def conv_transpose(
    sizes,
    w,
    x,
    *,
    strides,
    padding,
    use_cudnn_on_gpu=True,
    explicit_paddings=(),
    data_format="NHWC",
    dilations=(),
):
    """The op that training differentiates convolutions with; `sizes` is the shape of the result."""
    last = is_last(data_format)
    steps = spatial(strides, last)
    reach = spatial(dilations, last) if dilations else (1,) * len(steps)
    wanted = dims(sizes) or ints(sizes, "input_sizes")
    wanted = wanted[1:-1] if last and len(wanted) > len(steps) else wanted[-len(steps) :]
    x = channels_first(x) if last else x
    out = transposed(x, out_in_first(w), steps, reach, padding, wanted)
    return channels_last(out) if last else out


def transposed(x: Value, w: Value, strides, dilations, padding: str, wanted) -> Value:
    """The transposed convolution of [N, C, ...] by [C, O, ...] whose result has the spatial extents `wanted`."""
    if padding not in ("SAME", "VALID"):
        raise UnsupportedError(f"padding '{padding}' is not supported", hint="use SAME or VALID")
    begins, ends, extra = [], [], []
    for axis, (stride, dilation, extent) in enumerate(zip(strides, dilations, wanted, strict=True)):
        full = stride * (x.shape[2 + axis] - 1) + dilation * (w.shape[2 + axis] - 1) + 1
        excess = full - extent
        if not isinstance(excess, int):
            raise UnsupportedError(
                f"its padding depends on the extents '{full}' and '{extent}'",
                hint="fix dimensions with shapes=",
            )
        total = max(excess, 0) if padding == "SAME" else 0
        begins.append(total // 2)
        ends.append(total - total // 2)
        extra.append(total - excess)
    return nn.conv_transpose(
        x,
        w,
        None,
        strides=tuple(strides),
        pads=(*begins, *ends),
        dilations=tuple(dilations),
        output_padding=tuple(extra),
        groups=1,
    )
