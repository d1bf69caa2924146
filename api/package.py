"""Packages as users hold them, loaded from a file or fresh from `compile`. Running one needs no compiler."""

import os
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from isthmus import registry
from isthmus.runtime.artefact import Artefact
from isthmus.runtime.errors import DeviceError
from isthmus.runtime.executor import check_threads
from isthmus.runtime.inputs import Inputs
from isthmus.runtime.manifest import OPEN, Manifest
from isthmus.runtime.package import LoadedPackage
from isthmus.runtime.profile import Profile, SystemRun
from isthmus.runtime.program import Port

if TYPE_CHECKING:
    from isthmus.compiler.passes.quantise import Report
    from isthmus.dynamic import DynamicPackage
    from isthmus.model import Model


class Package:
    """A compiled model with fixed shapes. Runs may overlap in any number of threads."""

    def __init__(self, artefact: Artefact, threads: int | None = None, model: "Model | None" = None):
        """`threads` is the default of `run`, None for all cores; `model` the compiled graph, where it is at hand."""
        self.artefact = artefact
        self.threads = check_threads(threads)
        self._model = model
        self.quantisation: Report | None = None
        """What 8-bit integers have cost, where `compile` was asked to measure it; not part of the file."""

    @cached_property
    def loaded(self) -> LoadedPackage:
        """The package with its code on the devices; made at the first run, or by `load`.

        Raises:
            DeviceError: this machine lacks what the code needs, as after a build for another one.
        """
        names = tuple(device.device for device in self.artefact.program.devices)
        return LoadedPackage(self.artefact, registry.devices(names), self.threads)

    @property
    def manifest(self) -> Manifest:
        """What the package was made from, for what and by what."""
        return self.artefact.manifest

    @property
    def inputs(self) -> tuple[Port, ...]:
        """Name, dtype and shape of each input, in order."""
        return self.artefact.program.inputs

    @property
    def outputs(self) -> tuple[Port, ...]:
        """Name, dtype and shape of each output, in order."""
        return self.artefact.program.outputs

    @cached_property
    def graph(self) -> "Model":
        """The graph as compiled, which the package must equal; read from the package where it was loaded from a file.

        Raises:
            CompileError: the package was stripped of its constants.
        """
        if self._model is not None:
            return self._model
        from isthmus.compiler import stored_graph
        from isthmus.model import Model

        artefact = self.artefact
        return Model(
            stored_graph.from_entries(artefact.entry, artefact.names, artefact.location), artefact.location
        )

    def run(self, inputs: Inputs, threads: int | None = None) -> dict[str, Any]:
        """Outputs by name, arrays that belong to the caller; see `runtime.Executable.run` for the errors.

        Args:
            inputs: arrays by input name, or a list in input order.
            threads: for this run, at least 1; by default what the package was loaded with.
        """
        return self.loaded.run(inputs, threads)

    def profile(self, inputs: Inputs, threads: int | None = None) -> Profile:
        """A run with its times: `.outputs`, `.seconds`, `.cycles`, `.steps`, `.save_trace(path)`."""
        return self.loaded.profile(inputs, threads)

    def stream(
        self, inputs: Sequence[Inputs], threads: int | None = None
    ) -> tuple[list[dict[str, Any]], SystemRun]:
        """For a package of several devices: the outputs of several inputs, and when they would be there if the inputs
        came one upon the other; see `runtime.Executable.stream`."""
        return self.loaded.stream(inputs, threads)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the package; the file appears whole or not at all."""
        self.artefact.save(path)

    def verify(self) -> None:
        """Compare every entry with its SHA-256; PackageError names those that differ."""
        self.artefact.verify()


def _load_open(artefact: Artefact, threads: int | None) -> "DynamicPackage":
    try:
        from isthmus.open_package import from_artefact
    except ImportError as error:
        opened = ", ".join(artefact.manifest.extra[OPEN])
        raise DeviceError(
            f"{opened} is open, and what compiles it for the shapes it meets can't be imported ({error})",
            location=artefact.location,
            hint="install isthmus with its compiler, or compile with shapes=",
        ) from None
    return from_artefact(artefact, threads)


def load(path: str | os.PathLike[str], threads: int | None = None) -> "Package | DynamicPackage":
    """Map an `.isth` file and load its code. It is native code: load only what you would execute.

    A file with open dimensions gives a DynamicPackage, which compiles for each shape that it meets.

    Args:
        path: the file.
        threads: default of `run`; None means as many as the machine gives.

    Raises:
        PackageError, VersionError: no file, no package, a damaged one, one of a newer format.
        DeviceError: this machine lacks what the code needs.
    """
    artefact = Artefact.open(path)
    if OPEN in artefact.manifest.extra:
        return _load_open(artefact, threads)
    package = Package(artefact, threads)
    _ = package.loaded  # what is wrong is told here, not at the first run
    return package
