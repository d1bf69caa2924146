"""Placed kernels -> one code image: tile, emit each distinct kernel once, lay out constants, write the entries."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

import numpy as np

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
from ...compiler.tile.access_maps import separate_reads
from ...compiler.tile.canonical import canonical
from ...compiler.tile.check import require_legal
from ...compiler.tile.components import components
from ...compiler.tile.stage import Kernel
from ...compiler.tile.tiler import Choice, is_sequential, tile
from ...runtime.background import Background
from ...runtime.records import dataclass
from . import abi, codegen
from .constants import Blob
from .entry import DECLARATIONS, Job, Step, entry_text, support_object, support_text
from .holds import Packing
from .kernel import KernelCode, KernelEmitter
from .link import describe, link
from .machine import Machine
from .pool_ir import POOL_EXPORTS
from .requantise import quicker, with_quicker
from .round_trips import in_floats

OTHERS = 8
"""Schedules of a kernel that are tried where the cheapest one has no code."""


@dataclass(frozen=True)
class _Emitted:
    """A distinct kernel in its normal form, its schedule and its code: a function for each part that may run beside
    the others."""

    kernel: Kernel
    choice: Choice
    codes: tuple[KernelCode, ...]
    declarations: frozenset[str]


class _Kernels:
    """Distinct kernels, by normal form; each goes to the compiler as a module of its own once it is written."""

    def __init__(self, machine: Machine, target: Target, compiler: codegen.Compiler):
        self.machine = machine
        self.target = target
        self.compiler = compiler
        self.emitted: dict[str, _Emitted] = {}
        # the last of each keeps the parts of its key alive
        self.normal: dict[object, tuple[Kernel, str, Kernel]] = {}

    def of(self, calls: Sequence[Call]) -> list[tuple[_Emitted, dict[str, str]]]:
        """For each call its kernel's code and its own names of the buffers that are parameters there.

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

    def _kernel(self, call: Call) -> tuple[_Emitted, dict[str, str]]:
        normal, key = self._normal(call)
        names = {b.name: own.name for b, own in zip(normal.buffers, call.kernel.buffers, strict=True)}
        if key not in self.emitted:
            emitted = self._emit(normal)
            self.emitted[key] = emitted
            self.compiler.add([code.text for code in emitted.codes], emitted.declarations)
        return self.emitted[key], names

    def _emit(self, kernel: Kernel) -> _Emitted:
        """Code for the cheapest schedule; parts of a sequential kernel, which has no chunks to share, have one each."""
        declarations: set[str] = set()
        name = f"kernel_{len(self.emitted)}"
        parts = components(kernel) if is_sequential(kernel) else [kernel]
        if len(parts) == 1:
            choice, code = self._code(kernel, name, declarations)
            return _Emitted(kernel, choice, (code,), frozenset(declarations))
        codes = [self._code(part, f"{name}_{n}", declarations)[1] for n, part in enumerate(parts)]
        return _Emitted(kernel, tile(kernel, self.target)[0], tuple(codes), frozenset(declarations))

    def _code(self, kernel: Kernel, name: str, declarations: set[str]) -> tuple[Choice, KernelCode]:
        """The code of the cheapest schedule that has some; what the cheapest of all lacks where none has."""
        cheapest = tile(kernel, self.target)[0]
        try:
            return cheapest, self._emitted(kernel, cheapest, name, declarations)
        except UnsupportedError:
            for choice in tile(kernel, self.target, OTHERS)[1:]:
                with suppress(UnsupportedError):
                    return choice, self._emitted(kernel, choice, name, declarations)
            raise

    def _emitted(self, kernel: Kernel, choice: Choice, name: str, declarations: set[str]) -> KernelCode:
        require_legal(kernel, choice.schedule)
        return KernelEmitter(kernel, choice.schedule, self.machine, name, declarations).emit()

    def _normal(self, call: Call) -> tuple[Kernel, str]:
        """A kernel's normal form and its key; layers that repeat share their parts, so that it is found once."""
        kernel = call.kernel
        constants = {
            name: operand.array
            for name, operand in call.operands.items()
            if isinstance(operand, Constant) and operand.source.dtype == np.int32
        }
        operations = quicker(kernel, constants, self.machine.fuses)
        parts = tuple((s.dims, id(s.body), id(s.write), s.combine, id(s.repair)) for s in kernel.stages)
        known = (kernel.buffers, parts, tuple(operations.items()))
        if known not in self.normal:
            normal, _, key = canonical(in_floats(with_quicker(kernel, operations)))
            self.normal[known] = (normal, key, kernel)
        return self.normal[known][:2]


def estimate(kernel: Kernel, target: Target) -> float:
    """Predicted cycles of a kernel; UnsupportedError for one without a schedule."""
    normal, _, _ = canonical(separate_reads(kernel)[0])
    return tile(normal, target)[0].estimate.cycles


def compile_segments(
    segments: Sequence[Sequence[Call]],
    arena: int,
    machine: Machine,
    target: Target,
    listings: Sequence[str] = (),
) -> Compiled:
    """The program of a package's CPU part; see `Backend.compile`."""
    support = Background(lambda: support_object(machine))
    with codegen.Compiler(machine) as compiler:
        kernels = _Kernels(machine, target, compiler)
        blob = Blob()
        entries, reports, labels = [], [], []
        counters = 0
        found = iter(kernels.of([call for calls in segments for call in calls]))
        for number, calls in enumerate(segments):
            externals: dict[str, int] = {}
            steps = []
            for position, call in enumerate(calls):
                emitted, names = next(found)
                jobs = tuple(_job(code, call, names, blob, externals) for code in emitted.codes)
                steps.append(Step(jobs, position))
                reports.append(_report(call, emitted))
            counters = max(counters, len(steps))
            entries.append(entry_text(f"segment_{number}", steps))
            labels.append([call.name for call in calls])
        distinct = kernels.emitted.values()
        codes = [code for emitted in distinct for code in emitted.codes]
        compiler.add(entries, [*DECLARATIONS, *(code.declaration for code in codes)])
        compiler.close()
        constants = blob.finish()
        objects = [*compiler.objects(), support.result()]
    exports = [f"segment_{n}" for n in range(len(segments))]
    image = link(objects, [*exports, *POOL_EXPORTS])
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
    features = tuple(sorted(machine.features))
    listed = _listings(machine, entries, list(distinct), listings) if listings else (b"", {})
    return Compiled(image.code, constants, facts.to_meta(), features, tuple(reports), *listed)


def _listings(
    machine: Machine, entries: Sequence[str], kernels: Sequence[_Emitted], wanted: Sequence[str]
) -> tuple[bytes, dict[str, str]]:
    """All code as one object, where one is wanted, and as the texts that are."""
    declarations = frozenset(DECLARATIONS).union(*(emitted.declarations for emitted in kernels))
    texts_of = (code.text for emitted in kernels for code in emitted.codes)
    functions = [support_text(machine), *entries, *texts_of]
    text = codegen.module_text(machine, functions, declarations)
    texts = {"llvm": text} if "llvm" in wanted else {}
    if "asm" in wanted:
        texts["asm"] = codegen.assembly(machine, text)
    return codegen.object_code(machine, text) if "object" in wanted else b"", texts


def _job(
    code: KernelCode, call: Call, names: Mapping[str, str], blob: Blob, externals: dict[str, int]
) -> Job:
    """A function with what a call gives it; `names` are the call's own of the function's parameters."""
    packings = {packing.buffer: packing for packing in code.packings}
    arguments = (
        _argument(call.operands[names[parameter]], packings.get(parameter), blob, externals)
        for parameter in code.parameters
    )
    return Job(code.name, tuple(arguments), code.chunks)


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
    return KernelReport(
        call.name, call.location, emitted.choice.schedule, estimate.cycles, estimate.parts, emitted.kernel
    )
