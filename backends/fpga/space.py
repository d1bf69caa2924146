"""Configurations of the overlay that a part may hold: chip files by parallelism, memories, misc engine and cores."""

from collections.abc import Callable, Iterator, Mapping
from itertools import product

from ...compiler.target.chipfile import read_target
from ...runtime.records import dataclass
from .backend import FpgaBackend
from .resources import TITLES, estimate, excess, find_part, parts

BASE = "f1-b4096"
PIXELS = (2, 4, 8)
CHANNELS = (8, 10, 12, 14, 16)
DEPTHS = (1024, 2048, 4096, 8192)
"""Words of a bank of feature maps."""
WEIGHT_DEPTHS = (1024, 2048, 4096)
CORES = (1, 2, 3)

CHIP = """inherits = "{base}"
target = {{ name = "{name}", part = "{part}", cores = {cores}, clock_mhz = {clock:g} }}
memory.psum = {{ bytes = {psum}, banks = {pixels} }}
memory.fm = {{ bytes = {fm}, banks = {pixels} }}
memory.wgt = {{ bytes = {wgt}, banks = {channels} }}
memory.dram.bandwidth = {bandwidth}
memory.dram.channels = {dram_channels}
engine.load.bytes_per_cycle = 32
engine.weights.bytes_per_cycle = 32
engine.save.bytes_per_cycle = 32
engine.conv = {{ pixels = {pixels}, rows = {channels}, cols = {channels} }}
engine.misc = {{ pixels = {half}, lanes = {lanes}, mac_per_cycle = {lanes} }}
"""


@dataclass(frozen=True)
class Point:
    """A configuration: its name, its chip file, what it takes of the part, and what the part lacks, "" if nothing."""

    name: str
    text: str
    use: Mapping[str, float]
    lacks: str


class Space:
    """What `isthmus explore --chip f1` searches."""

    def parts(self) -> tuple[str, ...]:
        """The devices that are known."""
        return parts()

    def points(self, part: str) -> Iterator[Point]:
        """All configurations for a device, those that do not fit it too; CompileError for one that is not known."""
        backend = FpgaBackend()
        device = find_part(part, "explore")
        for pixels, channels, deep, deeper, cores in product(PIXELS, CHANNELS, DEPTHS, WEIGHT_DEPTHS, CORES):
            name = f"{cores}x{pixels}x{channels}x{channels}-fm{deep}-wgt{deeper}"
            most = min(32 * cores, device.bandwidth / device.clock_mhz)
            bandwidth = next(each for each in (64, 32, 16, 8, 4, 2, 1) if each <= most)
            text = CHIP.format(
                base=BASE,
                name=name,
                part=part,
                cores=cores,
                clock=device.clock_mhz,
                pixels=pixels,
                channels=channels,
                psum=pixels * channels * 4 * 128,
                fm=pixels * channels * deep,
                wgt=channels * channels * deeper,
                bandwidth=bandwidth,
                dram_channels=max(1, bandwidth // 16),
                half=pixels // 2,
                lanes=pixels // 2 * channels,
            )
            target = read_target(text, name, backend.chip_text)
            yield Point(name, text, estimate(target).total, "; ".join(excess(target)))

    def measures(self) -> Mapping[str, Callable[[Mapping[str, float]], float]]:
        """What a point should take little of, by the title of a plot's axis: figures of its `use`."""
        return {
            TITLES["dsp"]: lambda use: use["dsp"],
            "BRAM36, a URAM counted as 8": lambda use: use["bram"] + 8 * use["uram"],
        }


space = Space()
