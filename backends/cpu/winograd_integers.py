"""Fast 3x3 convolution of 8-bit values, exactly: the forms of `winograd.py` in integers.

Each row of a form's weight matrix is a fraction times a row of small integers; the fractions go into the transform of
the products, multiplied by their common denominator. Transformed inputs and weights are 16-bit numbers, products are
summed in 32 bits, and the result is `scale` times the convolution but for multiples of 2^32. Odd factors have an
inverse modulo 2^32, so only the power of two in `scale` has to find room beside the result.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...compiler.ir.graph import Value, constant
from ...compiler.ir.types import i16
from ...compiler.ops import math, quant
from ...compiler.ops.tiles import join_tiles, split_tiles
from ...compiler.rewrite import As, Const, Rule, Var
from ...compiler.target.description import Engine, Target
from ...runtime.records import dataclass
from .winograd import Form, forms_for, products_per_byte, row_by_row

_LARGEST_INPUT, _LARGEST_WEIGHT = 255, 128
"""Of an 8-bit value less another one, and of an 8-bit value."""


@dataclass(frozen=True)
class WholeForm:
    """A form whose matrices hold integers; both axes together give `scale` times the convolution."""

    m: int
    input: np.ndarray
    weight: np.ndarray
    output: np.ndarray
    scale: int

    def transformed(self, w: np.ndarray) -> np.ndarray:
        """Weights [O, C, 3, 3] of 8 bits as whole numbers [i, j, O, C]: in f32, which holds all of their sums exactly
        and is multiplied far faster than integers are."""
        points, (outputs, inputs) = self.m + 2, w.shape[:2]
        taps = w.reshape(outputs * inputs, 9).T.astype(np.float32)
        matrix = np.kron(self.weight, self.weight).astype(np.float32)
        return (matrix @ taps).reshape(points, points, outputs, inputs)

    def holds(self, w: np.ndarray) -> bool:
        """Whether 16 bits hold inputs and weights, and 32 bits what the power of two leaves of the result."""
        inputs = int(np.abs(self.input).sum(1).max()) ** 2 * _LARGEST_INPUT
        weights = int(np.abs(self.weight).sum(1).max()) ** 2 * _LARGEST_WEIGHT
        rows = w.reshape(len(w), -1)
        sums = int(np.abs(rows, dtype=np.int16).sum(1).max(initial=0)) * _LARGEST_INPUT
        return max(inputs, weights) < 1 << 15 and sums * (self.scale & -self.scale) < 1 << 31


def whole(form: Form) -> WholeForm:
    """A form in integers: 6, 24 and the like are taken out of its weights."""
    denominator = next(n for n in range(1, 1000) if _is_whole(form.weight * n))
    rows = np.rint(form.weight * denominator).astype(np.int64)
    factors = np.gcd.reduce(rows, axis=1)
    return WholeForm(
        form.m,
        np.rint(form.input).astype(np.int64),
        rows // factors[:, None],
        np.rint(form.output).astype(np.int64) * factors,
        denominator**2,
    )


def _is_whole(matrix: np.ndarray) -> bool:
    return bool(np.abs(matrix - np.rint(matrix)).max() < 1e-9)


def whole_form_for(y: Value, w: Value, products: float) -> WholeForm | None:
    """The form that pays for a quantised convolution and is exact for its weights."""
    assert w.constant is not None
    forms = (whole(form) for form in forms_for(y, w, products, i16.bytes))
    return next((form for form in forms if form.holds(w.constant)), None)


def pays(target: Target) -> bool:
    """Whether 16-bit products are about as fast as 8-bit ones; with operations on four neighbours they are not."""
    words = [e.issue for e in _words(target)]
    bytes_ = [e for e in target.engines.values() if "i8*i8+i32" in e.types]
    return bool(words) and all(e.rows == 1 and e.issue < 1.5 * max(words) for e in bytes_)


def _words(target: Target) -> list[Engine]:
    return [e for e in target.engines.values() if "i16*i16+i32" in e.types]


def _fast(y: Value, x: Value, w: Value, form: WholeForm) -> Value:
    attributes = y.node.attributes
    assert w.constant is not None
    extents, zero, points = y.type.static_shape[2:], attributes["fill"], form.m + 2
    tiles = x
    for axis, extent in enumerate(extents):  # [N, C, H, W] => [i, N, C, y, W] => [j, i, N, C, y, x]
        tiles = split_tiles(
            tiles,
            matrix=row_by_row(form.input),
            rows=points,
            axis=2 + 2 * axis,
            step=form.m,
            begin=attributes["pads"][axis],
            tiles=-(-extent // form.m),
            dtype=i16,
            zero=0 if axis else zero,
        )
    sums = quant.einsum(
        tiles, constant(form.transformed(w.constant).astype(np.int16)), equation="jincyx,ijoc->jinoyx"
    )
    for axis, extent in reversed(list(enumerate(extents))):
        sums = join_tiles(
            sums,
            matrix=row_by_row(form.output),
            rows=form.m,
            axis=2 + 2 * axis,
            extent=extent,
            divisor=1 if axis else form.scale,
        )
    if not zero:
        return sums
    ones = w.constant.astype(np.int32).reshape(len(w.constant), -1).sum(1)
    return math.add(sums, constant((zero * ones).astype(np.int32).reshape(-1, 1, 1)))


_SAMPLE: Mapping[str, Any] = {
    "x": "i8[1, 32, 8, 12]",
    "w": ("i8[33, 32, 3, 3]", -127, 127),
    "quant.conv.strides": (1, 1),
    "quant.conv.pads": (1, 1, 1, 1),
    "quant.conv.dilations": (1, 1),
    "quant.conv.fill": -128,
}


def rules(target: Target) -> tuple[Rule, ...]:
    """Exact fast forms where they pay on a target."""
    if not pays(target):
        return ()
    products = max(products_per_byte(engine, target) for engine in _words(target))

    def fast(y: Value, x: Value, w: Value) -> Value:
        form = whole_form_for(y, w, products)
        assert form is not None
        return _fast(y, x, w, form)

    return (
        Rule(
            "quantised conv 3x3 => products of transformed tiles",
            As("y", quant.conv_integer(Var("x"), Const("w"))),
            fast,
            guard=lambda y, w, **_: whole_form_for(y, w, products) is not None,
            samples=(
                _SAMPLE,
                {**_SAMPLE, "x": "u8[2, 32, 6, 9]", "quant.conv.pads": (0, 0, 1, 2), "quant.conv.fill": 37},
            ),
        ),
    )
