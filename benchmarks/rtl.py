"""The simulator's cycles and bytes held against chips in RTL: `python -m benchmarks.rtl`.

`layers`: every distinct layer of the models by itself; `networks`: the models whole; `samples`: a dozen small layers;
`random`: random programs; `deadlocks`: the same lacking a token, which must stop both for ever. What the model of time
was fitted to is listed apart from what it was only tested on. Needs Verilator and a C++ compiler. `area`: what the
arrays take of an FPGA, which needs Yosys.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import isthmus
from hardware import assembled, programs, samples, simulation
from hardware.area import area
from hardware.comparison import Compared, compare, record
from hardware.layers import arrays, layers
from isthmus.runtime.sim.errors import HazardError
from isthmus.targets import find_backend

from . import models

FITTED = frozenset(
    {
        *product(("mobilenetv2", "resnet50"), ("n1-8", "n1-16", "f1-b512"), ("own", "wide")),
        *product(("resnet18",), ("f1-b512",), ("own", "wide")),
        *product(("samples",), ("n1-8", "f1-b512"), ("own",)),
        *(("bert_base", "n1-8", "wide"), ("bert_base", "f1-b512", "own")),
    }
)
"""Models, chips and memories on whose layers the model of time was looked at while it was mended; all else is only
tested."""
FITTED_WHOLE = frozenset({("mobilenetv2", "n1-16", "own")})
"""Networks of which that holds as a whole."""
KEPT = simulation.BUILDS / "runs"
"""What the RTL came to, for code that comes again: after a change of the simulator only that runs anew."""
PATIENCE = 5000
"""Cycles without a start or an end after which a program that lacks a token counts as stopped for ever."""
MEMORIES = {
    "own": "",
    "wide": "memory.dram = {{ bandwidth = {bandwidth}, channels = 2, latency = 80, page_miss = 40, "
    "refresh_every = 1560, refresh_for = 140 }}\n",
}
"""Settings of DRAM by name: the chip's own, and one of two channels, farther away, more often refreshed."""


@dataclass(frozen=True)
class Row:
    """One comparison: what, on which chip and memory, and what came of it."""

    model: str
    chip: str
    memory: str
    name: str
    fitted: bool
    cycles: int
    hardware: int
    wrong: int
    status: str

    @property
    def error(self) -> float:
        """Of the simulator, relative to the hardware."""
        return self.cycles / self.hardware - 1


def target(chip: str, memory: str, folder: Path) -> str:
    """A chip with a memory, as `compile` takes it."""
    if not MEMORIES[memory]:
        return chip
    bandwidth = 2 * int(assembled.record(chip)["memories"]["dram"]["bytes_per_cycle"])
    path = folder / f"{chip}-{memory}.toml"
    text = f'inherits = "{chip}"\ntarget = {{ name = "{chip}-{memory}" }}\n'
    path.write_text(text + MEMORIES[memory].format(bandwidth=bandwidth))
    return str(path)


def quantised(name: str) -> Any:
    """A model's graph in int8, quantised once and kept."""
    kept = models.path(name).with_suffix(".int8.isth")
    if not kept.exists():
        models.ensure([name])
        samples = [models.inputs(name, 100)]
        package = isthmus.compile(
            models.path(name), precision="int8", calibration=samples, options=models.PLAIN
        )
        package.save(str(kept))
    return isthmus.load(str(kept)).graph


def of_layers(name: str, chip: str, memory: str, folder: Path, most: int) -> Iterator[Row]:
    """A row a layer; the first `most` of them."""
    for layer in layers(quantised(name).graph)[:most]:
        package = isthmus.compile(layer.graph, target=target(chip, memory, folder))
        hosted = [step.op for step in package.loaded.executable.program.steps if step.kind == "host"]
        for call in record(package, arrays(layer.graph)):
            row = _row(name, chip, memory, layer.name, compare(call, kept=KEPT))
            yield replace(row, status=f"{', '.join(hosted)} not on the chip") if hosted else row


def of_network(name: str, chip: str, memory: str, folder: Path) -> Iterator[Row]:
    """A row a call, one for a network that runs whole on the chip."""
    package = isthmus.compile(quantised(name), target=target(chip, memory, folder))
    for call in record(package, models.inputs(name, 1)):
        yield _row(name, chip, memory, "whole", compare(call, kept=KEPT))


def of_samples(chip: str) -> Iterator[Row]:
    """A row a small layer."""
    for name in samples.SAMPLES:
        graph = samples.graph(name)
        for call in record(isthmus.compile(graph, target=chip), arrays(graph)):
            yield _row("samples", chip, "own", name, compare(call, kept=KEPT))


def of_random(chip: str, first: int, count: int) -> Iterator[Row]:
    """A row a program, numbered from `first` on."""
    found = assembled.record(chip)
    for seed in range(first, first + count):
        made = programs.random_program(seed, found)
        call = assembled.executed(made, found, programs.data(seed), programs.ARENA_BYTES)
        yield _row("random", chip, "own", f"seed {seed}", compare(call, kept=KEPT))


def deadlocks(chip: str, seed: int) -> tuple[bool, bool]:
    """Whether the simulator and the RTL find that a random program which lacks a token stops for ever."""
    found, data = assembled.record(chip), programs.data(seed)
    stuck = programs.without_a_token(programs.random_program(seed, found), seed)
    try:
        assembled.executed(stuck, found, data, programs.ARENA_BYTES)
        simulated = False
    except HazardError:
        simulated = True
    ran = simulation.run(found, assembled.encoded(stuck, found), [(0, data)], patience=PATIENCE)
    return simulated, ran.status == "deadlock"


def _row(model: str, chip: str, memory: str, name: str, found: Compared) -> Row:
    fitted = (model, chip, memory) in (FITTED_WHOLE if name == "whole" else FITTED)
    return Row(model, chip, memory, name, fitted, found.model, found.hardware, found.wrong, found.status)


def show(rows: Sequence[Row], console: Console) -> bool:
    """Print what came of all; whether all bytes were equal and every chip halted."""
    table = Table(
        "model", "chip", "memory", "rows", "", "mean error", "worst", "bytes wrong", title="simulator to RTL"
    )
    groups: dict[tuple[str, str, str, bool], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.model, row.chip, row.memory, row.fitted), []).append(row)
    for (model, chip, memory, fitted), members in groups.items():
        errors = [abs(row.error) for row in members]
        table.add_row(
            model, chip, memory, str(len(members)), "fitted" if fitted else "tested",
            f"{np.mean(errors):.2%}", f"{max(errors):.2%}", str(sum(row.wrong for row in members)),
        )  # fmt: skip
    console.print(table)
    return all(row.status == "halted" and not row.wrong for row in rows)


def show_deadlocks(chips: Sequence[str], seeds: range, console: Console) -> bool:
    """Print on how many programs that lack a token both stop for ever; whether they do on all."""
    right = True
    for chip in chips:
        found = {seed: deadlocks(chip, seed) for seed in seeds}
        wrong = [seed for seed, verdicts in found.items() if not all(verdicts)]
        console.print(
            f"{chip}: {len(found) - len(wrong)} of {len(found)} programs that lack a token stop on both"
        )
        for seed in wrong:
            console.print(f"  seed {seed}: simulator, RTL {found[seed]}")
        right = right and not wrong
    return right


def show_areas(chips: Sequence[str], console: Console) -> None:
    """Print what the arrays take as Yosys synthesises them, beside what f1's estimate says of its own."""
    table = Table(
        "chip", "multipliers", "", "DSP", "LUT", "FF", "levels", title="the arrays on an UltraScale+"
    )
    for chip in chips:
        target = find_backend(chip).target({})
        array, found = target.engine("contract"), area(target.record())
        size = str(array.pixels * array.rows * array.cols)
        counts = str(found.dsp), str(found.lut), str(found.ff), str(found.levels)
        table.add_row(chip, size, "synthesised", *counts)
        if target.kind == "fpga":
            use = find_backend(chip).resources({})["conv"]
            table.add_row(chip, size, "estimated", *(f"{use[kind]:.0f}" for kind in ("DSP", "LUT", "FF")), "")
    console.print(table)


def main() -> int:
    """Compare what the command line names; 1 where a byte differed or a chip did not halt."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.rtl", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "what",
        nargs="*",
        default=["layers"],
        metavar="WHAT",
        help="layers, networks, samples, random, deadlocks, area",
    )
    names = ["mobilenetv2", "resnet50", "bert_base"]
    parser.add_argument("--models", nargs="+", default=names, choices=list(models.MODELS), metavar="NAME")
    parser.add_argument("--chips", nargs="+", default=["n1-8", "n1-16"], metavar="NAME")
    parser.add_argument("--memories", nargs="+", default=list(MEMORIES), choices=list(MEMORIES))
    parser.add_argument("--first", type=int, default=0, help="number of the first random program")
    parser.add_argument("--count", type=int, default=2000, help="random programs")
    parser.add_argument("--most", type=int, default=1000, help="layers of a model")
    parser.add_argument("--json", type=Path, help="where to write every row")
    options = parser.parse_args()
    console = Console()
    if "area" in options.what:
        show_areas(options.chips, console)
    if {*options.what} <= {"area"}:
        return 0
    if not simulation.available():
        parser.error("Verilator or a C++ compiler is missing: install verilator, g++ and make")
    right = True
    if "deadlocks" in options.what:
        right = show_deadlocks(options.chips, range(options.first, options.first + options.count), console)
    if {*options.what} <= {"area", "deadlocks"}:
        return int(not right)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as made:
        for row in _rows(options, Path(made)):
            rows.append(row)
            line = f"{row.model} {row.chip} {row.memory} {row.cycles} {row.hardware} {row.error:+.2%} {row.wrong}"
            console.print(f"{line} {row.status} {row.name}", highlight=False)
            if options.json:
                options.json.write_text(json.dumps([asdict(each) for each in rows]))
    return int(not (show(rows, console) and right))


def _rows(options: argparse.Namespace, folder: Path) -> Iterator[Row]:
    for chip in options.chips:
        if "samples" in options.what:
            yield from of_samples(chip)
        if "random" in options.what:
            yield from of_random(chip, options.first, options.count)
        for memory in options.memories:
            for name in options.models:
                if "layers" in options.what:
                    yield from of_layers(name, chip, memory, folder, options.most)
                if "networks" in options.what:
                    yield from of_network(name, chip, memory, folder)


if __name__ == "__main__":
    sys.exit(main())
