"""An inverted residual as one kernel: the graph's meaning, the tile interpreter and the device agree bit by bit."""

from pathlib import Path

import numpy as np
import pytest

from isthmus import compile, read
from isthmus.compiler import assemble, pipeline
from isthmus.compiler.ir.graph import Graph, Value, constant, graph_input
from isthmus.compiler.ir.types import TensorType, dtype_of
from isthmus.compiler.ops import get
from isthmus.compiler.passes.form import form
from isthmus.compiler.stream.chains import joined
from isthmus.compiler.stream.compose import preparations
from isthmus.compiler.target.backend import Constant
from isthmus.compiler.tile.interpret import run_tiled
from isthmus.compiler.tile.staged import stage_tiles
from isthmus.compiler.tile.text import print_schedule
from isthmus.compiler.tile.untiled import run_untiled
from isthmus.package import Package
from isthmus.runtime.sim.device import SimulatedCode
from isthmus.targets import find_backend

HEIGHT, WIDTH, CHANNELS, INNER = 10, 9, 8, 24


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(-128, 128, shape).astype(np.int8)


def convolution(x: Value, outputs: int, size: int, stride: int = 1, groups: int = 1) -> Value:
    inputs = x.type.static_shape[1]
    pads = (size // 2,) * 4
    how = {"strides": (stride, stride), "pads": pads, "dilations": (1, 1), "groups": groups, "fill": -7}
    total = get("quant.conv")(x, constant(drawn(outputs, inputs // groups, size, size)), **how)
    bias = constant(np.arange(outputs, dtype=np.int32).reshape(outputs, 1, 1) * 11)
    scale = [np.full(outputs, 1 << 24, np.int32), np.full(outputs, 34, np.int32), np.array(-7, np.int8)]
    low, *others = (constant(each) for each in scale)
    return get("quant.requantize_fixed")(
        get("math.add")(total, bias), low, *others, axis=1, dtype=dtype_of("int8")
    )


def block(stride: int) -> Graph:
    """Expand, one 3 x 3 window a channel, project; with the residual where shapes allow."""
    x = graph_input("x", TensorType(dtype_of("int8"), (1, CHANNELS, HEIGHT, WIDTH)))
    inside = convolution(x, CHANNELS, 1)
    h = convolution(convolution(inside, INNER, 1), INNER, 3, stride, groups=INNER)
    y = convolution(h, CHANNELS, 1)
    if stride == 1:
        how = {"multipliers": (1 << 20, 3 << 19), "offset": 5, "shift": 21, "zero_point": 1}
        y = get("quant.add")(inside, y, **how)
    return Graph([x], [y], ["y"])


def tight(tmp_path: Path, base: str) -> str:
    """A chip whose memories hold a few rows only."""
    path = tmp_path / "tight.toml"
    sizes = "memory.spa.bytes = 12288\nmemory.spw.bytes = 4096\nmemory.acc.bytes = 6144\n"
    path.write_text(f'inherits = "{base}"\ntarget = {{ name = "tight" }}\n{sizes}')
    return str(path)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("chip", ["n1-8", "n1-32", "tight"])
def test_an_inverted_residual_is_one_kernel(tmp_path, chip, stride):
    graph, array = block(stride), drawn(1, CHANNELS, HEIGHT, WIDTH)
    package = compile(graph, tight(tmp_path, "n1-8") if chip == "tight" else chip)
    assert isinstance(package, Package)
    assert not package.manifest.fallbacks
    assert np.array_equal(package.run([array])["y"], read(graph).evaluate([array])["y"])
    (code,) = package.loaded.executable.code.values()
    assert isinstance(code, SimulatedCode)
    assert len(code.meta["kernels"]) < 5, "four convolutions and copies at both ends"
    code.entry(0).check()


@pytest.mark.parametrize("stride", [1, 2])
def test_the_interpreter_agrees_on_tiles_that_lag(tmp_path, stride):
    backend = find_backend(tight(tmp_path, "n1-8"))
    target = backend.target({})
    graph, _ = pipeline.optimise(block(stride), None, pipeline.passes_for(backend, {}))
    plan = form(graph, lambda node: True, backend.preferences(), set())
    (steps,) = assemble.segments(plan)
    calls = assemble.calls(steps, plan)
    array = drawn(1, CHANNELS, HEIGHT, WIDTH)
    joint = joined(calls[-4:-1])  # what follows turns the result for the caller
    assert joint is not None
    kernel = preparations(joint.kernel, target)[0]
    schedule = stage_tiles(kernel, target).schedule
    assert "lag 1" in print_schedule(schedule)
    assert len(schedule.loops) > 0
    given = {n: o.array for n, o in joint.operands.items() if isinstance(o, Constant)}
    given |= {b.name: np.resize(array, b.static_shape) for b in kernel.role("input")}
    (output,) = kernel.role("output")
    whole, tiled = run_untiled(kernel, given), run_tiled(kernel, schedule, given)
    assert np.array_equal(tiled[output.name], whole[output.name])


@pytest.mark.parametrize(("batch", "width"), [((), 8), ((), 4), ((), 24), ((3,), 8)], ids=str)
def test_columns_that_the_chip_computes_lie_as_its_array_reads_them(batch, width):
    """A product whose columns another one computes: they stay on the chip only where no packing is needed."""
    rows, inner = (graph_input(n, TensorType(dtype_of("int8"), (*batch, 16, 16))) for n in "ab")
    low, shift, zero = (constant(np.array(n, t)) for n, t in ((1 << 30, "i4"), (38, "i4"), (3, "i1")))

    def product(a: Value, b: Value) -> Value:
        how = {"axis": 0, "dtype": dtype_of("int8")}
        return get("quant.requantize_fixed")(get("quant.matmul")(a, b), low, shift, zero, **how)

    graph = Graph([rows, inner], [product(rows, product(inner, constant(drawn(16, width))))], ["y"])
    arrays = [drawn(*batch, 16, 16), drawn(*batch, 16, 16)[..., ::-1].copy()]
    package = compile(graph, "n1-8", cache=False)
    assert np.array_equal(package.run(arrays)["y"], read(graph).evaluate(arrays)["y"])
