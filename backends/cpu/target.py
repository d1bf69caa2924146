"""The CPU's chip file with the machine's own figures in it."""

from dataclasses import replace
from functools import lru_cache
from importlib.resources import files

from ...compiler.target.chipfile import read_target
from ...compiler.target.description import Target
from .leaves import LEAVES
from .machine import Machine


@lru_cache(maxsize=8)
def describe(machine: Machine) -> Target:
    """The target that the tiler sees for a machine: without engines whose operation it lacks."""
    text = files(__package__).joinpath("cpu.toml").read_text()
    vectors = {"lanes": machine.lanes, "registers": machine.registers}
    widths = dict.fromkeys(("fma", "vec", "dots", "pairs_bf16", "widened"), vectors)
    pairs = {**vectors, "registers": machine.registers - 1}  # products need a place before they are added
    signs = {**vectors, "registers": machine.registers - 2}  # and ones, to add up pairs
    own = {**widths, "pairs": pairs, "words": pairs, "signs": signs, "signs_u8": signs}
    target = read_target(text, "cpu.toml", engine=own)
    engines = {n: e for n, e in target.engines.items() if n not in LEAVES or LEAVES[n].serves(machine)}
    return replace(target, engines=engines)
