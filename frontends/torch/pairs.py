"""Complex numbers while a graph is read: pairs of real tensors, since no code is made for them.

A pair stands for a value of complex dtype until an op takes it apart again; none reaches the IR. Ops that treat every
element alike, such as reshapes, work on both halves; others have a form for pairs.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...compiler.diagnostics import UnsupportedError
from ...compiler.ir.graph import Node, Value, constant
from ...compiler.ir.types import DTYPES, TensorType
from ..build import shape

_PAIR = "torch.pair"

FORMS: dict[str, Callable[..., Any]] = {}
"""What ops do with pairs, by ATen's names."""

_ALIKE = frozenset((
    "alias", "cat", "chunk", "clone", "contiguous", "cumsum", "detach", "expand", "expand_as", "fft_fftshift",
    "fft_ifftshift", "flatten", "flip", "gather",
    "index", "index_select", "lift_fresh_copy", "mean", "movedim", "narrow", "neg", "permute", "repeat", "reshape",
    "roll", "select", "slice", "split", "split_with_sizes", "squeeze", "stack", "sum", "t", "transpose", "unbind",
    "unflatten", "unsqueeze", "view", "view_as", "where",
))  # fmt: skip
"""Ops whose result on pairs is that on both halves."""


def paired(*ops: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register what ops do with pairs; the parameters are those of the ops' converters."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        FORMS.update(dict.fromkeys(ops, function))
        return function

    return register


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
        hint="give torch.view_as_real's pairs, and let the module take torch.view_as_complex of them",
    )


def apart(op: str, convert: Callable[..., Any], given: Mapping[str, Any]) -> Any:
    """The results of an op that is given complex numbers."""
    if op in FORMS:
        return FORMS[op](**given)
    if op not in _ALIKE:
        raise UnsupportedError(
            "complex numbers are not supported by it", hint="compute with torch.view_as_real's pairs"
        )
    halves = [convert(**{name: _half(x, n) for name, x in given.items()}) for n in range(2)]
    if isinstance(halves[0], tuple):
        return tuple(pair(*each) for each in zip(*halves, strict=True))
    return pair(*halves)


def _half(x: Any, n: int) -> Any:
    if isinstance(x, tuple):
        return tuple(parts(item)[n] for item in x) if is_complex(x) else x
    return parts(x)[n] if is_complex(x) else x
