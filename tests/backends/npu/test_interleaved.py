"""Kernels that are interleaved: the same values in fewer cycles, every order proved."""

from itertools import pairwise

import pytest

from isthmus import compile
from isthmus.compiler.stream import orders
from isthmus.package import Package
from isthmus.testing.comparison import differences
from isthmus.testing.properties import codes, cycles
from isthmus.testing.random_graphs import draw

from .test_residents import package_of, windows


def kernels_in_turn(package: Package) -> list[int]:
    """The kernel of each run of instructions."""
    (code,) = codes(package)
    return [kernel for _, _, kernel in code.entry(0).meta["spans"]]


def test_neighbours_run_into_each_other_where_that_is_quicker(monkeypatch: pytest.MonkeyPatch) -> None:
    together = package_of(windows(5), "n1-8")
    monkeypatch.setattr(orders, "MOST", 0)
    in_turn = package_of(windows(5), "n1-8")
    assert cycles(together) < cycles(in_turn)
    assert any(a > b for a, b in pairwise(kernels_in_turn(together)))


def test_rows_are_not_looked_up_into_a_tile_with_edges() -> None:
    """Rows and a window over them are one kernel only where the rows lie side by side."""
    case = draw(49)
    package = compile(case.graph, "n1-8", cache=False)
    assert isinstance(package, Package)
    for code in codes(package):
        code.checked = True
    assert not differences(case.graph, case.inputs, list(package.run(list(case.inputs)).values()))
