"""Chips in RTL under Verilator: built from a chip record, run on the instruction bytes and the DRAM of a package.

The design is `hardware/shell/` with the instructions and the array of a family, `hardware/n1/` or `hardware/f1/`; the
harness is `hardware/harness.cpp`. Sizes of a record become generics, so that each gets a build of its own, kept under
`build/hardware/`; timing figures are inputs, which a run sets.
"""

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import fields

ROOT = Path(__file__).resolve().parents[1]
DESIGN = ROOT / "hardware"
HARNESS = DESIGN / "harness.cpp"
BUILDS = ROOT / "build" / "hardware"
SHELL = ("fetch", "queue", "dram", "dma_load", "dma_store", "scratchpads", "vectors", "chip")


@dataclass(frozen=True)
class Family:
    """Chips of one design: its folder, the names of its array, its vector engine and its memories for features, weights
    and sums, and its queues in the order of their numbers."""

    name: str
    array: str
    vectors: str
    memories: tuple[str, str, str]
    queues: tuple[str, ...]
    modules: tuple[str, ...]

    @property
    def sources(self) -> list[Path]:
        """The files of the design, packages first; before them comes the package that is derived."""
        own = DESIGN / self.name
        packages = [DESIGN / "shell" / "shell_pkg.sv", own / "isa_pkg.sv", DESIGN / "shell" / "alu_pkg.sv"]
        shell = [DESIGN / "shell" / f"{name}.sv" for name in SHELL]
        return [*packages, *(own / f"{name}.sv" for name in self.modules), *shell]


FAMILIES = (
    Family("n1", "mxu", "vec", ("spa", "spw", "acc"), ("lda", "ldw", "mxu", "vec", "sto"), ("array", "mxu")),
    Family(
        "f1",
        "conv",
        "misc",
        ("fm", "wgt", "psum"),
        ("load", "weights", "conv", "misc", "save"),
        ("array", "conv"),
    ),
)

Record = Mapping[str, Any]


class HardwareError(Exception):
    """A chip that the design is not, or a build or a run that failed."""


@dataclass(frozen=True)
class Ran:
    """What a run left: `status` is halted, deadlock or fault; `started` and `done` for each queue the cycles in which
    its instructions were taken up and complete, in order; `regions` the bytes of DRAM that were given, as they were at
    the end."""

    status: str
    cycles: int
    started: Mapping[str, np.ndarray]
    done: Mapping[str, np.ndarray]
    regions: tuple[np.ndarray, ...]


def available() -> bool:
    """Whether Verilator and a C++ compiler are installed."""
    return all(shutil.which(tool) for tool in ("verilator", "g++", "make"))


def family(chip: Record) -> Family:
    """The design of a chip record; HardwareError where there is none."""
    for each in FAMILIES:
        if each.array in chip["engines"]:
            return each
    known = " or ".join(f"{each.array} as {each.name} has it" for each in FAMILIES)
    raise HardwareError(f"{chip['name']}: its engines are {', '.join(chip['engines'])}, expected {known}")


def generics(chip: Record) -> dict[str, int]:
    """Sizes of a chip record as generics of `chip.sv`; HardwareError for what the design does not have."""
    design = family(chip)
    array, vectors = chip["engines"][design.array], chip["engines"][design.vectors]
    memories, dram = chip["memories"], chip["memories"]["dram"]
    wrong = []
    burst = dram.get("burst", 1)
    if burst < 32 or burst & burst - 1:
        wrong.append(f"memory.dram.burst is {burst}, expected a power of two from 32 on")
    if array.get("weight_banks", 1) != 2:
        wrong.append(f"engine.{design.array}.weight_banks is {array.get('weight_banks', 1)}, expected 2")
    if vectors["mac_per_cycle"] % vectors["lanes"] or vectors["lanes"] % vectors["special_per_cycle"]:
        wrong.append(
            f"engine.{design.vectors}: mac_per_cycle, lanes and special_per_cycle don't divide one another"
        )
    mappings = [each["name"] for each in array["mappings"]]
    if design.name == "n1":
        wrong += _mappings_that_n1_lacks(mappings)
    if wrong:
        raise HardwareError(f"{chip['name']}: {'; '.join(wrong)}")
    features, packed, sums = (memories[name]["bytes"] for name in design.memories)
    return {
        "ROWS": array["rows"],
        "COLS": array["cols"],
        "PIXELS": array.get("pixels", 1),
        "STILL": mappings.index("os") if "os" in mappings else 3,
        "LANES": vectors["lanes"],
        "SIDES": vectors.get("pixels", 1),
        "TAPS": vectors["mac_per_cycle"] // vectors["lanes"],
        "SPECIALS": int(vectors["special_per_cycle"]),
        "ACROSS": int(vectors.get("transpose_factor", 1)),
        "FEATURE_BYTES": features,
        "PACKED_BYTES": packed,
        "SUM_WORDS": sums // 4,
        "CHANNELS": max(2, dram.get("channels", 1)),
        "BURST": burst,
        "PORT": max(32, int(dram["bytes_per_cycle"])),
    }


def _mappings_that_n1_lacks(mappings: Sequence[str]) -> list[str]:
    wrong = [
        f"engine.mxu has the mapping {name}, expected ws and os"
        for name in mappings
        if name not in ("ws", "os")
    ]
    if mappings[:1] != ["ws"]:
        wrong.append(f"engine.mxu begins with the mapping {mappings[0]}, expected ws")
    return wrong


def inputs(chip: Record) -> dict[str, int]:
    """Timing figures of a chip record as inputs of `chip.sv`."""
    dram, control = chip["memories"]["dram"], chip["control"]
    channels = dram.get("channels", 1)
    burst_cycles = dram.get("burst", 1) * channels / dram["bytes_per_cycle"]
    if burst_cycles != int(burst_cycles):
        raise HardwareError(f"{chip['name']}: a burst takes {burst_cycles} cycles, expected a whole number")
    return {
        "issue_cycles": control["issue_cycles"],
        "queue_depth": control["queue_depth"],
        "latency": dram.get("latency", 0),
        "page_miss": dram.get("page_miss", 0),
        "refresh_every": dram.get("refresh_every", 0),
        "refresh_for": dram.get("refresh_for", 0),
        "outstanding": dram.get("outstanding", 0) or 64,
        "channels": channels,
        "interleave": dram.get("interleave", 256),
        "page": dram.get("page", 0) or 1 << 30,
        "burst_cycles": int(burst_cycles),
        "port_bytes": int(dram["bytes_per_cycle"]),
    }


def executable(chip: Record) -> Path:
    """The simulation of a chip of these sizes, built when there is none of the sources as they are."""
    design, sizes = family(chip), generics(chip)
    derived = fields.package(design.name, design.queues)
    digest = hashlib.sha256(repr((sorted(sizes.items()), derived)).encode())
    for source in (*design.sources, HARNESS):
        digest.update(source.read_bytes())
    folder = BUILDS / f"{design.name}-{sizes['ROWS']}x{sizes['COLS']}-{digest.hexdigest()[:12]}"
    if not (folder / "Vchip").exists():
        _build(folder, sizes, derived, design.sources)
    return folder / "Vchip"


def _build(folder: Path, sizes: Mapping[str, int], derived: str, sources: Sequence[Path]) -> None:
    """In a folder of its own, moved to its place when it is whole: several processes may build at once."""
    BUILDS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILDS) as made:
        first = Path(made, "fields_pkg.sv")
        first.write_text(derived)
        command = [
            *("verilator", "--cc", "--exe", "--build", "-O3", "--unroll-count", "1", "-Wno-fatal", "-Wno-WIDTH"),
            *("--x-assign", "fast", "--x-initial", "fast", "--top-module", "chip", "-Mdir", made),
            *("-CFLAGS", f"-std=c++17 -DBURST={sizes['BURST']}"),
            *("-MAKEFLAGS", "OPT_FAST=-O2 OPT_SLOW=-O0 OPT_GLOBAL=-O1"),
            *(f"-G{name}={value}" for name, value in sizes.items()),
            *map(str, (first, *sources, HARNESS)),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise HardwareError(f"the build failed: {(done.stderr or done.stdout)[-2000:]}")
        folder.mkdir(exist_ok=True)
        shutil.move(f"{made}/Vchip", folder / "Vchip.part")
        (folder / "Vchip.part").rename(folder / "Vchip")


def run(
    chip: Record,
    code: bytes | np.ndarray,
    regions: Sequence[tuple[int, np.ndarray]],
    patience: int = 100_000,
) -> Ran:
    """Run code on a chip with bytes, u8[n], at addresses of DRAM. After `patience` cycles in which no instruction
    starts or ends the verdict is deadlock."""
    program = executable(chip)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "code").write_bytes(bytes(code))
        lines = [f"set {name} {value}" for name, value in inputs(chip).items()]
        lines += [f"code {folder}/code", f"times {folder}/times", f"patience {patience}"]
        for number, (address, data) in enumerate(regions):
            data.tofile(folder / f"in{number}")
            lines.append(f"dram {address} {folder}/in{number}")
            lines.append(f"out {address} {data.nbytes} {folder}/out{number}")
        (folder / "job").write_text("\n".join(lines) + "\n")
        ran = subprocess.run([program, folder / "job"], capture_output=True, text=True)
        if ran.returncode:
            raise HardwareError(f"the simulation failed: {ran.stderr[-2000:]}")
        status, cycles = ran.stdout.split()
        times = np.fromfile(folder / "times", np.int64).reshape(-1, 2)
        left = [np.fromfile(folder / f"out{number}", np.uint8) for number in range(len(regions))]
        started, done = (
            {name: times[times[:, 0] == first + n, 1] for n, name in enumerate(family(chip).queues)}
            for first in (0, 8)
        )
        return Ran(status, int(cycles), started, done, tuple(left))
