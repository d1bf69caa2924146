"""The converter table: for each op a form for floats, for quantised and for complex numbers, and the newest version
that they know."""

from collections.abc import Callable, Sequence
from dataclasses import field
from functools import partial, wraps
from typing import NamedTuple

from ...compiler.diagnostics import UnsupportedError
from ...compiler.ir.graph import Value
from ...runtime.records import dataclass
from ..driver import Converter
from ..pairs import on_halves
from ..source import SourceGraph, SourceNode
from .fixed import check_same_scale

# Ops that are refused for a reason of their own: names, the reason, the way out.
_REFUSED = (
    (
        ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE"),
        "it keeps a state between runs",
        "convert a model with frozen variables: TFLiteConverter.from_keras_model(model)",
    ),
    (
        ("HASHTABLE", "HASHTABLE_FIND", "HASHTABLE_IMPORT", "HASHTABLE_SIZE", "HASHTABLE_LOOKUP"),
        "tables are not read",
        "look words up before the model, and convert it from the numbers on",
    ),
)


class Form(NamedTuple):
    """A converter, and the newest op version that it knows; versions only ever add types and options."""

    convert: Converter
    newest: int
    moves: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Forms by op. Ops that only move elements about have one form for numbers of any meaning."""

    floats: dict[str, Form] = field(default_factory=dict)
    integers: dict[str, Form] = field(default_factory=dict)
    complexes: dict[str, Form] = field(default_factory=dict)

    def find(self, node: SourceNode) -> Converter:
        """The form for the node's operands; see `driver.Converters`."""
        if node.domain:
            raise _custom(node.op)
        quantised = any(tensor.is_narrow for tensor in node.origin.tensors)
        plain = self.floats.get(node.op)
        form = self.integers.get(node.op) if quantised else plain
        if any(tensor is not None and tensor.is_complex for tensor in node.origin.inputs):
            form = self.complexes.get(node.op)
            if form is None:
                raise UnsupportedError(
                    "complex numbers are not supported by it", hint="compute with real and imaginary parts"
                )
        if form is None and plain is not None and plain.moves:
            check_same_scale(node.origin)
            form = plain
        if form is None:
            raise _unknown(node.op, plain is not None)
        if not 1 <= node.origin.version <= form.newest:
            raise UnsupportedError(
                f"its version {node.origin.version} is not known, versions 1 to {form.newest} are",
                hint="convert the model with an older converter",
            )
        return form.convert

    def expand(self, node: SourceNode, operands: Sequence[Value | None]) -> SourceGraph:
        """The format defines no op by others; see `driver.Converters`."""
        raise UnsupportedError("this form of it is not supported", hint="write the model with other ops")


def _custom(op: str) -> UnsupportedError:
    if op.startswith("Flex"):
        return UnsupportedError(
            f"it is TensorFlow's op '{op.removeprefix('Flex')}' and no TFLite op",
            hint="convert without OpsSet.SELECT_TF_OPS, or read the SavedModel instead",
        )
    return UnsupportedError(
        "custom ops carry no definition",
        hint="convert the model up to it, and compute the rest after the model",
    )


def _unknown(op: str, has_floats: bool) -> UnsupportedError:
    for names, reason, hint in _REFUSED:
        if op in names:
            return UnsupportedError(reason, hint=hint)
    if has_floats:
        return UnsupportedError(
            "its quantised form is not known",
            hint="convert the model without quantisation, or with other ops",
        )
    return UnsupportedError(
        "there is no converter for it", hint="write the model with other ops, and convert again"
    )


TABLE = Table()


def converter(
    *ops: str, newest: int = 1, moves: bool = False, halves: bool = False
) -> Callable[[Converter], Converter]:
    """Register the form for numbers that mean themselves (or, if it only `moves` elements, for all real numbers; if it
    moves `halves` alike, for complex ones too).

    Its positional parameters are the op's operands and its keyword parameters the op's options with their defaults.
    A parameter `call` receives the node, whose `origin` is the Operator with the tensors as declared.
    """

    def register(function: Converter) -> Converter:
        TABLE.floats.update({op: Form(function, newest, moves) for op in ops})
        if halves:
            both = wraps(function)(partial(on_halves, function))
            TABLE.complexes.update({op: Form(both, newest) for op in ops})
        return function

    return register


def quantised(*ops: str, newest: int = 1) -> Callable[[Converter], Converter]:
    """Register the form for quantised operands, as above; the values it gets are plain integer tensors."""

    def register(function: Converter) -> Converter:
        TABLE.integers.update({op: Form(function, newest) for op in ops})
        return function

    return register


def paired(*ops: str, newest: int = 1) -> Callable[[Converter], Converter]:
    """Register the form for complex operands, as above; these are pairs (`frontends/pairs`)."""

    def register(function: Converter) -> Converter:
        TABLE.complexes.update({op: Form(function, newest) for op in ops})
        return function

    return register
