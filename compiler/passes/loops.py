"""Loops of few turns: what they do is written out, so that it is compiled like everything else."""

from collections import Counter

import numpy as np

from ...runtime.records import dataclass
from ..ir.graph import Graph, Node, Value, constant
from ..ir.location import at
from ..ir.types import TensorType
from ..ops.engine import get
from ..rewrite.renew import Renewal
from .base import PassResult
from .branches import inlined
from .fold import folded


@dataclass(frozen=True, slots=True)
class Unroll:
    """Replaces `control.scan` and `control.loop` of a known number of turns by the nodes of all their turns.

    `nodes`: as many may come of one loop.
    """

    nodes: int = 1024

    @property
    def name(self) -> str:
        return "unroll"

    def run(self, graph: Graph) -> PassResult:
        hits: Counter[str] = Counter()
        return PassResult(self._run(graph, hits), hits)

    def _run(self, graph: Graph, hits: Counter[str]) -> Graph:
        if not any(node.op in ("control.scan", "control.loop") for node in graph.nodes):
            return graph
        new: dict[Value, Value] = {}
        renewal = Renewal()
        for old in graph.nodes:
            operands = [None if v is None else new[v] for v in old.operands]
            node = renewal.renew(old, operands, old.regions)
            results: tuple[Value, ...] | None = None
            with at(node.location):
                if node.op == "control.scan":
                    results = self._scan(node)
                elif node.op == "control.loop":
                    results = self._loop(node)
            if results is not None:
                hits[f"{node.op} => its turns"] += 1
            renewal.define(old, results or node.results)
            new.update(zip(old.results, results or node.results, strict=True))
        if all(new[value] is value for value in graph.outputs):
            return graph
        return renewal.finish(graph.replace([new[value] for value in graph.outputs]))

    def _scan(self, node: Node) -> tuple[Value, ...] | None:
        (body,) = node.regions
        states, count = node.attributes["states"], node.attributes["inputs"]
        args = [value for value in node.operands if value is not None]
        scanned, invariants = args[states : states + count], args[states + count :]
        axes = node.attributes["axes"] or (0,) * count
        turns = scanned[0].shape[axes[0]]
        if not isinstance(turns, int) or not 0 < turns * size(body) <= self.nodes:
            return None
        reverse = node.attributes["reverse"] or (False,) * count
        held, rows = args[:states], []
        for turn in range(turns):
            elements = [
                _element(value, axis, turns - 1 - turn if backwards else turn)
                for value, axis, backwards in zip(scanned, axes, reverse, strict=True)
            ]
            results = inlined(body, [*held, *elements, *invariants])
            held = list(results[:states])
            rows.append(results[states:])
        columns = list(zip(*rows, strict=True))
        out_axes = node.attributes["output_axes"] or (0,) * len(columns)
        backwards = node.attributes["output_reverse"] or (False,) * len(columns)
        return (
            *held,
            *(
                _stacked(column[::-1] if flipped else column, axis)
                for column, axis, flipped in zip(columns, out_axes, backwards, strict=True)
            ),
        )

    def _loop(self, node: Node) -> tuple[Value, ...] | None:
        """The turns, as long as constants say that there is another one."""
        (body,) = node.regions
        states = node.attributes["states"]
        trip, condition, *rest = node.operands
        args = [value for value in rest if value is not None]
        limit = None if trip is None else trip.constant
        goes_on = constant(np.array(True)) if condition is None else condition
        if trip is not None and limit is None:
            return None
        most = None if limit is None else int(limit.reshape(-1)[0])
        held, rows, turn = args[:states], [], 0
        while most is None or turn < most:
            if goes_on.constant is None or (turn + 1) * size(body) > self.nodes:
                return None
            if not goes_on.constant.reshape(-1)[0]:
                break
            given = [constant(np.array(turn, np.int64)), goes_on, *held, *args[states:]]
            flag, *results = inlined(body, given)
            goes_on = folded(flag)
            held = list(results[:states])
            rows.append(results[states:])
            turn += 1
        if not rows:
            return None
        return (*held, *(_stacked(column, 0) for column in zip(*rows, strict=True)))


def size(graph: Graph) -> int:
    """The number of nodes, those of regions included, at least 1."""
    return 1 + sum(1 + sum(map(size, node.regions)) for node in graph.nodes if node.op != "input")


def _element(value: Value, axis: int, turn: int) -> Value:
    """The part of a scanned value at one turn."""
    rank = value.type.rank
    sizes = tuple(1 if n == axis else extent for n, extent in enumerate(value.shape))
    starts = tuple(turn if n == axis else 0 for n in range(rank))
    part = get("shape.slice")(value, starts=starts, sizes=sizes, steps=(1,) * rank)
    return get("shape.reshape")(part, shape=(*value.shape[:axis], *value.shape[axis + 1 :]))


def _stacked(rows: "tuple[Value, ...]", axis: int) -> Value:
    """Values of one type side by side on a new axis."""
    type = rows[0].type
    assert isinstance(type, TensorType)
    shape = (*type.shape[:axis], 1, *type.shape[axis:])
    parts = [get("shape.reshape")(row, shape=shape) for row in rows]
    return parts[0] if len(parts) == 1 else get("shape.concat")(*parts, axis=axis)
