"""Packages for batches of any extent: compiled once, for a block of the batch, where the model lets them be."""

from dataclasses import replace
from math import ceil, log2, prod

from isthmus.compiler.ir.dims import symbol, symbols
from isthmus.compiler.ir.graph import Graph
from isthmus.compiler.ir.types import TensorType
from isthmus.compiler.ops.engine import REGISTRY
from isthmus.compiler.partition.system import System
from isthmus.compiler.passes import EXPAND, SIMPLIFY
from isthmus.compiler.passes.separate import EXTENTS, obstacle
from isthmus.compiler.pipeline import Built, optimise
from isthmus.model import Model
from isthmus.runtime.program import Block, Port
from isthmus.runtime.records import dataclass
from isthmus.targets import find_target

WORK = 100_000
"""Cycles, roughly, that a block should take, so that starting it costs little beside."""

REUSE = 16
"""Times that a block should use each weight once it is loaded."""

LARGEST = 256
"""Indices of the batch in one block, at most."""


@dataclass(frozen=True)
class Batch:
    """A batch's name and the block that it is computed in; extent 0 and the `obstacle` where it can't be."""

    symbol: str
    extent: int = 0
    obstacle: str = ""


def serves(target: str) -> bool:
    """Whether packages for a target run in blocks; those for systems of several devices do not."""
    return not isinstance(find_target(target), System)


def candidate(model: Model) -> str:
    """The open dimension that may be a batch: first in some input, and on one axis of every output; "" for none."""
    inputs = [type for type in model.inputs.values() if isinstance(type, TensorType)]
    outputs = list(model.outputs.values())
    for type in inputs:
        names = symbols(type.shape[0]) if type.shape else ()
        for name in names:
            if _axes(inputs, name) and all(
                isinstance(each, TensorType) and each.shape.count(symbol(name)) == 1 for each in outputs
            ):
                return str(name)
    return ""


def _axes(types: list[TensorType], name: str) -> bool:
    """Whether a symbol stands alone wherever it stands, and on one axis at most."""
    alone = symbol(name)
    return all(
        type.shape.count(alone) <= 1 and all(dim == alone or name not in symbols(dim) for dim in type.shape)
        for type in types
    )


def find(model: Model, name: str) -> Batch:
    """Whether the indices of a batch, which alone is open, are computed each alone, and how many to take at once."""
    few, more = (
        optimise(specialised(model, name, extent).graph, passes=(SIMPLIFY, EXPAND, SIMPLIFY))[0]
        for extent in EXTENTS
    )
    reason = obstacle(few, more)
    return Batch(name, 0, reason) if reason else Batch(name, _extent(few))


def whole(model: Model) -> Batch | None:
    """The batch that is all that a model leaves open, if code for a block of it serves any extent."""
    name = candidate(model)
    if model.decisive or not name or model.symbols != (name,):
        return None
    found = find(model, name)
    return None if found.obstacle else found


def specialised(model: Model, name: str, extent: int) -> Model:
    """The model for one extent of a batch; what else is open stays so."""
    alone = symbol(name)
    shapes = {
        port: tuple(extent if dim == alone else None for dim in type.shape)
        for port, type in model.inputs.items()
        if isinstance(type, TensorType)
    }
    return model.specialised(shapes, {})


def _extent(graph: Graph) -> int:
    """As many as make enough work of a block, and use the weights often enough; a power of two."""
    costs = [(node, REGISTRY[node.op].cost(node)) for node in graph.nodes if node.op in REGISTRY]
    macs = sum(int(str(cost.macs)) for _, cost in costs) / EXTENTS[0]
    others = sum(int(str(cost.operations)) for _, cost in costs) / EXTENTS[0]
    read = {
        value
        for node, cost in costs
        if cost.macs
        for value in node.operands
        if value is not None and value.constant is not None
    }
    weights = sum(prod(value.type.static_shape) for value in read)
    enough = WORK / max(macs / 16 + others / 4, 1)
    reused = REUSE / max(macs / weights, 1) if weights else 1
    return int(2 ** ceil(log2(min(max(enough, reused, 1), LARGEST))))


def in_blocks(built: Built, model: Model, batch: Batch) -> Built:
    """What was built for one block, for the whole batch; `model` says where the batch lies."""
    program = built.artefact.program
    opened = replace(
        program,
        inputs=tuple(_open(port, model.inputs[port.name]) for port in program.inputs),
        outputs=tuple(_open(port, model.outputs[port.name]) for port in program.outputs),
        symbols=(batch.symbol,),
        block=Block(batch.symbol, batch.extent),
    )
    return replace(built, artefact=built.artefact.with_program(opened))


def _open(port: Port, type: object) -> Port:
    assert isinstance(type, TensorType)
    return replace(port, shape=tuple(dim if isinstance(dim, int) else str(dim) for dim in type.shape))
