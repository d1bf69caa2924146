"""What classical models share: numbers as floats, scores of classes, and the labels of the best ones."""

from collections.abc import Sequence

import numpy as np

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import f32, i64
from ...build import math, nn, reduce, shape

DOMAIN = "ai.onnx.ml"


def as_floats(x: Value) -> Value:
    return x if x.dtype == f32 else math.cast(x, dtype=f32)


def transformed(scores: Value, post_transform: str) -> Value:
    """Scores [rows, classes] as they are, or made probabilities."""
    if post_transform == "NONE":
        return scores
    if post_transform == "LOGISTIC":
        return math.sigmoid(scores)
    if post_transform == "SOFTMAX":
        return nn.softmax(scores, axis=scores.type.rank - 1)
    raise UnsupportedError(
        f"post_transform '{post_transform}' is not supported", hint="use NONE, LOGISTIC or SOFTMAX"
    )


def best(scores: Value) -> Value:
    """The class of the greatest score in each row, of equal ones the first: i64[rows]."""
    return math.cast(reduce.argmax(scores, axis=1, keepdims=False), dtype=i64)


def labels(place: Value, names: Sequence[int | str]) -> Value:
    """The names of classes, integers or strings, by their places."""
    table = np.array(names, object if isinstance(names[0], str) else np.int64)
    return shape.gather(constant(table), place, axis=0)
