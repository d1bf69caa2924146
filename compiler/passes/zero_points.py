"""Zero points leave integer products: into the weights, where these stay of 8 bits, else into terms of their own.

What takes products of four bytes at a time takes them as they are. Sums are of integers, so all stays exact.
"""

from typing import Any

import numpy as np

from ..ir.graph import Value, constant
from ..ir.types import DTYPES, i32
from ..ops import math, quant, reduce, shape
from ..rewrite import As, Const, Maybe, Rule, Var


def _weights(w: Value, zero: Value | None, axis: int) -> np.ndarray:
    """w - zero as i32, the zero point being one, or one for each place along an axis."""
    assert w.constant is not None
    codes = w.constant.astype(np.int32)
    if zero is None:
        return codes
    assert zero.constant is not None
    offset = zero.constant.astype(np.int32)
    if offset.ndim == 1:
        offset = offset.reshape([-1 if n == axis % codes.ndim else 1 for n in range(codes.ndim)])
    return codes - offset


def _narrow(w: Value, zero: Value, axis: int) -> Value | None:
    """w - zero as a constant of 8 bits; None where it has more."""
    codes = _weights(w, zero, axis)
    for dtype in (DTYPES["i8"], DTYPES["u8"]):
        low, high = dtype.limits
        if codes.size and low <= codes.min() and codes.max() <= high:
            return constant(codes.astype(dtype.numpy))
    return None


def _signed(w: Value, zero: Value) -> tuple[Value, np.ndarray]:
    """Weights and zero point, both as much less as i8 asks for: what products take beside activations of u8."""
    assert w.constant is not None
    assert zero.constant is not None
    least = 128 if w.dtype.kind == "uint" else 0
    codes = (w.constant.astype(np.int16) - least).astype(np.int8)
    return constant(codes), zero.constant.astype(np.int32) - least


def _conv_of_signed(y: Value, x: Value, zero: Value | None, w: Value, w_zero: Value) -> Value | None:
    """By weights of 8 bits; of what is left of the zero point the sum of each window is taken so often."""
    given = y.node.attributes
    weights = _narrow(w, w_zero, 0)
    if weights is not None:
        return quant.conv_integer(x, weights, zero, **given)
    if given["groups"] > 1 or zero is not None:
        return None
    weights, left = _signed(w, w_zero)
    windows = quant.conv_integer(x, constant(np.ones((1, *w.shape[1:]), np.int8)), **given)
    column = constant(left.reshape(-1, *[1] * (w.type.rank - 2)))
    return math.sub(quant.conv_integer(x, weights, **given), math.mul(windows, column))


def _matmul_of_signed(x: Value, zero: Value | None, w: Value, w_zero: Value) -> Value | None:
    """As convolutions; the sums are of rows of x."""
    weights = _narrow(w, w_zero, -1)
    if weights is not None:
        return quant.matmul(x, weights, zero)
    if zero is not None or x.type.rank < 2 or w_zero.type.rank > 1:
        return None
    weights, left = _signed(w, w_zero)
    rows = reduce.sum_of(math.cast(x, dtype=i32), axes=(x.type.rank - 1,), keepdims=True)
    return math.sub(quant.matmul(x, weights), math.mul(rows, constant(left)))


def _less(y: Value, zero: Value, sums: np.ndarray) -> Value:
    """y - zero * sums."""
    if zero.constant is not None:
        return math.add(y, constant(-(zero.constant.astype(np.int32) * sums)))
    return math.sub(y, math.mul(math.cast(zero, dtype=i32), constant(sums)))


def _conv_without_zero(y: Value, x: Value, zero: Value, w: Value, w_zero: Value | None) -> Value:
    """Where x is padded, the padding has the zero point's code: it adds nothing but what the term takes away."""
    given = dict(y.node.attributes)
    sums = _weights(w, w_zero, 0).reshape(len(w.constant), -1).sum(1)  # type: ignore[arg-type]
    sums = sums.astype(np.int32).reshape(-1, *[1] * (w.type.rank - 2))
    if zero.constant is not None:
        given["fill"] += int(zero.constant)
    elif any(given["pads"]):
        middle = len(given["pads"]) // 2
        pads = (0, 0, *given["pads"][:middle], 0, 0, *given["pads"][middle:])
        x, given["pads"] = shape.pad(x, zero, pads=pads), (0,) * len(given["pads"])
    return _less(quant.conv_integer(x, w, None, w_zero, **given), zero, sums)


def _has_its_code(y: Value, x: Value, zero: Value, **_: Any) -> bool:
    """Whether the padding is a code of x once the zero point is in it."""
    fill, pads = (y.node.attributes[name] for name in ("fill", "pads"))
    if zero.constant is None:
        return fill == 0 or not any(pads)
    low, high = x.dtype.limits
    return low <= int(zero.constant) + fill <= high


def _matmul_without_zero(y: Value, x: Value, zero: Value, w: Value, w_zero: Value | None) -> Value:
    return _less(
        quant.matmul(x, w, None, w_zero), zero, _weights(w, w_zero, -1).sum(-2, np.int32, keepdims=True)
    )


_CONV = {
    "x": "u8[1, 4, 5, 6]",
    "w": "i8[6, 2, 3, 3]",
    "zero": np.uint8(120),
    "w_zero": None,
    "quant.conv.strides": (1, 2),
    "quant.conv.pads": (1, 0, 1, 2),
    "quant.conv.dilations": (1, 1),
    "quant.conv.groups": 2,
}
_WIDE_CONV = {**_CONV, "zero": None, "quant.conv.groups": 1}
_MATMUL = {"x": "u8[2, 3, 4]", "w": "i8[4, 5]", "zero": np.uint8(7), "w_zero": None}
X, W, W_ZERO = Var("x"), Const("w"), Maybe("w_zero", constant=True)

RULES = (
    Rule(
        "conv(x, w - zero) => conv(x, w') - c * conv(x, 1)",
        As("y", quant.conv_integer(X, W, Maybe("zero"), Const("w_zero"))),
        _conv_of_signed,
        samples=(
            {**_CONV, "w": ("u8[6, 2, 3, 3]", 100, 200), "w_zero": np.full(6, 120, np.uint8)},
            {**_CONV, "zero": None, "w_zero": np.int8(0)},
            {**_WIDE_CONV, "w": ("u8[6, 4, 3, 3]", 0, 256), "w_zero": np.full(6, 120, np.uint8)},
            {**_WIDE_CONV, "w": ("i8[6, 4, 3, 3]", -128, 128), "w_zero": np.int8(9), "quant.conv.fill": 3},
        ),
    ),
    Rule(
        "x (w - zero) => x w' - c * sum(x)",
        quant.matmul(X, W, Maybe("zero"), Const("w_zero")),
        _matmul_of_signed,
        samples=(
            {**_MATMUL, "w": ("u8[4, 5]", 10, 90), "w_zero": np.full(5, 50, np.uint8)},
            {
                **_MATMUL,
                "zero": None,
                "w": ("u8[40, 5]", 0, 256),
                "x": "u8[2, 3, 40]",
                "w_zero": np.uint8(119),
            },
            {
                **_MATMUL,
                "zero": None,
                "w": ("i8[40, 5]", -128, 128),
                "x": "u8[3, 40]",
                "w_zero": np.full(5, 7, np.int8),
            },
        ),
    ),
    Rule(
        "conv(x - zero, w) => conv(x, w) - zero * sum(w)",
        As("y", quant.conv_integer(X, W, Var("zero"), W_ZERO)),
        _conv_without_zero,
        guard=_has_its_code,
        samples=(
            _CONV,
            {**_CONV, "zero": "u8[]"},
            {**_CONV, "zero": "u8[]", "quant.conv.pads": (0, 0, 0, 0), "quant.conv.fill": 9},
            {**_CONV, "w_zero": np.array([-128, 127, 9, 0, -1, 5], np.int8), "quant.conv.fill": -20},
        ),
    ),
    Rule(
        "(x - zero) w => x w - zero * sum(w)",
        As("y", quant.matmul(X, W, Var("zero"), W_ZERO)),
        _matmul_without_zero,
        guard=lambda x, zero, **_: x.type.rank > 1 and zero.type.rank == 0,
        samples=(
            _MATMUL,
            {**_MATMUL, "zero": "u8[]"},
            {**_MATMUL, "w_zero": np.array([-128, 127, 9, 0, 1], np.int8)},
        ),
    ),
)
