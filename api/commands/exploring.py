"""The verb explore: configurations of a chip family on a device, compared."""

import os
from pathlib import Path
from typing import Any

import click

from isthmus.commands import options
from isthmus.commands.options import Settings, common


@click.command(short_help="Search a chip family's configurations for a model.")
@click.argument("model")
@click.option("--chip", required=True, help="The family of chips, such as f1.")
@click.option("--part", required=True, help="The device that holds them, such as XCZU7EV.")
@click.option(
    "--points", type=click.IntRange(1), default=100, show_default=True, help="How many to evaluate."
)
@click.option("--jobs", type=click.IntRange(1), help="Processes; by default as many as there are cores.")
@click.option("--dask", "cluster", help="The address of a Dask cluster, whose workers evaluate instead.")
@click.option(
    "--plot", type=click.Path(dir_okay=False, path_type=Path), help="Write the picture here, as SVG."
)
@click.option(
    "--calibration",
    type=click.Path(),
    multiple=True,
    help="An .npz file with sample inputs to quantise with; random ones by default, since cycles depend on no values.",
)
@options.shapes
@common
def explore(
    settings: Settings,
    model: str,
    chip: str,
    part: str,
    points: int,
    jobs: int | None,
    cluster: str | None,
    plot: Path | None,
    calibration: tuple[str, ...],
    shapes: Any,
) -> None:
    """Compile MODEL in int8 for configurations of a chip family that fit a device, and compare them.

    Images a second and latency are those of the simulated clock; what a configuration takes of the device is estimated.
    """
    from isthmus.exploration import executor_of, explore, find_space
    from isthmus.progress import progress
    from isthmus.scatter import scatter

    space = find_space(chip)
    package = _quantised(model, shapes, calibration)
    shown = not (settings.quiet or settings.json)
    processes = jobs or len(os.sched_getaffinity(0))
    with (
        executor_of(processes, cluster) as executor,
        progress(f"exploring {Path(model).name}", points, shown) as advance,
    ):
        found = explore(package, chip, part, points, executor, advance)
    lines = [str(found)]
    if plot is not None:
        plot.write_text(scatter(found, space.measures()))
        lines.append(f"{plot}: the picture")
    settings.show(found.to_json(), "\n".join(lines))


def _quantised(model: str, shapes: Any, calibration: tuple[str, ...]) -> bytes:
    """A package of the model in int8."""
    from tempfile import TemporaryDirectory

    from isthmus.arrays import random_arrays
    from isthmus.calibration import load_samples
    from isthmus.compiling import compile
    from isthmus.model import read
    from isthmus.runtime.program import Port

    source = read(model, shapes)
    source.require_bound()
    ports = tuple(Port(name, name, str(type.dtype), type.shape) for name, type in source.inputs.items())
    samples = load_samples(calibration, source) if calibration else [random_arrays(ports)]
    package: Any = compile(source, precision="int8", calibration=samples)
    with TemporaryDirectory() as folder:
        path = Path(folder, "model.isth")
        package.save(str(path))
        return path.read_bytes()
