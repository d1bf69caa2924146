"""Placed kernels -> one code image: tile, emit each distinct kernel once, lay out constants, write the entries."""

from collections.abc import Mapping, Sequence

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
from ...compiler.tile.tiler import Choice, tile
from . import abi, codegen
from .constants import Blob
from .entry import Step, entry_text, support_text
from .kernel import KernelCode, KernelEmitter, Packing
from .link import describe, link
from .machine import Machine
from .pool_ir import POOL_EXPORTS


class _Module:
    """Distinct kernels of one module, by normal form."""

    def __init__(self, machine: Machine, target: Target):
        self.machine = machine
        self.target = target
        self.codes: dict[str, tuple[Choice, KernelCode]] = {}
        self.declarations: set[str] = set()

    def emit_all(self, calls: Sequence[Call]) -> None:
        """Emit everything once; KernelsRefused if some kernels can't be."""
        reasons = {}
        for number, call in enumerate(calls):
            try:
                self.kernel(call)
            except UnsupportedError as error:
                reasons[number] = error.message
        if reasons:
            raise KernelsRefused(reasons)

    def kernel(self, call: Call) -> tuple[Choice, KernelCode, tuple[str, ...]]:
        """Schedule, code and the call's own buffer names in the order of the code's parameters."""
        normal, _, key = canonical(call.kernel)
        names = dict(
            zip((b.name for b in normal.buffers), (b.name for b in call.kernel.buffers), strict=True)
        )
        if key not in self.codes:
            choice = tile(normal, self.target)[0]
            name = f"kernel_{len(self.codes)}"
            emitter = KernelEmitter(normal, choice.schedule, self.machine, name, self.declarations)
            self.codes[key] = (choice, emitter.emit())
        choice, code = self.codes[key]
        return choice, code, tuple(names[p] for p in code.parameters)


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
    module.emit_all([call for calls in segments for call in calls])
    for number, calls in enumerate(segments):
        externals: dict[str, int] = {}
        steps = []
        for position, call in enumerate(calls):
            choice, code, names = module.kernel(call)
            packings = {packing.buffer: packing for packing in code.packings}
            arguments = tuple(
                _argument(call.operands[name], packings.get(parameter), blob, externals)
                for name, parameter in zip(names, code.parameters, strict=True)
            )
            steps.append(Step(code.name, arguments, code.chunks, position))
            reports.append(_report(call, choice))
        counters = max(counters, len(steps))
        entries.append(entry_text(f"segment_{number}", steps))
        labels.append([call.name for call in calls])
    text = codegen.module_text(
        machine,
        [support_text(machine.triple), *(code.text for _, code in module.codes.values()), *entries],
        module.declarations,
    )
    object_code = codegen.object_code(machine, text)
    names = [f"segment_{n}" for n in range(len(segments))]
    image = link(object_code, [*names, *POOL_EXPORTS])
    facts = describe(
        image,
        names,
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
    return Compiled(image.code, blob.finish(), facts.to_meta(), features, tuple(reports), object_code, texts)


def _argument(
    placed: Placed, packing: Packing | None, blob: Blob, externals: dict[str, int]
) -> tuple[int, int]:
    if isinstance(placed, Constant):
        return abi.CONSTANTS_BUFFER, blob.place(placed, packing)
    if isinstance(placed, Arena):
        return abi.ARENA_BUFFER, placed.offset
    assert isinstance(placed, External)
    return abi.FIRST_EXTERNAL_BUFFER + externals.setdefault(placed.slot, len(externals)), 0


def _report(call: Call, choice: Choice) -> KernelReport:
    estimate = choice.estimate
    breakdown: Mapping[str, float] = {"compute": estimate.compute, **estimate.memory}
    return KernelReport(call.name, call.location, choice.schedule, estimate.cycles, breakdown, call.kernel)
