"""A package that runs: what `isthmus.load` and `isthmus.compile` give, less everything that needs the compiler."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from . import host
from .artefact import Artefact
from .device import Device
from .executor import Executable
from .inputs import Inputs
from .manifest import Manifest
from .profile import Profile, SystemRun
from .program import Port


class LoadedPackage:
    """An artefact with its code loaded on the devices. Runs may overlap in any number of threads."""

    def __init__(
        self,
        artefact: Artefact,
        devices: Mapping[str, Device],
        threads: int | None = None,
        resolve: host.Resolver = host.reference,
    ):
        """See `Executable`, which loads the code."""
        self.artefact = artefact
        self.executable = Executable(artefact, devices, threads, resolve)

    @property
    def manifest(self) -> Manifest:
        """What the package was made from, for what and by what."""
        return self.artefact.manifest

    @property
    def inputs(self) -> tuple[Port, ...]:
        """Names, dtypes and shapes of the inputs, in order."""
        return self.artefact.program.inputs

    @property
    def outputs(self) -> tuple[Port, ...]:
        """Names, dtypes and shapes of the outputs, in order."""
        return self.artefact.program.outputs

    def run(self, inputs: Inputs, threads: int | None = None) -> dict[str, Any]:
        """See `Executable.run`."""
        return self.executable.run(inputs, threads)

    def profile(self, inputs: Inputs, threads: int | None = None) -> Profile:
        """See `Executable.profile`."""
        return self.executable.profile(inputs, threads)

    def stream(
        self, inputs: Sequence[Inputs], threads: int | None = None
    ) -> tuple[list[dict[str, Any]], SystemRun]:
        """See `Executable.stream`."""
        return self.executable.stream(inputs, threads)

    def save(self, path: str | os.PathLike[str]) -> None:
        """See `Artefact.save`."""
        self.artefact.save(path)

    def verify(self) -> None:
        """See `Artefact.verify`."""
        self.artefact.verify()


def load(
    path: str | os.PathLike[str], devices: Mapping[str, Device], threads: int | None = None
) -> LoadedPackage:
    """Map a `.isth` file and load its code.

    Args:
        path: the file.
        devices: by name; `api` passes what is registered under the entry points `isthmus.devices`.
        threads: default of `run`; None means as many as the machine gives.

    Raises:
        PackageError, VersionError: no file, no package, a damaged one, one of a newer format.
        DeviceError: this machine lacks what the code needs.
    """
    return LoadedPackage(Artefact.open(path), devices, threads)
