"""From formed entries to a plan: kernels over memory, arrays, lifetimes, and where everything lies."""

from collections.abc import Mapping, Sequence

from ...runtime.records import replace
from ..ir.graph import Graph, Value
from .draft import Draft, Drafting
from .layout import Layouts, choose
from .memory import Block, arrange
from .physical import Physical, Placed
from .plan import Array, HostStep, KernelStep, Layout, Place, Plan, Preferences, Step, accesses


def assemble(
    graph: Graph,
    names: Mapping[Value, str],
    entries: Sequence[Draft | HostStep],
    drafting: Drafting,
    preferences: Preferences,
    hits: Mapping[str, int],
) -> Plan:
    """The plan of a graph whose entries are formed."""
    values = {name: value for value, name in names.items()}
    outputs = tuple(names[value] for value in graph.outputs)
    inputs = tuple(names[value] for value in graph.inputs)
    chosen = choose(entries, values, inputs, outputs, drafting, preferences)
    steps: list[Step] = []
    forms = Physical()
    for entry in chosen.entries:
        if isinstance(entry, HostStep):
            steps.append(entry)
        else:
            steps.append(_kernel_step(entry, chosen, forms))
    arrays = _places(inputs, steps, outputs, chosen)
    plan = Plan(
        tuple(steps), arrays, inputs, outputs, hits=dict(hits), roots=chosen.roots, linger=preferences.linger
    )
    return ordered(plan, range(len(steps)))


def ordered(plan: Plan, order: Sequence[int]) -> Plan:
    """The plan with its steps in another order, in which whatever reads a value still comes after what writes it; and
    all arrays of the arena placed for that order."""
    steps = tuple(plan.steps[number] for number in order)
    arrays, size = _arena(plan.arrays, steps, plan.roots, plan.linger)
    return replace(plan, steps=steps, arrays=arrays, arena_bytes=size)


def _kernel_step(draft: Draft, chosen: Layouts, forms: Physical) -> KernelStep:
    placed = {
        name: Placed(
            chosen.layouts[name],
            chosen.values[name].type.static_shape,
            chosen.values[name].dtype,
            chosen.values[name].constant is not None,
        )
        for name in (*draft.reads(), *draft.writes())
    }
    kernel, behind = forms.kernel(draft, placed)
    ops = dict.fromkeys(node.op.rpartition(".")[2] for node in draft.nodes)
    kernel = replace(kernel, name="+".join(list(ops)[:6]))
    return KernelStep(kernel, {b: chosen.roots.get(n, n) for b, n in behind.items()}, draft.nodes)


def _places(
    inputs: Sequence[str], steps: Sequence[Step], outputs: Sequence[str], chosen: Layouts
) -> dict[str, Array]:
    """All arrays, those of the arena without their offsets."""
    hosted = {name for step in steps if isinstance(step, HostStep) for name in step.results}
    used = dict.fromkeys(inputs)
    for step in steps:
        reads, writes = accesses(step)
        used.update(dict.fromkeys([*reads, *writes]))
    used.update(dict.fromkeys(outputs))
    arrays = {}
    for name in used:
        value = chosen.values[name]
        place: Place = "arena"
        if value.constant is not None:
            place = "constant"
        elif name in inputs:
            place = "input"
        elif name in hosted:
            place = "host"
        elif name in outputs:
            place = "output"
        layout = chosen.layouts.get(name, Layout((), ()))
        arrays[name] = Array(name, value, layout, place)
    return arrays


def _arena(
    arrays: Mapping[str, Array], steps: Sequence[Step], roots: Mapping[str, str], linger: int
) -> tuple[dict[str, Array], int]:
    """The arrays with offsets, each kept for `linger` steps after its last use, and the size of the arena."""
    lives: dict[str, tuple[int, int]] = {}
    for n, step in enumerate(steps):
        for group in accesses(step):
            for name in group:
                root = roots.get(name, name)
                lives[root] = (lives.get(root, (n, n))[0], n)
    blocks = []
    for name, (first, last) in lives.items():
        array = arrays[name]
        if array.place == "arena":
            key = (array.shape, array.layout, array.dtype) if array.layout.has_halo else None
            blocks.append(Block(name, array.bytes, first, last + linger, key))
    offsets, size = arrange(blocks)
    placed = {}
    for name, array in arrays.items():
        root = roots.get(name, name)
        placed[name] = replace(array, offset=offsets[root]) if root in offsets else array
    return placed, size
