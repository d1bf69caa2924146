"""The CPU's chip file with the machine's own figures in it."""

from functools import lru_cache
from importlib.resources import files

from ...compiler.target.chipfile import read_target
from ...compiler.target.description import Target
from ...runtime.records import replace
from .leaves import LEAVES
from .machine import Machine

LEVELS = (1, 2, 3)
"""Of caches, those that the chip file has."""
FULL_BF16 = 3.7
"""Products a lane and cycle of pairs of bf16 where a core multiplies them at its full rate; the chip file has half."""


@lru_cache(maxsize=8)
def describe(machine: Machine) -> Target:
    """The target that the tiler sees for a machine: without engines whose operation it lacks, and with its own caches
    where their sizes are known."""
    text = files(__package__).joinpath("cpu.toml").read_text()
    vectors = {"lanes": machine.lanes, "registers": machine.registers}
    widths = dict.fromkeys(("fma", "vec", "dots", "widened"), vectors)
    pairs = {**vectors, "registers": machine.registers - 1}  # products need a place before they are added
    signs = {**vectors, "registers": machine.registers - 2}  # and ones, to add up pairs
    bf16 = {**vectors, "issue": FULL_BF16} if machine.multiplies_bf16_fully else vectors
    own = {**widths, "pairs_bf16": bf16, "pairs": pairs, "words": pairs, "signs": signs, "signs_u8": signs}
    caches = {f"l{level}": {"bytes": size} for level, size in machine.caches if level in LEVELS}
    target = read_target(text, "cpu.toml", engine=own, memory=caches)
    engines = {n: e for n, e in target.engines.items() if n not in LEAVES or LEAVES[n].serves(machine)}
    if machine.halves:
        engines |= {
            n: replace(engines[n], issue=engines[n].issue / 2, loads=engines[n].loads / 2)
            for n in own.keys() & engines.keys()
        }
    return replace(target, engines=engines)
