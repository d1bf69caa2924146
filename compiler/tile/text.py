"""The text forms of kernels and schedules: they print, and parse back to what was printed.

`grammar.lark` is the grammar; lark is imported when the first text is parsed. A schedule's depth is the number of
`for` above a line; indentation is for people.
"""

import json
import math
import re
from collections.abc import Iterable

from ..ir.text import format_dim, format_float
from ..ir.types import DType, boolean
from .schedule import PARALLEL_LOOP, Hold, Loop, Place, Schedule
from .stage import (
    PARALLEL,
    Access,
    Affine,
    Apply,
    Const,
    Dim,
    Expr,
    Held,
    Index,
    Kernel,
    Load,
    Lookup,
    Number,
    Stage,
    walk,
)

KEYWORDS = frozenset(
    ("kernel", "stage", "repair", "by", "loc", "else", "inf", "for", "step", "unit", "parallel", "hold", "in")
    + ("slots", "layout", "roll", "place", "on", "lag", "reduce", "scan")
)
_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_.$@]*")


def print_kernel(kernel: Kernel, *, locations: bool = True) -> str:
    """The kernel's text; equal kernels give equal texts."""
    lines = [f"kernel {json.dumps(kernel.name)} {{"]
    for buffer in kernel.buffers:
        shape = ", ".join(map(format_dim, buffer.shape))
        lines.append(f"  {buffer.role} {word(buffer.name)}: {buffer.dtype}[{shape}]")
    lines += [f"  {print_stage(stage, locations=locations)}" for stage in kernel.stages]
    return "\n".join([*lines, "}"]) + "\n"


def parse_kernel(text: str) -> Kernel:
    """The kernel that a text describes. ModelError, with line and column, for anything else.

    What the kernel means is not checked here; `verify_kernel` does that.
    """
    from .parse import parse

    return parse(text, "kernel")


def print_schedule(schedule: Schedule) -> str:
    """The schedule's text: at each depth its holds, then its places, then the next loop."""
    lines = []
    for depth in range(len(schedule.loops) + 1):
        indent = "  " * depth
        lines += [indent + _hold(hold) for hold in schedule.holds if hold.at == depth]
        lines += [indent + _place(place) for place in schedule.places if place.at == depth]
        if depth < len(schedule.loops):
            lines.append(indent + _loop(schedule.loops[depth]))
    return "\n".join(lines) + "\n"


def parse_schedule(text: str) -> Schedule:
    """The schedule that a text describes. ModelError, with line and column, for anything else."""
    from .parse import parse

    return parse(text, "schedule")


def word(name: str) -> str:
    """A name, in quotes where it is no plain word."""
    return name if _BARE.fullmatch(name) and name not in KEYWORDS else json.dumps(name)


def _words(names: Iterable[str]) -> str:
    return ", ".join(map(word, names))


def print_stage(stage: Stage, *, locations: bool = True) -> str:
    """One stage as one line."""
    dims = ", ".join(map(_dim, stage.dims))
    lets, body = _expression(stage.body)
    line = f"stage {word(stage.name)} ({dims}): {lets}{print_access(stage.write)} = "
    line += f"{stage.combine} {body}" if stage.combine else body
    if stage.repair is not None:
        lets, factor = _expression(stage.repair.factor)
        line += f" repair {word(stage.repair.of)} by {lets}{factor}"
    if locations and (stage.location.source or stage.location.names):
        parts = (stage.location.source, *stage.location.names)
        line += f" loc({', '.join(json.dumps(part) for part in parts)})"
    return line


def _dim(dim: Dim) -> str:
    kind = "" if dim.kind == PARALLEL else dim.kind + " "
    return f"{kind}{word(dim.name)}: {format_dim(dim.extent)}"


def print_access(access: Access) -> str:
    """A buffer at an index, with `else` and the fill where there is one."""
    index = ", ".join(
        print_access(part.access) if isinstance(part, Lookup) else print_affine(part) for part in access.index
    )
    fill = "" if access.fill is None else f" else {_number(access.fill)}"
    return f"{word(access.buffer)}[{index}]{fill}"


def print_affine(affine: Affine) -> str:
    """Such as `2*oh + kh - 1`."""
    parts = [(c, word(name) if abs(c) == 1 else f"{abs(c)}*{word(name)}") for name, c in affine.terms]
    if affine.const or not parts:
        parts.append((affine.const, str(abs(affine.const))))
    text = "-" + parts[0][1] if parts[0][0] < 0 else parts[0][1]
    return text + "".join(f" {'-' if sign < 0 else '+'} {part}" for sign, part in parts[1:])


def _number(value: Number) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, complex):
        return f"complex<{format_float(value.real)}, {format_float(value.imag)}>"
    if isinstance(value, float):
        return "nan" if math.isnan(value) else format_float(value)
    return str(value)


def default_dtype(op: str, arguments: tuple[Expr, ...], predicate: bool) -> DType | None:
    """The dtype of an operation's result where the text says none."""
    if predicate:
        return boolean
    if op == "cast" or not arguments:
        return None
    return arguments[1 if op == "where" else 0].dtype


def _expression(body: Expr) -> tuple[str, str]:
    """Definitions of the operations that are used more than once, and the expression itself."""
    from ..ops.scalar import SCALARS

    nodes = list(dict.fromkeys(walk(body)))
    uses: dict[Expr, int] = {}
    for node in nodes:
        for argument in node.arguments:
            uses[argument] = uses.get(argument, 0) + 1
    texts: dict[Expr, str] = {}
    lets: list[str] = []
    for node in nodes:
        match node:
            case Load():
                text = print_access(node.access)
            case Const():
                text = f"{_number(node.value)}:{node.dtype}"
            case Index():
                text = f"<{print_affine(node.affine)}>"
            case Held():
                text = f"{node.which}:{node.dtype}"
            case Apply():
                text = f"{node.op}({', '.join(texts[argument] for argument in node.arguments)})"
                predicate = node.op in SCALARS and SCALARS[node.op].predicate
                if node.dtype != default_dtype(node.op, node.arguments, predicate):
                    text += f":{node.dtype}"
                if uses.get(node, 0) > 1:
                    lets.append(f"%{len(lets)} = {text}; ")
                    text = f"%{len(lets) - 1}"
            case _:
                raise TypeError(f"no text form for {type(node).__name__}")
        texts[node] = text
    return "".join(lets), texts[body]


def _loop(loop: Loop) -> str:
    unit = "" if loop.unit == 1 else f" unit {loop.unit}"
    return f"for {word(loop.dim)} step {loop.step}{unit}{' parallel' if loop.kind == PARALLEL_LOOP else ''}"


def _hold(hold: Hold) -> str:
    text = f"hold {word(hold.buffer)} in {word(hold.memory)}"
    if hold.slots != 1:
        text += f" slots {hold.slots}"
    if hold.layout is not None:
        text += f" layout ({', '.join(map(str, hold.layout))})"
    if hold.roll is not None:
        text += f" roll {word(hold.roll)}"
    return text if hold.panel is None else f"{text} panel {hold.panel}"


def _place(place: Place) -> str:
    parts = [f"place {word(place.stage)} on {word(place.engine)}"]
    if place.lag:
        parts.append(f"lag {place.lag}")
    parts += [
        f"{word(rib.dim)}/{rib.step}" + ("" if rib.unit == 1 else f":{rib.unit}") for rib in place.loops
    ]
    parts += [f"{word(role)}=({_words(dims)})" for role, dims in place.bind]
    return " ".join(parts)
