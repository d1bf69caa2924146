"""The accelerator kit in one place: what a chip's description, code generation and simulated device are made of.

See `docs/add-a-chip.md`. Nothing is defined here.
"""

from isthmus.compiler.diagnostics import UnsupportedError
from isthmus.compiler.stream.backend import StreamBackend
from isthmus.compiler.stream.copies import Copy
from isthmus.compiler.stream.instructions import Instructions
from isthmus.compiler.stream.limits import Limits
from isthmus.compiler.stream.multiply import Multiply
from isthmus.compiler.stream.programs import Machine, Pending
from isthmus.compiler.stream.vectors import VectorWork
from isthmus.compiler.stream.writer import Gathering, StreamWriter
from isthmus.runtime.sim.access import Access
from isthmus.runtime.sim.copies import prepare_gather, prepare_load, prepare_store
from isthmus.runtime.sim.costs import Costs, collect, multiplication, transfer
from isthmus.runtime.sim.device import Entry, Model, SimulatedDevice
from isthmus.runtime.sim.fields import Instruction, Item, group, operand
from isthmus.runtime.sim.isa import Isa
from isthmus.runtime.sim.products import View
from isthmus.runtime.sim.products import prepare as prepare_product
from isthmus.runtime.sim.programs import Flow, Programs
from isthmus.runtime.sim.vectors import Source, Step, Stream
from isthmus.runtime.sim.vectors import prepare as prepare_program

__all__ = [
    "Access",
    "Copy",
    "Costs",
    "Entry",
    "Flow",
    "Gathering",
    "Instruction",
    "Instructions",
    "Isa",
    "Item",
    "Limits",
    "Machine",
    "Model",
    "Multiply",
    "Pending",
    "Programs",
    "SimulatedDevice",
    "Source",
    "Step",
    "Stream",
    "StreamBackend",
    "StreamWriter",
    "UnsupportedError",
    "VectorWork",
    "View",
    "collect",
    "group",
    "multiplication",
    "operand",
    "prepare_gather",
    "prepare_load",
    "prepare_product",
    "prepare_program",
    "prepare_store",
    "transfer",
]
