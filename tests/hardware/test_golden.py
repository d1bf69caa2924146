"""The simulator against cycles and bytes recorded from the RTL; needs no Verilator, but for one test of the records."""

import json

import numpy as np
import pytest

from hardware import programs, simulation
from hardware.assembled import executed, record

from .record import GOLDEN, digest, recorded

RECORDS = {int(seed): each for seed, each in json.loads(GOLDEN.read_text()).items()}


def test_cycles_and_bytes_are_those_of_the_hardware() -> None:
    errors = []
    for seed, golden in RECORDS.items():
        call = executed(
            programs.random_program(seed), record("n1-8"), programs.data(seed), programs.ARENA_BYTES
        )
        assert golden["status"] == "halted"
        assert digest(call.after[1]) == golden["digest"]
        errors.append(abs(call.entry.timeline.cycles / golden["cycles"] - 1))
    assert np.mean(errors) < 0.01
    assert max(errors) < 0.06


@pytest.mark.skipif(not simulation.available(), reason="Verilator or a C++ compiler is missing")
@pytest.mark.parametrize("seed", [0, 9, 26])
def test_records_are_what_the_hardware_does(seed: int) -> None:
    assert recorded(seed) == RECORDS[seed]
