"""The verb bench: how long a model takes, from arrays in memory to arrays in memory."""

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
@options.threads
@options.precision
@options.backend_options
@common
def bench(
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
    """Measure FILE, a model or a package, after two runs that are not counted."""
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
