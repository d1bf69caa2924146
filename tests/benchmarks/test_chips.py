"""What a network's elements take of a vector engine at least, and what of its transfers products can hide."""

import pytest

from benchmarks.chips import overlap_bound, vector_bound
from isthmus.compiler.ir.location import Location
from isthmus.compiler.target.backend import KernelReport
from isthmus.compiler.tile.schedule import Schedule
from isthmus.compiler.tile.text import parse_kernel
from isthmus.targets import find_backend

TARGET = find_backend("n1-32").select("n1-32").target({})

ADDED = parse_kernel("""kernel "added" {
  input x: i8[64, 33]  input b: i8[33]  output y: i8[64, 33]
  stage s (i: 64, c: 33): y[i, c] = max(add(x[i, c], b[c]), 0:i8)
}""")
SUMS = parse_kernel("""kernel "sums" {
  input x: i8[16, 64]  output y: i32[64]
  stage s (c: 64, reduce i: 16): y[c] = sum cast(x[i, c]):i32
}""")
PRODUCT = parse_kernel("""kernel "product" {
  input a: i8[64, 32]  constant b: i8[32, 64]  output y: i32[64, 64]
  stage s (m: 64, n: 64, reduce k: 32): y[m, n] = sum mul(cast(a[m, k]):i32, cast(b[k, n]):i32)
}""")


def report(kernel, cycles: float = 1.0) -> KernelReport:
    return KernelReport(kernel.name, Location(), Schedule((), (), ()), cycles, {}, kernel)


@pytest.mark.parametrize(
    ("kernel", "cycles"), [(ADDED, 64 * 33 / 32 * 2), (SUMS, 16 * 64 / 512), (PRODUCT, 0.0)]
)
def test_each_element_counts_once_on_full_lanes(kernel, cycles: float):
    """Sums at the rate of the window; products are not the vector engine's."""
    assert vector_bound([report(kernel)], TARGET) == pytest.approx(cycles)


def test_calls_that_are_one_kernel_count_once():
    together = [report(ADDED), report(ADDED, 0.0)]
    assert vector_bound(together, TARGET) == vector_bound(together[:1], TARGET)


def weights(columns: int, busy: float) -> KernelReport:
    """A product whose weights are `columns` times 4 KiB, and whose array is busy so many cycles."""
    text = f"""kernel "k" {{
      input a: i8[4, 4096]  constant b: i8[4096, {columns}]  output y: i32[4, {columns}]
      stage mm (m: 4, n: {columns}, reduce k: 4096): y[m, n] = sum mul(cast(a[m, k]):i32, cast(b[k, n]):i32)
    }}"""
    return KernelReport("k", Location(), Schedule((), (), ()), busy, {"mxu": busy}, parse_kernel(text))


def test_weights_that_come_slower_than_products_run_are_moved_alone_but_for_what_is_held_ahead():
    """n1-32 holds 256 KiB of weights ahead."""
    slow, held = weights(1024, 1e3), weights(16, 1e3)
    assert overlap_bound([weights(1024, 1e9)], 1 << 22, TARGET) == 1.0
    assert overlap_bound([held], 1 << 16, TARGET) == 1.0
    assert (
        0.0
        <= overlap_bound([slow], 1 << 22, TARGET)
        < overlap_bound([weights(1024, 1e5), held], 1 << 22, TARGET)
        < 1.0
    )
