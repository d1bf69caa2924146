"""Verbs on packages: run, profile. They import the runtime and nothing of the compiler."""

from typing import Any

import click

from isthmus.commands import options
from isthmus.commands.options import Settings, common


@click.command(short_help="Run a package on arrays from files.")
@click.argument("package")
@options.inputs
@click.option(
    "-o", "--output", type=click.Path(), help="The .npz file to write; without it the outputs are described."
)
@click.option("--trace", type=click.Path(), help="Write a timeline that chrome://tracing and Perfetto open.")
@options.threads
@common
def run(
    settings: Settings, package: str, inputs: Any, output: str | None, trace: str | None, threads: int | None
) -> None:
    """Run PACKAGE (.isth) on arrays from files."""
    from isthmus.arrays import flattened, load_arrays, save_arrays
    from isthmus.package import load

    loaded = load(package, threads)
    arrays = load_arrays(inputs, loaded.inputs)
    if trace is None:
        outputs = loaded.run(arrays)
    else:
        profile = loaded.profile(arrays)
        outputs = profile.outputs
    if output is not None:
        save_arrays(output, outputs)
    if trace is not None:
        profile.save_trace(trace)
    found = flattened(outputs)
    record = {name: {"dtype": str(array.dtype), "shape": list(array.shape)} for name, array in found.items()}
    lines = [
        f"{name}: {facts['dtype']}{facts['shape']}{_range(found[name])}" for name, facts in record.items()
    ]
    if settings.json or not (settings.quiet or output is not None):
        settings.show({"outputs": record, "written": output}, "\n".join(lines))


def _range(array: Any) -> str:
    if array.size == 0 or array.dtype.kind not in "fiu":
        return ""
    return f", {array.min():.6g} to {array.max():.6g}, mean {array.mean(dtype=float):.6g}"


@click.command(short_help="Tell where the time of a run goes.")
@click.argument("package")
@options.inputs
@click.option("--trace", type=click.Path(), help="Write a timeline that chrome://tracing and Perfetto open.")
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, help="How many steps to list.")
@options.threads
@common
def profile(
    settings: Settings, package: str, inputs: Any, trace: str | None, top: int, threads: int | None
) -> None:
    """Run PACKAGE (.isth) once warm and once measured, and tell where the time goes."""
    from isthmus.arrays import load_arrays
    from isthmus.package import load

    loaded = load(package, threads)
    arrays = load_arrays(inputs, loaded.inputs)
    loaded.run(arrays)
    found = loaded.profile(arrays)
    if trace is not None:
        found.save_trace(trace)
    slowest = sorted(found.steps, key=lambda step: -step.seconds)[:top]
    record = {
        "seconds": found.seconds,
        "cycles": found.cycles,
        "steps": [
            {"name": step.name, "device": step.device, "seconds": step.seconds, "sources": list(step.sources)}
            for step in slowest
        ],
    }
    lines = [f"{found.seconds * 1e3:.3f} ms in all, the measuring included"]
    lines += [f"{step.seconds * 1e3:10.3f} ms  {step.device:<5} {step.name}" for step in slowest]
    settings.show(record, "\n".join(lines))
