"""What an overlay takes of its part: LUT, FF, DSP slices, BRAM36 and URAM of each part of the design.

The formulas stand in `design.toml`, what a device has in `parts/`. Memories go to URAM where the part has any, else to
BRAM; a bank is as many blocks wide as its word needs and as many deep as it has words.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from math import ceil, prod
from typing import Any

from ...compiler.diagnostics import CompileError, Problem
from ...compiler.target.description import Memory, Target
from ...runtime.records import dataclass
from ...runtime.sim.formula import formula

KINDS = ("lut", "ff", "dsp", "bram", "uram")
TITLES = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram": "BRAM36", "uram": "URAM"}
BRAM_SHAPES = ((72, 512), (36, 1024), (18, 2048), (9, 4096))
"""Bits a word and words of a block of BRAM."""
URAM_SHAPE = (72, 4096)

Use = Mapping[str, float]
"""How much of each kind."""


@dataclass(frozen=True)
class Part:
    """A device: what it has of each kind, how its DSP slices multiply, its clock and its DRAM's MB/s at most."""

    name: str
    board: str
    has: Use
    packing: int
    rate: int
    clock_mhz: float
    bandwidth: float


@dataclass(frozen=True)
class Estimate:
    """The use of each part of the design, of one core; `cores` of them lie on `part`."""

    part: Part
    cores: int
    uses: Mapping[str, Use]

    @property
    def total(self) -> dict[str, float]:
        """Of all cores."""
        return {kind: self.cores * sum(use.get(kind, 0) for use in self.uses.values()) for kind in KINDS}

    @property
    def exceeded(self) -> tuple[str, ...]:
        """The kinds of which the part has too little."""
        return tuple(kind for kind, count in self.total.items() if count > self.part.has[kind])

    def rows(self) -> dict[str, Use]:
        """The use of each part of the design, of all of it, and what the device has."""
        whole = "all" if self.cores == 1 else f"all, {self.cores} cores"
        uses = {**self.uses, whole: self.total, self.part.name: self.part.has}
        return {name: {TITLES[kind]: use.get(kind, 0) for kind in KINDS} for name, use in uses.items()}

    def table(self) -> str:
        """The rows as text."""
        heads = "".join(f"{TITLES[kind]:>9}" for kind in KINDS)
        lines = [
            f"{name:<13}" + "".join(f"{count:>9,.10g}" for count in use.values())
            for name, use in self.rows().items()
        ]
        return "\n".join([f"{'':<13}{heads}", *lines])


def estimate(target: Target) -> Estimate:
    """The resources of an overlay; CompileError for a part that is not known."""
    part = find_part(target.part, target.name)
    array, misc = target.engine("contract"), target.engine("elementwise")
    numbers = {"pixels": array.pixels, "rows": array.rows, "cols": array.cols, "lanes": misc.lanes}
    numbers |= {"packing": part.packing, "rate": part.rate}
    uses: dict[str, Use] = {
        name: {kind: _blocks_of_half(formula(text)(**numbers)) for kind, text in formulas.items()}
        for name, formulas in design()["logic"].items()
    }
    for name, shape in design()["memory"].items():
        width = int(formula(shape["width"])(**numbers))
        uses[name] = blocks(target.memories[name], width, part.has["uram"] > 0 and not shape.get("shallow"))
    return Estimate(part, target.cores, uses)


def check(target: Target) -> None:
    """CompileError, with the table of resources, for an overlay that its part can't hold, clock or feed."""
    wanted = excess(target)
    if wanted:
        found = estimate(target)
        part = f"{found.part.name} ({found.part.board})"
        message = f"the overlay does not fit {part}: it takes {', '.join(wanted)}"
        hint = "state fewer cores, a smaller array, smaller memories, or another part"
        raise CompileError(message, problems=[Problem(target.name, message, hint, found.table())])


def excess(target: Target) -> list[str]:
    """What an overlay takes more of than its part has, each with both figures."""
    found = estimate(target)
    part = found.part
    wanted = [f"{found.total[kind]:,g} {TITLES[kind]} of {part.has[kind]:,g}" for kind in found.exceeded]
    if target.clock_mhz > part.clock_mhz:
        wanted.append(f"{target.clock_mhz:g} MHz of {part.clock_mhz:g}")
    needed = target.home.bandwidth * target.clock_mhz
    if needed > part.bandwidth:
        wanted.append(f"{needed:,.0f} MB/s of {part.bandwidth:,.0f} to DRAM")
    return wanted


def find_part(name: str, location: str) -> Part:
    """A device by its name; CompileError, with those that there are, for any other."""
    if name not in parts():
        raise CompileError(
            f"the part is {name!r}, expected {' or '.join(parts())}",
            location=f"{location}:target",
            hint="give one of them as `part`",
        )
    return _part(name)


@cache
def _part(name: str) -> Part:
    record = tomllib.loads(files(f"{__package__}.parts").joinpath(f"{name}.toml").read_text())
    has = {kind: record.pop(kind) for kind in KINDS}
    return Part(name, has=has, **record)


@cache
def parts() -> tuple[str, ...]:
    """The names of the devices that are known."""
    names = (each.name for each in files(f"{__package__}.parts").iterdir() if each.name.endswith(".toml"))
    return tuple(sorted(name.removesuffix(".toml") for name in names))


@cache
def design() -> Mapping[str, Any]:
    """The formulas of `design.toml`."""
    return tomllib.loads(files(__package__).joinpath("design.toml").read_text())


def _blocks_of_half(count: float) -> float:
    """Rounded up to halves: a BRAM36 is two BRAM18."""
    return ceil(2 * count) / 2


def blocks(memory: Memory, width: int, uram: bool) -> Use:
    """Blocks of a memory whose banks have words of `width` bits."""
    depth = ceil(memory.bytes * 8 / memory.banks / width)
    if uram:
        return {"uram": memory.banks * prod(map(ceil, (width / URAM_SHAPE[0], depth / URAM_SHAPE[1])))}
    return {
        "bram": memory.banks * min(ceil(width / bits) * ceil(depth / words) for bits, words in BRAM_SHAPES)
    }
