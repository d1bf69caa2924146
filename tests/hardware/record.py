"""Records what random programs cost on the RTL, for machines without Verilator: `python tests/hardware/record.py`."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).with_name("golden.json")
SEEDS = range(40)


def digest(data: Any) -> str:
    """Of what a program leaves in DRAM."""
    return hashlib.sha256(data.tobytes()).hexdigest()[:16]


def recorded(seed: int) -> dict[str, Any]:
    """Cycles of a program on n1-8 in RTL, and the digest of its results."""
    from hardware import programs, simulation
    from hardware.assembled import executed, record

    call = executed(programs.random_program(seed), record("n1-8"), programs.data(seed), programs.ARENA_BYTES)
    regions = [(start, data) for (start, _), data in zip(call.entry.regions, call.before)]
    ran = simulation.run(record("n1-8"), call.code, regions)
    return {"status": ran.status, "cycles": ran.cycles, "digest": digest(ran.regions[1])}


if __name__ == "__main__":
    sys.path.append(str(ROOT))
    lines = [f'  "{seed}": {json.dumps(recorded(seed))}' for seed in SEEDS]
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")
