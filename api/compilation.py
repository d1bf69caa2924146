"""`compile`: from a model to a package. Models whose inputs leave dimensions open become packages that specialise."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import isthmus
from isthmus.compiler.diagnostics import located
from isthmus.compiler.pipeline import Built, Observer, Options, build
from isthmus.dynamic import KEPT, DynamicPackage
from isthmus.model import Model, OpenModel, Shapes, read_open
from isthmus.package import Package
from isthmus.precision import Precision, find_precision
from isthmus.runtime.artefact import Artefact
from isthmus.runtime.executor import check_threads
from isthmus.targets import find_backend

if TYPE_CHECKING:
    from isthmus.compiler.passes.quantise import Report
    from isthmus.precision import Samples


def compile(
    source: Any,
    target: str = "cpu",
    *,
    example_inputs: Any = None,
    shapes: Shapes | None = None,
    precision: str = "f32",
    calibration: "Samples | None" = None,
    quantisation: Mapping[str, Any] | None = None,
    threads: int | None = None,
    strip: bool = False,
    options: Mapping[str, Any] | None = None,
    observe: Observer | None = None,
) -> Package | DynamicPackage:
    """Compile a model for a target.

    Args:
        source: what `read` takes.
        target: a registered target's name.
        example_inputs: what an object without a graph is called with to get one; see `read`.
        shapes: dimensions of inputs by name; see `read`. Dimensions left open make the package compile for each new
            shape that it is run with, and keep the last few.
        precision: "f32" computes in the model's own types; "bf16" multiplies in bf16 and sums in f32; "int8" computes
            in 8-bit integers, with ranges from `calibration` or from the model's own quantize nodes.
        calibration: sample inputs for "int8", each as `run` takes it; some 16 that are typical of use do.
        quantisation: choices for "int8" by name; see docs/quantisation.md. With `report` true, `package.quantisation`
            holds the errors of all layers.
        threads: default of the package's `run`; None means all cores.
        strip: leave the graph's constants out of the package, which then has no `graph` to evaluate.
        options: the target's own options, for the cpu `level` (such as "avx2") and `triple`.
        observe: called with pass name, graph and rule hits after every pass.

    Raises:
        IsthmusError: everything that can't be read or compiled, before work starts.
    """
    wanted = find_precision(precision, calibration, quantisation)
    check_threads(threads)
    find_backend(target)
    model = read_open(source, shapes, example_inputs=example_inputs)
    return compile_model(
        model, target, threads=threads, strip=strip, options=options, observe=observe, precision=wanted
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
    """The package of a model; with open dimensions one that specialises and keeps code for `kept` sets of shapes.

    `details` are those of `build_model`.
    """
    from isthmus import open_package

    wanted = precision or Precision()

    def build_package(bound: Model) -> Package:
        built = build_model(bound, target, precision=wanted, options=options, **details)
        return finish(built, threads, wanted.report)

    if isinstance(model, OpenModel) or ((model.symbols or model.decisive) and wanted.name != "int8"):

        def to_artefact(found: Model) -> Artefact:
            return open_package.to_artefact(found, target, options)

        # a file that is compiled where it is run does not say in what precision
        saved = to_artefact if wanted.name == "f32" else None
        return DynamicPackage(model, build_package, threads, saved, kept)
    return build_package(model)


def build_model(
    model: Model,
    target: str,
    *,
    strip: bool = False,
    options: Mapping[str, Any] | None = None,
    observe: Observer | None = None,
    precision: Precision | None = None,
) -> Built:
    """What the pipeline makes of a model whose shapes are all known, reports included; see `compile` for the rest."""
    model.require_bound()
    precision = precision or Precision()
    with located(model.location):
        return build(
            model.graph,
            find_backend(target),
            Options(
                strip=strip,
                precision=precision.passes(model),
                precision_record=precision.record,
                device=dict(options or {}),
            ),
            tool_version=isthmus.__version__,
            model=model.location,
            model_sha256=lambda: model.sha256,
            observe=observe,
        )


def finish(built: Built, threads: int | None = None, report: "Report | None" = None) -> Package:
    """The package of what was built."""
    package = Package(built.artefact, threads, Model(built.graph, built.artefact.location))
    package.quantisation = report
    return package
