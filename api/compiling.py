"""`compile`: a package from the cache, else from the compiler, which is imported only then.

The file's content is hashed while what loads a package is imported: this module imports next to nothing itself.
"""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus import cache as store
from isthmus.interpreter import resting
from isthmus.runtime.background import Background

if TYPE_CHECKING:
    from isthmus.compiler.pipeline import Observer
    from isthmus.dynamic import DynamicPackage
    from isthmus.model import Shapes
    from isthmus.package import Package
    from isthmus.precision import Samples


def compile(
    source: Any,
    target: str = "cpu",
    *,
    example_inputs: Any = None,
    shapes: "Shapes | None" = None,
    precision: str | None = None,
    calibration: "Samples | None" = None,
    quantisation: Mapping[str, Any] | None = None,
    threads: int | None = None,
    strip: bool = False,
    options: Mapping[str, Any] | None = None,
    observe: "Observer | None" = None,
    cache: bool = True,
) -> "Package | DynamicPackage":
    """Compile a model for a target.

    Args:
        source: what `read` takes.
        target: a kind of chip, a chip's name, or the path of a chip file; for a system of several devices, these with
            "+" between them, or the path of a system file.
        example_inputs: what an object without a graph is called with to get one; see `read`.
        shapes: dimensions of inputs by name; see `read`. Dimensions left open make the package compile for each new
            shape that it is run with, and keep the last few.
        precision: "f32" computes in the model's own types; "bf16" multiplies in bf16 and sums in f32; "int8" computes
            in 8-bit integers, with ranges from `calibration` or from the model's own quantize nodes. None means "int8"
            where `calibration` or `quantisation` is given, else "f32".
        calibration: sample inputs for "int8", each as `run` takes it; some 16 that are typical of use do.
        quantisation: choices for "int8" by name; see docs/quantisation.md. With `report` true, `package.quantisation`
            holds the errors of all layers.
        threads: default of the package's `run`; None means all cores.
        strip: leave the graph's constants out of the package, which then has no `graph` to evaluate.
        options: the target's own options, for the cpu `level` (such as "avx2") and `triple`; for a system `objective`
            ("latency" or "throughput") and `pins`, devices by patterns of source nodes' names.
        observe: called with pass name, graph and rule hits after every pass.
        cache: take a package that was compiled before from the same file, in the same way, by the same compiler on
            this machine, and keep this one; see `isthmus.cache`. Only for precisions without samples, and never with
            `observe`.

    Raises:
        IsthmusError: everything that can't be read or compiled, before work starts.
    """
    precision = precision_name(precision, calibration, quantisation)
    given = observe is not None or calibration is not None or example_inputs is not None
    kept = cache and not given and precision != "int8" and isinstance(source, str | PathLike)
    how = {
        "target": target,
        "shapes": shapes,
        "precision": precision,
        "quantisation": quantisation,
        "strip": strip,
        "options": options,
    }
    with resting():  # what is imported makes as many objects as what is compiled
        if kept:
            return _cached(Path(source), how, threads)
        return _compile(source, how, threads, observe, example_inputs, calibration)


def precision_name(
    asked: str | None, calibration: "Samples | None" = None, quantisation: Mapping[str, Any] | None = None
) -> str:
    """The precision meant: where none is asked for, "int8" if anything else says how to quantise, else "f32"."""
    if asked is not None:
        return asked
    return "f32" if calibration is None and quantisation is None else "int8"


def _cached(source: Path, how: Mapping[str, Any], threads: int | None) -> "Package | DynamicPackage":
    """The package from the cache, or compiled and kept there; its name is found while what loads it is imported."""
    naming = Background(lambda: store.name(source, how))
    from isthmus.package import Package

    kept = naming.result()
    if kept is None:
        return _compile(source, how, threads)
    name, sha256 = kept
    found = store.find(name)
    if found is not None:
        return Package(found, threads)
    package = _compile(source, how, threads)
    if isinstance(package, Package):
        store.keep(name, package.artefact, sha256)
    return package


def _compile(
    source: Any, how: Mapping[str, Any], threads: int | None, *more: Any
) -> "Package | DynamicPackage":
    from isthmus.compilation import compile_source
    from isthmus.runtime.executor import check_threads
    from isthmus.targets import find_target

    check_threads(threads)
    find_target(how["target"])
    return compile_source(source, how, threads, *(more or (None,)))
