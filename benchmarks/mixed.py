"""Models in a precision a device, values beside the meaning of each device's part: `python -m benchmarks.mixed`.

Every array that crosses a border or leaves is compared with what numpy gives for the part of the graph that its device
runs, from what the device was given.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import isthmus
from isthmus.compilation import build_model
from isthmus.compiler.system_build import SystemBuilt
from isthmus.precision import find_precision
from isthmus.testing.parts import Passed, device_by_device

from . import models

SYSTEMS = Path(__file__).resolve().parent.parent / "examples" / "systems"
TOLERANCE = {"int8": 1e-4, "bf16": 2e-2}
"""Largest error of floats, relative to their largest magnitude, by precision: where two orders of a sum round to
different sides, a factor in bf16 moves by one of 256."""
STEP = 1
"""By how much an integer may differ that a device rounded from floats."""


@dataclass(frozen=True)
class Case:
    """A model of the benchmarks on a system, its nodes pinned, some of them left in floats."""

    model: str
    precision: str
    system: str
    pins: Mapping[str, str]
    floats: tuple[str, ...] = ()


_LAST = (*(f"node_conv2d_{n}" for n in range(15, 20)), "node_linear")
CASES = (
    Case("resnet18", "int8", "cpu+n1-32", dict.fromkeys(_LAST, "cpu"), _LAST),
    Case("bert_base", "bf16", "cpu+n1-32", {"node_linear_[0-9]": "n1-32", "node_linear_3?": "cpu"}),
)


def built(case: Case) -> SystemBuilt:
    """The case's package, from two samples where it is quantised."""
    models.ensure([case.model])
    samples = [models.inputs(case.model, 100 + n) for n in range(2)] if case.precision == "int8" else None
    choices = {"floats": case.floats} if case.floats else None
    found = build_model(
        isthmus.read(models.path(case.model)),
        str(SYSTEMS / f"{case.system}.toml"),
        precision=find_precision(case.precision, samples, choices),
        options={"pins": case.pins},
    )
    assert isinstance(found, SystemBuilt)
    return found


def error(case: Case, each: Passed, host: str) -> tuple[str, bool]:
    """How far an array is off, and whether that is right."""
    off = np.abs(each.got.astype(np.float64) - each.meant).max(initial=0.0)
    if each.meant.dtype.kind in "iub":
        return f"{off:.0f}", bool(off <= (STEP if each.device == host else 0))
    relative = off / max(np.abs(each.meant).max(initial=0.0), 1e-30)
    return f"{relative:.1e}", bool(relative <= TOLERANCE[case.precision])


def main() -> int:
    """Run the cases that the command line names; 1 where a value is wrong, or a device has nothing to do."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mixed", description=(__doc__ or "").split("\n")[0]
    )
    names = [case.model for case in CASES]
    parser.add_argument("--models", nargs="+", default=names, choices=names, metavar="NAME")
    options = parser.parse_args()
    table = Table("model", "precision", "device", "kernels", "arrays", "largest error", "right")
    right = True
    for case in CASES:
        if case.model not in options.models:
            continue
        package = built(case)
        passed = list(device_by_device(package, models.inputs(case.model, 1)))
        for part in package.chosen.layout.parts:
            mine = [
                error(case, each, package.system.host) for each in passed if each.device == part.device.name
            ]
            sound = all(ok for _, ok in mine) and bool(mine)
            worst = max((text for text, _ in mine), key=float, default="")
            counts = str(len(part.plan.steps)), str(len(mine))
            table.add_row(case.model, case.precision, part.device.name, *counts, worst, str(sound))
            right = right and sound
        right = right and len(package.chosen.layout.parts) > 1
    Console(width=120).print(table)
    return int(not right)


if __name__ == "__main__":
    sys.exit(main())
