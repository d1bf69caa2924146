"""The runtime: loads a package and runs it with numpy and the standard library alone.

Names load on first use, so that a part of it can be imported before the rest.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .artefact import Artefact
    from .errors import (
        DeviceError,
        ExecutionError,
        InputError,
        IsthmusError,
        PackageError,
        Problem,
        VersionError,
    )
    from .executor import Executable
    from .manifest import Manifest
    from .package import LoadedPackage, load
    from .profile import Profile, StepTime
    from .program import DeviceProgram, HostStep, Port, Program, Segment, Slot

_HOMES = {
    "Artefact": "artefact",
    "DeviceError": "errors",
    "DeviceProgram": "program",
    "Executable": "executor",
    "ExecutionError": "errors",
    "HostStep": "program",
    "InputError": "errors",
    "IsthmusError": "errors",
    "LoadedPackage": "package",
    "Manifest": "manifest",
    "PackageError": "errors",
    "Port": "program",
    "Problem": "errors",
    "Profile": "profile",
    "Program": "program",
    "Segment": "program",
    "Slot": "program",
    "StepTime": "profile",
    "VersionError": "errors",
    "load": "package",
}

__all__ = [
    "Artefact",
    "DeviceError",
    "DeviceProgram",
    "Executable",
    "ExecutionError",
    "HostStep",
    "InputError",
    "IsthmusError",
    "LoadedPackage",
    "Manifest",
    "PackageError",
    "Port",
    "Problem",
    "Profile",
    "Program",
    "Segment",
    "Slot",
    "StepTime",
    "VersionError",
    "load",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    value = globals()[name] = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    return value
