"""The code of a package as text: each backend knows its own."""

from isthmus import registry
from isthmus.runtime.artefact import Artefact
from isthmus.runtime.errors import DeviceError
from isthmus.runtime.program import DeviceProgram
from isthmus.runtime.records import dataclass


@dataclass(frozen=True)
class Listing:
    """A device's code as text, entry points marked."""

    device: str
    text: str


def disassemble(file: str, device: str | None = None) -> Listing:
    """The listing of a device's code in a package.

    Raises:
        PackageError: no package, or a damaged one.
        DeviceError: no such device in it, no backend that knows its code, or a backend that lacks a tool.
    """
    artefact = Artefact.open(file)
    program = _chosen(artefact, device)
    if program.device not in registry.kinds():
        raise DeviceError(
            f"no backend for the code of '{program.device}' is installed",
            location=artefact.location,
            hint=f"there are: {', '.join(registry.kinds()) or 'none'}",
        )
    text = registry.backend(program.device).listing(program, artefact.entry(program.code), artefact.location)
    return Listing(program.name, text)


def _chosen(artefact: Artefact, device: str | None) -> DeviceProgram:
    programs = {program.name: program for program in artefact.program.devices if program.code}
    if device is None and len(programs) == 1:
        return next(iter(programs.values()))
    if device not in programs:
        wanted = "no --device given" if device is None else f"no code for '{device}'"
        raise DeviceError(
            wanted,
            location=artefact.location,
            hint=f"the package has code for: {', '.join(programs) or 'none'}",
        )
    return programs[device]
