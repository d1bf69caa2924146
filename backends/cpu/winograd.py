"""Fast 3x3 convolution (Winograd's minimal filtering, Lavin and Gray 2016): fewer products, a little less exact.

A convolution of stride 1 becomes transforms of overlapping tiles along both axes, one matrix product for each of the
tiles' points, and transforms back. F(m, 3) makes m outputs of an axis at once from m + 2 inputs: F(4, 3) takes a
quarter of the products, F(2, 3) four ninths. The transformed weights are (m + 2)^2 / 9 times as large.
"""

from collections.abc import Mapping
from math import prod
from operator import itemgetter
from typing import Any

import numpy as np

from ...compiler.diagnostics import CompileError
from ...compiler.ir.graph import Value, constant
from ...compiler.ir.types import f32
from ...compiler.ops import convolution, math
from ...compiler.ops.contract import einsum
from ...compiler.ops.tiles import join_tiles, split_tiles
from ...compiler.rewrite import As, Const, Maybe, Rule, Var
from ...compiler.target.description import Engine, Target
from ...runtime.records import dataclass

CHANNELS = 32
"""Fewer of either kind leave too few products for the transforms to pay."""

CORES = 2
"""That draw on the memory of the weights at once."""

PAYS = 0.8
"""The share of the direct convolution's time below which a form is taken: its transforms take time too."""

_TOGETHER = 4096
"""Pairs of channels whose weights are transformed at once."""

WASTE = 1.4
"""How much larger all tiles together may be than the result: 14 in tiles of 4 is 16, squared 1.31 times as much."""


@dataclass(frozen=True)
class Form:
    """F(m, 3): y = output^T [(weight w) * (input x)], each matrix row by row; `error` is the largest relative to the
    largest result, measured on normal data (direct summation in f32: 3e-7)."""

    m: int
    input: np.ndarray
    weight: np.ndarray
    output: np.ndarray
    error: float


_F2 = Form(
    2,
    np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], float),
    np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]) / 2,
    np.array([[1, 1, 1, 0], [0, 1, -1, -1]], float),
    1e-6,
)
_F4 = Form(
    4,
    np.array(
        [
            [4, 0, -5, 0, 1, 0],
            [0, -4, -4, 1, 1, 0],
            [0, 4, -4, -1, 1, 0],
            [0, -2, -1, 2, 1, 0],
            [0, 2, -1, -2, 1, 0],
            [0, 4, 0, -5, 0, 1],
        ],
        float,
    ),
    np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24,
    np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], float),
    2e-5,
)
FORMS = (_F4, _F2)
"""From the one that spares most."""


def products_per_byte(engine: Engine, target: Target) -> float:
    """The products that an engine makes while one byte comes from where weights are kept."""
    return engine.lanes * engine.issue / target.home.bandwidth


def form_for(y: Value, w: Value, products: float) -> Form | None:
    """The form that pays most for a convolution in f32, None where the direct one does; of an engine that makes so many
    products while a byte of weights comes."""
    return next(iter(forms_for(y, w, products)), None) if y.dtype == f32 else None


def forms_for(y: Value, w: Value, products: float, bytes_: int = 4) -> list[Form]:
    """The forms that may pay for a convolution whose transformed weights are of so many bytes, the best one first.

    What takes longer counts: to multiply, or to fetch the weights.
    """
    attributes = y.node.attributes
    if w.type.rank != 4 or not y.type.is_static or attributes["groups"] != 1:
        return []
    outputs, inputs, *taps = w.type.static_shape
    if taps != [3, 3] or {*attributes["strides"], *attributes["dilations"]} != {1}:
        return []
    if min(outputs, inputs) < CHANNELS:
        return []
    batch, _, *extents = y.type.static_shape

    def effort(points: int, places: int) -> float:
        return outputs * inputs * points * max(batch * places, CORES * products * bytes_)

    found = []
    for form in FORMS:
        tiles = prod(-(-extent // form.m) for extent in extents)
        takes = effort((form.m + 2) ** 2, tiles)
        if tiles * form.m**2 <= WASTE * prod(extents) and takes < PAYS * effort(9, prod(extents)):
            found.append((takes, form))
    return [form for _, form in sorted(found, key=itemgetter(0))]


def convolved(
    x: Value,
    w: np.ndarray,
    bias: np.ndarray | None,
    form: Form,
    pads: tuple[int, ...],
    extents: tuple[int, int],
) -> Value:
    """A convolution [N, C, ...] * [O, C, 3, 3] in a form; `extents` are the result's."""
    points = form.m + 2
    outputs, inputs = w.shape[:2]
    transformed = _transformed(w.reshape(outputs * inputs, 9), form).reshape(points, points, outputs, inputs)
    for axis, extent in enumerate(extents):  # [N, C, H, W] => [i, N, C, y, W] => [j, i, N, C, y, x]
        x = split_tiles(
            x,
            matrix=row_by_row(form.input),
            rows=points,
            axis=2 + 2 * axis,
            step=form.m,
            begin=pads[axis],
            tiles=-(-extent // form.m),
        )
    y = einsum(x, constant(transformed), equation="jincyx,ijoc->jinoyx")
    for axis, extent in reversed(list(enumerate(extents))):
        y = join_tiles(y, matrix=row_by_row(form.output), rows=form.m, axis=2 + 2 * axis, extent=extent)
    return y if bias is None else math.add(y, constant(bias.reshape(-1, 1, 1)))


def _transformed(taps: np.ndarray, form: Form) -> np.ndarray:
    """The weights [n, 9] at each point, [points, n], in f64, rounded once; a few at a time, which stay in the cache."""
    matrix = np.kron(form.weight, form.weight)
    out = np.empty((len(matrix), len(taps)), taps.dtype)
    for start in range(0, len(taps), _TOGETHER):
        some = slice(start, start + _TOGETHER)
        out[:, some] = matrix @ taps[some].T.astype(np.float64)
    return out


def row_by_row(matrix: np.ndarray) -> tuple[float, ...]:
    return tuple(matrix.reshape(-1).tolist())


_SAMPLE: Mapping[str, Any] = {
    "x": "f32[1, 32, 8, 12]",
    "w": "f32[33, 32, 3, 3]",
    "b": "f32[33]",
    "nn.conv.strides": (1, 1),
    "nn.conv.pads": (1, 1, 1, 1),
    "nn.conv.dilations": (1, 1),
    "nn.conv.groups": 1,
}


def rules(target: Target) -> tuple[Rule, ...]:
    """Fast forms where they pay on a target."""
    products = products_per_byte(target.engine("contract"), target)

    def fast(y: Value, x: Value, w: Value, b: Value | None) -> Value:
        form = form_for(y, w, products)
        assert form is not None
        assert w.constant is not None
        height, width = y.type.static_shape[2:]
        bias = None if b is None else b.constant
        return convolved(x, w.constant, bias, form, y.node.attributes["pads"], (height, width))

    return (
        Rule(
            "conv 3x3 => products of transformed tiles",
            As("y", convolution.conv(Var("x"), Const("w"), Maybe("b", constant=True))),
            fast,
            guard=lambda y, w, **_: form_for(y, w, products) is not None,
            samples=(_SAMPLE, {**_SAMPLE, "b": None, "x": "f32[2, 32, 6, 9]", "nn.conv.pads": (0, 0, 1, 2)}),
        ),
    )


def is_wanted(choice: object) -> bool:
    """What the option says; CompileError for what is neither "on" nor "off"."""
    if choice in ("on", True):
        return True
    if choice in ("off", False):
        return False
    raise CompileError(f"the cpu's option 'winograd' is {choice!r}", hint="it is on or off")
