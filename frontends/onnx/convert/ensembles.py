"""The older forms of tree ensembles (ai.onnx.ml), with nodes by tree and number: regressors and classifiers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....compiler.diagnostics import ModelError, UnsupportedError
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import f64, i64
from ...build import math, shape
from ..table import converter
from .scores import DOMAIN, as_floats, best, labels, transformed
from .trees import BEYOND, Nodes, aggregated, walked

_MODES = {
    "BRANCH_LEQ": 0,
    "BRANCH_LT": 1,
    "BRANCH_GTE": 2,
    "BRANCH_GT": 3,
    "BRANCH_EQ": 4,
    "BRANCH_NEQ": 5,
    "LEAF": -1,
}
_AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")


def _scores(
    x: Value, given: Mapping[str, Any], kind: str, count: int, how: int = 1
) -> tuple[Value, Value | None]:
    """The sums (or so) of all trees for each target, f32[rows, targets], and how many trees have a weight for it, where
    some have none; `kind` begins the names of the attributes that tell the leaves' weights."""
    x = x if x.dtype == f64 else as_floats(x)
    places = _Places(given["nodes_treeids"], given["nodes_nodeids"])
    modes = _modes(given["nodes_modes"])
    inner = modes >= 0
    # inner nodes come first, then leaves
    number = np.where(inner, np.cumsum(inner) - 1, np.count_nonzero(inner) + np.cumsum(~inner) - 1)
    order = np.argsort(number)
    nexts = []
    for name in ("nodes_falsenodeids", "nodes_truenodeids"):
        child = number.copy()
        child[inner] = number[places.of(places.trees[inner], np.array(given[name])[inner])]
        nexts.append(child[order])
    roots = number[
        np.unique(places.trees, return_index=True)[1]
    ]  # the first of each tree, as in ONNX Runtime
    leaves = int(np.count_nonzero(~inner))
    at = order[: len(order) - leaves]
    tracks = given["nodes_missing_value_tracks_true"]
    missing = np.zeros(len(at), bool) if tracks is None else np.array(tracks, bool)[at]
    features, splits = np.array(given["nodes_featureids"])[at], _numbers(given, "nodes_values")[at]
    nodes = Nodes(features, splits, modes[at], missing, None, x.dtype, leaves)
    leaf = walked(x, nodes, nexts, roots.tolist())
    own = number[places.of(*(np.array(given[f"{kind}_{name}"]) for name in ("treeids", "nodeids")))] - len(at)
    if (own < 0).any():
        raise ModelError("a node with branches has weights")
    targets, weights = np.array(given[f"{kind}_ids"]), _numbers(given, f"{kind}_weights").astype(np.float32)
    found = aggregated(leaf, *_leaves(own, targets, weights, leaves, count, how), count, how)
    base = given["base_values"] if given["base_values_as_tensor"] is None else given["base_values_as_tensor"]
    if base is not None:
        return math.add(found, constant(np.array(base, np.float32))), None
    if len(own) == leaves * count:
        return found, None
    return found, aggregated(leaf, *_leaves(own, targets, np.ones_like(weights), leaves, count, 1), count, 1)


def _leaves(
    own: np.ndarray, targets: np.ndarray, weights: np.ndarray, leaves: int, count: int, how: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Weights of leaves and their targets, or for each target; see `aggregated`."""
    if targets.size and not 0 <= targets.min() <= targets.max() < count:
        raise ModelError(f"a leaf's target is not below {count}")
    if count > 1 and len(np.unique(own)) == len(own) == leaves:
        order = np.argsort(own)
        return weights[order], targets[order]
    table = np.full((leaves, count), BEYOND[how], np.float32)
    table[own, targets] = 0
    np.add.at(table, (own, targets), weights)
    return table, None


class _Places:
    """Where the nodes stand in the lists, by tree and number."""

    def __init__(self, trees: Sequence[int], numbers: Sequence[int]):
        self.trees, own = np.array(trees, np.int64), np.array(numbers, np.int64)
        if not own.size or min(self.trees.min(), own.min()) < 0:
            raise ModelError("it has no nodes, or a tree or node of a negative number")
        self.span = int(own.max()) + 1
        keys = self.trees * self.span + own
        self.order = np.argsort(keys, kind="stable")
        self.keys = keys[self.order]

    def of(self, trees: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        keys = trees * self.span + numbers
        found = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        if (self.keys[found] != keys).any() or (numbers < 0).any() or (numbers >= self.span).any():
            raise ModelError("it refers to a node that there is not")
        return self.order[found]


def _modes(names: Sequence[str]) -> np.ndarray:
    unknown = set(names) - _MODES.keys()
    if unknown:
        raise UnsupportedError(f"nodes of mode {', '.join(sorted(unknown))} are not supported")
    return np.array([_MODES[name] for name in names])


def _numbers(given: Mapping[str, Any], name: str) -> np.ndarray:
    """An attribute that is a list of numbers, or a tensor."""
    tensor = given[f"{name}_as_tensor"]
    return np.array(given[name] if tensor is None else tensor)


@converter("TreeEnsembleRegressor", domain=DOMAIN)
def regressor(
    x,
    *,
    aggregate_function="SUM",
    base_values=None,
    base_values_as_tensor=None,
    n_targets=1,
    nodes_falsenodeids,
    nodes_featureids,
    nodes_hitrates=None,
    nodes_hitrates_as_tensor=None,
    nodes_missing_value_tracks_true=None,
    nodes_modes,
    nodes_nodeids,
    nodes_treeids,
    nodes_truenodeids,
    nodes_values=None,
    nodes_values_as_tensor=None,
    post_transform="NONE",
    target_ids,
    target_nodeids,
    target_treeids,
    target_weights=None,
    target_weights_as_tensor=None,
):
    given = dict(locals())
    if aggregate_function not in _AGGREGATES:
        raise ModelError(f"'aggregate_function' is '{aggregate_function}'")
    how = _AGGREGATES.index(aggregate_function)
    return transformed(_scores(x, given, "target", n_targets, how)[0], post_transform)


@converter("TreeEnsembleClassifier", domain=DOMAIN)
def classifier(
    x,
    *,
    base_values=None,
    base_values_as_tensor=None,
    class_ids,
    class_nodeids,
    class_treeids,
    class_weights=None,
    class_weights_as_tensor=None,
    classlabels_int64s=None,
    classlabels_strings=None,
    nodes_falsenodeids,
    nodes_featureids,
    nodes_hitrates=None,
    nodes_hitrates_as_tensor=None,
    nodes_missing_value_tracks_true=None,
    nodes_modes,
    nodes_nodeids,
    nodes_treeids,
    nodes_truenodeids,
    nodes_values=None,
    nodes_values_as_tensor=None,
    post_transform="NONE",
):
    """Of two classes all leaves may have weights for one alone: those of a score that is compared with 0, or of a
    probability, which is compared with a half, where none is negative."""
    given = dict(locals())
    names = classlabels_strings or classlabels_int64s
    if names is None:
        raise ModelError("it has no labels")
    if len(names) == 2 and len(set(class_ids)) == 1:
        given["class_ids"] = [0] * len(class_ids)
        score, _ = _scores(x, given, "class", 1)
        return _of_two(score, _numbers(given, "class_weights"), names, post_transform)
    scores, known = _scores(x, given, "class", len(names))
    # a class that no tree speaks of is not chosen, though the others' scores be negative
    chosen = (
        scores if known is None else math.where(math.gt(known, 0), scores, constant(-np.inf, scores.dtype))
    )
    return labels(best(chosen), names), transformed(scores, post_transform)


def _of_two(
    score: Value, weights: np.ndarray, names: Sequence[Any], post_transform: str
) -> tuple[Value, Value]:
    """Label and scores where all weights are of one class; as ONNX Runtime pairs them."""
    is_probability = bool((weights >= 0).all())
    chosen = math.gt(score, 0.5 if is_probability else 0.0)
    place = math.cast(shape.reshape(chosen, shape=(score.shape[0],)), dtype=i64)
    if post_transform == "LOGISTIC":
        return labels(place, names), math.sigmoid(shape.concat(math.neg(score), score, axis=1))
    other = math.sub(1.0, score) if is_probability else math.neg(score)
    return labels(place, names), shape.concat(other, score, axis=1)
