"""`compile`: a package from the cache, else from the compiler, which is imported only then."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus import cache as store
from isthmus.package import Package
from isthmus.runtime.executor import check_threads
from isthmus.targets import check_precision, find_backend

if TYPE_CHECKING:
    import numpy as np

    from isthmus.compiler.pipeline import Observer
    from isthmus.dynamic import DynamicPackage
    from isthmus.model import Shapes


def compile(
    source: Any,
    target: str = "cpu",
    *,
    shapes: "Shapes | None" = None,
    precision: str = "f32",
    calibration: "Sequence[Mapping[str, np.ndarray]] | None" = None,
    threads: int | None = None,
    strip: bool = False,
    options: Mapping[str, Any] | None = None,
    observe: "Observer | None" = None,
    cache: bool = True,
) -> "Package | DynamicPackage":
    """Compile a model for a target.

    Args:
        source: what `read` takes.
        target: a registered target's name.
        shapes: dimensions of inputs by name; see `read`. Dimensions left open make the package compile for each new
            shape that it is run with, and keep the last few.
        precision: "f32" computes in the model's own types.
        calibration: sample inputs for a quantising precision.
        threads: default of the package's `run`; None means all cores.
        strip: leave the graph's constants out of the package, which then has no `graph` to evaluate.
        options: the target's own options, for the cpu `level` (such as "avx2") and `triple`.
        observe: called with pass name, graph and rule hits after every pass.
        cache: take a package that was compiled before from the same file, in the same way, by the same compiler on
            this machine, and keep this one; see `isthmus.cache`. Never with `observe` or `calibration`.

    Raises:
        IsthmusError: everything that can't be read or compiled, before work starts.
    """
    check_precision(precision, calibration)
    check_threads(threads)
    find_backend(target)
    how = {"target": target, "shapes": shapes, "precision": precision, "strip": strip, "options": options}
    if cache and observe is None and calibration is None and isinstance(source, str | PathLike):
        return _cached(Path(source), how, threads)
    return _compile(source, how, threads, observe)


def _cached(source: Path, how: Mapping[str, Any], threads: int | None) -> "Package | DynamicPackage":
    """The package from the cache, or compiled and kept there."""
    if not source.is_file() or store.folder() is None:
        return _compile(source, how, threads)
    sha256 = store.digest(source)
    name = store.key(source, sha256, how)
    found = store.find(name)
    if found is not None:
        return Package(found, threads)
    package = _compile(source, how, threads)
    if isinstance(package, Package):
        store.keep(name, package.artefact, sha256)
    return package


def _compile(
    source: Any, how: Mapping[str, Any], threads: int | None, observe: "Observer | None" = None
) -> "Package | DynamicPackage":
    from isthmus.compilation import compile_source

    return compile_source(source, how, threads, observe)
