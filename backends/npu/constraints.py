"""What an n1 chip can't run, as predicates with the sentence that a user reads."""

from collections.abc import Callable
from dataclasses import dataclass

from ...compiler.diagnostics import UnsupportedError
from ...compiler.ir.graph import Node
from ...compiler.ir.types import TensorType
from ...compiler.ops.engine import get
from ...compiler.stream.compose import gathers, is_fetch
from ...compiler.target.description import Target
from ...compiler.tile.products import product
from ...compiler.tile.stage import SCAN, Kernel, Stage
from .compile import prepared
from .vector import body_of, element_type


@dataclass(frozen=True, slots=True)
class Constraint:
    """A test that must hold for a kernel: it returns what fails, in words, or ""."""

    sentence: str
    failure: Callable[[Kernel, Target], str]


def _types(kernel: Kernel, target: Target) -> str:
    names = {str(b.dtype) for b in kernel.buffers if not _has_element(b.dtype)}
    return ", ".join(sorted(names))


def _has_element(dtype: object) -> bool:
    try:
        element_type(dtype)  # type: ignore[arg-type]
    except UnsupportedError:
        return False
    return True


def _bodies(kernel: Kernel, target: Target) -> str:
    types = target.engine("contract").types
    for stage in kernel.stages:
        if (
            product(kernel, stage, types) is None
            and not is_fetch(kernel, stage)
            and (reason := _body(kernel, stage))
        ):
            return reason
    return ""


def _body(kernel: Kernel, stage: Stage) -> str:
    try:
        body_of(stage, kernel.buffer(stage.write.buffer).dtype)
    except UnsupportedError as error:
        return error.message
    return ""


def _combines(kernel: Kernel, target: Target) -> str:
    names = {s.combine for s in kernel.stages if s.combine not in (None, "sum", "max", "min")}
    return ", ".join(sorted(str(name) for name in names))


CONSTRAINTS = (
    Constraint(
        "no dim is sequential",
        lambda kernel, _: next((d.name for s in kernel.stages for d in s.dims if d.kind == SCAN), ""),
    ),
    Constraint("elements are i8, u8, i16, i32, bf16, f32 or bool", _types),
    Constraint("reductions are sums, maxima or minima", _combines),
    Constraint("every body fits a vector program", _bodies),
    Constraint(
        "what is looked up is whole rows of an input, or elements of a small table",
        lambda kernel, _: next((s.name for s in kernel.stages if gathers(s) and not is_fetch(kernel, s)), ""),
    ),
    Constraint(
        "no stage repairs an earlier result",
        lambda kernel, _: next((s.name for s in kernel.stages if s.repair is not None), ""),
    ),
    Constraint(
        "no buffer is empty",
        lambda kernel, _: next((b.name for b in kernel.buffers if 0 in b.shape), ""),
    ),
)


def refusals(node: Node, target: Target) -> list[str]:
    """Sentences of the constraints that a node fails, with what fails them."""
    tensors = [v.type for v in (*node.operands, *node.results) if v is not None]
    if not all(isinstance(t, TensorType) and t.is_static for t in tensors):
        return ["shapes are known when compiling, and all values are tensors"]
    kernel = get(node.op).kernel(node)
    if kernel is None:
        return [f"{node.op} has no stages: it runs as a whole-tensor routine"]
    kernel = prepared(kernel, target)
    found = [(c.sentence, c.failure(kernel, target)) for c in CONSTRAINTS]
    return [f"{sentence} (here: {what})" for sentence, what in found if what]
