"""The whole of compile(), read top to bottom: graph passes, kernels and memory, the backend's code, the package."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, field
from typing import Any

from ..runtime.artefact import Artefact
from ..runtime.background import Background
from ..runtime.manifest import Manifest
from ..runtime.records import dataclass
from . import assemble, stored_graph
from .diagnostics import Problem, UnsupportedError
from .ir.graph import Graph, Node
from .passes import GRAPH_PASSES, Pass, Rewrite
from .passes.form import form
from .passes.plan import HostStep, Plan
from .target.backend import Backend, Compiled, KernelReport, KernelsRefused

_ATTEMPTS = 6  # each one takes apart, or sends to the host, what was refused

Observer = Callable[[str, Graph, Mapping[str, int]], None]


@dataclass(frozen=True)
class Options:
    """How to compile. `device` holds the backend's own options; `strip` leaves the source constants out.

    `precision`: passes that rewrite the graph to other types, and what the manifest says of them.
    """

    strip: bool = False
    precision: tuple[Pass, ...] = ()
    precision_record: Mapping[str, Any] = field(default_factory=lambda: {"precision": "f32"})
    device: Mapping[str, Any] = field(default_factory=dict)


_USUAL = Options()


@dataclass(frozen=True)
class Built:
    """A package in memory, and what led to it."""

    artefact: Artefact
    graph: Graph
    plan: Plan
    compiled: Compiled
    hits: Mapping[str, Mapping[str, int]]

    @property
    def reports(self) -> tuple[KernelReport, ...]:
        """One report a kernel call, in order of execution."""
        return self.compiled.reports


def passes_for(
    backend: Backend, options: Mapping[str, Any], precision: Sequence[Pass] = ()
) -> tuple[Pass, ...]:
    """The passes that every model goes through, those of a precision, then the backend's own rewrites, if any."""
    rules = tuple(backend.rules(options))
    legalise = (Rewrite("legalise", rules),) if rules else ()
    return (*GRAPH_PASSES, *precision, *legalise)


def optimise(
    graph: Graph, observe: Observer | None = None, passes: Sequence[Pass] = GRAPH_PASSES
) -> tuple[Graph, dict[str, Mapping[str, int]]]:
    """All graph passes in order; `observe(pass name, graph, rule hits)` is called after each."""
    hits: dict[str, Mapping[str, int]] = {}
    for step in passes:
        result = step.run(graph)
        graph = result.graph
        hits[step.name] = Counter(hits.get(step.name, {})) + Counter(result.hits)
        if observe is not None:
            observe(step.name, graph, result.hits)
    return graph, hits


def build(
    graph: Graph,
    backend: Backend,
    options: Options = _USUAL,
    *,
    tool_version: str,
    model: str = "",
    model_sha256: Callable[[], str] = str,
    observe: Observer | None = None,
) -> Built:
    """Compile a graph with static shapes for one backend; UnsupportedError names what can't be compiled."""
    passes = passes_for(backend, options.device, options.precision)
    hashed = Background(model_sha256)
    graph, hits = optimise(graph, observe, passes)
    stored = Background(lambda: stored_graph.to_entries(graph, options.strip))
    plan, compiled, refused = _form_and_compile(graph, backend, options)
    program, entries = assemble.program(plan, backend.name, compiled, (graph.input_names, graph.output_names))
    entries |= stored.result()
    manifest = Manifest(
        tool_version=tool_version,
        model=model,
        model_sha256=hashed.result(),
        target=backend.target(options.device).name,
        options={
            "strip": options.strip,
            **options.precision_record,
            "preferences": asdict(backend.preferences()),
            **_plain(options.device),
        },
        passes=tuple(step.name for step in passes),
        features={backend.name: list(compiled.features)},
        fallbacks=tuple(_fallback(step, refused) for step in plan.steps if isinstance(step, HostStep)),
    )
    return Built(Artefact(manifest, program, entries), graph, plan, compiled, hits)


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}


def _fallback(step: HostStep, reasons: Mapping[Node, str]) -> str:
    why = reasons.get(step.node) or step.reason
    return f"{step.node.location or step.node.op}: {step.node.op}: {why}"


def _form_and_compile(
    graph: Graph, backend: Backend, options: Options
) -> tuple[Plan, Compiled, dict[Node, str]]:
    """Nodes of kernels that the backend refuses are formed again one by one, and what it refuses then runs by its
    meaning."""
    refused: dict[Node, str] = {}
    apart: set[Node] = set()

    def supports(node: Node) -> bool:
        if node not in refused and (reasons := backend.refusals(node, options.device)):
            refused[node] = "; ".join(reasons)
        return node not in refused

    for _ in range(_ATTEMPTS):
        plan = form(graph, supports, backend.preferences(), apart)
        segments = assemble.segments(plan)
        calls = [assemble.calls(segment, plan) for segment in segments]
        try:
            return plan, backend.compile(calls, plan.arena_bytes, options.device), refused
        except KernelsRefused as problem:
            steps = [step for segment in segments for step in segment]
            for number, reason in problem.reasons.items():
                nodes = steps[number].nodes
                if len(nodes) == 1 or apart.issuperset(nodes):
                    refused.update(dict.fromkeys(nodes, reason))
                apart.update(nodes)
    raise UnsupportedError(
        "",
        problems=[
            Problem(str(n.location), f"{n.op}: {why}", "report this model") for n, why in refused.items()
        ],
    )
