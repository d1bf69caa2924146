"""What PyTorch's ops do with complex numbers, pairs of real tensors while a graph is read (`frontends/pairs`).

Ops that treat every element alike, such as reshapes, work on both halves; others have a form for pairs.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ...compiler.diagnostics import UnsupportedError
from ..pairs import on_halves

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


def apart(op: str, convert: Callable[..., Any], given: Mapping[str, Any]) -> Any:
    """The results of an op that is given complex numbers."""
    if op in FORMS:
        return FORMS[op](**given)
    if op not in _ALIKE:
        raise UnsupportedError(
            "complex numbers are not supported by it", hint="compute with torch.view_as_real's pairs"
        )
    return on_halves(convert, **given)
