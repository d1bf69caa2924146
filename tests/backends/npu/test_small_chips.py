"""Products and convolutions on chips so small that tiny kernels are cut in every dim: equal bit by bit, and proved."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from isthmus import compile, read
from isthmus.compiler.ir.graph import Graph, Value, constant, graph_input
from isthmus.compiler.ir.types import TensorType, dtype_of
from isthmus.compiler.ops import get
from isthmus.compiler.stream import entries
from isthmus.package import Package
from isthmus.runtime.sim.device import SimulatedCode

CHIP = """
inherits = "n1-8"
target = {{ name = "small" }}
memory.spa.bytes = {spa}
memory.spw.bytes = {spw}
memory.acc.bytes = {acc}
engine.mxu = {{ rows = {rows}, cols = {cols} }}
"""
SIZES = [
    {"spa": 2048, "spw": 1024, "acc": 1024, "rows": 3, "cols": 5},
    {"spa": 3072, "spw": 2048, "acc": 512, "rows": 8, "cols": 2},
    {"spa": 1536, "spw": 4096, "acc": 2048, "rows": 2, "cols": 8},
]


@pytest.fixture(params=SIZES, ids=lambda sizes: f"{sizes['rows']}x{sizes['cols']}")
def chip(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    path = tmp_path / "small.toml"
    path.write_text(CHIP.format(**request.param))
    return str(path)


def drawn(*shape: int, dtype: type = np.int8) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(-128, 128, shape).astype(dtype)


def ran(chip: str, build: Callable[..., Value], *shapes: tuple[int, ...]) -> Package:
    """The package of a function of i8 inputs, after its values were compared and its stream was proved."""
    arrays = [drawn(*shape) for shape in shapes]
    inputs = [graph_input(f"x{n}", TensorType(dtype_of(a.dtype), a.shape)) for n, a in enumerate(arrays)]
    graph = Graph(inputs, [build(*inputs)], ["y"])
    package = compile(graph, chip)
    assert isinstance(package, Package)
    assert not package.manifest.fallbacks
    want = read(graph).evaluate(arrays)["y"]
    assert np.array_equal(package.run(arrays)["y"], want)
    for code in package.loaded.executable.code.values():
        assert isinstance(code, SimulatedCode)
        for number in range(len(code.meta["entries"])):
            code.entry(number).check()
    return package


def products(package: Package) -> int:
    """Products that the array is asked for."""
    (code,) = package.loaded.executable.code.values()
    assert isinstance(code, SimulatedCode)
    return sum(type(record).mnemonic == "mxu" for record in code.entry(0).stream.records)


@pytest.mark.parametrize(
    ("channels", "outputs", "kernel", "strides", "pads", "dilations"),
    [
        (3, 7, (3, 3), (1, 1), (1, 1, 1, 1), (1, 1)),
        (5, 9, (3, 2), (2, 1), (0, 1, 2, 0), (1, 2)),
        (11, 4, (1, 1), (2, 3), (0,) * 4, (1, 1)),
        (1, 6, (5, 5), (1, 1), (2, 2, 2, 2), (1, 1)),
        (17, 13, (3, 3), (1, 2), (2, 0, 1, 3), (2, 1)),
        (64, 3, (3, 1), (1, 1), (1, 0, 1, 0), (1, 1)),
    ],
)
def test_convolutions(chip, channels, outputs, kernel, strides, pads, dilations) -> None:
    weights = constant(drawn(outputs, channels, *kernel))

    def build(x: Value) -> Value:
        return get("quant.conv")(x, weights, strides=strides, pads=pads, dilations=dilations, fill=-5)

    assert products(ran(chip, build, (1, channels, 11, 9))) > 1


@pytest.mark.parametrize(("m", "k", "n"), [(1, 1, 1), (7, 50, 3), (23, 9, 41), (4, 300, 6), (30, 31, 1)])
@pytest.mark.parametrize("fixed", [True, False], ids=["weights", "two inputs"])
def test_products(chip, m, k, n, fixed) -> None:
    if fixed:
        ran(chip, lambda x: get("quant.matmul")(x, constant(drawn(k, n))), (m, k))
    else:
        ran(chip, lambda x, y: get("quant.matmul")(x, y), (m, k), (k, n))


def test_depthwise_pooling_and_rows(chip) -> None:
    weights = constant(drawn(6, 1, 3, 3))

    def depthwise(x: Value) -> Value:
        how = {"strides": (1, 1), "pads": (1,) * 4, "dilations": (1, 1)}
        return get("quant.conv")(x, weights, groups=6, **how)

    ran(chip, depthwise, (1, 6, 13, 9))
    pool = {"kernel": (3, 2), "strides": (2, 2), "pads": (1, 0, 1, 1), "dilations": (1, 1)}
    ran(chip, lambda x: get("nn.max_pool")(x, **pool), (2, 5, 12, 11))
    ran(chip, lambda x: get("reduce.max")(x, axes=(1,), keepdims=False), (9, 700))
    ran(chip, lambda x: get("math.max")(x, constant(drawn(40))), (3, 5, 7, 40))


def test_joined_parts_that_fit_no_memory_together(chip) -> None:
    """Each part is brought to its place by itself."""
    constant_part = constant(drawn(3, 70, 50))
    package = ran(
        chip, lambda x, y: get("shape.concat")(x, y, constant_part, axis=1), (3, 40, 50), (3, 30, 50)
    )
    assert products(package) == 0


def test_sums_over_more_dims_than_an_instruction_has(chip) -> None:
    """Outside an instruction's dims a sum starts anew for each result, and goes on for each further term."""
    weights = constant(drawn(4, 3, 2, 2, 2))

    def grouped(x: Value) -> Value:
        how = {"strides": (1,) * 3, "pads": (0,) * 6, "dilations": (1,) * 3}
        return get("quant.conv")(x, weights, groups=2, **how)

    ran(chip, grouped, (2, 6, 4, 5, 3))


def test_planes_that_a_window_steps_over_are_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dilated windows at one place see planes 0 and 2 of 3; another one, loaded and never read, would be a finding."""
    monkeypatch.setattr(entries, "ROOM", 0)  # tiles for the chip as it is
    x, weights = drawn(2, 2, 3, 4, 5).astype(np.float32), constant(drawn(10, 1, 3, 3, 3).astype(np.float32))
    how = {"strides": (1, 2, 1), "pads": (2, 1, 1, 0, 1, 1), "dilations": (2, 1, 1)}
    value = graph_input("x", TensorType(dtype_of(x.dtype), x.shape))
    graph = Graph([value], [get("nn.conv")(value, weights, groups=2, **how)], ["y"])
    package = compile(graph, "n1-8")
    assert isinstance(package, Package)
    assert np.array_equal(package.run([x])["y"], read(graph).evaluate([x])["y"])
    (code,) = package.loaded.executable.code.values()
    assert isinstance(code, SimulatedCode)
    loads = [r for r in code.entry(0).stream.records if type(r).mnemonic == "lda" and vars(r)["before1"]]
    assert len(loads) == 2 * 2 * 3, "of 5 planes of 2 groups of 2 pictures"


def test_rows_that_are_looked_up_and_turned_are_left_to_the_host(chip) -> None:
    """Fused with what turns them, they are no whole rows: the kernel is refused, not miscompiled."""
    x, i = drawn(3, 12, 16), np.array([2, 0, 1])
    value = graph_input("x", TensorType(dtype_of(x.dtype), x.shape))
    turned = get("shape.transpose")(value, perm=(0, 2, 1))
    graph = Graph([value], [get("shape.gather")(turned, constant(i), axis=0)], ["y"])
    package = compile(graph, chip)
    assert isinstance(package, Package)
    assert np.array_equal(package.run([x])["y"], x.transpose(0, 2, 1)[i])


def test_results_that_are_dropped_past_the_edges_are_left_to_the_host(chip) -> None:
    """A transposed convolution with padding computes elements that have no place; instructions would write them."""
    x, w = drawn(3, 4, 5, 6).astype(np.float32), constant(drawn(4, 1, 6, 6).astype(np.float32))
    how = {"strides": (3, 3), "pads": (1, 0, 1, 0), "dilations": (1, 1), "output_padding": (0, 0)}
    value = graph_input("x", TensorType(dtype_of(x.dtype), x.shape))
    graph = Graph([value], [get("nn.conv_transpose")(value, w, **how)], ["y"])
    package = compile(graph, chip)
    assert isinstance(package, Package)
    (reason,) = package.manifest.fallbacks
    assert "every element that is computed has a place in its result" in reason
    np.testing.assert_allclose(package.run([x])["y"], read(graph).evaluate([x])["y"], rtol=1e-4, atol=1)


@pytest.mark.parametrize("channels", [134, 192])
def test_sums_of_more_steps_than_an_instruction_takes_are_cut(channels: int) -> None:
    """Channels first, so that each is a step of the sum: 192 are 4 times 48, 134 are twice 67, which is prime."""
    weights = constant(drawn(64, channels, 1, 1))
    scale = [np.full(64, 1 << 24, np.int32), np.full(64, 34, np.int32), np.array(-7, np.int8)]

    def build(x: Value) -> Value:
        how = {"strides": (1, 1), "pads": (0,) * 4, "dilations": (1, 1), "fill": 0}
        total = get("quant.conv")(x, weights, **how)
        return get("quant.requantize_fixed")(total, *map(constant, scale), axis=1, dtype=dtype_of("int8"))

    ran("n1-8", build, (1, channels, 14, 14))


def test_work_beyond_an_instructions_fields_is_cut(tmp_path: Path) -> None:
    """Of a chip with large memories: runs, lines and strides of more than 16 bits, copies of more than 20."""
    path = tmp_path / "large.toml"
    path.write_text('inherits = "n1-32"\ntarget.name = "large"\nmemory.spa.bytes = 16777216\n')
    wide = (4, 70001)
    ran(str(path), lambda x, y: get("shape.concat")(x, y, axis=1), wide, wide)
    ran(str(path), lambda x: get("reduce.max")(x, axes=(1,), keepdims=False), (3, 400_000, 2))
    ran(str(path), lambda x: get("reduce.max")(x, axes=(0,), keepdims=False), (70001,))
