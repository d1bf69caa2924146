"""The machine code of a package as text. Decoding is left to binutils' objdump, which knows every instruction."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from ...runtime.errors import DeviceError
from ...runtime.program import DeviceProgram

_MACHINES = {"x86-64": ("i386:x86-64", "objdump"), "aarch64": ("aarch64", "aarch64-linux-gnu-objdump")}
_ADDRESS = re.compile(r"^\s*([0-9a-f]+):\t")


def listing(program: DeviceProgram, code: np.ndarray, location: str) -> str:
    """An image as text, its entry points marked.

    Constants that stand between functions are listed as if they were instructions: an image keeps no symbols but its
    entry points. Raises DeviceError for code of another kind, or without an objdump that reads it.
    """
    architecture, names = _decoder(program, location)
    with tempfile.TemporaryDirectory(prefix="isthmus-") as folder:
        image = Path(folder, "image")
        image.write_bytes(code.data)
        command = [names, "-D", "-b", "binary", "-m", architecture, "-M", "intel", str(image)]
        if architecture == "aarch64":
            command = [part for part in command if part not in ("-M", "intel")]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it says nothing"]
        raise DeviceError(f"objdump failed: {lines[0]}", location=location, hint="is binutils complete?")
    meta = program.meta
    labels = {offset: f"segment_{number}" for number, offset in enumerate(meta["entries"])}
    labels |= {offset: f"pool_{number}" for number, offset in enumerate(meta["pool"])}
    head = f"; {program.name} of {location}: {meta['triple']}, {meta['cpu']}, {code.size} bytes"
    return "\n".join([head, *_labelled(done.stdout, labels)])


def _decoder(program: DeviceProgram, location: str) -> tuple[str, str]:
    """objdump's name of the architecture, and the program that knows it."""
    machine = program.meta.get("machine")
    if machine not in _MACHINES:
        raise DeviceError(f"no listing is known for the code of {program.name}", location=location)
    architecture, cross = _MACHINES[machine]
    tool = shutil.which(cross) or shutil.which("objdump")
    if tool is None:
        raise DeviceError(
            "objdump is not on PATH",
            location=location,
            hint="install binutils, or compile with --emit asm",
        )
    return architecture, tool


def _labelled(listing: str, labels: dict[int, str]) -> list[str]:
    lines = []
    for line in listing.splitlines():
        found = _ADDRESS.match(line)
        if found is None:
            continue
        offset = int(found.group(1), 16)
        if offset in labels:
            lines += ["", f"{labels[offset]}:"]
        lines.append(line)
    return lines
