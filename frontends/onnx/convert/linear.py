"""Contractions: matrix products, convolutions, einsum."""

from ....compiler.diagnostics import ModelError, UnsupportedError
from ....compiler.ir.graph import Value
from ...build import math, nn, shape
from ...normalise import same_pads
from ...products import product_of
from ..table import converter


def static_window(w: Value, kernel_shape: tuple[int, ...] | None) -> tuple[int, ...]:
    """The spatial extents of a weight, checked against the attribute that repeats them."""
    kernel = tuple(k for k in w.shape[2:] if isinstance(k, int))
    if len(kernel) != len(w.shape[2:]):
        raise UnsupportedError(f"the window of its weight {w.type} is not fixed", hint="bind it with shapes=")
    if kernel_shape and tuple(kernel_shape) != kernel:
        raise ModelError(f"'kernel_shape' is {list(kernel_shape)}, its weight is {w.type}")
    return kernel


def explicit_pads(x: Value, kernel, strides, dilations, pads, auto_pad: str) -> tuple[int, ...]:
    """Pads as begins and ends, whichever way the node states them."""
    if auto_pad == "NOTSET":
        return tuple(pads) if pads else (0,) * (2 * len(kernel))
    if auto_pad == "VALID":
        return (0,) * (2 * len(kernel))
    if auto_pad not in ("SAME_UPPER", "SAME_LOWER"):
        raise ModelError(
            f"'auto_pad' is '{auto_pad}', expected NOTSET, VALID, SAME_UPPER or SAME_LOWER", hint="correct it"
        )
    return same_pads(x.shape[2:], kernel, strides, dilations, auto_pad == "SAME_UPPER")


def ones(value: tuple[int, ...] | None, spatial: int) -> tuple[int, ...]:
    """Strides or dilations, 1 by default."""
    return tuple(value) if value else (1,) * spatial


@converter("Conv")
def conv(
    x, w, bias=None, *, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None, pads=None, strides=None
):
    kernel = static_window(w, kernel_shape)
    strides, dilations = ones(strides, len(kernel)), ones(dilations, len(kernel))
    pads = explicit_pads(x, kernel, strides, dilations, pads, auto_pad)
    return nn.conv(x, w, bias, strides=strides, pads=pads, dilations=dilations, groups=group)


@converter("ConvTranspose")
def conv_transpose(
    x,
    w,
    bias=None,
    *,
    auto_pad="NOTSET",
    dilations=None,
    group=1,
    kernel_shape=None,
    output_padding=None,
    output_shape=None,
    pads=None,
    strides=None,
):
    kernel = static_window(w, kernel_shape)
    spatial = len(kernel)
    strides, dilations = ones(strides, spatial), ones(dilations, spatial)
    extra = tuple(output_padding) if output_padding else (0,) * spatial
    if output_shape or auto_pad.startswith("SAME"):
        wanted = tuple(output_shape or (e * s for e, s in zip(x.shape[2:], strides, strict=True)))[-spatial:]
        begins, ends = [], []
        for n in range(spatial):
            full = strides[n] * (x.shape[2 + n] - 1) + extra[n] + (kernel[n] - 1) * dilations[n] + 1
            total = full - wanted[n]
            if not isinstance(total, int):
                raise UnsupportedError(
                    f"its padding depends on the extent '{x.shape[2 + n]}'",
                    hint="fix the dimension with shapes=",
                )
            total = max(total, 0) if not output_shape else total
            first = total // 2 if auto_pad == "SAME_UPPER" else total - total // 2
            begins.append(first)
            ends.append(total - first)
        pads = (*begins, *ends)
    else:
        pads = explicit_pads(x, kernel, strides, dilations, pads, auto_pad)
    return nn.conv_transpose(
        x, w, bias, strides=strides, pads=pads, dilations=dilations, output_padding=extra, groups=group
    )


@converter("MatMul")
def matmul(x, y):
    return product_of(x, y)


@converter("Gemm", since=11)
def gemm(a, b, c=None, *, alpha=1.0, beta=1.0, transA=0, transB=0):
    if a.type.rank != 2 or b.type.rank != 2:
        raise ModelError(f"Gemm needs two matrices, got {a.type} and {b.type}")
    a = shape.transpose(a, perm=(1, 0)) if transA else a
    b = shape.transpose(b, perm=(1, 0)) if transB else b
    out = scaled(nn.matmul(a, b), alpha)
    return out if c is None else math.add(out, scaled(c, beta))


@converter("Gemm", since=7)
def gemm_7(a, b, c, *, alpha=1.0, beta=1.0, transA=0, transB=0):
    return gemm(a, b, c, alpha=alpha, beta=beta, transA=transA, transB=transB)


def scaled(x: Value, factor: float) -> Value:
    """x * factor, in x's dtype."""
    if factor == 1:
        return x
    if x.dtype.is_integer and factor != int(factor):
        raise UnsupportedError(
            f"a factor of {factor} on integers is not supported", hint="cast to a float type"
        )
    return math.mul(x, int(factor) if x.dtype.is_integer else factor)


@converter("Einsum", since=12)
def einsum(*xs, equation):
    return nn.einsum(*xs, equation=equation.replace(" ", ""))


@converter("Det", since=11)
def det(x):
    return nn.det(x)
