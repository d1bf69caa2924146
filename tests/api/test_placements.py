"""Small networks of users placed in turn on all devices of a system: what is computed is what the graph means."""

from pathlib import Path

import numpy as np
import pytest

import isthmus
from isthmus.compilation import build_model
from isthmus.compiler.ir import Graph, constant, graph_input
from isthmus.compiler.ops.engine import parse_type
from isthmus.compiler.partition.partition import Partition
from isthmus.model import Model
from isthmus.package import Package
from isthmus.precision import find_precision
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


@pytest.mark.parametrize(("device", "precision", "is_fast"), [("cpu", "f32", True), ("n1-8", "int8", False)])
def test_what_is_rewritten_for_the_cpu_alone_is_so_only_where_that_pays(device, precision, is_fast):
    x = graph_input("x", parse_type("f32[1, 32, 28, 28]"))
    model = Model(Graph([x], [conv(conv(x, 32), 32)], ["y"], "pair"), "pair")
    sample = {"x": np.random.default_rng(4).standard_normal((1, 32, 28, 28)).astype("f")}
    how = find_precision(precision, [sample] if precision == "int8" else None)
    built = build_model(model, "cpu+n1-8", precision=how, options={"pins": {"*": device}})
    assert any(node.op == "nn.split_tiles" for node in built.graph.nodes) == is_fast


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
