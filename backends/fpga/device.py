"""The overlay, simulated: what its instructions do stands beside them in `isa.py`."""

from ...runtime.sim.device import Model, SimulatedDevice
from .costs import costs
from .isa import F1, context


def device() -> SimulatedDevice:
    """What the entry point `isthmus.devices` names."""
    return SimulatedDevice("fpga", Model(F1, costs, context))
