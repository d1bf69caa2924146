"""Figures of time changed on both sides keep the agreement; changed on one side alone they are noticed."""

import copy
from functools import cache
from typing import Any

import pytest

from hardware import programs, simulation
from hardware.assembled import executed, record
from hardware.comparison import compare

needs_verilator = pytest.mark.skipif(
    not simulation.available(), reason="Verilator or a C++ compiler is missing"
)

SEEDS = (1, 4, 6, 9)
CHANGES: dict[str, dict[str, int]] = {
    "latency": {"latency": 110},
    "page": {"page": 256},
    "page_miss": {"page_miss": 90},
    "refresh_for": {"refresh_for": 1400},
    "refresh_every": {"refresh_every": 1560},
    "outstanding": {"outstanding": 2},
    "bytes_per_cycle": {"bytes_per_cycle": 4},
    "channels": {"channels": 2, "bytes_per_cycle": 16, "interleave": 128},
    "issue_cycles": {"issue_cycles": 20},
    "queue_depth": {"queue_depth": 1},
}
KEPT = 0.02
"""Error of the sum over the programs that a change on both sides may leave."""
NOTICED = 0.015
"""And that one on a side alone makes at least, and three times as much as that on both."""


def changed(changes: dict[str, int]) -> dict[str, Any]:
    chip = copy.deepcopy(record("n1-8"))
    for name, value in changes.items():
        table = chip["control"] if name in chip["control"] else chip["memories"]["dram"]
        table[name] = value
    return chip


def sums(model: dict[str, Any], hardware: dict[str, Any]) -> tuple[int, int]:
    """Cycles of all programs on the simulator of one record and on the RTL of another."""
    found = [
        compare(
            executed(programs.random_program(seed, model), model, programs.data(seed), programs.ARENA_BYTES),
            hardware,
        )
        for seed in SEEDS
    ]
    assert all(each.status == "halted" and not each.wrong for each in found)
    return sum(each.model for each in found), sum(each.hardware for each in found)


@cache
def plain() -> tuple[int, int]:
    return sums(record("n1-8"), record("n1-8"))


def test_every_figure_of_time_is_changed() -> None:
    plain = simulation.inputs(record("n1-8"))
    found = {
        name
        for changes in CHANGES.values()
        for name, value in simulation.inputs(changed(changes)).items()
        if value != plain[name]
    }
    assert found == {*plain}


@needs_verilator
@pytest.mark.parametrize("name", CHANGES)
def test_a_figure_changed_on_both_sides_keeps_the_agreement_and_on_one_side_is_noticed(name: str) -> None:
    chip = changed(CHANGES[name])
    model, hardware = sums(chip, chip)
    both = abs(model / hardware - 1)
    assert both < KEPT
    least = max(NOTICED, 3 * both)
    assert abs(plain()[0] / hardware - 1) > least, "the hardware alone"
    assert abs(model / plain()[1] - 1) > least, "the simulator alone"
