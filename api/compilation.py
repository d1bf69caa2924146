"""From a model to a package. Models whose inputs leave dimensions open become packages that specialise."""

from collections.abc import Mapping
from typing import Any

import isthmus
from isthmus.compiler.diagnostics import located
from isthmus.compiler.pipeline import Built, Observer, Options, build
from isthmus.dynamic import DynamicPackage
from isthmus.model import Model, read
from isthmus.package import Package
from isthmus.targets import find_backend


def compile_source(
    source: Any, how: Mapping[str, Any], threads: int | None, observe: Observer | None
) -> Package | DynamicPackage:
    """The package of what `read` takes; `how` holds the keywords of `isthmus.compile` that change its bytes."""
    target, strip, options = how["target"], how["strip"], how["options"]
    model = read(source, how["shapes"])

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
