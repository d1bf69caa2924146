"""The distinct layers of a network: products with their bias, residual and requantisation, other operations alone.

Each is a graph of its own; constants stay, other operands become inputs.
"""

from dataclasses import dataclass

import numpy as np

from isthmus.compiler.ir.graph import Graph, Node, Value, graph_input
from isthmus.compiler.ir.types import TensorType
from isthmus.compiler.ops import get

BEGIN = ("quant.conv", "quant.matmul", "reduce.sum", "reduce.max", "nn.max_pool")
FOLLOW = ("math.add", "quant.requantize_fixed", "quant.lookup", "math.max", "math.min", "math.clip")
"""What joins the operation before it, when nothing else reads that and all else it takes is constant."""
RESIDUAL = "quant.accumulate"
"""What joins it likewise and takes another part of the network as well: the sums with what goes round them."""
IN_ROWS = ("quant.matmul", "quant.softmax")
"""What takes four dimensions as a batch of matrices, which are no images."""
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
    if follower.op == RESIDUAL:
        return follower if follower.operands[0] is node.result else None
    others = [v for v in follower.operands if v is not None and v is not node.result]
    return follower if follower.op in FOLLOW and all(v.constant is not None for v in others) else None


def _alone(chain: list[Node]) -> Graph:
    """A graph of the chain. Images come and go with their channels last, as between the layers of a network; with
    channels first a layer would mostly be the change of that."""
    last = chain[0].op not in IN_ROWS
    inputs: dict[Value, Value] = {}
    inside: dict[Value, Value] = {}
    for node in chain:
        for value in node.operands:
            if value is not None and value.constant is None and value not in inside:
                image = last and _is_image(value)
                given = graph_input(f"x{len(inputs)}", _outside(value.type) if image else value.type)
                inputs[value] = given
                inside[value] = get("shape.transpose")(given, perm=(0, 3, 1, 2)) if image else given
        operands = [value and inside.get(value, value) for value in node.operands]
        inside[node.result] = node.with_operands(operands).result
    result = inside[chain[-1].result]
    if last and _is_image(result):
        result = get("shape.transpose")(result, perm=(0, 2, 3, 1))
    return Graph(list(inputs.values()), [result], ["y"])


def _is_image(value: Value) -> bool:
    return isinstance(value.type, TensorType) and len(value.type.shape) == 4


def _outside(type: TensorType) -> TensorType:
    """The type of an image with its channels last."""
    n, c, h, w = type.shape
    return TensorType(type.dtype, (n, h, w, c))


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
    residual = " + residual" if any(node.op == RESIDUAL for node in chain) else ""
    return f"{chain[0].op} {' '.join(shapes)}{stride}{residual} -> {chain[-1].result.type}"
