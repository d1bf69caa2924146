"""Matrix products as numpy and most frameworks mean them: vectors become matrices for the product."""

from ..compiler.diagnostics import ModelError
from ..compiler.ir.graph import Value
from .build import nn, shape


def product_of(x: Value, y: Value) -> Value:
    """The matrix product of two tensors of rank 1 or more, numpy broadcasting over the leading axes."""
    left = shape.reshape(x, shape=(1, *x.shape)) if x.type.rank == 1 else x
    right = shape.reshape(y, shape=(*y.shape, 1)) if y.type.rank == 1 else y
    if left.type.rank == 0 or right.type.rank == 0:
        raise ModelError(f"a matrix product of {x.type} and {y.type} needs rank 1 or more")
    out = nn.matmul(left, right)
    dims = out.shape
    if y.type.rank == 1:
        dims = dims[:-1]
    if x.type.rank == 1:
        dims = (*dims[:-2], dims[-1]) if y.type.rank > 1 else dims[:-1]
    return out if dims == out.shape else shape.reshape(out, shape=dims)
