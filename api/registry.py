"""What is installed: frontends, backends and devices, by their entry points. The in-tree ones come the same way.

A plug-in is imported when it is asked for, so a package that runs on one device loads that device alone.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

from isthmus.runtime.device import Device
from isthmus.runtime.errors import IsthmusError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from isthmus.compiler.target.backend import Backend
    from isthmus.frontends.registry import Frontend

FRONTENDS, BACKENDS, DEVICES = "isthmus.frontends", "isthmus.backends", "isthmus.devices"
SPACES = "isthmus.spaces"
"""Families of chips whose configurations `exploration.py` searches."""


class PluginError(IsthmusError):
    """A registered frontend, backend or device can't be loaded."""


@cache
def registered(group: str) -> "dict[str, EntryPoint]":
    """The entry points of a group by name, sorted. PluginError where two distributions claim one name."""
    from importlib.metadata import entry_points  # takes as long to import as a small package to load

    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=group):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise PluginError(
                f"registered as {other.value} and as {entry.value}",
                location=f"{group}:{entry.name}",
                hint="uninstall one of the two distributions",
            )
    return dict(sorted(found.items()))


@cache
def plugin(group: str, name: str) -> Any:
    """What an entry point names, imported. PluginError when the import fails."""
    entry = registered(group)[name]
    try:
        return entry.load()
    except Exception as error:  # a stranger's module may raise anything
        owner = entry.dist.name if entry.dist is not None else "an unknown distribution"
        raise PluginError(
            f"{entry.value} can't be loaded: {type(error).__name__}: {error}",
            location=f"{group}:{name}",
            hint=f"repair or uninstall {owner}",
        ) from error


def frontends() -> "list[Frontend]":
    """All registered frontends, by name."""
    return [plugin(FRONTENDS, name) for name in registered(FRONTENDS)]


def kinds() -> tuple[str, ...]:
    """Names of the kinds of chips that have a registered backend."""
    return tuple(registered(BACKENDS))


def targets() -> tuple[str, ...]:
    """Names of all chips that a registered backend compiles for, kind by kind."""
    return tuple(name for kind in kinds() for name in backend(kind).targets())


def backend(kind: str) -> "Backend":
    """The backend of a kind of chip, which compiles for its default chip."""
    return plugin(BACKENDS, kind)


def devices(names: tuple[str, ...]) -> dict[str, Device]:
    """Those of the named devices that are registered, each made by its factory."""
    return {name: plugin(DEVICES, name)() for name in names if name in registered(DEVICES)}
