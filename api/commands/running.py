"""Verbs that run packages: run, profile. For a package they import the runtime and nothing of the compiler."""

from pathlib import Path
from typing import Any

import click

from isthmus.commands import options
from isthmus.commands.options import AskedPrecision, Settings, common


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
@click.argument("file")
@options.target
@options.shapes
@click.option(
    "--input", "inputs", type=click.Path(), multiple=True, help="As for `run`; by default random arrays."
)
@click.option("--trace", type=click.Path(), help="Write a timeline that chrome://tracing and Perfetto open.")
@click.option(
    "--html", type=click.Path(), help="Write a page with pictures and tables; it needs nothing else."
)
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, help="How many steps to list.")
@options.threads
@options.precision
@options.backend_options
@common
def profile(
    settings: Settings,
    file: str,
    target: str,
    shapes: Any,
    precision: AskedPrecision,
    inputs: Any,
    trace: str | None,
    html: str | None,
    top: int,
    threads: int | None,
    options: Any,
) -> None:
    """Run FILE, a model or a package, once warm and once measured, and tell where the time goes."""
    from isthmus.arrays import load_arrays, random_arrays
    from isthmus.commands.prepared import prepared

    loaded = prepared(file, target, shapes, precision, threads, options)
    arrays = load_arrays(inputs, loaded.inputs) if inputs else random_arrays(loaded.inputs)
    loaded.run(arrays)
    found = loaded.profile(arrays)
    if trace is not None:
        found.save_trace(trace)
    if html is not None:
        from isthmus.files import write_text
        from isthmus.page import page

        write_text(html, page(found, Path(file).name))
    slowest = sorted(found.steps, key=lambda step: -step.seconds)[:top]
    record = {
        "seconds": found.seconds,
        "cycles": found.cycles,
        "steps": [
            {"name": step.name, "device": step.device, "seconds": step.seconds, "sources": list(step.sources)}
            for step in slowest
        ],
        "chips": [{"device": run.device, "chip": run.chip, **run.summary} for run in found.chips],
    }
    lines = [f"{found.seconds * 1e3:.3f} ms in all, the measuring included"]
    lines += [f"{step.seconds * 1e3:10.3f} ms  {step.device:<5} {step.name}" for step in slowest]
    for run in found.chips:
        lines += ["", *_chip_lines(run, top)]
    settings.show(record, "\n".join(lines))


def _chip_lines(run: Any, top: int) -> list[str]:
    """What a simulated chip did: engines with their causes of standing still, and the kernels that took longest."""
    summary, total = run.summary, max(run.cycles, 1)
    lines = [
        f"{run.chip}: {run.cycles:,} cycles, {summary['seconds'] * 1e3:.3f} ms at {run.clock_mhz:g} MHz; "
        f"{summary['bound'] / total:.1%} of the roofline's bound; {sum(summary['energy'].values()) * 1e3:.3f} mJ"
    ]
    for name, engine in summary["engines"].items():
        stalls = sorted(engine["stalls"].items(), key=lambda each: -each[1])
        idle = ", ".join(f"{cause} {cycles / total:.1%}" for cause, cycles in stalls if cycles)
        lines.append(f"  {name:<4} busy {engine['busy'] / total:6.1%}; waits for {idle or 'nothing'}")
    longest = sorted(summary["kernels"], key=lambda kernel: -kernel["cycles"])[:top]
    lines += [f"{kernel['cycles']:12,.0f} cycles  {kernel['name']}" for kernel in longest if kernel["cycles"]]
    return lines
