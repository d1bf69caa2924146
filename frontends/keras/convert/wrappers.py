"""Layers around other layers."""

from collections.abc import Sequence

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.dims import product
from ....compiler.ir.graph import Value
from ...build import math, shape
from ...driver import Call
from ...signature import bind
from ...source import SourceNode
from ..table import TABLE, layer
from .activations import number


def _applied(inner: SourceNode, operands: Sequence[Value | None], call: Call, mask: Value | None = None):
    """What a wrapped layer gives for operands, its arrays included."""
    entry = TABLE.entries.get((inner.domain, inner.op))
    slots = entry.inputs if entry is not None else ()
    if mask is not None and "mask" not in slots:
        raise UnsupportedError(f"a mask for {inner.op}", hint="export it with model.export()")
    padded = [operands[0], *(mask if name == "mask" else None for name in slots[1:]), *operands[1:]]
    return bind(TABLE.find(inner), inner, padded, call)


@layer("TimeDistributed", inputs=("inputs",), wraps={"layer": "layer"})
def time_distributed(x, *arrays, layer, call):
    """The layer for each step of [batch, time, ...]."""
    steps = x.shape[:2]
    flat = shape.reshape(x, shape=(product(steps), *x.shape[2:]))
    out = _applied(layer, (flat, *arrays), call)
    if not isinstance(out, Value):
        raise UnsupportedError("a layer with several results, step by step", hint="use one result")
    return shape.reshape(out, shape=(*steps, *out.shape[1:]))


@layer(
    "Bidirectional",
    inputs=("sequences", "mask"),
    wraps={"layer": "forward_layer", "backward_layer": "backward_layer"},
)
def bidirectional(x, mask=None, *arrays, layer, backward_layer=None, merge_mode="concat", call):
    """A recurrence forwards and one backwards, the results of which are put in the order of time."""
    backward_layer = backward_layer or _reversed(layer)
    half = len(arrays) // 2
    for inner in (layer, backward_layer):
        if inner.attributes.get("return_state"):
            raise UnsupportedError("states of both directions", hint="export it with model.export()")
    ahead = _applied(layer, (x, *arrays[:half]), call, mask)
    behind = _applied(backward_layer, (x, *arrays[half:]), call, mask)
    if layer.attributes.get("return_sequences"):
        if not isinstance(behind.shape[1], int):
            raise UnsupportedError(f"a sequence of length '{behind.shape[1]}'", hint="fix it with shapes=")
        last = behind.shape[1] - 1
        behind = shape.slice(behind, starts=(0, last, 0), sizes=behind.shape, steps=(1, -1, 1))
    match merge_mode:
        case "concat":
            return shape.concat(ahead, behind, axis=ahead.type.rank - 1)
        case "sum":
            return math.add(ahead, behind)
        case "ave":
            return math.div(math.add(ahead, behind), number(2, ahead))
        case "mul":
            return math.mul(ahead, behind)
        case None:
            return ahead, behind
        case _:
            raise UnsupportedError(f"merge_mode '{merge_mode}'", hint="use concat, sum, ave or mul")


def _reversed(node: SourceNode) -> SourceNode:
    """The same recurrence in the other direction, as Keras 2 leaves it to the reader."""
    attributes = {**node.attributes, "go_backwards": not node.attributes.get("go_backwards", False)}
    return SourceNode(node.op, node.name, (), (), attributes)
