"""Kernels of any schedule, built into one code image and run as a package's are, one entry each."""

import ctypes
import mmap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from isthmus.backends.cpu import abi, codegen
from isthmus.backends.cpu.constants import Blob
from isthmus.backends.cpu.device import CpuDevice
from isthmus.backends.cpu.entry import Job, Step, entry_text, support_text
from isthmus.backends.cpu.kernel import KernelEmitter
from isthmus.backends.cpu.link import describe, link
from isthmus.backends.cpu.machine import LEVELS, Machine, select
from isthmus.backends.cpu.pool_ir import POOL_EXPORTS
from isthmus.backends.cpu.target import describe as describe_target
from isthmus.compiler.diagnostics import UnsupportedError
from isthmus.compiler.target.backend import Constant
from isthmus.compiler.tile.schedule import Schedule
from isthmus.compiler.tile.stage import CONSTANT, INPUT, LOCAL, OUTPUT, Kernel
from isthmus.compiler.tile.tiler import tile
from isthmus.runtime.device import Call
from isthmus.runtime.program import DeviceProgram

from .matrix_tiles import MatrixTiles

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Work:
    """A kernel, arrays for its inputs and constants, and a schedule (None: the tiler's)."""

    kernel: Kernel
    arrays: Arrays
    schedule: Schedule | None = None


def distinct(*levels: str | None) -> tuple[str | None, ...]:
    """Levels without the one that this machine is itself: None stands for it, and its code would be the same."""
    host = machine(None)
    known = host.features | {"x87"}  # LLVM does not report it
    return tuple(
        level
        for level in levels
        if level is None
        or (LEVELS[level][0], machine(level).lanes) != (host.cpu, host.lanes)
        or not LEVELS[level][1] <= known
    )


def machine(level: str | None) -> Machine:
    """This machine (None), a feature level of it, or another one by its triple."""
    return select(None, level) if level is not None and "linux" in level else select(level, None)


@dataclass(frozen=True)
class Module:
    """IR with an entry for each work, the constants, and why some works have none, by number."""

    text: str
    entries: list[int]
    constants: Blob
    refused: dict[int, str]


def emit(works: Sequence[Work], level: str | None = None) -> Module:
    """All works as one module for a feature level (None: this machine)."""
    chip = machine(level)
    target = describe_target(chip)
    declarations: set[str] = set()
    blob = Blob()
    functions, texts, entries, refused = [], [], [], {}
    for number, work in enumerate(works):
        try:
            schedule = work.schedule or tile(work.kernel, target)[0].schedule
            code = KernelEmitter(work.kernel, schedule, chip, f"kernel_{number}", declarations).emit()
        except UnsupportedError as error:
            refused[number] = error.message
            continue
        packings = {packing.buffer: packing for packing in code.packings}
        arguments, externals = [], 0
        for name in code.parameters:
            if work.kernel.buffer(name).role == CONSTANT:
                array = np.ascontiguousarray(work.arrays[name])
                constant = Constant(array, (number, name), array.shape)
                arguments.append((abi.CONSTANTS_BUFFER, blob.place(constant, packings.get(name))))
            else:
                arguments.append((abi.FIRST_EXTERNAL_BUFFER + externals, 0))
                externals += 1
        functions.append(code.text)
        texts.append(
            entry_text(f"segment_{number}", [Step((Job(code.name, tuple(arguments), code.chunks),), 0)])
        )
        entries.append(number)
    text = codegen.module_text(chip, [support_text(chip), *functions, *texts], declarations)
    return Module(text, entries, blob, refused)


class Image:
    """The works compiled for a feature level (None: this machine) and loaded; `refused` says why some can't be.

    With `tiles` the code is the level's, with calls instead of operations on matrix tiles, for this machine.
    """

    def __init__(self, works: Sequence[Work], level: str | None = None, tiles: MatrixTiles | None = None):
        self.works = list(works)
        chip = machine(level if tiles is None else None)
        module = emit(works, level)
        self.refused = module.refused
        self._entries = module.entries
        names = [f"segment_{n}" for n in module.entries]
        text = module.text if tiles is None else tiles.instead(module.text)
        image = link([codegen.object_code(chip, text)], [*names, *POOL_EXPORTS])
        facts = describe(
            image,
            names,
            triple=chip.triple,
            cpu=chip.cpu,
            features=sorted(chip.features),
            arena=0,
            counters=1,
            steps=[["kernel"]] * len(names),
        )
        self._constants = module.constants.finish()
        program = DeviceProgram("cpu", "code", "constants", facts.to_meta())
        code = np.frombuffer(image.code, np.uint8)
        self._context = CpuDevice().load(program, code, self._constants, "test").context()

    def run(self, number: int, threads: int = 1) -> dict[str, np.ndarray]:
        """Outputs of one work by buffer name; what no stage writes is 93, as memory may hold anything.

        Inputs and outputs end, then begin, at a page that can't be touched: the process dies of a stray access.
        """
        work = self.works[number]
        buffers = [b for b in work.kernel.buffers if b.role not in (LOCAL, CONSTANT)]
        results = []
        for at_end in (True, False):
            arrays = {}
            for buffer in buffers:
                array = guarded(buffer.shape, buffer.dtype.numpy, at_end)  # type: ignore[arg-type]
                array[...] = work.arrays[buffer.name] if buffer.role == INPUT else 93
                arrays[buffer.name] = array
            self.call(number, list(arrays.values()), threads)()
            results.append({b.name: arrays[b.name].copy() for b in buffers if b.role == OUTPUT})
        for name, value in results[0].items():
            assert value.tobytes() == results[1][name].tobytes(), f"{name} depends on where arrays lie"
        return results[0]

    def call(self, number: int, arrays: Sequence[np.ndarray], threads: int = 1) -> Callable[[], None]:
        """Runs one work on arrays for its inputs and outputs, in the order of its buffers."""
        call = Call(self._entries.index(number), arrays, threads=threads)
        return lambda: self._context.run(call)


_PAGE = 4096


def guarded(shape: tuple[int, ...], dtype: np.dtype, at_end: bool) -> np.ndarray:
    """An array whose end (or beginning) is the border of memory that may be read."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    length = -(-max(size, 1) // _PAGE) * _PAGE
    block = mmap.mmap(-1, length + 2 * _PAGE)
    base = ctypes.addressof(ctypes.c_char.from_buffer(block))
    for page in (base, base + _PAGE + length):
        assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(page), _PAGE, 0) == 0
    start = _PAGE + (length - size if at_end else 0)
    return np.frombuffer(block, np.uint8, size, start).view(dtype).reshape(shape)


def differences(got: Arrays, want: Arrays, turns: int = 1, ulps: float = 2.0) -> list[str]:
    """What is not equal: integers exactly, floats within `ulps` * sqrt(turns) of the largest magnitude's last place."""
    out = []
    for name, value in got.items():
        expected = want[name]
        if expected.dtype.kind in "iub" or expected.dtype.name.startswith(("int", "uint")):
            wrong = value != expected
        else:
            a, b = value.astype(np.float64), expected.astype(np.float64)
            finite = np.abs(b[np.isfinite(b)])
            place = _epsilon(expected.dtype) * max(finite.max(initial=0.0), 1e-30)
            with np.errstate(invalid="ignore"):
                wrong = ~(
                    (np.abs(a - b) <= ulps * turns**0.5 * place) | (a == b) | (np.isnan(a) & np.isnan(b))
                )
        if wrong.any():
            where = tuple(int(n) for n in np.argwhere(wrong)[0])
            out.append(
                f"{name}{list(where)}: {value[where]} instead of {expected[where]}, {wrong.sum()} wrong"
            )
    return out


def _epsilon(dtype: np.dtype) -> float:
    return float(ml_dtypes.finfo(dtype).eps)
