"""From a target's name to its backend; what can't be compiled for is refused with the names that can."""

from typing import TYPE_CHECKING

from isthmus import registry
from isthmus.compiler.diagnostics import UnsupportedError

if TYPE_CHECKING:
    from isthmus.compiler.target.backend import Backend


def find_backend(target: str) -> "Backend":
    """The backend of a target's name; UnsupportedError, with the registered names, for any other."""
    known = f"the installed targets are: {', '.join(registry.targets()) or 'none'}"
    if not isinstance(target, str):
        raise UnsupportedError(
            f"got {type(target).__name__}, expected a target's name", location="target", hint=known
        )
    if "+" in target:
        raise UnsupportedError(
            "several targets in one package are not supported", location=f"target '{target}'", hint=known
        )
    if target not in registry.targets():
        raise UnsupportedError("there is no such target", location=f"target '{target}'", hint=known)
    return registry.backend(target)
