"""Contractions: linear layers, matrix products, convolutions, einsum."""

import numpy as np

from ....compiler.diagnostics import ModelError, UnsupportedError
from ....compiler.ir.dims import product
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import DType, i64
from ...build import math, nn, reduce, shape
from ...extents import positions
from ...normalise import axes_of, axis_of
from ...products import product_of
from ..promotion import cast, tensor
from ..schema import Ints, Tensors
from ..table import converter
from .arithmetic import mul
from .layout import along, permute, reshaped, roll, unsqueeze


@converter("linear")
def linear(input, weight, bias=None):
    """The weight is [out, in]."""
    y = product_of(input, shape.transpose(weight, perm=(1, 0)) if weight.type.rank == 2 else weight)
    return y if bias is None else math.add(y, bias)


@converter("matmul", "inner")
def matmul(self, other):
    return product_of(self, other)


@converter("mm", "bmm")
def matrices(self, mat2):
    return nn.matmul(self, mat2)


@converter("mv")
def matrix_vector(self, vec):
    return product_of(self, vec)


@converter("dot")
def dot(self, tensor):
    return product_of(self, tensor)


@converter("vdot")
def vdot(self, other):
    return product_of(self, other)


def _sum(self, product, beta, alpha):
    product = product if alpha == 1 else math.mul(product, tensor(alpha, product.dtype))
    if beta == 0:
        return product
    return math.add(product, self if beta == 1 else math.mul(self, tensor(beta, product.dtype)))


@converter("addmm")
def addmm(self, mat1, mat2, *, beta=1, alpha=1):
    return _sum(self, nn.matmul(mat1, mat2), beta, alpha)


@converter("baddbmm")
def baddbmm(self, batch1, batch2, *, beta=1, alpha=1):
    return _sum(self, nn.matmul(batch1, batch2), beta, alpha)


@converter("addmv")
def addmv(self, mat, vec, *, beta=1, alpha=1):
    return _sum(self, product_of(mat, vec), beta, alpha)


@converter("addbmm")
def addbmm(self, batch1, batch2, *, beta=1, alpha=1):
    return _sum(self, reduce.sum(nn.matmul(batch1, batch2), axes=(0,), keepdims=False), beta, alpha)


@converter("outer", "ger")
def outer(self, vec2):
    return mul(unsqueeze(self, 1), vec2)


@converter("addr")
def addr(self, vec1, vec2, *, beta=1, alpha=1):
    return _sum(self, outer(vec1, vec2), beta, alpha)


@converter("kron")
def kron(self, other):
    """Every element of the one times the whole of the other."""
    rank = max(self.type.rank, other.type.rank)
    x, y = (reshaped(v, (*(1,) * (rank - v.type.rank), *v.shape)) for v in (self, other))
    apart = tuple(part for dim in x.shape for part in (dim, 1))
    both = mul(reshaped(x, apart), reshaped(y, tuple(part for dim in y.shape for part in (1, dim))))
    return reshaped(both, tuple(a * b for a, b in zip(x.shape, y.shape, strict=True)))


@converter("linalg_cross")
def linalg_cross(self, other, *, dim: int = -1):
    axis = axis_of(dim, self.type.rank, "dim")
    (a, b), (c, d) = ((roll(x, (-1,), (axis,)), roll(x, (-2,), (axis,))) for x in (self, other))
    return math.sub(math.mul(a, d), math.mul(b, c))


@converter("cross")
def cross(self, other, dim: int | None = None):
    """Without `dim`, along the first axis of extent 3."""
    return linalg_cross(self, other, dim=self.shape.index(3) if dim is None else dim)


@converter("tensordot")
def tensordot(self, other, dims_self: Ints, dims_other: Ints):
    """Sums of products over the axes named, which come last in the one and first in the other."""
    mine, theirs = axes_of(dims_self, self.type.rank), axes_of(dims_other, other.type.rank)
    kept = [n for n in range(self.type.rank) if n not in mine]
    rest = [n for n in range(other.type.rank) if n not in theirs]
    count = product(self.shape[n] for n in mine)
    x = reshaped(permute(self, (*kept, *mine)), (product(self.shape[n] for n in kept), count))
    y = reshaped(permute(other, (*theirs, *rest)), (count, product(other.shape[n] for n in rest)))
    return reshaped(nn.matmul(x, y), (*(self.shape[n] for n in kept), *(other.shape[n] for n in rest)))


@converter("bilinear")
def bilinear(input1, input2, weight, bias=None):
    y = nn.einsum(input1, weight, input2, equation="...i,oij,...j->...o")
    return y if bias is None else math.add(y, bias)


@converter("einsum")
def einsum(equation: str, tensors: Tensors, *, path: Ints | None = None):
    return nn.einsum(*tensors, equation=equation.replace(" ", ""))


@converter("cdist")
def cdist(x1, x2, p: float = 2.0, compute_mode: int | None = None):
    gap = math.sub(unsqueeze(x1, -2), unsqueeze(x2, -3))
    axes = (gap.type.rank - 1,)
    if p == 1:
        return reduce.sum(math.abs(gap), axes=axes, keepdims=False)
    if p != 2:
        raise UnsupportedError(f"distances with p={p} are not supported", hint="use p=1 or p=2")
    return math.sqrt(reduce.sum(math.mul(gap, gap), axes=axes, keepdims=False))


def window(kernel: int, given: Ints, name: str, default: int) -> Ints:
    """One number for each spatial axis; a single one stands for all."""
    given = given or (default,)
    if len(given) not in (1, kernel):
        raise ModelError(f"'{name}' is {list(given)}, expected {kernel} numbers")
    return given * kernel if len(given) == 1 else given


def _static(weight: Value) -> Ints:
    if not all(isinstance(k, int) for k in weight.shape[2:]):
        raise UnsupportedError(
            f"the window of its weight {weight.type} is not fixed", hint="make it a constant"
        )
    return weight.type.with_shape(weight.shape[2:]).static_shape


def batched(x: Value, spatial: int) -> tuple[Value, bool]:
    """x with a batch axis, and whether it had one."""
    return (unsqueeze(x, 0), False) if x.type.rank == spatial + 1 else (x, True)


@converter("conv1d", "conv2d", "conv3d")
def conv(
    input,
    weight,
    bias=None,
    stride: Ints = (1,),
    padding: Ints = (0,),
    dilation: Ints = (1,),
    groups: int = 1,
):
    kernel = _static(weight)
    n = len(kernel)
    pads = window(n, padding, "padding", 0)
    return _conv(input, weight, bias, stride, (*pads, *pads), dilation, groups)


def _conv(x, weight, bias, stride, pads, dilation, groups):
    n = weight.type.rank - 2
    x, whole = batched(x, n)
    strides, dilations = window(n, stride, "stride", 1), window(n, dilation, "dilation", 1)
    y = nn.conv(x, weight, bias, strides=strides, pads=pads, dilations=dilations, groups=groups)
    return y if whole else reshaped(y, y.shape[1:])


@converter("conv1d.padding", "conv2d.padding", "conv3d.padding", "_convolution_mode")
def conv_named(
    input,
    weight,
    bias=None,
    stride: Ints = (1,),
    padding: str = "valid",
    dilation: Ints = (1,),
    groups: int = 1,
):
    kernel = _static(weight)
    totals = [0] * len(kernel)
    if padding == "same":
        totals = [
            d * (k - 1) for k, d in zip(kernel, window(len(kernel), dilation, "dilation", 1), strict=True)
        ]
    pads = (*(total // 2 for total in totals), *(total - total // 2 for total in totals))
    return _conv(input, weight, bias, stride, pads, dilation, groups)


def _conv_transpose(x, weight, bias, stride, padding, output_padding, groups, dilation):
    n = weight.type.rank - 2
    x, whole = batched(x, n)
    pads = window(n, padding, "padding", 0)
    y = nn.conv_transpose(
        x,
        weight,
        bias,
        strides=window(n, stride, "stride", 1),
        pads=(*pads, *pads),
        dilations=window(n, dilation, "dilation", 1),
        output_padding=window(n, output_padding, "output_padding", 0),
        groups=groups,
    )
    return y if whole else reshaped(y, y.shape[1:])


@converter("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def conv_transpose(
    input,
    weight,
    bias=None,
    stride: Ints = (1,),
    padding: Ints = (0,),
    output_padding: Ints = (0,),
    groups: int = 1,
    dilation: Ints = (1,),
):
    return _conv_transpose(input, weight, bias, stride, padding, output_padding, groups, dilation)


@converter("convolution", "_convolution")
def convolution(
    input,
    weight,
    bias,
    stride: Ints,
    padding: Ints,
    dilation: Ints,
    transposed: bool,
    output_padding: Ints,
    groups: int,
    benchmark: bool = False,
    deterministic: bool = False,
    cudnn_enabled: bool = True,
    allow_tf32: bool = True,
):
    if transposed:
        return _conv_transpose(input, weight, bias, stride, padding, output_padding, groups, dilation)
    return conv(input, weight, bias, stride, padding, dilation, groups)


@converter("grouped_mm_fallback", domain="transformers")
def grouped_mm(input, weight, offs):
    """Rows up to each offset are multiplied by that group's matrix: [rows, in], [groups, in, out], [groups].

    Every matrix meets all rows, and the products that do not belong are left out: groups are known at run time only.
    """
    row = positions(input, 0)
    ends = reshaped(cast(offs, i64), (offs.shape[0], 1, 1))
    starts = shape.concat(constant(np.zeros((1, 1, 1), np.int64)), ends, axis=0)
    starts = along(starts, 0, 0, offs.shape[0])
    mine = math.logical_and(math.ge(row, starts), math.lt(row, ends))
    products = nn.matmul(unsqueeze(input, 0), weight)
    return reduce.sum(math.where(mine, products, constant(0, products.dtype)), axes=(0,), keepdims=False)


@converter("_grouped_mm")
def grouped_mm_native(self, mat2, offs=None, bias=None, out_dtype: DType | None = None):
    if offs is None or bias is not None or mat2.type.rank != 3 or self.type.rank != 2:
        raise UnsupportedError(
            f"groups of {self.type} by {mat2.type} are not supported", hint="group the rows"
        )
    return cast(grouped_mm(self, mat2, offs), out_dtype)


@converter("chain_matmul")
def chain_matmul(matrices: Tensors):
    out = matrices[0]
    for each in matrices[1:]:
        out = nn.matmul(out, each)
    return out
