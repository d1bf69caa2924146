"""`compile`: from a model to a package. Models whose inputs leave dimensions open become packages that specialise."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import isthmus
from isthmus.compiler.diagnostics import located
from isthmus.compiler.pipeline import Built, Observer, Options, build
from isthmus.dynamic import DynamicPackage
from isthmus.model import Model, Shapes, read
from isthmus.package import Package
from isthmus.runtime.executor import check_threads
from isthmus.targets import check_precision, find_backend

if TYPE_CHECKING:
    import numpy as np


def compile(
    source: Any,
    target: str = "cpu",
    *,
    shapes: Shapes | None = None,
    precision: str = "f32",
    calibration: "Sequence[Mapping[str, np.ndarray]] | None" = None,
    threads: int | None = None,
    strip: bool = False,
    options: Mapping[str, Any] | None = None,
    observe: Observer | None = None,
) -> Package | DynamicPackage:
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

    Raises:
        IsthmusError: everything that can't be read or compiled, before work starts.
    """
    check_precision(precision, calibration)
    check_threads(threads)
    find_backend(target)
    model = read(source, shapes)

    def build_package(bound: Model) -> Package:
        return finish(build_model(bound, target, strip=strip, options=options, observe=observe), threads)

    if model.symbols:
        return DynamicPackage(model, build_package, threads)
    return build_package(model)


def build_model(
    model: Model,
    target: str,
    *,
    strip: bool = False,
    options: Mapping[str, Any] | None = None,
    observe: Observer | None = None,
) -> Built:
    """What the pipeline makes of a model whose shapes are all known, reports included; see `compile` for the rest."""
    model.require_bound()
    with located(model.location):
        return build(
            model.graph,
            find_backend(target),
            Options(strip=strip, device=dict(options or {})),
            tool_version=isthmus.__version__,
            model=model.location,
            model_sha256=lambda: model.sha256,
            observe=observe,
        )


def finish(built: Built, threads: int | None = None) -> Package:
    """The package of what was built."""
    return Package(built.artefact, threads, Model(built.graph, built.artefact.location))
