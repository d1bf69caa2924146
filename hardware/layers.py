"""The distinct layers of a network: products with their bias and requantisation, other operations alone.

Each is a graph of its own; constants stay, other operands become inputs.
"""

from dataclasses import dataclass

import numpy as np

from isthmus.compiler.ir.graph import Graph, Node, Value, graph_input
from isthmus.compiler.ir.types import TensorType

BEGIN = ("quant.conv", "quant.matmul", "reduce.sum", "reduce.max", "nn.max_pool")
FOLLOW = ("math.add", "quant.requantize_fixed", "quant.lookup", "math.max", "math.min", "math.clip")
"""What joins the operation before it, when nothing else reads that."""
SKIPPED = ("constant", "math.cast", "quant.quantize", "quant.dequantize")


@dataclass(frozen=True)
class Layer:
    """A layer: a name that says its operation and shapes, how often the network has it, and the graph."""

    name: str
    count: int
    graph: Graph


def layers(graph: Graph) -> list[Layer]:
    """The layers of a graph that differ in operation, types or attributes, in the order in which they first come."""
    found: dict[str, tuple[list[Node], int]] = {}
    taken: set[Node] = set()
    users = graph.users
    for node in graph.nodes:
        variable = [v for v in node.operands if v is not None and v.constant is None]
        if node in taken or node.op in SKIPPED or node.op.startswith("shape.") or not variable:
            continue
        chain = [node]
        while chain[0].op in BEGIN and (follower := _follower(chain[-1], users)) is not None:
            chain.append(follower)
        taken.update(chain)
        name = _name(chain)
        first, count = found.get(name, (chain, 0))
        found[name] = first, count + 1
    return [Layer(name, count, _alone(chain)) for name, (chain, count) in found.items()]


def _follower(node: Node, users: object) -> Node | None:
    """The node that joins this one."""
    readers = users.get(node.result, ())  # type: ignore[attr-defined]
    if len(readers) != 1:
        return None
    ((follower, _),) = readers
    others = [v for v in follower.operands if v is not None and v is not node.result]
    if follower.op not in FOLLOW or any(v.constant is None for v in others):
        return None
    return follower


def _alone(chain: list[Node]) -> Graph:
    inputs: dict[Value, Value] = {}
    inside: dict[Value, Value] = {}
    for node in chain:
        operands = []
        for value in node.operands:
            if value is None or value.constant is not None:
                operands.append(value)
            elif value in inside:
                operands.append(inside[value])
            else:
                operands.append(inputs.setdefault(value, graph_input(f"x{len(inputs)}", value.type)))
        inside[node.result] = node.with_operands(operands).result
    return Graph(list(inputs.values()), [inside[chain[-1].result]], ["y"])


def arrays(graph: Graph, seed: int = 0) -> list[np.ndarray]:
    """Random inputs: small integers over their whole range, wider ones over 16 bits, reals near 1."""
    source = np.random.default_rng(seed)
    found = []
    for value in graph.inputs:
        assert isinstance(value.type, TensorType)
        dtype = value.type.dtype.numpy
        if np.issubdtype(dtype, np.integer):
            info = np.iinfo(dtype)
            low, high = max(info.min, -(1 << 15)), min(info.max, (1 << 15) - 1)
            found.append(source.integers(low, high + 1, value.shape).astype(dtype))
        else:
            found.append(source.standard_normal(value.shape).astype(dtype))
    return found


def _name(chain: list[Node]) -> str:
    shapes = [str(v.type) for v in chain[0].operands if v is not None and v.type.shape]
    steps = chain[0].attributes.get("strides", ())
    stride = f" /{steps[0]}" if steps and steps[0] > 1 else ""
    return f"{chain[0].op} {' '.join(shapes)}{stride} -> {chain[-1].result.type}"
