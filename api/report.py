"""`check`: everything that stands between a model and a target, found without generating code."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from isthmus.compiler import system_build
from isthmus.compiler.diagnostics import IsthmusError, Problem
from isthmus.compiler.ir.graph import Node
from isthmus.compiler.partition.system import System
from isthmus.compiler.passes.form import form
from isthmus.compiler.passes.plan import HostStep
from isthmus.compiler.pipeline import optimise, passes_for
from isthmus.model import Model, Shapes, read
from isthmus.precision import Precision, Samples, find_precision
from isthmus.runtime.records import dataclass
from isthmus.systems import find_wishes
from isthmus.targets import find_target

if TYPE_CHECKING:
    from isthmus.compiler.target.backend import Backend


@dataclass(frozen=True)
class Report:
    """What `check` found. `problems` stop a compilation; `fallbacks` are nodes that would run by their reference
    meaning, slowly but rightly, each with the reason; `open` names dimensions that are known at run time only."""

    model: str
    target: str
    problems: tuple[Problem, ...] = ()
    fallbacks: tuple[Problem, ...] = ()
    open: tuple[str, ...] = ()
    nodes: int = 0

    @property
    def ok(self) -> bool:
        """Whether the model compiles."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {"ok": self.ok, **asdict(self)}

    def __str__(self) -> str:
        if not self.ok:
            count = len(self.problems)
            head = f"{self.model} does not compile for {self.target}: {count} problem{'s' * (count > 1)}"
            return "\n".join([head, *(f"  {problem}" for problem in self.problems)])
        lines = [f"{self.model} compiles for {self.target}: {self.nodes} nodes"]
        if self.open:
            lines.append(
                f"  {', '.join(self.open)} known at run time only: compiled then for each new shape; bind with shapes="
            )
        if self.fallbacks:
            lines.append(f"  {len(self.fallbacks)} of them run by their reference meaning, slowly:")
        return "\n".join([*lines, *(f"    {problem}" for problem in self.fallbacks)])


def check(
    source: Any,
    target: str = "cpu",
    *,
    shapes: Shapes | None = None,
    precision: str | None = None,
    calibration: Samples | None = None,
    quantisation: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Report:
    """Every problem of a model for a target, at once.

    Args:
        source: what `read` takes.
        target: a registered target's name.
        shapes: dimensions of inputs by name; see `read`.
        precision, calibration, quantisation, options: see `compile`. A precision is tried on models without open
            dimensions; 8-bit integers from samples cost a run of the model on each.
    """
    problems: list[Problem] = []
    name = str(getattr(source, "location", source))
    model: Model | None = None
    fallbacks: tuple[Problem, ...] = ()
    try:
        found = find_target(target)
        wanted = find_precision(precision, calibration, quantisation)
    except IsthmusError as error:
        problems += error.problems
    try:
        model = read(source, shapes)
        name = model.location
        if not problems and not model.symbols:
            fallbacks = _fallbacks(model, found, wanted, options or {})
    except IsthmusError as error:
        problems += error.problems
    nodes = 0 if model is None else sum(node.op not in ("input", "constant") for node in model.graph.nodes)
    return Report(
        name, str(target), tuple(problems), fallbacks, () if model is None else model.symbols, nodes
    )


def _fallbacks(
    model: Model, target: "Backend | System", precision: Precision, options: Mapping[str, Any]
) -> tuple[Problem, ...]:
    """The nodes without code on the target, or on any device of a system, each with the constraints that fail."""
    own = precision.passes(model)
    if isinstance(target, System):
        find_wishes(options)
        passes = system_build.passes_for(target, own)
        backends = [(device.backend, device.options) for device in target.devices]
    else:
        passes, backends = passes_for(target, options, own), [(target, options)]
    graph, _ = optimise(model.graph, passes=passes)
    reasons: dict[Node, str] = {}

    def supports(node: Node) -> bool:
        failed = [backend.refusals(node, asked) for backend, asked in backends]
        reasons[node] = "; ".join(dict.fromkeys(reason for each in failed for reason in each))
        return not all(failed)

    plan = form(graph, supports)
    return tuple(
        Problem(str(step.node.location), f"{step.node.op}: {reasons.get(step.node) or step.reason}")
        for step in plan.steps
        if isinstance(step, HostStep)
    )
