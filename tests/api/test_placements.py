"""Small networks of users placed in turn on all devices of a system: what is computed is what the graph means."""

from pathlib import Path

import numpy as np
import pytest

import isthmus
from isthmus.compilation import build_model
from isthmus.compiler.partition.partition import Partition
from isthmus.package import Package

from ..backends.npu.networks import graph_of, samples

SYSTEMS = Path(__file__).resolve().parents[2] / "examples" / "systems"


@pytest.mark.parametrize(
    ("network", "system"),
    [
        ("transformer_block", "cpu+n1-32+f1-b4096"),
        ("branches", "cpu+n1-8"),
    ],
)
def test_values_do_not_depend_on_where_units_run(network, system, monkeypatch):
    model = isthmus.compile(graph_of(network), precision="int8", calibration=samples(network, 2)).graph

    def in_turn(self: Partition) -> list:
        devices = (self.model.choices(unit) for unit in range(len(self.units)))
        return [self.choice("in turn", tuple(each[-unit % len(each)] for unit, each in enumerate(devices)))]

    monkeypatch.setattr(Partition, "_choices", in_turn)
    monkeypatch.setattr("isthmus.compiler.system_build.EXACT", 0)
    package = Package(build_model(model, str(SYSTEMS / f"{system}.toml")).artefact)
    (sample,) = samples(network, 1, seed=9)
    profile = package.profile(sample)
    assert len({event.resource for event in profile.system.events} & set(system.split("+"))) > 1
    assert np.array_equal(profile.outputs["output"], package.graph.evaluate(sample)["output"])
