"""Chips in RTL under Verilator: built from a chip record, run on the instruction bytes and the DRAM of a package.

The design is `hardware/n1/`, the harness `hardware/harness.cpp`. Sizes of a record become generics, so that each gets a
build of its own, kept under `build/hardware/`; timing figures are inputs, which a run sets.
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

ROOT = Path(__file__).resolve().parents[1]
DESIGN = ROOT / "hardware" / "n1"
HARNESS = ROOT / "hardware" / "harness.cpp"
BUILDS = ROOT / "build" / "hardware"
SOURCES = (
    *("n1_pkg", "alu_pkg", "fetch", "queue", "dram", "dma_load", "dma_store"),
    *("array", "mxu", "scratchpads", "vec", "n1"),
)
BURST = 64
"""Bytes of a burst that the design is written for."""

QUEUES = ("lda", "ldw", "mxu", "vec", "sto")
"""The queues in the order of their numbers in the design."""

Record = Mapping[str, Any]


class HardwareError(Exception):
    """A chip that the design is not, or a build or a run that failed."""


@dataclass(frozen=True)
class Ran:
    """What a run left: `status` is halted, deadlock or fault; `done` for each queue the cycles in which its
    instructions were complete, in order; `regions` the bytes of DRAM that were given, as they were at the end."""

    status: str
    cycles: int
    done: Mapping[str, np.ndarray]
    regions: tuple[np.ndarray, ...]


def available() -> bool:
    """Whether Verilator and a C++ compiler are installed."""
    return all(shutil.which(tool) for tool in ("verilator", "g++", "make"))


def generics(chip: Record) -> dict[str, int]:
    """Sizes of a chip record as generics of `n1.sv`; HardwareError for what the design does not have."""
    mxu, vec, memories = chip["engines"]["mxu"], chip["engines"]["vec"], chip["memories"]
    dram = memories["dram"]
    wrong = []
    if dram.get("burst", BURST) != BURST:
        wrong.append(f"memory.dram.burst is {dram['burst']}, expected {BURST}")
    if mxu.get("weight_banks", 1) != 2:
        wrong.append(f"engine.mxu.weight_banks is {mxu.get('weight_banks', 1)}, expected 2")
    if vec["mac_per_cycle"] % vec["lanes"] or vec["lanes"] % vec["special_per_cycle"]:
        wrong.append("engine.vec: mac_per_cycle, lanes and special_per_cycle don't divide one another")
    mappings = [each["name"] for each in mxu["mappings"]]
    wrong += [
        f"engine.mxu has the mapping {name}, expected ws and os"
        for name in mappings
        if name not in ("ws", "os")
    ]
    if mappings[:1] != ["ws"]:
        wrong.append(f"engine.mxu begins with the mapping {mappings[0]}, expected ws")
    if wrong:
        raise HardwareError(f"{chip['name']}: {'; '.join(wrong)}")
    return {
        "ROWS": mxu["rows"],
        "COLS": mxu["cols"],
        "STILL": mappings.index("os") if "os" in mappings else 3,
        "LANES": vec["lanes"],
        "TAPS": vec["mac_per_cycle"] // vec["lanes"],
        "SPECIALS": int(vec["special_per_cycle"]),
        "ACROSS": int(vec.get("transpose_factor", 1)),
        "SPA_BYTES": memories["spa"]["bytes"],
        "SPW_BYTES": memories["spw"]["bytes"],
        "ACC_LANES": memories["acc"]["bytes"] // 4,
        "CHANNELS": max(2, dram.get("channels", 1)),
        "PORT": max(32, int(dram["bytes_per_cycle"])),
    }


def inputs(chip: Record) -> dict[str, int]:
    """Timing figures of a chip record as inputs of `n1.sv`."""
    dram, control = chip["memories"]["dram"], chip["control"]
    channels = dram.get("channels", 1)
    burst_cycles = BURST * channels / dram["bytes_per_cycle"]
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
    sizes = generics(chip)
    sources = [DESIGN / f"{name}.sv" for name in SOURCES]
    digest = hashlib.sha256(repr(sorted(sizes.items())).encode())
    for source in (*sources, HARNESS):
        digest.update(source.read_bytes())
    folder = BUILDS / f"n1-{sizes['ROWS']}x{sizes['COLS']}-{digest.hexdigest()[:12]}"
    if not (folder / "Vn1").exists():
        _build(folder, sizes, sources)
    return folder / "Vn1"


def _build(folder: Path, sizes: Mapping[str, int], sources: Sequence[Path]) -> None:
    """In a folder of its own, moved to its place when it is whole: several processes may build at once."""
    BUILDS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILDS) as made:
        command = [
            *(
                "verilator",
                "--cc",
                "--exe",
                "--build",
                "-O3",
                "--unroll-count",
                "1",
                "-Wno-fatal",
                "-Wno-WIDTH",
            ),
            *("--x-assign", "fast", "--x-initial", "fast", "--top-module", "n1", "-Mdir", made),
            *("-CFLAGS", "-std=c++17", "-MAKEFLAGS", "OPT_FAST=-O2 OPT_SLOW=-O0 OPT_GLOBAL=-O1"),
            *(f"-G{name}={value}" for name, value in sizes.items()),
            *map(str, (*sources, HARNESS)),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise HardwareError(f"the build failed: {(done.stderr or done.stdout)[-2000:]}")
        folder.mkdir(exist_ok=True)
        shutil.move(f"{made}/Vn1", folder / "Vn1.part")
        (folder / "Vn1.part").rename(folder / "Vn1")


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
        done = subprocess.run([program, folder / "job"], capture_output=True, text=True)
        if done.returncode:
            raise HardwareError(f"the simulation failed: {done.stderr[-2000:]}")
        status, cycles = done.stdout.split()
        times = np.fromfile(folder / "times", np.int64).reshape(-1, 2)
        left = [np.fromfile(folder / f"out{number}", np.uint8) for number in range(len(regions))]
        queues = {name: times[times[:, 0] == number, 1] for number, name in enumerate(QUEUES)}
        return Ran(status, int(cycles), queues, tuple(left))
