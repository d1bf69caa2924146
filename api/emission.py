"""Writing what was built: a package, a listing, or files that other tools link and run."""

from pathlib import Path
from typing import TYPE_CHECKING

from isthmus.compiler.diagnostics import UnsupportedError
from isthmus.compiler.ir.text import print_graph
from isthmus.compiler.pipeline import Built
from isthmus.compiler.system_build import SystemBuilt

if TYPE_CHECKING:
    from isthmus.backends.cpu.emit_files import NativeModel


def write(built: Built | SystemBuilt, kind: str, output: str) -> list[Path]:
    """Write one kind of result (see `isthmus compile --emit`); the files written, each whole or not at all.

    Raises:
        IsthmusError: the place can't be written; a kind that the target or the model does not have; no C compiler.
    """
    if kind == "package":
        built.artefact.save(output)
        return [Path(output)]
    if isinstance(built, SystemBuilt):
        name = built.system.name
        raise UnsupportedError(f"system {name} has no '{kind}'", location=output, hint="emit a package")
    device = built.artefact.program.devices[0].name
    if device != "cpu":
        raise UnsupportedError(f"target {device} has no '{kind}'", location=output, hint="emit a package")
    from isthmus.backends.cpu import emit_files

    if kind == "ir":
        return [emit_files.write_file(output, str(print_graph(built.graph)))]
    if kind in ("llvm", "asm"):
        return [emit_files.write_file(output, built.compiled.listings[kind])]
    if kind == "object":
        return [emit_files.write_file(output, built.compiled.object)]
    model = _native(built, Path(output))
    if kind == "library":
        return list(emit_files.write_library(model, output))
    return [emit_files.write_executable(model, output)]


def _native(built: Built, output: Path) -> "NativeModel":
    """The model as C code calls it, named as the file is."""
    from isthmus.backends.cpu.emit_files import NativeModel

    artefact = built.artefact
    name = output.name.partition(".")[0].removeprefix("lib")
    segments = [f"segment_{number}" for number in range(len(artefact.program.devices[0].meta["entries"]))]
    entries = {entry: artefact.entry(entry) for entry in artefact.names}
    return NativeModel(name, artefact.program, built.compiled.object, segments, entries)
