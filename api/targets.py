"""From a target's name to its backend; what can't be compiled for is refused with the names that can."""

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from isthmus import registry
from isthmus.compiler.diagnostics import CompileError, UnsupportedError

if TYPE_CHECKING:
    from isthmus.compiler.target.backend import Backend


def find_backend(target: str) -> "Backend":
    """The backend of a target: a kind of chip (its default chip), a chip's name, or the path of a chip file.

    UnsupportedError, with the names that there are, for any other; CompileError for a chip file of no kind.
    """
    known = f"targets are: {', '.join(registry.targets()) or 'none'}, or a chip file"
    if not isinstance(target, str):
        raise UnsupportedError(
            f"got {type(target).__name__}, expected a target's name", location="target", hint=known
        )
    if "+" in target:
        raise UnsupportedError(
            "several targets in one package are not supported", location=f"target '{target}'", hint=known
        )
    if target in registry.kinds():
        return registry.backend(target)
    for kind in registry.kinds():
        if target in registry.backend(kind).targets():
            return registry.backend(kind).select(target)
    if target.endswith(".toml"):
        return _of_file(target)
    raise UnsupportedError("there is no such target", location=f"target '{target}'", hint=known)


def _of_file(path: str) -> "Backend":
    """The backend of a chip file, by the kind that the file, or what it inherits from, states."""
    found, seen = path, set()
    while found not in seen:
        seen.add(found)
        try:
            record = tomllib.loads(Path(found).read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise CompileError(
                f"the chip file can't be read: {error}", location=found, hint="give the path of a TOML file"
            ) from None
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
