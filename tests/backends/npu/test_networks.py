"""Small networks of users on chips: right, free of hazards, and with the properties that any package has."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isthmus import compile, load
from isthmus.package import Package
from isthmus.runtime.profile import ChipRun
from isthmus.testing import properties
from isthmus.testing.comparison import differences
from isthmus.testing.properties import SLACK, broken, codes, cycles, cycles_with_more

from .networks import NETWORKS, graph_of, samples

ON_THE_HOST = {"recurrent": "nn.lstm: no dim is sequential"}
"""Networks a node of which no chip of the family runs, and why."""


def built(name: str, precision: str, chip: str) -> Package:
    """The network's package; its runs are watched."""
    more = {"calibration": samples(name, 4)} if precision == "int8" else {}
    package = compile(graph_of(name), chip, precision=precision, **more)
    assert isinstance(package, Package)
    for code in codes(package):
        code.checked = True
    return package


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("precision", "chip"), [("int8", "n1-8"), ("bf16", "n1-24")])
def test_networks_equal_their_meaning(name: str, precision: str, chip: str) -> None:
    package = built(name, precision, chip)
    assert len(package.manifest.fallbacks) == (name in ON_THE_HOST)
    assert all(ON_THE_HOST[name] in why for why in package.manifest.fallbacks)
    (sample,) = samples(name, 1, seed=9)
    got, graph = package.run(sample), package.graph
    if precision == "int8":
        assert np.array_equal(got["output"], graph.evaluate(sample)["output"])
    else:
        assert not differences(graph.graph, tuple(sample.values()), list(got.values()))
    assert broken(package) == []


@pytest.mark.parametrize(
    ("name", "chip"),
    [
        ("shuffled", "n1-8"),
        ("squeeze_and_excite", "n1-16"),
        ("groups_and_dilations", "n1-32"),
        ("upsampling", "u65-512"),
    ],
)
def test_more_bandwidth_or_capacity_is_not_slower(name: str, chip: str) -> None:
    """Estimates alone break it by up to 9 %. `python -m benchmarks.wider` is the whole check."""
    package = built(name, "int8", chip)
    for what, wider in cycles_with_more(package.graph, chip).items():
        assert wider <= SLACK * cycles(package), what


@pytest.fixture(scope="module")
def mixer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a package that tests may load and damage."""
    path = tmp_path_factory.mktemp("mixer") / "mixer.isth"
    built("mixer", "int8", "n1-8").save(path)
    return path


def _with(**changes: Any) -> Callable[[ChipRun], ChipRun]:
    return lambda run: replace(run, summary={**run.summary, **changes})


def _without_a_span(run: ChipRun) -> ChipRun:
    return replace(run, spans=run.spans[1:])


def _with_a_longer_span(run: ChipRun) -> ChipRun:
    spans = sorted(run.spans, key=lambda span: (span.engine != "vec", span.begin))
    return replace(run, spans=(replace(spans[0], end=spans[0].end + 10_000), *spans[1:]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_with(bound=1e9), "cycles, expected from the bound, 1,000,000,000"),
        (_with(serial=2.0), "to the serial sum, 2"),
        (_with(cycles=7), "the summary says 7 cycles, the clock"),
        (_without_a_span, "idle cycles, expected"),
        (_with_a_longer_span, "spans of vec overlap"),
    ],
)
def test_broken_properties_are_told(mixer: Path, change: Callable[[ChipRun], ChipRun], message: str) -> None:
    package = load(mixer)
    (code,) = codes(package)
    entry = code.entry(0)
    entry.run = change(entry.run)
    assert any(message in problem for problem in broken(package))


def test_instructions_without_source_and_unreadable_listings_are_told(
    mixer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = load(mixer)
    (code,) = codes(package)
    code.entry(0).meta["spans"][0][1] -= 1  # type: ignore[index]
    monkeypatch.setattr(properties, "disassemble", lambda isa, stored: "halt\n")
    found = broken(package)
    assert any("1 instructions without a source node" in problem for problem in found)
    assert any("its listing assembles to other bytes" in problem for problem in found)
