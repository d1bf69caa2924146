"""Integer kernels on overlays of two sizes: equal to the graph's meaning in every byte, and proved free of hazards."""

from collections.abc import Callable

import numpy as np
import pytest

from isthmus import check, compile, read
from isthmus.compiler.ir.graph import Graph, Value, constant, graph_input
from isthmus.compiler.ir.types import TensorType, i8, i64
from isthmus.compiler.ops import get
from isthmus.package import Package
from isthmus.runtime.sim.device import SimulatedCode

CHIPS = ["f1-b4096", "f1-b512-z7020"]
PLAIN = {"strides": (1, 1), "pads": (0,) * 4, "dilations": (1, 1)}


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(-128, 128, shape).astype(np.int8)


def mnemonics(chip: str, build: Callable[..., Value], *shapes: tuple[int, ...]) -> set[str]:
    """The instructions of a function of i8 inputs, after its values were compared and its stream was proved."""
    arrays = [drawn(*shape) for shape in shapes]
    inputs = [graph_input(f"x{n}", TensorType(i8, a.shape)) for n, a in enumerate(arrays)]
    graph = Graph(inputs, [build(*inputs)], ["y"])
    package = compile(graph, chip)
    assert isinstance(package, Package)
    assert not package.manifest.fallbacks
    assert np.array_equal(package.run(arrays)["y"], read(graph).evaluate(arrays)["y"])
    found = set()
    for code in package.loaded.executable.code.values():
        assert isinstance(code, SimulatedCode)
        for number in range(len(code.meta["entries"])):
            entry = code.entry(number)
            entry.check()
            found |= {type(record).mnemonic for record in entry.stream.records}
    return found - {"halt", "loop", "barrier"}


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize(
    ("channels", "outputs", "kernel", "strides", "pads", "dilations"),
    [
        (3, 20, (3, 3), (1, 1), (1, 1, 1, 1), (1, 1)),
        (17, 33, (3, 2), (2, 1), (0, 1, 2, 0), (1, 2)),
        (40, 9, (1, 1), (2, 3), (0,) * 4, (1, 1)),
    ],
)
def test_convolutions(chip, channels, outputs, kernel, strides, pads, dilations) -> None:
    weights = constant(drawn(outputs, channels, *kernel))

    def build(x: Value) -> Value:
        return get("quant.conv")(x, weights, strides=strides, pads=pads, dilations=dilations, fill=-5)

    assert mnemonics(chip, build, (1, channels, 15, 13)) == {
        *("load", "weights", "conv", "elementwise", "save")
    }


@pytest.mark.parametrize("chip", CHIPS)
def test_depthwise_runs_beside_the_array(chip) -> None:
    weights = constant(drawn(24, 1, 3, 3))

    def build(x: Value) -> Value:
        return get("quant.conv")(x, weights, **(PLAIN | {"pads": (1,) * 4}), groups=24, fill=7)

    found = mnemonics(chip, build, (1, 24, 10, 10))
    assert "depthwise" in found
    assert "conv" not in found


@pytest.mark.parametrize("chip", CHIPS)
def test_pooling(chip) -> None:
    def build(x: Value) -> Value:
        return get("nn.max_pool")(x, kernel=(3, 3), **(PLAIN | {"strides": (2, 2), "pads": (1,) * 4}))

    assert mnemonics(chip, build, (1, 19, 9, 9)) == {"load", "pool", "save"}


@pytest.mark.parametrize("chip", CHIPS)
def test_products_of_two_inputs(chip) -> None:
    assert "conv" in mnemonics(chip, get("quant.matmul"), (23, 50), (50, 37))


@pytest.mark.parametrize("chip", CHIPS)
def test_elementwise_programs(chip) -> None:
    def build(x: Value, y: Value) -> Value:
        return get("math.max")(get("math.sub")(x, y), get("math.mul")(x, y))

    assert mnemonics(chip, build, (7, 300), (1, 300)) == {"load", "elementwise", "save"}


def test_rows_of_a_table_are_left_to_the_host_with_the_reason() -> None:
    indices = graph_input("indices", TensorType(i64, (3,)))
    rows = get("shape.gather")(constant(drawn(10, 8)), indices, axis=0)
    (problem,) = check(Graph([indices], [rows], ["rows"]), "f1-b4096").fallbacks
    assert "no rows of a table are looked up" in problem.message
