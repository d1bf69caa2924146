"""Prints how near each model comes to torch through every way in, and on a chip: one line a model.

    python tests/frontends/torch/compare.py [NAME ...]

Errors are the largest difference from torch's result, relative to its largest element; `hosts` counts the steps that
run by their reference meaning. The `.pt2` and TorchScript files are read and compiled for the CPU; on the chip, bf16
and int8 must also be what the package's own graph means.
"""

import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import models
import numpy as np
import record

import isthmus

CHIP = "n1-16"
COLUMNS = ("module", ".pt2", "TorchScript", "hosts", f"bf16 {CHIP}", f"int8 {CHIP}", "hosts", "graph's bytes")


def error(got: Mapping[str, np.ndarray], want: Sequence[np.ndarray]) -> float:
    """The largest difference over all results, each relative to its largest element; also of dtypes and shapes."""
    worst = 0.0
    for mine, theirs in zip(got.values(), want, strict=True):
        assert (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape)
        gap = np.abs(mine.astype(np.float64) - theirs.astype(np.float64)).max(initial=0.0)
        worst = max(worst, float(gap / max(np.abs(theirs).max(initial=0.0), 1e-3)))
    return worst


def on_chip(path: Path, arrays: Sequence[np.ndarray], precision: str, **options: Any) -> tuple[Any, ...]:
    """The chip's results, whether they are what its graph means, and how many steps the host runs."""
    package = isthmus.compile(path, target=CHIP, precision=precision, cache=False, **options)
    got = package.run(arrays)
    meant = list(package.graph.evaluate(arrays).values())
    same = all(np.array_equal(mine, theirs) for mine, theirs in zip(got.values(), meant, strict=True))
    return got, "equal" if same else f"{error(got, meant):.0e}", len(package.manifest.fallbacks)


def line(name: str, folder: Path) -> list[str]:
    """A model's figures, in the order of the columns."""
    module, inputs = record.make(name)
    want = record.outputs(module, inputs)
    arrays = [value.numpy() for value in inputs.values()]
    packages = [isthmus.compile(module, example_inputs=inputs, cache=False)]
    archive, script = folder / f"{name}.pt2", folder / f"{name}.pt"
    archive.write_bytes(record.saved(record.export(name, module, inputs)))
    packages.append(isthmus.compile(archive, cache=False))
    if models.MODELS[name].scripted:
        script.write_bytes(record.traced(module, inputs))
        packages.append(isthmus.compile(script, cache=False))
    figures = [f"{error(package.run(arrays), want):.1e}" for package in packages]
    figures += ["not traced"] * (3 - len(packages))
    figures.append(str(max(len(package.manifest.fallbacks) for package in packages)))
    floats, same_floats, hosts = on_chip(archive, arrays, "bf16")
    integers, same_integers, more = on_chip(archive, arrays, "int8", calibration=[arrays])
    figures += [f"{error(floats, want):.1e}", f"{error(integers, want):.1e}", str(max(hosts, more))]
    return [*figures, f"{same_floats}, {same_integers}"]


def main(names: Sequence[str]) -> None:
    warnings.filterwarnings("ignore")
    print(f"{'':14}" + "".join(f"{column:>14}" for column in COLUMNS))
    with tempfile.TemporaryDirectory() as folder:
        for name in names or models.MODELS:
            print(f"{name:14}" + "".join(f"{text:>14}" for text in line(name, Path(folder))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
