"""Records what programs and layers cost on the RTL, for where it can't be built: `python tests/hardware/record.py`."""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).with_name("golden.json")
CHIPS = ("n1-8", "f1-b512")
SEEDS = range(40)
PROGRAMS = {"n1-8": (0.006, 0.07), "f1-b512": (0.004, 0.07)}
"""Errors of the simulator on random programs, on the average and at most. They are short: a refresh that comes just
before the end on one side only is up to 8 % of one."""
LAYERS = 0.006
"""Error of the simulator on a sample layer at most."""


def digest(data: Any) -> str:
    """Of what a program leaves in DRAM, or of its code."""
    return hashlib.sha256(data.tobytes()).hexdigest()[:16]


def recorded(call: Any) -> dict[str, Any]:
    """Cycles of a call on the RTL, and the digest of its results."""
    from hardware import simulation

    regions = [(start, data) for (start, _), data in zip(call.entry.regions, call.before)]
    ran = simulation.run(call.entry.chip, call.code, regions)
    return {"status": ran.status, "cycles": ran.cycles, "digest": digest(ran.regions[1])}


def program(chip: str, seed: int) -> Any:
    """The call of a random program."""
    from hardware import programs
    from hardware.assembled import executed, record

    made = programs.random_program(seed, record(chip))
    return executed(made, record(chip), programs.data(seed), programs.ARENA_BYTES)


def layer(chip: str, name: str) -> Any:
    """The call of a sample layer."""
    import isthmus
    from hardware import comparison, layers, samples

    graph = samples.graph(name)
    (call,) = comparison.record(isthmus.compile(graph, chip), layers.arrays(graph))
    return call


def _all(chip: str) -> Iterator[tuple[str, dict[str, Any]]]:
    from hardware.samples import SAMPLES

    for seed in SEEDS:
        yield str(seed), recorded(program(chip, seed))
    for name in SAMPLES:
        call = layer(chip, name)
        yield name, recorded(call) | {"code": digest(call.code)}


if __name__ == "__main__":
    sys.path.append(str(ROOT))
    found = {chip: dict(_all(chip)) for chip in CHIPS}
    parts = [
        f'  "{chip}": {{\n' + ",\n".join(f'    "{k}": {json.dumps(v)}' for k, v in each.items()) + "\n  }"
        for chip, each in found.items()
    ]
    GOLDEN.write_text("{\n" + ",\n".join(parts) + "\n}\n")
