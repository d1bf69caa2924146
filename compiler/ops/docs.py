"""The table of all ops, derived from their declarations: what each takes, whether it has stages, what it means."""

from collections.abc import Iterable
from typing import Any

from ...runtime.records import dataclass
from ..ir.types import DType
from .engine import REGISTRY, AttributeSpec, Op, spell


@dataclass(frozen=True, slots=True)
class Entry:
    """One row. `operands` and `attributes` are spelt as in a call; `stages`: whether kernels are formed of it."""

    name: str
    operands: str
    attributes: str
    stages: bool
    summary: str


def entry(op: Op) -> Entry:
    """The row of one op; its summary is the first paragraph of its meaning's docstring."""
    operands = ", ".join(
        f"*{o.name}" if o.variadic else f"{o.name}=None" if o.optional else o.name for o in op.operands
    )
    summary = " ".join((op.__doc__ or "").strip().partition("\n\n")[0].split())
    return Entry(op.name, operands, ", ".join(map(_attribute, op.attributes)), op.stages is not None, summary)


def _attribute(spec: AttributeSpec) -> str:
    text = f"{spec.name}: {spell(spec.annotation)}"
    return text if spec.required else f"{text} = {_value(spec.default)}"


def _value(value: Any) -> str:
    return str(value) if isinstance(value, DType) else repr(value)


def _code(text: str) -> str:
    """As code, since a bare * would begin italics."""
    return f"`{text}`" if text else ""


def entries() -> list[Entry]:
    """All ops, by name."""
    return [entry(op) for _, op in sorted(REGISTRY.items())]


def markdown(rows: Iterable[Entry] | None = None) -> str:
    """The rows (default: all ops) as a Markdown table."""
    lines = ["| op | operands | attributes | runs as | meaning |", "|---|---|---|---|---|"]
    for row in entries() if rows is None else rows:
        cells = (
            f"`{row.name}`",
            _code(row.operands),
            _code(row.attributes),
            "stages" if row.stages else "opaque",
            row.summary,
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"
