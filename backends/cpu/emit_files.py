"""Writes a model as files for other tools: an object, a shared library with its C header, or an executable.

Libraries and executables go through the C compiler on PATH; they hold the constants and need nothing of isthmus.
"""

import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...compiler.diagnostics import CompileError, Problem, UnsupportedError
from ...runtime.files import replacing
from ...runtime.program import DeviceProgram, Port, Program, Slot
from ...runtime.records import dataclass
from . import c_source
from .abi import CodeFacts
from .pool_ir import machine_of

COMPILERS = ("cc", "gcc", "clang")
_VISIBLE = "{ global: %s_run; local: *; };\n"
_DYNAMIC_HINT = "compile with shapes= for all inputs"


@dataclass(frozen=True)
class NativeModel:
    """A compiled model: its program, the object file, the symbol of each segment (in the order of the CPU's entries),
    and the package entries that hold constants. `name` becomes a C identifier."""

    name: str
    program: Program
    object_code: bytes
    segments: Sequence[str]
    entries: Mapping[str, np.ndarray]


def write_file(path: str | os.PathLike[str], content: bytes | str) -> Path:
    """Write an object, IR or assembly, whole or not at all; CompileError when the place can't be written."""
    target = Path(path)
    try:
        with replacing(target) as temporary:
            temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise CompileError(
            f"can't be written: {error.strerror or error}",
            location=str(path),
            hint="choose a folder that exists, is writable and has space",
        ) from None
    return target


def write_library(model: NativeModel, path: str | os.PathLike[str]) -> tuple[Path, Path]:
    """A shared library that exports `int NAME_run(inputs..., outputs...)`, and its header beside it.

    NAME is the model's, as an identifier. Returns both paths. Errors: see `write_executable`.
    """
    unit = _unit(model)
    exported = f"-Wl,--version-script={unit.name}.map"
    built = _build(model, unit, ["-shared", "-fPIC", exported], {f"{unit.name}.map": _VISIBLE % unit.name})
    library = write_file(path, built)
    return library, write_file(library.with_name(f"{unit.name}.h"), c_source.header(unit))


def write_executable(model: NativeModel, path: str | os.PathLike[str]) -> Path:
    """A program that reads each input from a raw file and writes each output to one; without arguments, its usage.

    Raises:
        UnsupportedError: steps that run by their reference meaning (all named), sizes known at run time only, types
            that C lacks.
        CompileError: no C compiler, one for another machine, or one that fails; a place that can't be written.
    """
    unit = _unit(model)
    built = _build(model, unit, [], {"main.c": c_source.main(unit)})
    program = write_file(path, built)
    program.chmod(program.stat().st_mode | 0o111)
    return program


def _unit(model: NativeModel) -> c_source.Unit:
    """What the C text is made from; raises when the model can't be called from C."""
    device = _only_device(model)
    _refuse(model.name, model.program)
    used = [device.constants] if device.constants else []
    used += [slot.entry for slot in model.program.slots if slot.place == "constant" and slot.entry]
    files = {entry: f"constants_{i}.bin" for i, entry in enumerate(dict.fromkeys(used))}
    facts = CodeFacts.from_meta(device.meta, model.name)
    return c_source.Unit(c_source.identifier(model.name), model.program, facts, model.segments, files)


def _only_device(model: NativeModel) -> DeviceProgram:
    devices = model.program.devices
    if len(devices) != 1 or devices[0].name != "cpu":
        raise UnsupportedError(
            f"runs on {', '.join(device.name for device in devices) or 'no device'}; C code comes for the cpu alone",
            location=model.name,
            hint="compile for target cpu",
        )
    return devices[0]


def _refuse(name: str, program: Program) -> None:
    problems = [
        Problem(
            ", ".join(step.sources) or step.name or name,
            f"{step.op} runs by its reference meaning, which needs Python",
            "use a .isth package for this model",
        )
        for step in program.host_steps
    ]
    ports: list[Port | Slot] = [*program.inputs, *program.outputs]
    ports += [slot for slot in program.slots if slot.place in ("output", "host") and not problems]
    for port in ports:
        if port.dtype not in c_source.C_TYPES:
            problems.append(
                Problem(name, f"'{port.name}' has type {port.dtype}, which C lacks", "use a .isth package")
            )
        elif port.shape is None or not all(isinstance(dim, int) for dim in port.shape):
            shape = "unknown rank" if port.shape is None else f"shape [{', '.join(map(str, port.shape))}]"
            problems.append(Problem(name, f"'{port.name}' has {shape}", _DYNAMIC_HINT))
    if problems:
        raise UnsupportedError("", problems=list(dict.fromkeys(problems)))


def _build(model: NativeModel, unit: c_source.Unit, flags: list[str], files: dict[str, str]) -> bytes:
    """Compile and link in a folder of its own, by relative names, so that no path gets into the result."""
    compiler = _compiler(unit.facts.triple, model.name)
    sources = {f"{unit.name}.h": c_source.header(unit), f"{unit.name}.c": c_source.wrapper(unit), **files}
    with tempfile.TemporaryDirectory(prefix="isthmus-") as folder:
        here = Path(folder)
        for file, text in sources.items():
            (here / file).write_text(text)
        (here / "code.o").write_bytes(model.object_code)
        for entry, file in unit.constants.items():
            (here / file).write_bytes(model.entries[entry].data)
        inputs = [file for file in sources if file.endswith(".c")]
        command = [
            compiler,
            "-O2",
            "-std=gnu11",
            "-Wl,--build-id=none",
            *flags,
            *inputs,
            "code.o",
            "-o",
            "built",
        ]
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, errors="replace")
        if done.returncode:
            raise CompileError(
                f"{Path(compiler).name} failed: {_first_error(done.stderr)}",
                location=model.name,
                hint="use --emit object and link it yourself",
            )
        return (here / "built").read_bytes()


def _first_error(text: str) -> str:
    lines = text.strip().splitlines() or ["it says nothing"]
    return next((line for line in lines if re.search(r"error:|undefined reference", line)), lines[0])


def _compiler(triple: str, location: str) -> str:
    wanted, here = machine_of(triple), machine_of(platform.machine())
    if wanted != here:
        raise CompileError(
            f"the model is compiled for {wanted}, and the C compiler here makes code for {here}",
            location=location,
            hint=f"use --emit object and a C compiler for {wanted}",
        )
    found = next((path for path in map(shutil.which, COMPILERS) if path), None)
    if found is None:
        raise CompileError(
            f"no C compiler on PATH (looked for {', '.join(COMPILERS)})",
            location=location,
            hint="install gcc or clang, or use --emit object",
        )
    return found
