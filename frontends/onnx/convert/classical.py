"""Classical models (ai.onnx.ml): labels, thresholds and trees, in terms of gathers and comparisons."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ....compiler.diagnostics import ModelError, UnsupportedError
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import boolean, i64
from ...build import math, nn, reduce, shape, text
from ..table import converter

DOMAIN = "ai.onnx.ml"


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


_COMPARISONS = {0: "le", 1: "lt", 2: "ge", 3: "gt", 4: "eq", 5: "ne"}
_MEMBER = 6
MOST_CELLS = 2**26
"""Elements (rows times trees times targets) that the sums of an ensemble may spread over."""


@converter("TreeEnsemble", domain=DOMAIN, since=5)
def tree_ensemble(
    x,
    *,
    aggregate_function=1,
    leaf_targetids,
    leaf_weights,
    membership_values=None,
    n_targets=1,
    nodes_falseleafs,
    nodes_falsenodeids,
    nodes_featureids,
    nodes_hitrates=None,
    nodes_missing_value_tracks_true=None,
    nodes_modes,
    nodes_splits,
    nodes_trueleafs,
    nodes_truenodeids,
    post_transform=0,
    tree_roots,
):
    """All rows walk all trees at once, a level a step: [rows, trees]. Leaves count on from the inner nodes."""
    count = len(nodes_featureids)
    children = [
        np.where(np.array(leaf, bool), np.array(ids) + count, ids)
        for leaf, ids in ((nodes_falseleafs, nodes_falsenodeids), (nodes_trueleafs, nodes_truenodeids))
    ]
    leaves = np.arange(count, count + len(leaf_targetids))
    nexts = [np.concatenate((child, leaves)) for child in children]
    if max(map(np.max, nexts)) >= count + len(leaves):
        raise ModelError("a branch leads to a node or leaf that there is not")
    missing = np.array(nodes_missing_value_tracks_true or [0] * count, bool)
    nodes = _Nodes(
        nodes_featureids, nodes_splits, nodes_modes, missing, membership_values, x.dtype, len(leaves)
    )
    state = shape.expand(constant(np.array([tree_roots], np.int64)), shape=(x.shape[0], len(tree_roots)))
    for _ in range(_depth(nexts, tree_roots, count)):
        holds = nodes.hold(x, state)
        no, yes = (shape.gather(constant(child.astype(np.int64)), state, axis=0) for child in nexts)
        state = math.where(holds, yes, no)
    leaf = math.sub(state, count)
    found = _aggregated(leaf, np.array(leaf_weights), np.array(leaf_targetids), n_targets, aggregate_function)
    if post_transform not in (0, 1, 2):
        raise UnsupportedError(f"post_transform {post_transform} is not supported", hint="use 0, 1 or 2")
    return (
        (found, nn.softmax(found, axis=1), math.sigmoid(found))[post_transform] if post_transform else found
    )


def _depth(nexts: Sequence[np.ndarray], roots: Sequence[int], count: int) -> int:
    """The number of steps after which every walk has come to a leaf. Raises ModelError for nodes in a circle."""
    front, depth = set(roots), 0
    while front := {node for node in front if node < count}:
        front = {int(child[node]) for node in front for child in nexts}
        depth += 1
        if depth > count:
            raise ModelError("its nodes lead round in a circle")
    return depth


class _Nodes:
    """The tests of the inner nodes as tables, padded with tests for the leaves that nobody looks at."""

    def __init__(self, features, splits, modes, missing, members, dtype, leaves: int):
        self.dtype = dtype
        self.features = np.concatenate((features, np.zeros(leaves))).astype(np.int64)
        self.splits = np.concatenate((splits, np.zeros(leaves)))
        self.modes = np.concatenate((modes, np.full(leaves, modes[0]))).astype(np.int64)
        self.missing = np.concatenate((missing, np.zeros(leaves, bool)))
        self.members = self._member_table(members)

    def _member_table(self, members) -> np.ndarray:
        """The members of each test of membership, [nodes, most], filled up with NaN, which is equal to nothing."""
        sets: list[list[float]] = [[]]
        for value in [] if members is None else np.array(members).reshape(-1):
            if np.isnan(value):
                sets.append([])
            else:
                sets[-1].append(float(value))
        table = np.full((len(self.modes), max(1, *map(len, sets))), np.nan)
        for node, found in zip(np.flatnonzero(self.modes == _MEMBER), sets):
            table[node, : len(found)] = found
        return table

    def hold(self, x: Value, state: Value) -> Value:
        """Whether the test of the node where each walk stands holds: bool[rows, trees]."""
        value = shape.gather_elements(x, shape.gather(constant(self.features), state, axis=0), axis=1)
        split = shape.gather(constant(self.splits, self.dtype), state, axis=0)
        mode = shape.gather(constant(self.modes), state, axis=0)
        first, *others = sorted(set(self.modes.tolist()))
        out = self._test(first, value, split, state)
        for kind in others:
            out = math.where(math.eq(mode, kind), self._test(kind, value, split, state), out)
        if self.missing.any():
            tracked = shape.gather(constant(self.missing), state, axis=0)
            out = math.logical_or(out, math.logical_and(math.isnan(value), tracked))
        return out

    def _test(self, kind: int, value: Value, split: Value, state: Value) -> Value:
        if kind == _MEMBER:
            return self._member(value, state)
        if kind not in _COMPARISONS:
            raise ModelError(f"a node's mode is {kind}, expected 0 to 6")
        return getattr(math, _COMPARISONS[kind])(value, split)

    def _member(self, value: Value, state: Value) -> Value:
        rows = shape.gather(constant(self.members, self.dtype), state, axis=0)
        hits = math.cast(math.eq(shape.reshape(value, shape=(*value.shape, 1)), rows), dtype=i64)
        return math.cast(reduce.max(hits, axes=(2,), keepdims=False), dtype=boolean)


def _aggregated(leaf: Value, weights: np.ndarray, targets: np.ndarray, count: int, how: int) -> Value:
    """The weights of leaves [rows, trees] put together for each target: [rows, targets]."""
    rows, trees = leaf.shape
    if not isinstance(rows, int) or not isinstance(trees, int):
        raise UnsupportedError("the number of its rows is not known", hint="fix it with shapes=")
    if rows * trees * count > MOST_CELLS:
        raise UnsupportedError(
            f"{rows} rows of {trees} trees for {count} targets are too many", hint="split them"
        )
    weight = shape.reshape(shape.gather(constant(weights), leaf, axis=0), shape=(rows, trees, 1))
    target = shape.reshape(
        shape.gather(constant(targets.astype(np.int64)), leaf, axis=0), shape=(rows, trees, 1)
    )
    meant = math.eq(target, constant(np.arange(count)))
    if how not in (0, 1, 2, 3):
        raise ModelError(f"'aggregate_function' is {how}, expected 0 to 3")
    if how > 1:  # a target that no tree has is 0
        beyond = np.inf if how == 2 else -np.inf
        spread = math.where(meant, weight, constant(beyond, weight.dtype))
        best = (reduce.min if how == 2 else reduce.max)(spread, axes=(1,), keepdims=False)
        return math.where(math.eq(best, beyond), constant(0, weight.dtype), best)
    total = reduce.sum(math.where(meant, weight, constant(0, weight.dtype)), axes=(1,), keepdims=False)
    return math.div(total, float(trees)) if how == 0 else total
