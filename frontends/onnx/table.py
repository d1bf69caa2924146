"""The converter table: for each op the forms it has had, of which a node gets the newest that its opset knows."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ...compiler.diagnostics import UnsupportedError
from ...compiler.ir.graph import Value
from ...runtime.records import dataclass
from ..driver import Converter
from ..source import SourceGraph, SourceNode
from .functions import defining_graph, has_definition, is_standard


class Form(NamedTuple):
    """A converter for an op from opset `since` on; None says that the op was withdrawn there."""

    since: int
    convert: Converter | None


@dataclass(frozen=True, slots=True)
class Table:
    """All forms, by domain and op, newest first."""

    forms: dict[tuple[str, str], list[Form]]

    def add(self, domain: str, op: str, form: Form) -> None:
        forms = self.forms.setdefault((domain, op), [])
        if any(entry.since == form.since for entry in forms):
            raise ValueError(f"{domain}.{op} has two converters since {form.since}")
        forms.append(form)
        forms.sort(reverse=True)

    def find(self, node: SourceNode) -> Converter | None:
        """The converter of the greatest since-version <= the node's opset; see `driver.Converters`."""
        forms = self.forms.get((node.domain, node.op), [])
        if not forms:
            if has_definition(node):
                return None
            domains = {domain for domain, _ in self.forms}
            if node.domain not in domains:
                raise UnsupportedError(
                    f"its domain '{node.domain}' is not known",
                    hint="export with standard ops, or add a model-local function that defines it",
                )
            reason = "this build has no converter for it" if is_standard(node) else "there is no such op"
            raise UnsupportedError(
                reason, hint="export with other ops, or add a model-local function that defines it"
            )
        for form in forms:
            if form.since <= node.version:
                if form.convert is None:
                    raise UnsupportedError(
                        f"it was withdrawn from opset {form.since} on",
                        hint="export again with a newer exporter",
                    )
                return form.convert
        raise UnsupportedError(
            f"it exists from opset {forms[-1].since} on", hint=f"export with opset {forms[-1].since} or newer"
        )

    def expand(self, node: SourceNode, operands: Sequence[Value | None]) -> SourceGraph:
        """The body that the standard gives for an op; see `driver.Converters`."""
        return defining_graph(node, operands)


TABLE = Table({})


def converter(
    *ops: str, since: int = 1, until: int | None = None, domain: str = ""
) -> Callable[[Converter], Converter]:
    """Register a converter for ops, from opset `since` to before `until` (or to the next form).

    Its positional parameters are the op's inputs and its keyword parameters the op's attributes with their defaults,
    as the op's schema of that version has them; it returns the outputs. A parameter `call` receives the node.
    """

    def register(function: Converter) -> Converter:
        for op in ops:
            TABLE.add(domain, op, Form(since, function))
            if until is not None:
                TABLE.add(domain, op, Form(until, None))
        return function

    return register


def register(op: str, function: Callable[..., Any], since: int = 1) -> None:
    """Register a function made for one op."""
    converter(op, since=since)(function)
