"""Which variable has which key in the checkpoint, found in the part of the graph that restores them.

Both generations write it the same way: RestoreV2 with a constant list of keys, and an assignment of each result to a
variable. TensorFlow 2 puts that into a function whose arguments are the variables.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from .graphs import VARIABLES
from .tensors import array_of

_ASSIGNMENTS = ("AssignVariableOp", "Assign")


def checkpoint_keys(meta: Any) -> dict[str, str]:
    """Key by name of the variable's node. A variable that nothing restores has its own name as key."""
    nodes = meta.graph_def.node
    keys = {node.name: node.name for node in nodes if node.op in VARIABLES}
    keys.update(_assigned(nodes, {}))
    functions = {proto.signature.name: proto for proto in meta.graph_def.library.function}
    restoring = meta.saver_def.restore_op_name.partition(":")[0]
    for node in nodes:
        function = functions.get(node.attr["f"].func.name) if "f" in node.attr else None
        if function is not None and node.name == restoring:
            arguments = {
                entry.name: text.partition(":")[0]
                for entry, text in zip(function.signature.input_arg, node.input, strict=False)
            }
            keys.update(_assigned(function.node_def, arguments))
    return keys


def _assigned(nodes: Any, arguments: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Variables and keys of the assignments among nodes; `arguments` are the nodes that a function's arguments are."""
    by_name = {node.name: node for node in nodes}
    listed: dict[str, list[str]] = {}
    for node in nodes:
        if node.op not in _ASSIGNMENTS or len(node.input) < 2:
            continue
        source, index = _through(by_name, node.input[1])
        if source not in listed:
            listed[source] = _restored(by_name, source)
        if index < len(listed[source]):
            target = node.input[0].partition(":")[0]
            yield arguments.get(target, target), listed[source][index]


def _restored(by_name: Mapping[str, Any], name: str) -> list[str]:
    """The keys that a node restores, if that is what it does."""
    restore = by_name.get(name)
    if restore is None or restore.op != "RestoreV2" or len(restore.input) < 2:
        return []
    names = by_name.get(restore.input[1].partition(":")[0])
    if names is None or names.op != "Const":
        return []
    return list(map(str, array_of(names.attr["value"].tensor).reshape(-1)))


def _through(by_name: Mapping[str, Any], text: str) -> tuple[str, int]:
    """The node and output index that a tensor comes from, identities passed over."""
    for _ in by_name:
        name, *_ = text.split(":")
        node = by_name.get(name)
        if node is None or node.op != "Identity" or not node.input:
            break
        text = node.input[0]
    name, *rest = text.split(":")
    return name, int(rest[-1]) if rest and rest[-1].isdigit() else 0
