"""Small networks of users placed in turn on all devices of a system: what is computed is what the graph means."""

from pathlib import Path

import numpy as np
import pytest

import isthmus
from isthmus.compilation import build_model
from isthmus.compiler.ir import Graph, constant, graph_input
from isthmus.compiler.ops.engine import parse_type
from isthmus.compiler.partition.partition import Partition
from isthmus.compiler.system_build import SystemBuilt
from isthmus.model import Model
from isthmus.package import Package
from isthmus.precision import find_precision
from isthmus.system_explanation import explain_system
from isthmus.testing.parts import device_by_device

from ..backends.npu.networks import add, conv, dense, graph_of, op, samples, weights

SYSTEMS = Path(__file__).resolve().parents[2] / "examples" / "systems"


def in_turn(self: Partition) -> list:
    """Each unit on another device than the one before it, where it can be."""
    devices = (self.model.choices(unit) for unit in range(len(self.units)))
    return [self.choice("in turn", tuple(each[-unit % len(each)] for unit, each in enumerate(devices)))]


@pytest.fixture
def placed_in_turn(monkeypatch):
    monkeypatch.setattr(Partition, "_choices", in_turn)
    monkeypatch.setattr("isthmus.compiler.system_build.EXACT", 0)


@pytest.mark.parametrize(
    ("network", "system"),
    [
        ("transformer_block", "cpu+n1-32+f1-b4096"),
        ("branches", "cpu+n1-8"),
    ],
)
def test_values_do_not_depend_on_where_units_run(network, system, placed_in_turn):
    model = isthmus.compile(graph_of(network), precision="int8", calibration=samples(network, 2)).graph
    package = Package(build_model(model, str(SYSTEMS / f"{system}.toml")).artefact)
    (sample,) = samples(network, 1, seed=9)
    profile = package.profile(sample)
    assert len({event.resource for event in profile.system.events} & set(system.split("+"))) > 1
    assert np.array_equal(profile.outputs["output"], package.graph.evaluate(sample)["output"])


def test_each_device_rewrites_its_own_part(monkeypatch):
    """Fast convolutions of integers are for the CPU's part alone, and exact."""
    monkeypatch.setattr("isthmus.backends.cpu.winograd_integers.pays", lambda target: True)
    x = graph_input("x", parse_type("f32[1, 32, 28, 28]"))
    model = Model(Graph([x], [conv(conv(conv(x, 48), 40), 32)], ["y"], "three"), "three")
    sample = {"x": np.random.default_rng(4).standard_normal((1, 32, 28, 28)).astype("f")}
    pins = {"*": "cpu", "conv_1x48*": "n1-8"}
    built = build_model(model, "cpu+n1-8", precision=find_precision("int8", [sample]), options={"pins": pins})
    assert isinstance(built, SystemBuilt)
    split = {
        part.device.name: sum(node.op == "nn.split_tiles" for node in part.graph.nodes)
        for part in built.chosen.layout.parts
    }
    assert split == {"cpu": 4, "n1-8": 0}
    package = Package(built.artefact)
    assert np.array_equal(package.run(sample)["y"], package.graph.evaluate(sample)["y"])
    told = explain_system(built, "", "").placements
    assert all(each.device in each.seconds for each in told)


@pytest.mark.parametrize("system", ["cpu+n1-8", "n1-8+cpu"])
def test_outputs_may_be_inputs_constants_and_what_others_read(system, placed_in_turn):
    """Two inputs, one of integers; what an output is read from again; one output twice; one unit that no chip runs."""
    x, ids = graph_input("x", parse_type("f32[1, 6, 16]")), graph_input("ids", parse_type("i64[1, 6]"))
    y = add(x, op("shape.gather", weights(9, 16), ids, axis=0))
    z = dense(op("reduce.cumsum", y, axis=1), 16)
    outputs = [x, y, z, op("math.tanh", z), y, constant(np.arange(3, dtype=np.float32))]
    graph = Graph([x, ids], outputs, ["x", "y", "z", "t", "again", "three"], "all")
    rng = np.random.default_rng(3)
    sample = {"x": rng.standard_normal((1, 6, 16)).astype("f"), "ids": rng.integers(0, 9, (1, 6))}
    built = build_model(Model(graph, "all"), system)
    got = Package(built.artefact).run(sample)
    for name, wanted in Model(graph, "all").evaluate(sample).items():
        assert np.allclose(got[name], wanted, rtol=1e-5, atol=1e-6), name
    passed = list(device_by_device(built, sample))
    assert {each.device for each in passed} == {"cpu", "n1-8"}
    assert all(np.allclose(each.got, each.meant, rtol=1e-5, atol=1e-6) for each in passed)
