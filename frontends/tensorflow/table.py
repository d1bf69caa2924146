"""The converter table of TensorFlow's ops, and why some of them have no converter."""

from collections.abc import Callable, Sequence

from ...compiler.diagnostics import UnsupportedError
from ...compiler.ir.graph import Value
from ...runtime.records import dataclass
from ..driver import Converter
from ..source import SourceGraph, SourceNode

# Ops that are refused for a reason of their own: names or beginnings of names, the reason, the way out.
_REFUSED: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        (
            "Switch",
            "Merge",
            "Enter",
            "Exit",
            "NextIteration",
            "LoopCond",
            "RefSwitch",
            "RefMerge",
            "RefEnter",
        ),
        "it belongs to a loop or branch of TensorFlow 1 (control flow v1)",
        "export with control flow v2: tf.compat.v1.enable_control_flow_v2() before the graph is built, and freeze "
        "with lower_control_flow=False",
    ),
    (
        ("TensorArray",),
        "it belongs to a loop of TensorFlow 1 (control flow v1)",
        "export with control flow v2: tf.compat.v1.enable_control_flow_v2() before the graph is built",
    ),
    (
        ("HashTable", "LookupTable", "MutableHashTable", "InitializeTable"),
        "tables are not read",
        "look words up before the model, and export it from the numbers on",
    ),
    (
        ("Assign", "Apply", "ResourceScatter", "ResourceApply", "Scatter"),
        "it changes a variable while the model runs",
        "export the model for inference: training=False, states as inputs and outputs",
    ),
    (("PyFunc", "EagerPyFunc"), "it runs Python code", "write it with TensorFlow's ops, and export again"),
    (("Iterator", "OneShotIterator", "MakeIterator"), "it reads a data set", "export from the tensors on"),
    (("Parse", "Decode", "ReadFile"), "it reads an encoded file or record", "decode before the model"),
)


@dataclass(frozen=True, slots=True)
class Table:
    """Converters by op."""

    converters: dict[str, Converter]

    def find(self, node: SourceNode) -> Converter:
        """The op's converter; see `driver.Converters`."""
        converter = self.converters.get(node.op)
        if converter is not None:
            return converter
        for names, reason, hint in _REFUSED:
            if node.op.startswith(names):
                raise UnsupportedError(reason, hint=hint)
        raise UnsupportedError(
            "there is no converter for it", hint="write the model with other ops, and export again"
        )

    def expand(self, node: SourceNode, operands: Sequence[Value | None]) -> SourceGraph:
        """TensorFlow's files define no op by others; functions of the model are bodies of their nodes."""
        raise UnsupportedError("this form of it is not supported", hint="write the model with other ops")


TABLE = Table({})


def converter(*ops: str) -> Callable[[Converter], Converter]:
    """Register a converter for ops that mean the same.

    Its positional parameters are the op's inputs and its keyword parameters the op's attributes with their defaults.
    Attributes that only repeat operands' dtypes (`T`, `Tidx`, ...) are not among them. `call` receives the node.
    """

    def register(function: Converter) -> Converter:
        for op in ops:
            if op in TABLE.converters:
                raise ValueError(f"{op} has two converters")
            TABLE.converters[op] = function
        return function

    return register
