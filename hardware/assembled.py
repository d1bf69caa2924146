"""Instructions without a compiler, on the simulator and on the RTL: what tests and random programs are written with."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from isthmus.backends.npu.device import NpuDevice
from isthmus.backends.npu.isa import N1
from isthmus.runtime.device import Call
from isthmus.runtime.program import DeviceProgram
from isthmus.runtime.sim.fields import Halt, Instruction
from isthmus.targets import find_backend

from .comparison import Recorded, Recorder

CONSTANTS, ARENA = 0x0, 0x100000


def record(name: str) -> dict[str, Any]:
    """The record of a chip that isthmus knows by name."""
    return dict(find_backend(name).target({}).record())


def encoded(records: Sequence[Instruction], steps: Mapping[int, Sequence[int]] | None = None) -> bytes:
    """The bytes of instructions with a halt behind them."""
    return N1.encode([*records, Halt()], steps or {})


def executed(
    records: Sequence[Instruction],
    chip: Mapping[str, Any],
    data: np.ndarray,
    bytes: int = 0x4000,
    steps: Mapping[int, Sequence[int]] | None = None,
) -> Recorded:
    """Instructions, a halt behind them, run by the simulator, with data, u8[n], at CONSTANTS and an arena of zeros at
    ARENA. HazardError for a deadlock."""
    code = encoded(records, steps)
    meta = {
        "chip": chip,
        "dram": {"constants": CONSTANTS, "arena": ARENA, "bytes": bytes},
        "kernels": [{"name": "kernel", "sources": ["node"]}],
        "entries": [{"start": 0, "end": len(code), "externals": [], "spans": []}],
    }
    program = DeviceProgram("npu", "code", "constants", meta)
    loaded = NpuDevice().load(program, np.frombuffer(code, np.uint8), data, "assembled.isth")
    calls: list[Recorded] = []
    Recorder(loaded, calls).run(Call(0, []))
    return calls[0]
