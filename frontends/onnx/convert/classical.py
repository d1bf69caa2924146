"""Classical models (ai.onnx.ml) but for trees: labels, thresholds, scales and linear models."""

from typing import Any

import numpy as np

from ....compiler.diagnostics import ModelError, UnsupportedError
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import i64
from ...build import math, nn, reduce, shape, text
from ..table import converter
from .scores import DOMAIN, as_floats, best, labels, transformed


@converter("ArrayFeatureExtractor", domain=DOMAIN)
def array_feature_extractor(x, indices):
    rows = x if x.type.rank > 1 else shape.reshape(x, shape=(1, *x.shape))
    flat = shape.reshape(indices, shape=(indices.type.elements,))
    return shape.gather(rows, flat, axis=rows.type.rank - 1)


@converter("Binarizer", domain=DOMAIN)
def binarizer(x, *, threshold=0.0):
    return math.cast(math.gt(x, constant(threshold, x.dtype)), dtype=x.dtype)


@converter("LabelEncoder", domain=DOMAIN, since=2)
def label_encoder(
    x,
    *,
    default_float=-0.0,
    default_int64=-1,
    default_string="_Unused",
    default_tensor=None,
    keys_floats=None,
    keys_int64s=None,
    keys_strings=None,
    keys_tensor=None,
    values_floats=None,
    values_int64s=None,
    values_strings=None,
    values_tensor=None,
):
    """The place of each element among the keys, and what stands there among the values."""
    keys = _array(
        (keys_tensor, None), (keys_strings, object), (keys_int64s, np.int64), (keys_floats, np.float32)
    )
    values = _array(
        (values_tensor, None),
        (values_strings, object),
        (values_int64s, np.int64),
        (values_floats, np.float32),
    )
    if keys is None or values is None or keys.size != values.size:
        raise ModelError("it needs as many keys as values")
    if default_tensor is not None:
        other = default_tensor
    else:
        other = {"O": default_string, "i": default_int64}.get(values.dtype.kind, default_float)
    table = np.empty(values.size + 1, values.dtype)
    table[:-1], table[-1] = values.reshape(-1), np.reshape(other, -1)[0]
    if keys.dtype == object:
        place = text.index_of(x, words=tuple(map(str, keys.reshape(-1))))
    else:
        place = _place(x, keys.reshape(-1))
    return shape.gather(
        constant(table), place, axis=0
    )  # a place of -1 is the last one, which holds the default


def _array(*given: tuple[Any, Any]) -> np.ndarray | None:
    """The attribute that is there."""
    return next((np.array(value, dtype) for value, dtype in given if value is not None), None)


def _place(x: Value, keys: np.ndarray) -> Value:
    """The place of each element among numbers, the last one where there are several, -1 where there is none."""
    column = shape.reshape(x, shape=(*x.shape, 1))
    table = constant(keys, x.dtype)
    hits = math.eq(column, table)
    if x.dtype.is_float and np.isnan(keys).any():
        hits = math.logical_or(hits, math.logical_and(math.isnan(column), math.isnan(table)))
    places = math.where(hits, constant(np.arange(len(keys))), constant(-1, i64))
    return reduce.max(places, axes=(x.type.rank,), keepdims=False)


@converter("Scaler", domain=DOMAIN)
def scaler(x, *, offset=None, scale=None):
    """One offset and scale, or one a column."""
    if offset is None or scale is None:
        raise ModelError("it needs offsets and scales")
    return math.mul(math.sub(as_floats(x), _row(offset)), _row(scale))


def _row(numbers: Any) -> Value:
    return constant(np.array(numbers, np.float32))


@converter("Normalizer", domain=DOMAIN)
def normalizer(x, *, norm="MAX"):
    """Rows divided by a norm; rows of zeros stay so."""
    x = as_floats(x)
    axes = (x.type.rank - 1,)
    if norm == "MAX":
        size = reduce.max(x, axes=axes)
    elif norm == "L1":
        size = reduce.sum(math.abs(x), axes=axes)
    elif norm == "L2":
        size = math.sqrt(reduce.sum(math.mul(x, x), axes=axes))
    else:
        raise ModelError(f"'norm' is '{norm}', expected MAX, L1 or L2")
    return math.div(x, math.where(math.eq(size, 0), constant(1, x.dtype), size))


@converter("Imputer", domain=DOMAIN)
def imputer(
    x,
    *,
    imputed_value_floats=None,
    imputed_value_int64s=None,
    replaced_value_float=0.0,
    replaced_value_int64=0,
):
    """One value in place of another (or of NaN), or one a column."""
    values, replaced = (
        (imputed_value_floats, replaced_value_float)
        if x.dtype.is_float
        else (imputed_value_int64s, replaced_value_int64)
    )
    if values is None:
        raise ModelError(f"it has no values for {x.type}")
    missing = math.isnan(x) if replaced != replaced else math.eq(x, constant(replaced, x.dtype))
    return math.where(missing, constant(np.array(values), x.dtype), x)


@converter("FeatureVectorizer", domain=DOMAIN)
def feature_vectorizer(*parts, inputdimensions=None):
    return shape.concat(*map(as_floats, parts), axis=1)


@converter("LinearRegressor", domain=DOMAIN)
def linear_regressor(x, *, coefficients=None, intercepts=None, post_transform="NONE", targets=1):
    return transformed(_linear(x, coefficients, intercepts, targets), post_transform)


@converter("LinearClassifier", domain=DOMAIN)
def linear_classifier(
    x,
    *,
    classlabels_ints=None,
    classlabels_strings=None,
    coefficients,
    intercepts=None,
    multi_class=0,
    post_transform="NONE",
):
    names = classlabels_strings or classlabels_ints
    if names is None:
        raise ModelError("it has no labels")
    features = as_floats(x).shape[-1]
    if not isinstance(features, int) or len(coefficients) != features * len(names):
        raise UnsupportedError(
            f"{len(coefficients)} coefficients for {features} features and {len(names)} labels are not supported",
            hint="export a score for each label",
        )
    scores = _linear(x, coefficients, intercepts, len(names))
    return labels(best(scores), names), transformed(scores, post_transform)


def _linear(x: Value, coefficients: Any, intercepts: Any, targets: int) -> Value:
    weights = np.array(coefficients, np.float32).reshape(targets, -1)
    scores = nn.matmul(as_floats(x), constant(np.ascontiguousarray(weights.T)))
    return scores if intercepts is None else math.add(scores, _row(intercepts))


@converter("ZipMap", domain=DOMAIN)
def zip_map(x, *, classlabels_int64s=None, classlabels_strings=None):
    raise UnsupportedError(
        "a list of dictionaries is no tensor",
        hint="export without it, options={'zipmap': False} of skl2onnx: the scores come as a table",
    )
