"""What chips of explicit memories can't run, as predicates with the sentence that a user reads."""

from collections.abc import Callable, Iterable, Sequence

from ...runtime.records import dataclass
from ..diagnostics import UnsupportedError
from ..ir.graph import Node
from ..ir.types import DType, TensorType
from ..ops.engine import get
from ..target.description import Target
from ..tile.products import product
from ..tile.stage import SCAN, Affine, Kernel, Stage
from .compose import gathers, is_fetch, preparations, product_types
from .programs import Machine


@dataclass(frozen=True, slots=True)
class Constraint:
    """A test that must hold for a kernel: it returns what fails, in words, or ""."""

    sentence: str
    failure: Callable[[Kernel, Target], str]


def _types(kernel: Kernel, machine: Machine) -> str:
    names = {str(b.dtype) for b in kernel.buffers if not _has_element(machine, b.dtype)}
    return ", ".join(sorted(names))


def _has_element(machine: Machine, dtype: DType) -> bool:
    try:
        machine.element_type(dtype)
    except UnsupportedError:
        return False
    return True


def _bodies(kernel: Kernel, target: Target, machine: Machine) -> str:
    types = product_types(target)
    for stage in kernel.stages:
        if product(kernel, stage, types) is None and not is_fetch(kernel, stage):
            reason = _body(kernel, stage, machine)
            if reason:
                return reason
    return ""


def _body(kernel: Kernel, stage: Stage, machine: Machine) -> str:
    try:
        machine.body(stage, kernel.buffer(stage.write.buffer).dtype)
    except UnsupportedError as error:
        return error.message
    return ""


def _combines(kernel: Kernel) -> str:
    names = {s.combine for s in kernel.stages if s.combine not in (None, "sum", "max", "min")}
    return ", ".join(sorted(str(name) for name in names))


def _drops(kernel: Kernel, stage: Stage) -> bool:
    """Whether a stage writes past its buffer's edges, where stages drop elements and instructions do not."""
    last = {d.name: max(0, d.size - 1) for d in stage.dims}
    for part, extent in zip(stage.write.index, kernel.buffer(stage.write.buffer).static_shape, strict=True):
        if isinstance(part, Affine):
            reach = [coefficient * last[name] for name, coefficient in part.terms]
            low, high = (part.const + sum(f(0, each) for each in reach) for f in (min, max))
            if low < 0 or high >= max(1, extent):
                return True
    return False


def _first(names: Iterable[str]) -> str:
    return next(iter(names), "")


def _tables(kernel: Kernel) -> str:
    return _first(load.access.buffer for s in kernel.stages if is_fetch(kernel, s) for load in gathers(s))


NO_ROWS = Constraint(
    "no rows of a table are looked up, for which the chip has no instruction",
    lambda kernel, _: _tables(kernel),
)
"""What chips ask whose writers spell no `gather_rows`."""


def constraints(machine: Machine) -> tuple[Constraint, ...]:
    """What every chip whose vector engine runs programs of a machine asks of a kernel."""
    elements = [*machine.elements, *["bool"] * ("u8" in machine.elements)]
    return (
        Constraint(
            "no dim is sequential",
            lambda kernel, _: _first(d.name for s in kernel.stages for d in s.dims if d.kind == SCAN),
        ),
        Constraint(
            f"elements are {', '.join(elements[:-1])} or {elements[-1]}",
            lambda kernel, _: _types(kernel, machine),
        ),
        Constraint("reductions are sums, maxima or minima", lambda kernel, _: _combines(kernel)),
        Constraint(
            "every body fits a vector program", lambda kernel, target: _bodies(kernel, target, machine)
        ),
        Constraint(
            "what is looked up is whole rows of an input, or elements of a small table",
            lambda kernel, _: _first(s.name for s in kernel.stages if gathers(s) and not is_fetch(kernel, s)),
        ),
        Constraint(
            "every element that is computed has a place in its result",
            lambda kernel, _: _first(s.write.buffer for s in kernel.stages if _drops(kernel, s)),
        ),
        Constraint(
            "no buffer is empty", lambda kernel, _: _first(b.name for b in kernel.buffers if 0 in b.shape)
        ),
    )


def refusals(node: Node, target: Target, machine: Machine, further: Sequence[Constraint] = ()) -> list[str]:
    """Sentences of the constraints that a node fails, the chip's `further` ones with them, and what fails them."""
    tensors = [v.type for v in (*node.operands, *node.results) if v is not None]
    if not all(isinstance(t, TensorType) and t.is_static for t in tensors):
        return ["shapes are known when compiling, and all values are tensors"]
    kernel = get(node.op).kernel(node)
    if kernel is None:
        return [f"{node.op} has no stages: it runs as a whole-tensor routine"]
    kernel = preparations(kernel, target)[0]
    found = [(c.sentence, c.failure(kernel, target)) for c in (*constraints(machine), *further)]
    return [f"{sentence} (here: {what})" for sentence, what in found if what]
