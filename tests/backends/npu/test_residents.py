"""Arrays that stay in the scratchpad between kernels: the same values, and no way home where there is room."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from isthmus import compile, read
from isthmus.backends.npu.isa import Lda, Ldw, Sto
from isthmus.compiler.ir.graph import Graph, graph_input
from isthmus.compiler.ir.types import TensorType, dtype_of
from isthmus.compiler.ops import get
from isthmus.compiler.stream import entries
from isthmus.package import Package
from isthmus.testing.properties import codes

from .networks import graph_of, samples
from .test_joint_kernels import CHANNELS, HEIGHT, WIDTH, convolution, drawn


def windows(levels: int) -> Graph:
    """3 x 3 windows one after another, and a sum of all that they give: each result has two readers."""
    x = graph_input("x", TensorType(dtype_of("int8"), (1, CHANNELS, HEIGHT, WIDTH)))
    h = total = convolution(x, CHANNELS, 3)
    for _ in range(levels):
        h = convolution(h, CHANNELS, 3)
        how = {"multipliers": (1 << 20, 3 << 19), "offset": 5, "shift": 21, "zero_point": 1}
        total = get("quant.add")(total, h, **how)
    return Graph([x], [total], ["y"])


def package_of(graph: Graph, chip: str) -> Package:
    """Compiled, compared with the graph's meaning while its runs are watched, and proved."""
    package, array = compile(graph, chip), drawn(1, CHANNELS, HEIGHT, WIDTH)
    assert isinstance(package, Package)
    assert not package.manifest.fallbacks
    (code,) = codes(package)
    code.checked = True
    assert np.array_equal(package.run([array])["y"], read(graph).evaluate([array])["y"])
    code.entry(0).check()
    return package


def stores_in_the_arena(package: Package) -> int:
    (code,) = codes(package)
    entry = code.entry(0)
    stored = [record for record in entry.stream.records if isinstance(record, Sto)]
    return sum(record.dram < code.meta["dram"]["bytes"] for record in stored)


@pytest.mark.parametrize("chip", ["n1-8", "n1-32"])
def test_what_fits_stays(chip: str) -> None:
    """Padding is written once, around the array, by the kernel that makes it."""
    assert stores_in_the_arena(package_of(windows(4), chip)) == 0


@pytest.mark.parametrize("chip", ["n1-16", "n1-32"])
def test_positions_stay_for_a_window(chip: str) -> None:
    """What a 1 x 1 convolution makes is written by rows and columns, with the border that a window of two readers
    wants."""
    x = graph_input("x", TensorType(dtype_of("int8"), (1, CHANNELS, HEIGHT, WIDTH)))
    h = convolution(x, CHANNELS, 1)
    how = {"multipliers": (1 << 20, 3 << 19), "offset": 5, "shift": 21, "zero_point": 1}
    y = get("quant.add")(convolution(h, CHANNELS, 3), convolution(h, CHANNELS, 3), **how)
    assert stores_in_the_arena(package_of(Graph([x], [y], ["y"]), chip)) == 0


def test_what_does_not_fit_goes_home(tmp_path: Path) -> None:
    chip = tmp_path / "tight.toml"
    sizes = "memory.spa.bytes = 3072\nmemory.spw.bytes = 4096\nmemory.acc.bytes = 6144\n"
    chip.write_text(f'inherits = "n1-8"\ntarget.name = "tight"\n{sizes}')
    assert stores_in_the_arena(package_of(windows(2), str(chip))) > 0


def test_where_instructions_reach_no_further_all_go_home(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def written(self, groups, kernels, keep, original=entries.Program._written):
        asked.append(keep)
        found = original(self, groups, kernels, keep)
        return replace(found, ordered=None, reasons={0: "too far"}) if keep else found

    monkeypatch.setattr(entries.Program, "_written", written)
    assert stores_in_the_arena(package_of(windows(2), "n1-8")) > 0
    assert asked == [True, False] * (len(asked) // 2)


def test_weights_lie_behind_those_of_the_kernel_before() -> None:
    """Round and round, so that they are loaded while those before are still read."""
    (code,) = codes(package_of(windows(3), "n1-32"))
    loads = [record for record in code.entry(0).stream.records if isinstance(record, Ldw)]
    assert len(loads) >= 4
    assert all(a.spw + a.n0 <= b.spw for a, b in pairwise(loads))


def test_weights_are_not_filled_up_at_home() -> None:
    """A run of 8 x 3 factors fills 24 of 32 rows of the array: the others are left out."""
    (code,) = codes(package_of(windows(1), "n1-32"))
    loads = [record for record in code.entry(0).stream.records if isinstance(record, Ldw)]
    assert (24 * 32, 3, 32 * 32) in {(record.n0, record.n1, record.d1) for record in loads}
    assert all(record.n0 < record.d1 for record in loads)


def test_constants_that_lie_side_by_side_are_one_copy() -> None:
    """The residual's steps, bias and multiplier of the last 8 channels, 32 bytes each at multiples of 64."""
    name = "inverted_residual"
    package = compile(graph_of(name), "n1-8", precision="int8", calibration=samples(name, 2))
    assert isinstance(package, Package)
    (code,) = codes(package)
    loads = [record for record in code.entry(0).stream.records if isinstance(record, Lda)]
    assert 2 * 64 + 32 in {record.n0 for record in loads if record.dram >= code.meta["dram"]["constants"]}
