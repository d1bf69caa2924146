"""Kernels that are interleaved: the same values in fewer cycles, every order proved."""

from itertools import pairwise

import pytest

from isthmus.compiler.stream import orders
from isthmus.package import Package
from isthmus.testing.properties import codes, cycles

from .test_residents import package_of, windows


def kernels_in_turn(package: Package) -> list[int]:
    """The kernel of each run of instructions."""
    (code,) = codes(package)
    return [kernel for _, _, kernel in code.entry(0).meta["spans"]]


def test_neighbours_run_into_each_other_where_that_is_quicker(monkeypatch: pytest.MonkeyPatch) -> None:
    together = package_of(windows(4), "n1-8")
    monkeypatch.setattr(orders, "MOST", 0)
    in_turn = package_of(windows(4), "n1-8")
    assert cycles(together) < cycles(in_turn)
    assert any(a > b for a, b in pairwise(kernels_in_turn(together)))
