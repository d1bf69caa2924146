"""From a target's name to its backend, or to a system of several; what can't be compiled for is refused with the names
that can."""

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus import registry
from isthmus.compiler.diagnostics import CompileError, UnsupportedError

if TYPE_CHECKING:
    from isthmus.compiler.partition.system import System
    from isthmus.compiler.target.backend import Backend


def find_target(target: str) -> "Backend | System":
    """The backend of a target, or a system of several: names or chip files with "+" between them, or a system file."""
    if isinstance(target, str) and "+" in target and not Path(target).is_file():
        return _default_system(target)
    if isinstance(target, str) and target.endswith(".toml") and "system" in _record(target):
        return _system_of_file(target)
    return find_backend(target)


def _default_system(target: str) -> "System":
    from isthmus.compiler.partition.system import resolve
    from isthmus.compiler.target.system import default_system

    description = default_system([part.strip() for part in target.split("+")])
    return resolve(description, {member.name: find_backend(member.target) for member in description.members})


def _system_of_file(path: str) -> "System":
    """Chip files that a system names lie beside it."""
    from isthmus.compiler.partition.system import resolve
    from isthmus.compiler.target.system import read_system

    description = read_system(Path(path).read_text(), path)
    beside = Path(path).parent
    backends = {}
    for member in description.members:
        chip = beside / member.target
        backends[member.name] = find_backend(str(chip) if chip.is_file() else member.target)
    return resolve(description, backends)


def find_backend(target: str) -> "Backend":
    """The backend of a target: a kind of chip (its default chip), a chip's name, or the path of a chip file.

    UnsupportedError, with the names that there are, for any other; CompileError for a chip file of no kind.
    """
    if not isinstance(target, str):
        raise UnsupportedError(
            f"got {type(target).__name__}, expected a target's name", location="target", hint=_known()
        )
    if "+" in target:
        raise UnsupportedError(
            "is a system of several devices, expected one", location=f"target '{target}'", hint=_known()
        )
    if target in registry.kinds():
        return registry.backend(target)
    for kind in registry.kinds():
        if target in registry.backend(kind).targets():
            return registry.backend(kind).select(target)
    if target.endswith(".toml"):
        return _of_file(target)
    raise UnsupportedError("there is no such target", location=f"target '{target}'", hint=_known())


def _known() -> str:
    return f"targets are: {', '.join(registry.targets()) or 'none'}, or a chip file"


def _record(path: str) -> dict[str, Any]:
    """A TOML file; CompileError where it can't be read."""
    try:
        return tomllib.loads(Path(path).read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CompileError(
            f"the chip file can't be read: {error}", location=path, hint="give the path of a TOML file"
        ) from None


def _of_file(path: str) -> "Backend":
    """The backend of a chip file, by the kind that the file, or what it inherits from, states."""
    found, seen = path, set()
    while found not in seen:
        seen.add(found)
        record = _record(found)
        header, parent = record.get("target", {}), record.get("inherits")
        kind = header.get("kind") if isinstance(header, dict) else None
        if kind is None and isinstance(parent, str):
            if not parent.endswith(".toml"):
                kinds = [each for each in registry.kinds() if parent in registry.backend(each).targets()]
                kind = kinds[0] if kinds else None
            else:
                found = parent
                continue
        if kind not in registry.kinds():
            raise CompileError(
                f"the chip's kind is {kind!r}",
                location=f"{found}:target",
                hint=f"kinds are: {', '.join(registry.kinds())}",
            )
        return registry.backend(kind).select(path)
    raise CompileError("chip files inherit from each other", location=path, hint="break the circle")
