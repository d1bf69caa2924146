"""From a model to a package. Models whose inputs leave dimensions open become packages that specialise."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import isthmus
from isthmus import batches
from isthmus.batches import Batch
from isthmus.compiler.diagnostics import located
from isthmus.compiler.partition.system import System
from isthmus.compiler.pipeline import Built, Observer, Options, build
from isthmus.dynamic import KEPT, DynamicPackage
from isthmus.interpreter import resting, settle
from isthmus.model import Model, OpenModel, read_open
from isthmus.package import Package
from isthmus.precision import Precision, find_precision
from isthmus.runtime.artefact import Artefact
from isthmus.targets import find_target

if TYPE_CHECKING:
    from isthmus.compiler.passes.quantise import Report
    from isthmus.compiler.system_build import SystemBuilt
    from isthmus.precision import Samples


def compile_source(
    source: Any,
    how: Mapping[str, Any],
    threads: int | None,
    observe: Observer | None,
    example_inputs: Any = None,
    calibration: "Samples | None" = None,
) -> Package | DynamicPackage:
    """The package of what `read` takes; `how` holds the keywords of `isthmus.compile` that change its bytes."""
    precision = find_precision(how["precision"], calibration, how["quantisation"])
    with resting():
        settle()
        return compile_model(
            read_open(source, how["shapes"], example_inputs=example_inputs),
            how["target"],
            threads=threads,
            strip=how["strip"],
            options=how["options"],
            observe=observe,
            precision=precision,
        )


def compile_model(
    model: Model | OpenModel,
    target: str,
    *,
    threads: int | None = None,
    kept: int = KEPT,
    precision: Precision | None = None,
    options: Mapping[str, Any] | None = None,
    **details: Any,
) -> Package | DynamicPackage:
    """The package of a model. Where a batch is all that is open, and the model treats its indices each alone, it takes
    any batch; with other open dimensions it specialises, and keeps code for `kept` sets of shapes.

    `details` are those of `build_model`.
    """
    from isthmus import open_package

    wanted = precision or Precision()

    def build_one(bound: Model, batch: Batch | None = None) -> Package:
        return build_package(
            bound, batch, target, options=options, threads=threads, precision=wanted, **details
        )

    if isinstance(model, OpenModel) or ((model.symbols or model.decisive) and wanted.name != "int8"):

        def to_artefact(found: Model) -> Artefact:
            return open_package.to_artefact(found, target, options)

        # a file that is compiled where it is run does not say in what precision
        saved = to_artefact if wanted.name == "f32" else None
        package = DynamicPackage(model, build_one, threads, saved, kept, batches.serves(target))
        return package.whole() or package
    return build_one(model)


def build_package(
    model: Model,
    batch: Batch | None,
    target: str,
    *,
    threads: int | None = None,
    precision: Precision | None = None,
    **details: Any,
) -> Package:
    """The package of what `build_model` makes."""
    built = build_model(model, target, batch=batch, precision=precision, **details)
    return finish(built, threads, precision.report if precision is not None else None)


def build_model(
    model: Model,
    target: str,
    *,
    batch: Batch | None = None,
    strip: bool = False,
    options: Mapping[str, Any] | None = None,
    observe: Observer | None = None,
    precision: Precision | None = None,
) -> "Built | SystemBuilt":
    """What the pipeline makes of a model whose shapes are all known but for a batch, if one is given; reports included.

    See `compile` for the rest.
    """
    if batch is not None:
        block = batches.specialised(model, batch.symbol, batch.extent)
        built = build_model(block, target, strip=strip, options=options, observe=observe, precision=precision)
        assert isinstance(built, Built)
        return batches.in_blocks(built, model, batch)
    model.require_bound()
    precision = precision or Precision()
    found, asked = find_target(target), dict(options or {})
    details: dict[str, Any] = {
        "tool_version": isthmus.__version__,
        "model": model.location,
        "model_sha256": lambda: model.sha256,
        "observe": observe,
    }
    with located(model.location):
        device = {} if isinstance(found, System) else asked
        how = Options(strip, precision.passes(model), precision.record, device)
        if isinstance(found, System):
            from isthmus.mixed import build_for_system

            return build_for_system(model, found, how, precision, asked, details)
        return build(model.graph, found, how, **details)


def finish(
    built: "Built | SystemBuilt", threads: int | None = None, report: "Report | None" = None
) -> Package:
    """The package of what was built."""
    package = Package(built.artefact, threads, Model(built.graph, built.artefact.location))
    package.quantisation = report
    return package
