"""The tiler's choices beside others: which are looked at, what is made of their times, and that they are timed."""

from dataclasses import replace

import numpy as np
import pytest

import isthmus
from benchmarks import layers, tiles
from isthmus.compiler.ir.verify import verify
from isthmus.compiler.ops.engine import get
from isthmus.compiler.tile.choice import Choice
from isthmus.compiler.tile.cost import Estimate
from isthmus.compiler.tile.schedule import Loop, Schedule

MEASURED = tiles.Found("net", "layer", 3, (4.0, 2.0, 5.0), (3.0, 2.0, 2.5), "", (), ())


def choice(step: int, cycles: float) -> Choice:
    return Choice(Schedule((Loop("m", step),), (), ()), Estimate(cycles, {}))


def test_the_nearest_others_are_looked_at_and_some_of_those_that_are_not_much_worse() -> None:
    ranked = [choice(n, 1 + n / 50) for n in range(1, 100)]
    picked = tiles.others([ranked[0], *ranked])
    assert picked[:5] == ranked[:5]
    assert len(picked) == 11
    assert picked == sorted(picked, key=lambda each: each.estimate.cycles)
    assert picked[-1].estimate.cycles == pytest.approx(2 * ranked[0].estimate.cycles)
    assert tiles.others(ranked[:1]) == ranked[:1]


def test_both_passes_give_a_ratio_to_the_best() -> None:
    assert MEASURED.ratios == (2.0, 1.5)
    assert MEASURED.weight == 9.0


def test_a_mean_that_is_too_far_from_the_best_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    best = replace(MEASURED, first=(2.0, 3.0), second=(9.0, 9.0))
    assert tiles.summary("kernels", [best])
    assert not tiles.summary("kernels", [best, MEASURED])
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "2 kernels, by time: 1.143 times the best, measured anew 1.091"


def test_layers_are_the_same_on_every_call_and_of_all_kinds() -> None:
    drawn = layers.draw(len(layers.LAYERS))
    assert [name for name, _ in drawn] == [name for name, _ in layers.draw(len(layers.LAYERS))]
    for _, graph in drawn:
        verify(graph, get)


def test_schedules_of_a_kernel_take_turns_and_each_has_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "SHORT", 0.0)
    _, graph = layers.product(np.random.default_rng(0), 8, 24, 40)
    ((name, kernel, times),) = tiles.kernels(isthmus.Model(graph))
    found = tiles.measured("here", name, kernel, times, 2, np.ones(64, np.float32))
    assert found is not None
    assert len(found.first) == len(found.schedules) == len(found.predicted) > 2
    assert all(0 < seconds < 1 for seconds in (*found.first, *found.second))
