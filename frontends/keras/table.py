"""The table of Keras's layers and operations: converters, what their inputs are called, where their arrays lie."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any

from ...compiler.diagnostics import UnsupportedError
from ...compiler.ir.graph import Value
from ...runtime.records import dataclass
from ..driver import Converter
from ..source import SourceGraph, SourceNode
from ..tensorflow.table import TABLE as TENSORFLOW
from .layers import OPERATIONS, Layer, layer_of

_EXPORT = "export it with model.export(), and read the SavedModel"


@dataclass(frozen=True, slots=True)
class Entry:
    """A converter. `inputs` are names of inputs that may be absent; arrays follow after them.

    `parts` are the paths of its arrays below the layer's group; `wraps` the entries of its configuration that are
    layers themselves, and the paths of these.
    """

    converter: Converter
    inputs: tuple[str, ...] = ()
    parts: tuple[str, ...] = ("",)
    wraps: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Table:
    """Entries by domain and class; nodes of TensorFlow's own graphs have the domain "tensorflow"."""

    entries: dict[tuple[str, str], Entry] = field(default_factory=dict)

    def entry(self, layer: Layer) -> Entry | None:
        """What is known of a layer's class."""
        return self._known(layer.domain, layer.kind)

    def _known(self, domain: str, kind: str) -> Entry | None:
        """The entry of a class; what `.h5` files do not tell from an operation may be a layer that has no arrays."""
        found = self.entries.get((domain, kind))
        return self.entries.get(("", kind)) if found is None and domain == OPERATIONS else found

    def parts(self, layer: Layer) -> Iterable[str]:
        """Paths of a layer's arrays below its group, in order."""
        entry = self.entry(layer)
        if entry is None:
            return ()
        if not entry.wraps:
            return entry.parts
        inner = [
            (path, layer_of(layer.config[name]))
            for name, path in entry.wraps.items()
            if layer.config.get(name)
        ]
        return [f"{part}/{below}" for part, wrapped in inner for below in self.parts(wrapped)]

    def find(self, node: SourceNode) -> Converter:
        """The converter of a node; see `driver.Converters`."""
        entry = self._known(node.domain, node.op)
        if entry is not None:
            return entry.converter
        if node.domain == "tensorflow":
            return TENSORFLOW.find(node)
        if node.op == "Lambda":
            raise UnsupportedError("its meaning is Python code", hint=_EXPORT)
        if node.domain == OPERATIONS:
            raise UnsupportedError("this operation has no converter", hint=_EXPORT)
        raise UnsupportedError("there is no converter for this class of layers", hint=_EXPORT)

    def expand(self, node: SourceNode, operands: Sequence[Value | None]) -> SourceGraph:
        """No layer is defined by others; nested models are bodies of their nodes."""
        raise UnsupportedError("this form of it is not supported", hint=_EXPORT)


TABLE = Table()


def layer(*kinds: str, domain: str = "", **more: Any) -> Callable[[Converter], Converter]:
    """Register a converter for classes of layers; see `Entry` for the rest.

    Its positional parameters are the inputs, then the layer's arrays in the order of their creation; its keyword
    parameters are the entries of the configuration that matter, with Keras's defaults. `call` receives the node.
    """

    def register(function: Converter) -> Converter:
        for kind in kinds:
            if (domain, kind) in TABLE.entries:
                raise ValueError(f"{kind} has two converters")
            TABLE.entries[domain, kind] = Entry(function, **more)
        return function

    return register


def operation(*kinds: str) -> Callable[[Converter], Converter]:
    """Register a converter for operations."""
    return layer(*kinds, domain=OPERATIONS)
