"""Fourier transforms, and complex numbers, which are pairs of tensors here (`frontends/pairs`)."""

from ....compiler.diagnostics import ModelError
from ...build import math, shape
from ...known import ints
from ...pairs import pair, parts
from ...signals import transform
from ..table import converter, paired


@converter("RFFT2D")
def rfft2d(x, fft_length):
    """The last two axes, cut or filled up with zeros to the lengths; of the last one the frequencies up to half."""
    rank, lengths = x.type.rank, ints(fft_length, "fft_length")
    if rank < 2 or len(lengths) != 2:
        raise ModelError(f"it transforms {x.type} in lengths of {list(lengths)}, expected two axes of both")
    y = transform(shape.reshape(x, shape=(*x.shape, 1)), rank - 1, lengths[1], False, True)
    y = transform(y, rank - 2, lengths[0], False, False)
    return pair(*(_part(y, n) for n in range(2)))


def _part(y, n):
    rank = y.type.rank
    starts, sizes = (0,) * (rank - 1) + (n,), (*y.shape[:-1], 1)
    return shape.reshape(shape.slice(y, starts=starts, sizes=sizes, steps=(1,) * rank), shape=y.shape[:-1])


@paired("REAL")
def real(x):
    return parts(x)[0]


@paired("IMAG")
def imaginary(x):
    return parts(x)[1]


@paired("COMPLEX_ABS")
def magnitude(x):
    a, b = parts(x)
    return math.sqrt(math.add(math.mul(a, a), math.mul(b, b)))


@paired("CAST", newest=7)
def cast(x, *, in_data_type=None, out_data_type=None, call):
    """To real numbers it takes the real part, as C++'s conversion in TFLite's kernel does."""
    dtype = call.node.origin.outputs[0].dtype
    if dtype is None or dtype.kind == "complex":
        return x
    return math.cast(parts(x)[0], dtype=dtype)
