"""The runtime: loads a package and runs it with numpy and the standard library alone."""

from .artefact import Artefact
from .errors import DeviceError, ExecutionError, InputError, IsthmusError, PackageError, Problem, VersionError
from .executor import Executable
from .manifest import Manifest
from .package import LoadedPackage, load
from .profile import Profile, StepTime
from .program import DeviceProgram, HostStep, Port, Program, Segment, Slot

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
