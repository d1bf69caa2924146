"""Placed kernels -> one code image: tile, emit each distinct kernel once, lay out constants, write the entries."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...compiler.diagnostics import UnsupportedError
from ...compiler.target.backend import (
    Arena,
    Call,
    Compiled,
    Constant,
    External,
    KernelReport,
    KernelsRefused,
    Placed,
)
from ...compiler.target.description import Target
from ...compiler.tile.canonical import canonical
from ...compiler.tile.check import require_legal
from ...compiler.tile.stage import Kernel
from ...compiler.tile.tiler import Choice, tile
from ...runtime.background import Background
from . import abi, codegen
from .constants import Blob
from .entry import Step, entry_text, support_text
from .holds import Packing
from .kernel import KernelCode, KernelEmitter
from .link import describe, link
from .machine import Machine
from .pool_ir import POOL_EXPORTS


@dataclass(frozen=True)
class _Emitted:
    """A distinct kernel in its normal form, its schedule and its code."""

    kernel: Kernel
    choice: Choice
    code: KernelCode


class _Module:
    """Distinct kernels of one module, by normal form."""

    def __init__(self, machine: Machine, target: Target):
        self.machine = machine
        self.target = target
        self.emitted: dict[str, _Emitted] = {}
        self.declarations: set[str] = set()

    def kernels(self, calls: Sequence[Call]) -> list[tuple[_Emitted, tuple[str, ...]]]:
        """For each call its kernel's code and its own buffer names in the order of the code's parameters.

        KernelsRefused when some kernels can't be emitted.
        """
        found, reasons = [], {}
        for number, call in enumerate(calls):
            try:
                found.append(self._kernel(call))
            except UnsupportedError as error:
                reasons[number] = error.message
        if reasons:
            raise KernelsRefused(reasons)
        return found

    def _kernel(self, call: Call) -> tuple[_Emitted, tuple[str, ...]]:
        normal, _, key = canonical(call.kernel)
        names = {b.name: own.name for b, own in zip(normal.buffers, call.kernel.buffers, strict=True)}
        if key not in self.emitted:
            choice = tile(normal, self.target)[0]
            require_legal(normal, choice.schedule)
            name = f"kernel_{len(self.emitted)}"
            emitter = KernelEmitter(normal, choice.schedule, self.machine, name, self.declarations)
            self.emitted[key] = _Emitted(normal, choice, emitter.emit())
        emitted = self.emitted[key]
        return emitted, tuple(names[p] for p in emitted.code.parameters)


def compile_segments(
    segments: Sequence[Sequence[Call]],
    arena: int,
    machine: Machine,
    target: Target,
    listings: Sequence[str] = (),
) -> Compiled:
    """The program of a package's CPU part; see `Backend.compile`."""
    module = _Module(machine, target)
    blob = Blob()
    entries, reports, labels = [], [], []
    counters = 0
    kernels = iter(module.kernels([call for calls in segments for call in calls]))
    for number, calls in enumerate(segments):
        externals: dict[str, int] = {}
        steps = []
        for position, call in enumerate(calls):
            emitted, names = next(kernels)
            code = emitted.code
            packings = {packing.buffer: packing for packing in code.packings}
            arguments = tuple(
                _argument(call.operands[name], packings.get(parameter), blob, externals)
                for name, parameter in zip(names, code.parameters, strict=True)
            )
            steps.append(Step(code.name, arguments, code.chunks, position))
            reports.append(_report(call, emitted))
        counters = max(counters, len(steps))
        entries.append(entry_text(f"segment_{number}", steps))
        labels.append([call.name for call in calls])
    text = codegen.module_text(
        machine,
        [support_text(machine.triple), *(emitted.code.text for emitted in module.emitted.values()), *entries],
        module.declarations,
    )
    compiling = Background(lambda: codegen.object_code(machine, text))
    constants = blob.finish()
    object_code = compiling.result()
    exports = [f"segment_{n}" for n in range(len(segments))]
    image = link(object_code, [*exports, *POOL_EXPORTS])
    facts = describe(
        image,
        exports,
        triple=machine.triple,
        cpu=machine.cpu,
        features=sorted(machine.features),
        arena=arena,
        counters=counters,
        steps=labels,
    )
    texts = {"llvm": text} if "llvm" in listings else {}
    if "asm" in listings:
        texts["asm"] = codegen.assembly(machine, text)
    features = tuple(sorted(machine.features))
    return Compiled(image.code, constants, facts.to_meta(), features, tuple(reports), object_code, texts)


def _argument(
    placed: Placed, packing: Packing | None, blob: Blob, externals: dict[str, int]
) -> tuple[int, int]:
    if isinstance(placed, Constant):
        return abi.CONSTANTS_BUFFER, blob.place(placed, packing)
    if isinstance(placed, Arena):
        return abi.ARENA_BUFFER, placed.offset
    assert isinstance(placed, External)
    return abi.FIRST_EXTERNAL_BUFFER + externals.setdefault(placed.slot, len(externals)), 0


def _report(call: Call, emitted: _Emitted) -> KernelReport:
    estimate = emitted.choice.estimate
    breakdown = {"compute": estimate.compute, **estimate.memory}
    return KernelReport(
        call.name, call.location, emitted.choice.schedule, estimate.cycles, breakdown, emitted.kernel
    )
