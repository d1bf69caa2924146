"""Placed kernels -> one code image: tile, emit each distinct kernel once, lay out constants, write the entries."""

from collections.abc import Sequence
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
from ...compiler.tile.stage import Kernel
from ...compiler.tile.tiler import Choice, tile
from ...runtime.background import Background
from ...runtime.records import dataclass
from . import abi, codegen
from .constants import Blob
from .entry import DECLARATIONS, Step, entry_text, support_object, support_text
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
    """A distinct kernel in its normal form, its schedule and its code."""

    kernel: Kernel
    choice: Choice
    code: KernelCode
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

    def of(self, calls: Sequence[Call]) -> list[tuple[_Emitted, tuple[str, ...]]]:
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
        normal, key = self._normal(call)
        names = {b.name: own.name for b, own in zip(normal.buffers, call.kernel.buffers, strict=True)}
        if key not in self.emitted:
            emitted = self._emit(normal)
            self.emitted[key] = emitted
            self.compiler.add([emitted.code.text], emitted.declarations)
        emitted = self.emitted[key]
        return emitted, tuple(names[p] for p in emitted.code.parameters)

    def _emit(self, kernel: Kernel) -> _Emitted:
        """The code of the cheapest schedule that has some; what the cheapest of all lacks where none has."""
        try:
            return self._code(kernel, tile(kernel, self.target)[0])
        except UnsupportedError:
            for choice in tile(kernel, self.target, OTHERS)[1:]:
                with suppress(UnsupportedError):
                    return self._code(kernel, choice)
            raise

    def _code(self, kernel: Kernel, choice: Choice) -> _Emitted:
        require_legal(kernel, choice.schedule)
        declarations: set[str] = set()
        name = f"kernel_{len(self.emitted)}"
        code = KernelEmitter(kernel, choice.schedule, self.machine, name, declarations).emit()
        return _Emitted(kernel, choice, code, frozenset(declarations))

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
        distinct = kernels.emitted.values()
        compiler.add(entries, [*DECLARATIONS, *(emitted.code.declaration for emitted in distinct)])
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
    functions = [support_text(machine), *entries, *(emitted.code.text for emitted in kernels)]
    text = codegen.module_text(machine, functions, declarations)
    texts = {"llvm": text} if "llvm" in wanted else {}
    if "asm" in wanted:
        texts["asm"] = codegen.assembly(machine, text)
    return codegen.object_code(machine, text) if "object" in wanted else b"", texts


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
