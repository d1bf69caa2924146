"""Instructions run on a simulated chip: a device program around them, DRAM in three parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from isthmus.backends.npu.device import Entry, NpuDevice, SimulatedContext
from isthmus.backends.npu.isa import N1
from isthmus.runtime.device import Call
from isthmus.runtime.program import DeviceProgram
from isthmus.runtime.sim.fields import Halt, Instruction

CONSTANTS, ARENA, EXTERNAL = 0x0, 0x100000, 0x200000


def chip(rows: int = 8, cols: int = 8, **changes: Any) -> dict[str, Any]:
    """A small chip's record, all effects on; `changes` replace fields of its tables, as memories={"dram": {...}}."""
    record: dict[str, Any] = {
        "name": "test",
        "clock_mhz": 1000,
        "memories": {
            "spa": {"bytes": 65536},
            "spw": {"bytes": 65536},
            "acc": {"bytes": 65536},
            "dram": {
                "home": True,
                "bytes_per_cycle": 16,
                "channels": 1,
                "interleave": 256,
                "latency": 40,
                "burst": 64,
                "page": 2048,
                "page_miss": 24,
                "refresh_every": 3120,
                "refresh_for": 280,
                "outstanding": 16,
            },
        },
        "engines": {
            "lda": {},
            "ldw": {},
            "sto": {"does": "store"},
            "mxu": {
                "rows": rows,
                "cols": cols,
                "weight_banks": 2,
                "mappings": [
                    {
                        "name": "ws",
                        "cycles": "n_tiles*k_tiles*max(m,rows)",
                        "load": "rows",
                        "fill": "rows+cols",
                    }
                ],
            },
            "vec": {
                "lanes": rows,
                "mac_per_cycle": rows * 16,
                "special_per_cycle": rows / 4,
                "transpose_factor": 4,
            },
        },
        "control": {"queue_depth": 8, "semaphores": 16, "issue_cycles": 1},
        "energy": {
            "mac_i8": 0.25,
            "mac_bf16": 0.5,
            "vector_op": 0.25,
            "spa_byte": 1.0,
            "spw_byte": 0.75,
            "acc_byte": 0.5,
            "dram_byte": 64.0,
            "static_mw": 100.0,
        },
    }
    for table, entries in changes.items():
        for name, fields in entries.items():
            if isinstance(fields, dict):
                record[table][name] = record[table].get(name, {}) | fields
            else:
                record[table][name] = fields
    return record


@dataclass
class Ran:
    """What a run left behind."""

    arena: np.ndarray
    context: SimulatedContext
    entry: Entry
    call: Call


def run(
    records: Sequence[Instruction],
    constants: np.ndarray | None = None,
    arena: np.ndarray | None = None,
    externals: Sequence[np.ndarray] = (),
    record: dict[str, Any] | None = None,
    exact: bool = False,
) -> Ran:
    """Run instructions, a halt behind them, with bytes at CONSTANTS and ARENA and arrays from EXTERNAL on."""
    code = N1.encode([*records, Halt()])
    data = np.zeros(64, np.uint8) if constants is None else constants.reshape(-1).view(np.uint8)
    places = [[EXTERNAL + 0x10000 * number, array.nbytes] for number, array in enumerate(externals)]
    meta = {
        "chip": record or chip(),
        "dram": {"constants": CONSTANTS, "arena": ARENA, "bytes": 0x40000},
        "kernels": [{"name": "kernel", "sources": ["node"]}],
        "entries": [{"start": 0, "end": len(code), "externals": places, "spans": [[0, len(records) + 1, 0]]}],
    }
    program = DeviceProgram("npu", "code", "constants", meta)
    loaded = NpuDevice(exact).load(program, np.frombuffer(code, np.uint8), data, "test.isth")
    context = loaded.context()
    if arena is not None:
        context.arena[: arena.nbytes] = arena.reshape(-1).view(np.uint8)
    call = Call(0, list(externals), timed=True)
    context.run(call)
    return Ran(context.arena, context, loaded.entry(0), call)


def part(memory: np.ndarray, dtype: Any, shape: tuple[int, ...], offset: int = 0) -> np.ndarray:
    """Dense elements of a memory."""
    return np.ndarray(shape, dtype, memory, offset)
