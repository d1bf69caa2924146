"""Regions and boxes: what detectors end with. The meanings are those of ONNX's RoiAlign and NonMaxSuppression."""

from typing import Any

import numpy as np

from ..diagnostics import TypeRuleError
from ..ir.dims import fresh
from ..ir.types import TensorType, boolean, i64
from ..tile.stage import apply, lift, select
from ..tile.writer import Ref, Stages
from .engine import Cost, Tolerance, case, op
from .gather import in_range
from .rules import extent_value, only, wide, widen


def _roi_type(
    x: TensorType, rois: TensorType, batches: TensorType, *, shape: tuple[int, int], **_: Any
) -> TensorType:
    if (
        x.rank != 4
        or rois.rank != 2
        or rois.shape[1] != 4
        or batches.rank != 1
        or not batches.dtype.is_integer
    ):
        raise TypeRuleError(
            f"roi_align takes x [N, C, H, W], rois [R, 4] and batches [R], got {x}, {rois} and {batches}"
        )
    if not x.dtype.is_float or x.dtype != rois.dtype or min(shape) < 1:
        raise TypeRuleError(f"roi_align takes floats of one type and a positive shape, got {x} and {rois}")
    return x.with_shape((rois.shape[0], x.shape[1], *shape))


def _roi_cost(results: tuple[TensorType, ...], *_: TensorType, samples: int, **__: Any) -> Cost:
    return Cost(operations=results[0].elements * max(samples, 1) ** 2 * 12)


def _roi_axis(
    s: Stages, x: Ref, rois: Ref, axis: int, extent: int, scale: float, samples: int, half_pixel: bool
) -> tuple[Ref, Ref]:
    """For one spatial axis the index and the weight of each tap, [region, cell, sample, 2]."""
    dtype = wide(x.dtype)
    shape = (rois.shape[0], extent, samples, 2)
    r, cell, sample, tap = s.dims(*shape)
    size = extent_value(s, x, 2 + axis)
    shift = 0.5 if half_pixel else 0.0
    low = rois[r, 1 - axis].cast(dtype) * scale - shift
    length = rois[r, 3 - axis].cast(dtype) * scale - shift - low
    if not half_pixel:
        length = apply("max", length, lift(1.0, dtype))
    step = length * (1 / extent)
    place = s.index(cell).cast(dtype) * step + (s.index(sample).cast(dtype) + 0.5) * step * (1 / samples)
    at = s.value(low + place, (r, cell, sample))
    inside = apply("and", at >= -1.0, at <= size.cast(dtype), dtype=boolean)
    inner = apply("min", apply("max", at, lift(0.0, dtype)), size.cast(dtype) - 1.0)
    first = apply("floor", inner)
    fraction = inner - first
    index, weight = s.local(shape, i64), s.local(shape, dtype)
    s.store(index[r, cell, sample, tap], in_range(first.cast(i64) + s.index(tap), size))
    raised = select(s.index(tap).equals(1), fraction, 1.0 - fraction)
    s.store(weight[r, cell, sample, tap], select(inside, raised, 0.0))
    return index, weight


def _roi_stages(
    s: Stages,
    x: Ref,
    rois: Ref,
    batches: Ref,
    *,
    shape: tuple[int, int],
    scale: float,
    samples: int,
    half_pixel: bool,
    largest: bool,
) -> Any:
    if not samples:
        return NotImplemented
    tables = [_roi_axis(s, x, rois, n, shape[n], scale, samples, half_pixel) for n in range(2)]
    r, c, *cells = s.dims(*s.results[0].shape)
    image = s.value(in_range(batches[r], extent_value(s, x, 0)), (r,))
    taps = [(r, cell, *s.reduce(samples, 2)) for cell in cells]
    places = [index[at] for (index, _), at in zip(tables, taps, strict=True)]
    dtype = wide(x.dtype)
    value = x.at(image, c, *places).cast(dtype)
    for (_, weight), at in zip(tables, taps, strict=True):
        value = value * weight[at]
    target = s.results[0].at(r, c, *cells)
    if largest:
        s.store(target, value, "max")
    else:
        s.store(target, s.total("sum", value, (r, c, *cells)) * (1 / samples**2))
    return None


@op(
    "detection.roi_align",
    infer=_roi_type,
    stages=_roi_stages,
    cost=_roi_cost,
    tolerance=Tolerance(relative=1e-4, absolute=1e-4),
    samples=(
        case("f32[2, 3, 8, 9]", ("f32[4, 4]", 0, 9), ("i64[4]", 0, 2), shape=(3, 2), samples=2),
        case(
            "f32[1, 2, 6, 5]",
            ("f32[3, 4]", -3, 30),
            ("i32[3]", 0, 1),
            shape=(2, 2),
            samples=3,
            scale=0.25,
            half_pixel=False,
        ),
        case("f64[1, 1, 7, 7]", ("f64[2, 4]", 0, 8), ("i64[2]", 0, 1), shape=(2, 3), samples=2, largest=True),
        case("f32[1, 1, 7, 7]", np.array([[1, 1, 6, 5]], np.float32), np.array([0]), shape=(2, 2)),
    ),
)
def roi_align(
    x,
    rois,
    batches,
    *,
    shape: tuple[int, int],
    scale: float = 1.0,
    samples: int = 0,
    half_pixel: bool = True,
    largest: bool = False,
):
    """Mean of bilinear samples of x [N, C, H, W] in each cell of a grid of `shape` over each region: [R, C, *shape].

    rois are [R, (x1, y1, x2, y2)], in units that `scale` turns into elements; batches say which image each is of.
    `samples` are taken along both axes of a cell, 0 takes as many as it has elements. `half_pixel` puts centres at
    half elements; without it, cells are at least 1 element. `largest` gives the greatest weighted neighbour instead.
    Samples beyond the image by more than an element are 0. (He et al., Mask R-CNN, ICCV 2017.)
    """
    data, boxes = widen(x), widen(rois).astype(widen(x).dtype) * scale - (0.5 if half_pixel else 0.0)
    out = np.zeros((len(rois), x.shape[1], *shape), data.dtype)
    for region, (box, batch) in enumerate(zip(boxes, batches, strict=True)):
        tables = []
        for axis in range(2):
            low, size = box[1 - axis], x.shape[2 + axis]
            length = box[3 - axis] - low if half_pixel else max(box[3 - axis] - low, 1)
            count = samples or max(int(np.ceil(length / shape[axis])), 1)
            step = length / shape[axis]
            place = np.arange(shape[axis])[:, None] * step + (np.arange(count) + 0.5) * step / count
            at = low + place
            inner = np.clip(at, 0, size - 1)
            first = np.floor(inner).astype(np.int64)
            inside = (at >= -1) & (at <= size)
            index = np.stack((first, np.minimum(first + 1, size - 1)), -1)
            fraction = inner - first
            weight = np.where(inside[..., None], np.stack((1 - fraction, fraction), -1), 0)
            tables.append((index.reshape(shape[axis], -1), weight.reshape(shape[axis], -1), count))
        (rows, across, m), (columns, along, n) = tables
        picked = data[batch][:, rows[:, :, None, None], columns[None, None]]
        values = picked * across[:, :, None, None] * along[None, None]
        out[region] = values.max((2, 4)) if largest else values.sum((2, 4)) / (m * n)
    return out.astype(x.dtype, copy=False)


def _nms_type(boxes: TensorType, scores: TensorType, *limits: TensorType | None, centred: bool) -> TensorType:
    if boxes.rank != 3 or boxes.shape[2] != 4 or scores.rank != 3:
        raise TypeRuleError(
            f"nms takes boxes [batch, count, 4] and scores [batch, classes, count], got {boxes}, {scores}"
        )
    return TensorType(i64, (fresh(), 3))


_BOXES = np.array([[[0, 0, 1, 1], [0, 0.1, 1, 1.1], [0, -0.1, 1, 0.9], [0, 10, 1, 11]]], np.float32)


@op(
    "detection.nms",
    infer=only(("float", "int"), _nms_type),
    samples=(
        case(_BOXES, ("f32[1, 2, 4]", 0, 1), np.int64(3), np.float32(0.5), np.float32(0.1)),
        case(_BOXES, ("f32[1, 1, 4]", 0, 1), np.int64(2), centred=True),
        case(_BOXES, ("f32[1, 1, 4]", 0, 1)),
    ),
)
def nms(boxes, scores, most=None, overlap=None, threshold=None, *, centred: bool = False):
    """The boxes left where each suppresses those of lower score that overlap it: rows (batch, class, box), i64.

    boxes are two corners in any order (y, x, y, x), or centre, width and height (x, y, w, h) if `centred`. At most
    `most` (default 0) are kept of each class of each batch, in the order of their scores; a box goes if its
    intersection over union with a kept one is greater than `overlap` (default 0), or its score not greater than
    `threshold`.
    """
    limit = 0 if most is None else int(np.reshape(most, ()))
    allowed = 0.0 if overlap is None else float(np.reshape(overlap, ()))
    found = []
    for batch, class_ in np.ndindex(scores.shape[:2]):
        corners, score = _corners(boxes[batch], centred), scores[batch, class_]
        order = np.argsort(-score, kind="stable")
        if threshold is not None:
            order = order[score[order] > np.reshape(threshold, ())]
        kept: list[int] = []
        for box in order:
            if len(kept) >= limit:
                break
            if not (_overlaps(corners[box], corners[kept]) > allowed).any():
                kept.append(int(box))
        found += [(batch, class_, box) for box in kept]
    return np.array(found, np.int64).reshape(-1, 3)


def _corners(boxes: np.ndarray, centred: bool) -> np.ndarray:
    """Boxes as (low, low, high, high), in f64."""
    a, b = np.split(boxes.astype(np.float64), 2, -1)
    if centred:
        a, b = a - b / 2, a + b / 2
    return np.concatenate((np.minimum(a, b), np.maximum(a, b)), -1)


def _overlaps(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of a box and others."""
    low, high = np.maximum(box[:2], others[..., :2]), np.minimum(box[2:], others[..., 2:])
    common = np.clip(high - low, 0, None).prod(-1)
    union = (box[2:] - box[:2]).prod() + (others[..., 2:] - others[..., :2]).prod(-1) - common
    return np.where(union > 0, common / np.where(union > 0, union, 1), 0)
