"""The driver and the registry on a made-up framework: what a new frontend has to bring, and what it gets."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from isthmus.compiler.diagnostics import ModelError, UnsupportedError
from isthmus.compiler.ir.dims import fresh, symbol
from isthmus.compiler.ir.types import f32
from isthmus.compiler.ops.interpret import evaluate
from isthmus.frontends import registry
from isthmus.frontends.build import control, math, shape
from isthmus.frontends.source import SourceGraph, SourceInput, SourceModel, SourceNode


def plus(x, y, *, scale=1.0):
    return math.add(x, math.mul(y, scale))


def halves(x):
    return math.mul(x, 0.5), math.mul(x, 0.5)


def choose(condition, *, then, otherwise, call):
    captures = call.captures(then, otherwise)
    regions = [call.region(graph, (), captures) for graph in (then, otherwise)]
    return control.if_(condition, *captures.values(), regions=regions)


def picky(x):
    raise UnsupportedError("it is Tuesday", hint="try again tomorrow")


CONVERTERS = {"plus": plus, "halves": halves, "choose": choose, "picky": picky, "neg": lambda x: math.neg(x)}


class Toy:
    """A whole frontend: text files that begin with "toy", whose graph the test hands in."""

    name, description, packages = "toy", "toy models, .toy files", ("toymaker",)

    def __init__(self, graph):
        self.graph = graph
        self.converters = self

    def probe(self, path: Path, head: bytes) -> bool:
        return head.startswith(b"toy")

    def read(self, source):
        return SourceModel("m.toy", self.graph, len(self.graph.nodes), lambda: [b"toy"])

    def find(self, node):
        if node.op == "twice":
            return None
        if node.op not in CONVERTERS:
            raise UnsupportedError("no such toy", hint="use another")
        return CONVERTERS[node.op]

    def expand(self, node, operands):
        body = (SourceNode("plus", node.name, ("a", "a"), ("b",)),)
        return SourceGraph("twice", (SourceInput("a"),), ("b",), body)


def node(op, inputs, outputs, name="", **attributes):
    return SourceNode(op, name or op, tuple(inputs.split()), tuple(outputs.split()), attributes, version=3)


def graph(*nodes, outputs="y", inputs=("x",), constants=None):
    entries = tuple(SourceInput(name, f32, (symbol("N"), 2)) for name in inputs)
    return SourceGraph("g", entries, tuple(outputs.split()), nodes, constants or {})


def read(source_graph, tmp_path, **options):
    path = tmp_path / "m.toy"
    path.write_text("toy")
    return registry.read(path, [Toy(source_graph)], **options)


X = np.arange(6, dtype=np.float32).reshape(3, 2)


def test_nodes_become_ops_with_locations(tmp_path):
    built = read(
        graph(
            node("plus", "x w", "a", "sum", scale=2),
            node("neg", "a", "y"),
            constants={"w": lambda: np.ones(2, np.float32)},
        ),
        tmp_path,
    )
    assert evaluate(built, {"x": X})["y"].tolist() == (-(X + 2)).tolist()
    assert [str(n.location) for n in built.nodes if n.op == "math.add"] == ["m.toy:sum"]
    assert str(next(n.location for n in built.nodes if n.op == "constant")) == "m.toy:w"


def test_several_results_and_dead_outputs(tmp_path):
    built = read(graph(node("halves", "x", "a b"), node("plus", "a b", "y")), tmp_path)
    assert evaluate(built, {"x": X})["y"].tolist() == X.tolist()


def test_ops_that_are_defined_by_others_are_expanded_at_their_own_place(tmp_path):
    built = read(graph(node("twice", "x", "y", "here")), tmp_path)
    assert evaluate(built, {"x": X})["y"].tolist() == (2 * X).tolist()
    assert {str(n.location) for n in built.nodes if n.op.startswith("math")} == {"m.toy:here"}


def test_bodies_take_what_they_use_as_operands(tmp_path):
    then = graph(node("plus", "x w", "t"), outputs="t", inputs=())
    otherwise = graph(node("neg", "x", "e"), outputs="e", inputs=())
    source = graph(
        node("choose", "flag", "y", then=then, otherwise=otherwise),
        constants={"w": lambda: np.ones(2, np.float32), "flag": lambda: np.array(True)},
    )
    built = read(source, tmp_path)
    (branch,) = (n for n in built.nodes if n.op == "control.if")
    assert len(branch.operands) == 2, "the condition and x; the constant is repeated inside"
    assert [region.input_names for region in branch.regions] == [("x",), ("x",)]
    assert evaluate(built, {"x": X})["y"].tolist() == (X + 1).tolist()


def test_every_unsupported_node_is_told_at_once(tmp_path):
    source = graph(
        node("frobnicate", "x", "a", "first"),
        node("frobnicate", "a", "b", "second"),
        node("picky", "x", "c"),
        node("wobble", "b", "d"),
        node("plus", "d c", "y"),
    )
    with pytest.raises(UnsupportedError) as raised:
        read(source, tmp_path)
    assert str(raised.value).split("\n") == [
        "m.toy:first: frobnicate (opset 3) is not supported: no such toy (2 nodes); use another",
        "m.toy:picky: picky (opset 3) is not supported: it is Tuesday; try again tomorrow",
        "m.toy:wobble: wobble (opset 3) is not supported: no such toy; use another",
    ]


def test_defects_of_independent_nodes_are_told_at_once(tmp_path):
    three = {"w": lambda: np.ones(3, np.float32)}
    source = graph(
        node("plus", "x w", "a", "one"),
        node("plus", "w x", "b", "two"),
        node("neg", "a", "y"),
        node("plus", "x", "z", "three", speed=1),
        outputs="y z",
        constants=three,
    )
    with pytest.raises(ModelError) as raised:
        read(source, tmp_path)
    assert [problem.location for problem in raised.value.problems] == [
        "m.toy:one",
        "m.toy:two",
        "m.toy:three",
    ]


def test_a_converter_that_python_stops_is_a_defect_of_the_node(tmp_path, monkeypatch):
    monkeypatch.setitem(CONVERTERS, "neg", lambda x: x.shape[7])
    with pytest.raises(ModelError, match=r"m.toy:neg: neg does not fit its operands \(f32\[N, 2\]\)"):
        read(graph(node("neg", "x", "y")), tmp_path)


def test_unknown_dimensions_are_numbered_in_graph_order(tmp_path, monkeypatch):
    monkeypatch.setitem(CONVERTERS, "neg", lambda x: shape.reshape(x, shape=(fresh(), fresh())))
    texts = []
    for _ in range(2):
        built = read(graph(node("neg", "x", "a"), node("neg", "a", "y")), tmp_path)
        texts.append([str(n.types[0]) for n in built.nodes])
    assert texts[0] == texts[1] == ["f32[N, 2]", "f32[u0, u1]", "f32[u2, u3]"]


def test_a_name_that_is_taken_is_not_given_again(tmp_path, monkeypatch):
    monkeypatch.setitem(CONVERTERS, "neg", lambda x: shape.reshape(x, shape=(fresh(),)))
    built = read(graph(node("neg", "x", "y")), tmp_path, shapes={"x": ("u0", 2)})
    assert [str(n.types[0]) for n in built.nodes] == ["f32[u0, 2]", "f32[u1]"]


def test_inputs_can_be_fixed(tmp_path):
    built = read(graph(node("plus", "x w", "y"), inputs=("x", "w")), tmp_path, constants={"w": X})
    assert built.input_names == ("x",)
    assert built.inputs[0].shape == (3, 2)
    assert evaluate(built, {"x": X})["y"].tolist() == (X + X).tolist()


def test_the_frontend_is_chosen_by_content_or_by_package(tmp_path):
    toy = Toy(graph(node("neg", "x", "y")))
    (tmp_path / "unnamed").write_text("toy story")
    assert registry.choose(tmp_path / "unnamed", [toy]) is toy
    (tmp_path / "other").write_text("no story")
    with pytest.raises(
        ModelError, match=r"other: not a model in any known format; known formats are toy: toy models"
    ):
        registry.choose(tmp_path / "other", [toy])
    block = type("Block", (), {"__module__": "toymaker.blocks"})()
    assert registry.choose(block, [toy]) is toy
    with pytest.raises(ModelError, match=r"objects of type builtins.dict are not models; .* toy: toy models"):
        registry.choose({}, [toy])


def test_digest_is_of_the_content():
    assert Toy(graph()).read(None).digest() == hashlib.sha256(b"toy").hexdigest()
