"""The CPU's chip file with the machine's own figures in it."""

from functools import lru_cache
from importlib.resources import files

from ...compiler.target.chipfile import read_target
from ...compiler.target.description import Target
from .machine import Machine


@lru_cache(maxsize=8)
def describe(machine: Machine) -> Target:
    """The target that the tiler sees for a machine."""
    text = files(__package__).joinpath("cpu.toml").read_text()
    vectors = {"lanes": machine.lanes, "registers": machine.registers}
    return read_target(text, "cpu.toml", engine={"fma": vectors, "vec": vectors})
