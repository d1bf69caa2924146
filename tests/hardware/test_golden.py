"""The simulator against cycles and bytes recorded from the RTL; needs no Verilator, but for one test of the records."""

import json

import numpy as np
import pytest

pytest.importorskip("hardware", reason="the tests run outside the repository")

from hardware import simulation
from hardware.samples import SAMPLES

from .record import CHIPS, GOLDEN, LAYERS, PROGRAMS, SEEDS, digest, layer, program, recorded

RECORDS = json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("chip", CHIPS)
def test_cycles_and_bytes_of_programs_are_those_of_the_hardware(chip: str) -> None:
    errors = []
    for seed in SEEDS:
        call, golden = program(chip, seed), RECORDS[chip][str(seed)]
        assert golden["status"] == "halted"
        assert digest(call.after[1]) == golden["digest"]
        errors.append(abs(call.entry.timeline.cycles / golden["cycles"] - 1))
    mean, most = PROGRAMS[chip]
    assert np.mean(errors) < mean
    assert max(errors) < most


@pytest.mark.parametrize("chip", CHIPS)
def test_cycles_of_layers_are_those_of_the_hardware(chip: str) -> None:
    """Of those whose code is still what was recorded."""
    calls = {name: layer(chip, name) for name in SAMPLES}
    known = [name for name, call in calls.items() if digest(call.code) == RECORDS[chip][name]["code"]]
    if not known:
        pytest.skip("layers compile to other code than was recorded: python tests/hardware/record.py")
    for name in known:
        assert abs(calls[name].entry.timeline.cycles / RECORDS[chip][name]["cycles"] - 1) < LAYERS, name


@pytest.mark.skipif(not simulation.available(), reason="Verilator or a C++ compiler is missing")
@pytest.mark.parametrize("seed", [0, 9, 26])
@pytest.mark.parametrize("chip", CHIPS)
def test_records_are_what_the_hardware_does(chip: str, seed: int) -> None:
    assert recorded(program(chip, seed)) == RECORDS[chip][str(seed)]
