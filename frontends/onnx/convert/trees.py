"""Ensembles of decision trees (ai.onnx.ml), in terms of gathers and comparisons."""

from collections.abc import Sequence

import numpy as np

from ....compiler.diagnostics import ModelError, UnsupportedError
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import boolean, i64
from ...build import math, nn, reduce, shape
from ..table import converter
from .scores import DOMAIN

_COMPARISONS = {0: "le", 1: "lt", 2: "ge", 3: "gt", 4: "eq", 5: "ne"}
_MEMBER = 6
BEYOND = (0.0, 0.0, np.inf, -np.inf)
"""What a tree gives to a target that it does not have, for a mean, a sum, the least and the greatest of the trees."""

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
    """Leaves count on from the inner nodes."""
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
    nodes = Nodes(
        nodes_featureids, nodes_splits, nodes_modes, missing, membership_values, x.dtype, len(leaves)
    )
    leaf = walked(x, nodes, nexts, tree_roots)
    found = aggregated(leaf, np.array(leaf_weights), np.array(leaf_targetids), n_targets, aggregate_function)
    if post_transform not in (0, 1, 2):
        raise UnsupportedError(f"post_transform {post_transform} is not supported", hint="use 0, 1 or 2")
    return (
        (found, nn.softmax(found, axis=1), math.sigmoid(found))[post_transform] if post_transform else found
    )


def walked(x: Value, nodes: "Nodes", nexts: Sequence[np.ndarray], roots: Sequence[int]) -> Value:
    """The leaf i64[rows, trees] at which each row x [rows, features] comes out of each tree: all walk at once, a level
    a step. `nexts` has what follows on a node whose test fails, and on one whose test holds; leaves follow themselves.
    """
    count = nodes.count
    state = shape.expand(constant(np.array([roots], np.int64)), shape=(x.shape[0], len(roots)))
    for _ in range(_depth(nexts, roots, count)):
        holds = nodes.hold(x, state)
        no, yes = (shape.gather(constant(child.astype(np.int64)), state, axis=0) for child in nexts)
        state = math.where(holds, yes, no)
    return math.sub(state, count)


def _depth(nexts: Sequence[np.ndarray], roots: Sequence[int], count: int) -> int:
    """The number of steps after which every walk has come to a leaf. Raises ModelError for nodes in a circle."""
    front, depth = np.asarray(roots), 0
    while (front := front[front < count]).size:
        front = np.unique(np.concatenate([child[front] for child in nexts]))
        depth += 1
        if depth > count:
            raise ModelError("its nodes lead round in a circle")
    return depth


class Nodes:
    """The tests of the inner nodes as tables, padded with tests for the leaves that nobody looks at."""

    def __init__(self, features, splits, modes, missing, members, dtype, leaves: int):
        self.dtype, self.count = dtype, len(features)
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


def aggregated(leaf: Value, weights: np.ndarray, targets: np.ndarray | None, count: int, how: int) -> Value:
    """The weights of leaves [rows, trees] put together for each target: [rows, targets].

    A leaf has one weight and the target that it is for; without `targets` it has one for each, [leaves, targets].
    """
    rows, trees = leaf.shape
    if not isinstance(rows, int) or not isinstance(trees, int):
        raise UnsupportedError("the number of its rows is not known", hint="fix it with shapes=")
    if rows * trees * count > MOST_CELLS:
        raise UnsupportedError(
            f"{rows} rows of {trees} trees for {count} targets are too many", hint="split them"
        )
    if how not in (0, 1, 2, 3):
        raise ModelError(f"'aggregate_function' is {how}, expected 0 to 3")
    beyond = BEYOND[how]
    if targets is None:
        spread = shape.gather(constant(weights), leaf, axis=0)
    else:
        weight, target = (
            shape.reshape(shape.gather(constant(table), leaf, axis=0), shape=(rows, trees, 1))
            for table in (weights, targets.astype(np.int64))
        )
        spread = math.where(
            math.eq(target, constant(np.arange(count))), weight, constant(beyond, weight.dtype)
        )
    if how > 1:  # a target that no tree has is 0
        most = (reduce.min if how == 2 else reduce.max)(spread, axes=(1,), keepdims=False)
        return math.where(math.eq(most, beyond), constant(0, most.dtype), most)
    total = reduce.sum(spread, axes=(1,), keepdims=False)
    return math.div(total, float(trees)) if how == 0 else total
