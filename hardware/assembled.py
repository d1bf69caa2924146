"""Instructions without a compiler, on the simulator and on the RTL: what tests and random programs are written with."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from isthmus.backends.fpga.device import device as fpga
from isthmus.backends.fpga.isa import F1
from isthmus.backends.npu.device import NpuDevice
from isthmus.backends.npu.isa import N1
from isthmus.runtime.device import Call
from isthmus.runtime.program import DeviceProgram
from isthmus.runtime.sim.fields import Halt, Instruction
from isthmus.targets import find_backend

from .comparison import Recorded, Recorder
from .simulation import family

CONSTANTS, ARENA = 0x0, 0x100000
KINDS = {"n1": ("npu", N1, NpuDevice), "f1": ("fpga", F1, fpga)}
"""By family the device's name, the instruction set and the device."""


def record(name: str) -> dict[str, Any]:
    """The record of a chip that isthmus knows by name."""
    return dict(find_backend(name).target({}).record())


def encoded(
    records: Sequence[Instruction],
    chip: Mapping[str, Any],
    steps: Mapping[int, Sequence[int]] | None = None,
) -> bytes:
    """The bytes of instructions with a halt behind them."""
    return KINDS[family(chip).name][1].encode([*records, Halt()], steps or {})


def executed(
    records: Sequence[Instruction],
    chip: Mapping[str, Any],
    data: np.ndarray,
    bytes: int = 0x4000,
    steps: Mapping[int, Sequence[int]] | None = None,
) -> Recorded:
    """Instructions, a halt behind them, run by the simulator, with data, u8[n], at CONSTANTS and an arena of zeros at
    ARENA. HazardError for a deadlock."""
    code = encoded(records, chip, steps)
    kind, _, device = KINDS[family(chip).name]
    meta = {
        "chip": chip,
        "dram": {"constants": CONSTANTS, "arena": ARENA, "bytes": bytes},
        "kernels": [{"name": "kernel", "sources": ["node"]}],
        "entries": [{"start": 0, "end": len(code), "externals": [], "spans": []}],
    }
    program = DeviceProgram(kind, "code", "constants", meta)
    loaded = device().load(program, np.frombuffer(code, np.uint8), data, "assembled.isth")
    calls: list[Recorded] = []
    Recorder(loaded, calls).run(Call(0, []))
    return calls[0]
