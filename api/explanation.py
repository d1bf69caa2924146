"""`explain`: where every node of a model runs, in which kernel, by which schedule, and at what predicted cost."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import isthmus
from isthmus.advice import idle_array
from isthmus.compilation import build_model
from isthmus.compiler.diagnostics import CompileError
from isthmus.compiler.passes.plan import HostStep
from isthmus.compiler.pipeline import Built
from isthmus.compiler.system_build import SystemBuilt
from isthmus.compiler.tile.text import print_kernel, print_schedule
from isthmus.model import Model, Shapes, read
from isthmus.precision import Samples, find_precision
from isthmus.runtime.records import dataclass
from isthmus.system_explanation import SystemExplanation, explain_system
from isthmus.systems import find_wishes
from isthmus.targets import find_backend, find_target


@dataclass(frozen=True)
class Step:
    """One step of the compiled model, in order of execution.

    `device` is "host" for a node that runs by its reference meaning, `reason` says why; such steps have no schedule.
    `cycles` is predicted, `parts` are what it was predicted from: the engines' work and each memory's traffic.
    """

    number: int
    name: str
    device: str
    sources: tuple[str, ...]
    cycles: float = 0.0
    parts: Mapping[str, float] | None = None
    kernel: str = ""
    schedule: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Explanation:
    """What `explain` found; `print` it. Sizes in bytes; `clock_mhz` is what the target's description says."""

    model: str
    target: str
    clock_mhz: float
    steps: tuple[Step, ...]
    code_bytes: int
    constant_bytes: int
    arena_bytes: int
    advice: str | None = None
    detailed: bool = False

    def to_json(self) -> dict[str, Any]:
        """The explanation as JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        return "\n".join(self._details() if self.detailed else self._table())

    def _table(self) -> list[str]:
        total = sum(step.cycles for step in self.steps)
        hosted = [step for step in self.steps if step.device == "host"]
        lines = [
            f"{self.model} for {self.target}: {len(self.steps) - len(hosted)} kernels,"
            f" {len(hosted)} steps by reference meaning",
            f"predicted: {total:,.0f} cycles, {total / self.clock_mhz / 1000:.3f} ms on one core"
            f" at {self.clock_mhz:.0f} MHz",
            f"code {_bytes(self.code_bytes)}, constants {_bytes(self.constant_bytes)},"
            f" arena {_bytes(self.arena_bytes)}",
            *([self.advice] if self.advice else []),
            "",
            f"{'#':>4}  {'on':<5} {'cycles':>12} {'share':>6}  computes",
        ]
        for step in self.steps:
            cost = (
                f"{step.cycles:>12,.0f} {step.cycles / (total or 1):>6.1%}"
                if step.schedule
                else f"{'-':>12} {'-':>6}"
            )
            reason = f"  ({step.reason})" if step.reason else ""
            lines.append(
                f"{step.number:>4}  {step.device:<5} {cost}  {', '.join(step.sources) or step.name}{reason}"
            )
        return lines

    def _details(self) -> list[str]:
        lines: list[str] = []
        for step in self.steps:
            lines.append(f"# {step.number}: {step.name} on {step.device}")
            if not step.schedule:
                lines.append(f"# {step.reason or 'no schedule'}")
                continue
            parts = ", ".join(f"{part} {cycles:,.0f}" for part, cycles in (step.parts or {}).items())
            lines += [step.kernel.rstrip(), "", step.schedule.rstrip(), ""]
            lines += [f"# predicted {step.cycles:,.0f} cycles: {parts}", ""]
        return lines


def explain(
    source: Any,
    target: str = "cpu",
    *,
    shapes: Shapes | None = None,
    kernel: str | None = None,
    precision: str | None = None,
    calibration: Samples | None = None,
    quantisation: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    suggest: bool = False,
) -> Explanation | SystemExplanation:
    """Compile a model and tell how it runs.

    Args:
        source: what `read` takes.
        target: a registered target's name, or a system; see `compile`.
        shapes: dimensions of inputs by name; all must be known.
        kernel: the number of a step, or a part of its name: only such steps, with kernel, schedule and cost.
        precision, calibration, quantisation, options: see `compile`.
        suggest: for a system of several devices, try edits that would move work to accelerators.

    Raises:
        IsthmusError: everything that can't be read or compiled; no step of that name.
    """
    find_target(target)
    wanted = find_precision(precision, calibration, quantisation)
    model = read(source, shapes)
    built = build_model(model, target, options=options, precision=wanted)
    if isinstance(built, SystemBuilt):
        told = explain_system(built, model.location or model.graph.name, target)
        if not suggest:
            return told
        from isthmus.suggestions import suggest as try_out

        return replace(told, suggestions=try_out(built, find_wishes(options or {}), isthmus.__version__))
    found = explain_built(built, model, target, options)
    return found if kernel is None else _chosen(found, kernel)


def explain_built(
    built: Built, model: Model, target: str, options: Mapping[str, Any] | None = None
) -> Explanation:
    """What there is to tell of a model that has been compiled."""
    chip = find_backend(target).target(options or {})
    return Explanation(
        model.location or model.graph.name,
        target,
        chip.clock_mhz,
        _steps(built, target),
        len(built.compiled.code),
        int(built.compiled.constants.nbytes),
        built.plan.arena_bytes,
        idle_array(built, chip),
    )


def _steps(built: Built, device: str) -> tuple[Step, ...]:
    reports = iter(built.reports)
    fallbacks = iter(built.artefact.manifest.fallbacks)
    steps = []
    for number, step in enumerate(built.plan.steps):
        if isinstance(step, HostStep):
            location = step.node.location
            reason = next(fallbacks).removeprefix(f"{location or step.node.op}: {step.node.op}: ")
            name = f"{step.node.op} {location}".rstrip()
            steps.append(Step(number, name, "host", location.names, reason=reason))
            continue
        report = next(reports)
        steps.append(
            Step(
                number,
                report.name,
                device,
                report.location.names,
                report.cycles,
                dict(report.breakdown),
                print_kernel(report.kernel, locations=False),
                print_schedule(report.schedule),
            )
        )
    return tuple(steps)


def _chosen(explanation: Explanation, wanted: str) -> Explanation:
    """The explanation of the steps that `wanted` names, in detail."""
    steps = tuple(step for step in explanation.steps if wanted == str(step.number))
    steps = steps or tuple(step for step in explanation.steps if wanted in step.name)
    if not steps:
        raise CompileError(
            f"no kernel is called '{wanted}'",
            location=explanation.model,
            hint=f"give a number from 0 to {len(explanation.steps) - 1} or a part of a source node's name",
        )
    return replace(explanation, steps=steps, detailed=True)


def _bytes(count: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"
