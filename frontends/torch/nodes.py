"""Arguments of ATen calls as all readers give them: literals, dtypes, tuples, and references to values by name."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...runtime.records import dataclass
from ..source import SourceGraph, SourceNode


@dataclass(frozen=True, slots=True)
class Ref:
    """A value of the graph: a tensor, or a number that is computed. TypeError where a file names it by none."""

    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"{self.name!r} is no name")


@dataclass(frozen=True, slots=True)
class Body:
    """A graph among the arguments: the node's attribute `body<index>`."""

    index: int


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the user's code made a node: the module's path and the source line, as far as torch recorded them."""

    module: str = ""
    line: str = ""


UNKNOWN = Origin()


def references(argument: Any) -> Iterator[str]:
    """The names that an argument refers to, in order."""
    if isinstance(argument, Ref):
        yield argument.name
    elif isinstance(argument, tuple):
        for item in argument:
            yield from references(item)


def renamed(argument: Any, names: Mapping[str, str]) -> Any:
    """The argument with references to other names."""
    if isinstance(argument, Ref):
        return Ref(names.get(argument.name, argument.name))
    return tuple(renamed(item, names) for item in argument) if isinstance(argument, tuple) else argument


def aten(
    op: str,
    outputs: Sequence[str],
    positional: Sequence[Any] = (),
    named: Mapping[str, Any] | None = None,
    name: str = "",
    origin: Origin = UNKNOWN,
    domain: str = "aten",
) -> SourceNode:
    """A call such as `add.Tensor`: its arguments by place and by name; bodies stand beside them as attributes."""
    bodies: list[SourceGraph] = []

    def plain(argument: Any) -> Any:
        if isinstance(argument, SourceGraph):
            bodies.append(argument)
            return Body(len(bodies) - 1)
        return argument

    places = tuple(map(plain, positional))
    names = {key: plain(argument) for key, argument in (named or {}).items()}
    reads = dict.fromkeys(references((*places, *names.values())))
    return SourceNode(
        op,
        name or next(filter(None, outputs), op),
        tuple(reads),
        tuple(outputs),
        {"positional": places, "named": names, **{f"body{n}": body for n, body in enumerate(bodies)}},
        domain,
        origin=origin,
    )


# Where arithmetic on sizes comes from: Python's operators and functions, and torch's own for sizes.
_OPERATORS = ("_operator", "math", "torch")


def target(text: str) -> tuple[str, str]:
    """Domain and op of a call's target: `torch.ops.aten.add.Tensor` is ("aten", "add.Tensor")."""
    domain, _, op = text.removeprefix("torch.ops.").partition(".")
    if domain in _OPERATORS:
        return "operator", op
    return domain, op.removesuffix(".default")


def innermost_line(trace: str) -> str:
    """`file.py:66` of the innermost frame that is not torch's own."""
    frames = [line.split('"') for line in trace.splitlines() if line.lstrip().startswith("File ")]
    places = [
        (parts[1].replace("\\", "/"), parts[2].partition("line ")[2].partition(",")[0])
        for parts in frames
        if len(parts) > 2
    ]
    own = [place for place in places if "/torch/" not in place[0]] or places
    return f"{own[-1][0].rpartition('/')[2]}:{own[-1][1]}" if own else ""
