"""Complex numbers while a graph is read: pairs of real tensors, since no code is made for them.

A pair stands for a value of complex dtype until an op takes it apart again; none reaches the IR.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..compiler.diagnostics import UnsupportedError
from ..compiler.ir.graph import Node, Value, constant
from ..compiler.ir.types import DTYPES, TensorType
from .build import shape

_PAIR = "frontends.pair"


def is_complex(x: Any) -> bool:
    """Whether an argument, or an entry of it, is a tensor of complex numbers."""
    if isinstance(x, tuple):
        return any(map(is_complex, x))
    return isinstance(x, Value) and x.dtype.kind == "complex"


def pair(real: Value, imaginary: Value) -> Value:
    """A value of complex dtype with these parts, which have one shape."""
    dtype = DTYPES["c128" if real.dtype.bits == 64 else "c64"]
    return Node(_PAIR, (real, imaginary), {}, (TensorType(dtype, real.shape),)).result


def parts(x: Any) -> tuple[Any, Any]:
    """Real and imaginary part of a value, or of a number. Raises UnsupportedError for an input of the model."""
    if not isinstance(x, Value):
        return x.real, x.imag
    if x.dtype.kind != "complex":
        return x, shape.expand(constant(0, x.dtype), shape=x.shape)
    if x.node.op == _PAIR:
        real, imaginary = x.node.operands
        return real, imaginary
    if x.constant is not None:
        return constant(np.ascontiguousarray(x.constant.real)), constant(
            np.ascontiguousarray(x.constant.imag)
        )
    raise UnsupportedError(
        "inputs of complex numbers are not supported",
        hint="let the model take pairs of real numbers, and make complex ones of them",
    )


def on_halves(convert: Callable[..., Any], *operands: Any, **named: Any) -> Any:
    """The result of an op that treats every element alike: real and imaginary parts go through it each alone."""
    halves = [
        convert(*(_half(x, n) for x in operands), **{name: _half(x, n) for name, x in named.items()})
        for n in range(2)
    ]
    if isinstance(halves[0], tuple):
        return tuple(pair(*each) for each in zip(*halves, strict=True))
    return pair(*halves)


def _half(x: Any, n: int) -> Any:
    if isinstance(x, tuple):
        return tuple(parts(item)[n] for item in x) if is_complex(x) else x
    return parts(x)[n] if is_complex(x) else x
