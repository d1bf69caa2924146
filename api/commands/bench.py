"""The verb bench: how long a model takes, each of its kernels, and its faster forms, arrays in memory to arrays."""

from typing import Any

import click

from isthmus.commands import options
from isthmus.commands.options import AskedPrecision, Settings, common


@click.command(short_help="Measure how long a model or package takes.")
@click.argument("file")
@options.target
@options.shapes
@click.option("--runs", type=click.IntRange(1), default=50, show_default=True, help="Measured runs.")
@click.option(
    "--input", "inputs", type=click.Path(), multiple=True, help="As for `run`; by default random arrays."
)
@click.option("--profile", is_flag=True, help="Each kernel's time beside what the core can do; the cpu only.")
@click.option(
    "--accuracy", is_flag=True, help="Faster forms of a model: their errors and times; the cpu only."
)
@click.option("--picture", type=click.Path(), help="With --profile: write the roofline as SVG.")
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, help="Kernels to list.")
@options.threads
@options.precision
@options.backend_options
@common
def bench(settings: Settings, file: str, profile: bool, accuracy: bool, **given: Any) -> None:
    """Measure FILE, a model or a package, after two runs that are not counted."""
    picture, top = given.pop("picture"), given.pop("top")
    if profile or picture:
        _profile(settings, file, picture, top, **given)
    elif accuracy:
        _accuracy(settings, file, **given)
    else:
        _whole(settings, file, **given)


def _whole(
    settings: Settings,
    file: str,
    target: str,
    shapes: Any,
    precision: AskedPrecision,
    runs: int,
    inputs: Any,
    threads: int | None,
    options: Any,
) -> None:
    """Run FILE many times."""
    import time

    from isthmus.arrays import load_arrays, random_arrays
    from isthmus.commands.prepared import prepared
    from isthmus.measurement import measure
    from isthmus.progress import progress

    begin = time.perf_counter()
    package = prepared(file, target, shapes, precision, threads, options)
    ready = time.perf_counter() - begin
    arrays = load_arrays(inputs, package.inputs) if inputs else random_arrays(package.inputs)
    with progress("running", runs, not (settings.quiet or settings.json)) as advance:
        times = measure(lambda: package.run(arrays), runs, advance)
    record = {"file": file, "threads": threads, "runs": runs, "ready_seconds": ready, **times.to_json()}
    settings.show(record, f"{file}: {times}; ready after {ready:.2f} s")


def _model(file: str, target: str, shapes: Any, flag: str) -> Any:
    """The model in FILE; CompileError for a package, or for another target than the cpu."""
    from isthmus.compiler.diagnostics import CompileError
    from isthmus.display import is_package
    from isthmus.model import read

    if is_package(file):
        raise CompileError(
            f"{flag} takes a model, not a package",
            location=file,
            hint="give the model that the package was made from",
        )
    if target != "cpu":
        raise CompileError(
            f"{flag} is for the cpu, not for {target}",
            location=file,
            hint="`isthmus profile` is for all targets",
        )
    model = read(file, shapes)
    model.require_bound()
    return model


def _profile(
    settings: Settings,
    file: str,
    picture: str | None,
    top: int,
    target: str,
    shapes: Any,
    precision: AskedPrecision,
    runs: int,
    inputs: Any,
    threads: int | None,
    options: Any,
) -> None:
    """Compile FILE, a model, and print what each kernel takes."""
    from isthmus.arrays import load_arrays, random_arrays
    from isthmus.compilation import build_model, finish
    from isthmus.files import write_text
    from isthmus.kernel_profile import profile_kernels
    from isthmus.precision import find_precision
    from isthmus.progress import progress
    from isthmus.targets import find_backend

    precision.check()
    model = _model(file, target, shapes, "--profile")
    built = build_model(model, target, options=options, precision=find_precision(**precision.keywords(model)))
    package = finish(built)
    arrays = load_arrays(inputs, package.inputs) if inputs else random_arrays(package.inputs)
    issue = find_backend(target).target(options or {}).engine("elementwise").issue
    with progress("running", runs, not (settings.quiet or settings.json)) as advance:
        found = profile_kernels(
            package, built.reports, arrays, runs=runs, threads=threads or 1, issue=issue, advance=advance
        )
    if picture is not None:
        write_text(picture, found.picture(file))
    settings.show(found.to_json(), "\n".join(found.lines(top)))


def _accuracy(
    settings: Settings,
    file: str,
    target: str,
    shapes: Any,
    precision: AskedPrecision,
    runs: int,
    inputs: Any,
    threads: int | None,
    options: Any,
) -> None:
    """Compile FILE, a model, in every way, and in int8 where that is asked for, and print errors and times."""
    from isthmus import accuracy
    from isthmus.arrays import load_arrays, random_arrays
    from isthmus.precision import find_precision
    from isthmus.progress import progress
    from isthmus.runtime.program import Port

    precision.check()
    model = _model(file, target, shapes, "--accuracy")
    ways, asked = list(accuracy.WAYS), find_precision(**precision.keywords(model))
    if asked.name not in {way.precision.name for way in ways}:
        ways.append(accuracy.Way(asked.name, asked, {}))
    ports = [
        Port(name, name, str(value.dtype), value.type.static_shape)
        for name, value in zip(model.graph.input_names, model.graph.inputs, strict=True)
    ]
    arrays = load_arrays(inputs, ports) if inputs else random_arrays(ports)
    with progress("compiling and running", len(ways), not (settings.quiet or settings.json)) as advance:
        found = accuracy.compare(model, arrays, runs=runs, threads=threads, options=options, advance=advance)
    settings.show({"file": file, **accuracy.to_json(found)}, "\n".join(accuracy.lines(found)))
