"""Common subexpressions: nodes that compute the same from the same become one, and carry both locations."""

from collections import Counter
from collections.abc import Hashable

from ...runtime.records import dataclass
from ..ir.compare import attributes_key
from ..ir.graph import Graph, Node
from ..ir.location import Location
from ..ops.engine import REGISTRY, get
from .base import PassResult

_HASHED = 4096
"""Constants of more elements are one only if they are one array: hashing all weights costs more than it finds."""


@dataclass(frozen=True, slots=True)
class Share:
    """Merges equal nodes, also equal small constants; random ops and nodes with regions are left alone."""

    @property
    def name(self) -> str:
        return "share"

    def run(self, graph: Graph) -> PassResult:
        hits: Counter[str] = Counter()
        return PassResult(_share(graph, hits), hits)


def _share(graph: Graph, hits: Counter[str]) -> Graph:
    regions = {
        node: tuple(_share(region, hits) for region in node.regions) for node in graph.nodes if node.regions
    }
    first: dict[Hashable, Node] = {}
    leader: dict[Node, Node] = {}
    members: dict[Node, list[Location]] = {}
    for node in graph.nodes:
        key = _key(node, leader)
        leader[node] = first.setdefault(key, node) if key is not None else node
        members.setdefault(leader[node], []).append(node.location)
        if leader[node] is not node:
            hits[f"share {node.op}"] += 1
    if len(members) == len(graph.nodes) and all(r == node.regions for node, r in regions.items()):
        return graph
    new: dict[Node, Node] = {}
    for node, locations in members.items():
        operands = tuple(None if v is None else new[leader[v.node]].results[v.index] for v in node.operands)
        location = locations[0].merge(*locations[1:])
        inner = regions.get(node, ())
        if operands == node.operands and location == node.location and inner == node.regions:
            new[node] = node
        else:
            new[node] = Node(node.op, operands, node.attributes, node.types, inner, location)
    return graph.replace([new[leader[value.node]].results[value.index] for value in graph.outputs])


def _key(node: Node, leader: dict[Node, Node]) -> Hashable | None:
    if node.op == "constant":
        array = node.attributes["value"].array
        return ("constant", id(array)) if array.size > _HASHED else ("constant", node.attributes["value"])
    if node.op == "input" or node.regions or (node.op in REGISTRY and not get(node.op).foldable):
        return None
    operands = tuple(None if v is None else (id(leader[v.node]), v.index) for v in node.operands)
    return (node.op, operands, attributes_key(node.attributes), node.types)
