"""The converter table: one for exported programs, TorchScript and objects in memory, by ATen's names of ops."""

from collections.abc import Callable, Sequence
from typing import Any

from ...compiler.diagnostics import UnsupportedError
from ...compiler.ir.graph import Value
from ...runtime.records import dataclass
from ..driver import Converter
from ..source import SourceGraph, SourceNode
from .nodes import Origin
from .schema import Form


@dataclass(frozen=True, slots=True)
class Table:
    """Forms by domain and op (`aten`, `add`), then by overload ("" stands for every overload without its own)."""

    forms: dict[tuple[str, str], dict[str, Form]]

    def add(self, domain: str, op: str, convert: Callable[..., Any]) -> None:
        base, _, overload = op.partition(".")
        forms = self.forms.setdefault((domain, base), {})
        if overload in forms:
            raise ValueError(f"{domain}.{op} has two converters")
        forms[overload] = Form(op, convert)

    def find(self, node: SourceNode) -> Converter | None:
        """The form for the node's overload; where the node names none, the first that its arguments fit."""
        base, _, overload = node.op.partition(".")
        forms = self.forms.get((node.domain, base), {})
        if overload in forms and (overload or len(forms) == 1):
            return forms[overload]
        if overload and "" in forms:
            return forms[""]
        if not overload:
            given = node.attributes["positional"], node.attributes["named"]
            fitting = [(form.mismatch(*given), form) for form in forms.values()]
            ranked = sorted((pair for pair in fitting if pair[0] is not None), key=lambda pair: pair[0] or 0)
            if ranked:
                return ranked[0][1]
        place = _place(node.origin)
        if forms:
            known = ", ".join(f"{base}.{name}" if name else base for name in forms)
            raise UnsupportedError(f"this form of it is not known{place}", hint=f"known are {known}")
        raise UnsupportedError(
            f"this build has no converter for it{place}",
            hint="write it with other operations, or register a converter (docs/pytorch.md)",
        )

    def expand(self, node: SourceNode, operands: Sequence[Value | None]) -> SourceGraph:
        """Torch's graphs define no op by others."""
        raise UnsupportedError("no other ops define it", hint="write it with other operations")


def _place(origin: Any) -> str:
    """Where the user's code has the call, as far as torch recorded it."""
    if not isinstance(origin, Origin) or not (origin.module or origin.line):
        return ""
    module = f" in module '{origin.module}'" if origin.module else ""
    return f", called{module}{f' at {origin.line}' if origin.line else ''}"


TABLE = Table({})


def converter(*ops: str, domain: str = "aten") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a converter for ops of a domain: `add` for all overloads of it, `max.dim` for one.

    Its parameters are the op's arguments with their names, defaults and order; annotations say what is no tensor (see
    `schema`). It returns the outputs. A parameter `call` receives the node.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for op in ops:
            TABLE.add(domain, op, function)
        return function

    return register
