"""In-place ops as functions: what they change gets a new name, and so does everything that shares its memory.

A view is remembered with the tensor that it looks into. When a tensor changes, the change is written through the
views to the tensor below, and other views of that one are taken anew where they are read next.
"""

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any

from ...compiler.diagnostics import UnsupportedError
from ...runtime.records import dataclass
from ..source import SourceGraph, SourceNode
from .nodes import Ref, aten, renamed

# How the tensor below looks when a view of it has changed: an op on (below, changed view) and the view's arguments.
_SCATTERS = {"select": "select_scatter", "slice": "slice_scatter", "diagonal": "diagonal_scatter"}
_SAME_ELEMENTS = (
    "view",
    "reshape",
    "_unsafe_view",
    "unsqueeze",
    "squeeze",
    "flatten",
    "unflatten",
    "view_as",
    "alias",
    "detach",
    "detach_",
    "contiguous",
    "lift_fresh",
    "lift_fresh_copy",
    "positive",
)
_OWN_INVERSES = ("transpose", "t", "swapaxes", "swapdims", "mT")
_OTHERS = (
    "permute",
    "unbind",
    "split",
    "split_with_sizes",
    "chunk",
    "tensor_split",
    "movedim",
    "numpy_T",
    "expand",
    "expand_as",
    "broadcast_to",
    "as_strided",
    "unfold",
    "view_as_real",
    "view_as_complex",
    "real",
    "imag",
)
VIEWS = frozenset((*_SCATTERS, *_SAME_ELEMENTS, *_OWN_INVERSES, *_OTHERS))

_NEW, _BELOW = (
    "new",
    "below",
)  # a changed view and the tensor that it looks into, until their names are put in

# Names that end in an underscore and change nothing.
_HARMLESS = ("requires_grad_", "detach_")


def base_name(op: str) -> str:
    """The op without its overload."""
    return op.partition(".")[0]


def changes_operand(op: str) -> bool:
    """Whether an op writes into its first operand."""
    base = base_name(op)
    return base.endswith("_") and not base.endswith("__") and base not in _HARMLESS


@dataclass(frozen=True, slots=True)
class _View:
    """A name that looks into another one: the node that takes it, and the output of the node that it is."""

    below: str
    node: SourceNode
    index: int


@dataclass
class _State:
    """`now` holds the present name of each original one, `seen` which version of its base a view was taken from."""

    location: str
    nodes: list[SourceNode] = field(default_factory=list)
    now: dict[str, str] = field(default_factory=dict)
    views: dict[str, _View] = field(default_factory=dict)
    version: dict[str, int] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    count: int = 0

    def root(self, name: str) -> str:
        while name in self.views:
            name = self.views[name].below
        return name

    def fresh(self, name: str) -> str:
        self.count += 1
        return f"{name}.{self.count}"

    def read(self, name: str) -> str:
        """The present name of a value; a view of something that has changed since is taken anew."""
        view = self.views.get(name)
        if view is not None:
            version = self.version.get(self.root(name), 0)
            if self.seen.get(name, 0) != version:
                self.read(view.below)
                new = self.fresh(name)
                outputs = [new if n == view.index else "" for n in range(len(view.node.outputs))]
                self.emit(view.node, outputs)
                self.now[name], self.seen[name] = new, version
        return self.now.get(name, name)

    def emit(self, node: SourceNode, outputs: list[str], op: str | None = None) -> None:
        """A node with the present names of what it reads."""
        names = {name: self.read(name) for name in node.inputs}
        self.nodes.append(_rewritten(node, names, outputs, op or node.op))

    def change(self, name: str, new: str, node: SourceNode) -> None:
        """A value has become another one: so has the tensor that it looks into, and that one's base."""
        root = self.root(name)
        self.version[root] = self.version.get(root, 0) + 1
        while True:
            self.now[name], self.seen[name] = new, self.version[root]
            view = self.views.get(name)
            if view is None:
                return
            below = self.now.get(view.below, view.below)
            name, new = view.below, self.written(view, below, new, node)

    def written(self, view: _View, below: str, new: str, node: SourceNode) -> str:
        """The tensor below after a view of it has become `new`."""
        out = self.fresh(view.below)
        inverse = _inverse(view)
        if inverse is None:
            raise UnsupportedError(
                f"{node.op} changes a tensor through '{view.node.op}', which is not followed",
                location=f"{self.location}:{node.name}",
                hint="clone the tensor first, or export with run_decompositions({})",
            )
        domain, op, positional, named = inverse
        made = aten(op, [out], (Ref(_NEW), *positional), named, node.name, node.origin, domain)
        names = {_NEW: new, _BELOW: below}
        names |= {name: self.read(name) for name in made.inputs if name not in names}
        self.nodes.append(_rewritten(made, names, [out], op))
        return out


def _inverse(view: _View) -> tuple[str, str, tuple[Any, ...], dict[str, Any]] | None:
    """Domain, op and arguments after the changed view (and the tensor below) of what undoes a view; None: nothing."""
    base, overload = base_name(view.node.op), view.node.op.partition(".")[2]
    rest = tuple(view.node.attributes["positional"][1:])
    named = {
        key: value for key, value in view.node.attributes["named"].items() if key not in ("self", "input")
    }
    if base in _SAME_ELEMENTS:
        return "isthmus", "like", (Ref(_BELOW),), {}
    if base in _SCATTERS:
        return "isthmus", _SCATTERS[base], (Ref(_BELOW), *rest), named
    if base in _OWN_INVERSES:
        return "aten", view.node.op, rest, named
    if base == "permute":
        return "isthmus", "unpermute", rest, named
    if base == "unbind":
        return "isthmus", "select_scatter", (Ref(_BELOW), *(rest or (named.get("dim", 0),)), view.index), {}
    if base == "split" and overload in ("", "Tensor"):
        size, *dim = (*rest, *(named[key] for key in ("split_size", "dim") if key in named))
        if isinstance(size, int):
            bounds = (view.index * size, (view.index + 1) * size)
            return "isthmus", "slice_scatter", (Ref(_BELOW), *(dim or [0]), *bounds), {}
    return None


def _rewritten(node: SourceNode, names: Mapping[str, str], outputs: list[str], op: str) -> SourceNode:
    """The node with other names of operands and outputs."""
    attributes = dict(node.attributes)
    attributes["positional"] = renamed(attributes["positional"], names)
    attributes["named"] = {key: renamed(value, names) for key, value in attributes["named"].items()}
    inputs = tuple(dict.fromkeys(names.get(name, name) for name in node.inputs))
    return SourceNode(
        op, node.name, inputs, tuple(outputs), attributes, node.domain, node.version, node.origin
    )


def functionalised(graph: SourceGraph, location: str) -> SourceGraph:
    """The graph without in-place ops; `location` is what errors call the model.

    Raises UnsupportedError for changes of inputs and weights, and through views that are not followed.
    """
    return _read_only(
        graph if not any(changes_operand(n.op) for n in graph.nodes) else _rewritten_graph(graph, location)
    )


def _read_only(graph: SourceGraph) -> SourceGraph:
    """The graph with outputs of nodes unnamed that nobody reads, so that converters need not compute them."""
    read = set(graph.outputs)
    for node in graph.nodes:
        read.update(node.inputs)
        read.update(name for body in node.graphs for name in body.free())
    nodes = (
        replace(node, outputs=tuple(name if name in read else "" for name in node.outputs))
        for node in graph.nodes
    )
    return replace(graph, nodes=tuple(nodes))


def _rewritten_graph(graph: SourceGraph, location: str) -> SourceGraph:
    state = _State(location)
    given = {entry.name for entry in graph.inputs}
    for node in graph.nodes:
        first = _first_operand(node)
        if changes_operand(node.op) and first is not None:
            if state.root(first) in given or state.root(first) in graph.constants:
                raise UnsupportedError(
                    f"{node.op} changes '{state.root(first)}', an input or a weight, and packages keep no state",
                    location=f"{location}:{node.name}",
                    hint="clone it first",
                )
            out = state.fresh(first)
            state.emit(node, [out, *[""] * (len(node.outputs) - 1)], _function(node.op))
            state.change(first, out, node)
            for name in node.outputs:
                state.views[name] = _View(first, aten("alias", [name], (Ref(first),), name=node.name), 0)
                state.now[name], state.seen[name] = out, state.version[state.root(first)]
            continue
        state.emit(node, list(node.outputs))
        if first is not None and base_name(node.op) in VIEWS:
            for index, name in enumerate(node.outputs):
                state.views[name] = _View(first, node, index)
                state.seen[name] = state.version.get(state.root(first), 0)
    outputs = tuple(state.read(name) for name in graph.outputs)
    return SourceGraph(graph.name, graph.inputs, outputs, tuple(state.nodes), graph.constants)


def _function(op: str) -> str:
    base, dot, overload = op.partition(".")
    return base[:-1] + dot + overload


def _first_operand(node: SourceNode) -> str | None:
    positional, named = node.attributes["positional"], node.attributes["named"]
    first = positional[0] if positional else named.get("self", named.get("input"))
    return first.name if isinstance(first, Ref) else None
