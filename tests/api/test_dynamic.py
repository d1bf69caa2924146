"""Models with open dimensions: compiled once for all extents of a batch, and for each of the other shapes."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

import isthmus
from isthmus import batches
from isthmus.batches import Batch
from isthmus.compilation import build_package
from isthmus.compiler.diagnostics import ModelError, UnsupportedError
from isthmus.compiler.ir.graph import Graph, Tensor
from isthmus.compiler.ir.text import parse_graph
from isthmus.dynamic import DynamicPackage
from isthmus.model import Model
from isthmus.runtime.errors import DeviceError, InputError
from isthmus.runtime.package import load


class Counted:
    """Builds packages and remembers for which lengths, and whether for any batch."""

    def __init__(self) -> None:
        self.built: list[tuple[int, bool]] = []

    def __call__(self, model: Model, batch: Batch | None) -> isthmus.Package:
        self.built.append((model.inputs["x"].shape[1], batch is not None))
        return build_package(model, batch, "cpu")


def rows(axis: int) -> Graph:
    """x f32[batch, length, 4] -> softmax along an axis."""
    return parse_graph(
        'graph "rows"(%x: f32[batch, length, 4]) {'
        f"%0 = nn.softmax(%x) {{axis = {axis}}} : f32[batch, length, 4] return %0 as y }}"
    )


X = np.random.default_rng(0).standard_normal((40, 3, 4)).astype("f")


def test_each_length_is_compiled_once_for_all_batches() -> None:
    build = Counted()
    model = Model(rows(axis=1))
    package = DynamicPackage(model, build, most=2)
    for batch, length in ((1, 1), (40, 2), (2, 1), (3, 3), (17, 1), (5, 2)):
        x = X[:batch, :length]
        np.testing.assert_allclose(package.run([x])["y"], model.evaluate([x])["y"], rtol=1e-5)
    assert build.built == [(1, True), (2, True), (3, True), (2, True)], "2 was used longest ago when 3 came"
    assert not package.obstacle


def test_what_looks_like_a_batch_and_is_none_is_compiled_for() -> None:
    build = Counted()
    package = DynamicPackage(Model(rows(axis=0)), build)
    for batch in (1, 40, 1):
        x = X[:batch]
        want = rows(axis=0)
        np.testing.assert_allclose(package.run([x])["y"], Model(want).evaluate([x])["y"], rtol=1e-5)
    assert build.built == [(3, False), (3, False)]
    assert package.obstacle == "nn.softmax: combines the batch"


def test_one_package_serves_every_batch(
    digits: Path, images: np.ndarray, tmp_path: Path, command: Callable[..., Any]
) -> None:
    package = isthmus.compile(digits)
    assert isinstance(package, isthmus.Package)
    assert package.inputs[0].shape == ("batch", 1, 8, 8)
    assert package.outputs[0].shape == ("batch", 10)
    package.save(tmp_path / "digits.isth")
    again = isthmus.load(tmp_path / "digits.isth")
    expected = isthmus.read(digits).evaluate([images[:37]])["scores"]
    for batch in (0, 1, 16, 37):
        for each in (package, again):
            got = each.run([images[:batch]])["scores"]
            np.testing.assert_allclose(got, expected[:batch], rtol=1e-4, atol=1e-5)
    assert package.profile([images[:2]]).outputs["scores"].shape == (2, 10)
    with pytest.raises(InputError, match=r"expected f32\[batch, 1, 8, 8\]"):
        package.run([images[:2, :, :4]])
    assert not command("compile", digits, "-o", tmp_path / "cli.isth").status
    assert (tmp_path / "cli.isth").read_bytes() == (tmp_path / "digits.isth").read_bytes()


def test_a_block_is_as_large_as_its_work_is_small() -> None:
    """Weights that are used once an index are used 16 times a block; much work needs no block."""
    texts = {
        16: "%w = constant @w : f32[4096, 512] %0 = nn.matmul(%x, %w) : f32[N, 512] return %0 as y",
        128: "%0 = math.neg(%x) : f32[N, 4096] return %0 as y",
        1: "%0 = shape.reshape(%x) {shape = (<N>, 64, 64)} : f32[N, 64, 64] "
        "%1 = nn.matmul(%0, %0) : f32[N, 64, 64] %2 = nn.matmul(%1, %1) : f32[N, 64, 64] "
        "%3 = nn.matmul(%2, %2) : f32[N, 64, 64] %4 = nn.matmul(%3, %3) : f32[N, 64, 64] "
        "%5 = nn.matmul(%4, %4) : f32[N, 64, 64] %6 = nn.matmul(%5, %5) : f32[N, 64, 64] "
        "%7 = nn.matmul(%6, %6) : f32[N, 64, 64] return %7 as y",
    }
    tables = {"w": Tensor(np.ones((4096, 512), "f"))}
    for extent, body in texts.items():
        graph = parse_graph(f'graph "g"(%x: f32[N, 4096]) {{ {body} }}', tables)
        assert batches.whole(Model(graph)) == Batch("N", extent)


def test_a_file_with_open_dimensions_compiles_where_it_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = isthmus.compile(rows(axis=1))
    package.save(tmp_path / "rows.isth")
    again = isthmus.load(tmp_path / "rows.isth")
    assert isinstance(again, DynamicPackage)
    assert again.inputs == package.inputs
    for length in (1, 3):
        got, want = (each.run([X[:, :length]])["y"] for each in (again, package))
        np.testing.assert_allclose(got, want, rtol=1e-6)
        assert not again.specialised([X[:, :length]]).manifest.fallbacks
    again.save(tmp_path / "again.isth")
    assert (tmp_path / "again.isth").read_bytes() == (tmp_path / "rows.isth").read_bytes()
    monkeypatch.setitem(sys.modules, "isthmus.open_package", None)
    with pytest.raises(
        DeviceError, match=r"rows.isth: batch, length is open.*install isthmus with its compiler"
    ):
        isthmus.load(tmp_path / "rows.isth")
    with pytest.raises(DeviceError, match=r"no code: batch, length is open.*compile with shapes="):
        load(tmp_path / "rows.isth", {})


def test_the_package_for_some_inputs_has_code(tmp_path: Path) -> None:
    package = isthmus.compile(rows(axis=1))
    assert isinstance(package, DynamicPackage)
    package.specialised([X[:, :2]]).save(tmp_path / "rows.isth")
    assert isthmus.load(tmp_path / "rows.isth").run([X[:5, :2]])["y"].shape == (5, 2, 4)


def model_of(op: str, shapes: dict[str, tuple[int, list[int]]], **attributes: object) -> ModelProto:
    """One node with inputs of a type and shape; its output is `y`."""
    node = helper.make_node(op, list(shapes), ["y"], **attributes)
    inputs = [helper.make_tensor_value_info(name, *what) for name, what in shapes.items() if name]
    graph = helper.make_graph([node], op, inputs, [helper.make_empty_tensor_value_info("y")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def test_values_that_decide_shapes_are_compiled_for(tmp_path: Path) -> None:
    """A resize can't even be read without them; a reshape can, and runs by its meaning where they are open."""
    f32, i64 = TensorProto.FLOAT, TensorProto.INT64
    x = np.arange(12, dtype="f").reshape(3, 4)
    reshape = isthmus.compile(model_of("Reshape", {"x": (f32, [3, 4]), "shape": (i64, [2])}))
    assert isinstance(reshape, DynamicPackage)
    assert reshape.decisive == ("shape",)
    for target in ([4, 3], [2, 6], [-1, 1]):
        inputs = {"x": x, "shape": np.array(target)}
        np.testing.assert_array_equal(reshape.run(inputs)["y"], x.reshape(target))
        assert not reshape.specialised(inputs).manifest.fallbacks
        assert reshape.specialised(inputs) is reshape.specialised(dict(inputs))
    reshape.save(tmp_path / "reshape.isth")
    saved = isthmus.load(tmp_path / "reshape.isth")
    assert saved.run({"x": x, "shape": np.array([6, 2])})["y"].shape == (6, 2)
    resize = isthmus.compile(
        model_of("Resize", {"x": (f32, [1, 1, 2, 2]), "": (f32, [0]), "scales": (f32, [4])}, mode="nearest")
    )
    image = np.arange(4, dtype="f").reshape(1, 1, 2, 2)
    assert resize.run({"x": image, "scales": np.array([1, 1, 2, 3], "f")})["y"].shape == (1, 1, 4, 6)
    with pytest.raises(UnsupportedError, match="'scales' must be known"):
        resize.save(tmp_path / "resize.isth")
    with pytest.raises(UnsupportedError, match="'scales' must be known"):
        _ = resize.graph


def test_a_model_that_needs_an_extent_waits_for_it() -> None:
    package = isthmus.compile(model_of("DFT", {"x": (TensorProto.FLOAT, [1, "n", 1])}))
    assert isinstance(package, DynamicPackage)
    assert package.decisive == ()
    for length in (8, 12):
        x = np.random.default_rng(length).normal(size=(1, length, 1)).astype("f")
        want = np.fft.fft(x, axis=1)
        np.testing.assert_allclose(
            package.run({"x": x})["y"], np.stack([want.real, want.imag], -1)[:, :, 0], atol=1e-5
        )
    with pytest.raises(UnsupportedError, match="'n' must be known"):
        _ = package.graph


def branching(
    inputs: dict[str, Any], condition: list[Any], then: tuple[str, list[int]], other: tuple[str, list[int]]
) -> ModelProto:
    """y = then(x) if the node `condition` says so, else other(x); a branch is an op and its constant operand."""

    def body(op: str, operand: list[int]) -> GraphProto:
        weights = [numpy_helper.from_array(np.array(operand), "k")]
        node = helper.make_node(op, ["x", "k"], ["r"])
        return helper.make_graph([node], op, [], [helper.make_empty_tensor_value_info("r")], weights)

    branches = {"then_branch": body(*then), "else_branch": body(*other)}
    nodes = [*condition, helper.make_node("If", ["c"], ["y"], **branches)]
    weights = [numpy_helper.from_array(np.array([1]), "one")]
    given = [helper.make_tensor_value_info(name, *type) for name, type in inputs.items()]
    out = [helper.make_empty_tensor_value_info("y")]
    graph = helper.make_graph(nodes, "g", given, out, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])


def test_branches_of_different_ranks_wait_for_the_shapes_that_choose() -> None:
    """What scripted modules write for `x.squeeze(1)`."""
    condition = [
        helper.make_node("Shape", ["x"], ["n"], start=1, end=2),
        helper.make_node("Equal", ["n", "one"], ["c"]),
    ]
    inputs = {"x": (TensorProto.FLOAT, ["a", "b"])}
    package = isthmus.compile(branching(inputs, condition, ("Squeeze", [1]), ("Unsqueeze", [0])))
    assert isinstance(package, DynamicPackage)
    assert package.decisive == ()
    assert package.run({"x": np.ones((2, 1), "f")})["y"].shape == (2,)
    assert package.run({"x": np.ones((2, 3), "f")})["y"].shape == (1, 2, 3)


def test_branches_for_different_shapes_wait_for_the_value_that_chooses() -> None:
    """A model of two sampling rates: with one of them the frames of the other have no whole number."""
    condition = [helper.make_node("Equal", ["rate", "one"], ["c"])]
    inputs = {"x": (TensorProto.FLOAT, [6]), "rate": (TensorProto.INT64, [])}
    package = isthmus.compile(branching(inputs, condition, ("Reshape", [2, 3]), ("Reshape", [2, 4])))
    assert isinstance(package, DynamicPackage)
    assert package.decisive == ("rate",)
    x = np.arange(6, dtype="f")
    assert package.run({"x": x, "rate": np.array(1)})["y"].shape == (2, 3)
    with pytest.raises(ModelError, match="reshape"):
        package.run({"x": x, "rate": np.array(2)})


def test_ranks_that_a_model_leaves_open_are_taken_from_the_inputs() -> None:
    element = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    given = helper.make_value_info("xs", helper.make_sequence_type_proto(element))
    node = helper.make_node("ConcatFromSequence", ["xs"], ["y"], axis=0)
    graph = helper.make_graph([node], "g", [given], [helper.make_empty_tensor_value_info("y")])
    package = isthmus.compile(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]))
    assert isinstance(package, DynamicPackage)
    parts = [np.ones((2, 3), "f"), np.zeros((1, 3), "f")]
    assert package.run({"xs": parts})["y"].shape == (3, 3)
    assert package.run({"xs": [np.ones(2, "f")]})["y"].shape == (2,)
    with pytest.raises(InputError, match=r"'xs': is an empty sequence.*give shapes="):
        package.run({"xs": []})
