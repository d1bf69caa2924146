"""The overlay, simulated: what f1's instructions do to its memories."""

from ...runtime.sim import effects
from ...runtime.sim.copies import load, store
from ...runtime.sim.device import Entry, Model, SimulatedDevice
from ...runtime.sim.memories import Prepared
from ...runtime.sim.products import Multiply, multiply
from ...runtime.sim.stream import Block
from .costs import costs
from .isa import (
    COMBINES,
    F1,
    MICROCODE,
    Conv,
    Depthwise,
    Elementwise,
    Load,
    Pool,
    Save,
    Weights,
    context,
)


def _loads(entry: Entry, block: Block) -> list[Prepared]:
    return effects.moves(
        entry,
        block,
        "near",
        lambda first: load(vars(first), first.memory, bytes([getattr(first, "fill", 0)])),
    )


def _saves(entry: Entry, block: Block) -> list[Prepared]:
    return effects.moves(entry, block, "near", lambda first: store(vars(first), first.memory))


def _convolutions(entry: Entry, block: Block) -> list[Prepared]:
    def product(first: Conv) -> Multiply:
        return multiply("i8", 2, *first.packed(context(entry.chip)).views(), bool(first.accumulate))

    return effects.products(block, product)


def _misc(entry: Entry, block: Block) -> list[Prepared]:
    return effects.sweeps(
        MICROCODE,
        block,
        "streams",
        lambda row, misc: misc.program(),
        lambda misc: (COMBINES[misc.combined()], bool(misc.initialise)),
    )


_COPIES = {Load: _loads, Weights: _loads, Save: _saves}
_EFFECTS = {**_COPIES, Conv: _convolutions, Depthwise: _misc, Pool: _misc, Elementwise: _misc}


def device() -> SimulatedDevice:
    """What the entry point `isthmus.devices` names."""
    return SimulatedDevice("fpga", Model(F1, costs, context, _EFFECTS))
