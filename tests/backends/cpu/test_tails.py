"""Extents around the vector width and the register tile, on every dim: compiled code equals the untiled meaning.

For schedules of the tiler's choice, on each feature level, and for a few of its further choices.
"""

from collections.abc import Iterator

import numpy as np
import pytest

from isthmus.backends.cpu.machine import select
from isthmus.backends.cpu.target import describe
from isthmus.compiler.tile.draw import draw_arrays
from isthmus.compiler.tile.stage import REDUCE, Kernel
from isthmus.compiler.tile.text import parse_kernel
from isthmus.compiler.tile.tiler import tile
from isthmus.compiler.tile.untiled import run_untiled

from .forms import (
    ATTENTION,
    CHANNEL_NORM,
    CONV,
    ELEMENTWISE,
    FEW,
    LAYER_NORM,
    MATMUL,
    NARROW,
    POOL,
    RECURRENCE,
    SOFTMAX,
    UNWEAVE,
    WEAVE,
)
from .running import Image, Work, differences, distinct

LEVELS = distinct(None, "avx2", "x86-64")


def kernels(lanes: int) -> Iterator[tuple[str, Kernel]]:
    """Every extent from 1 to two vectors and one, alone and beside others that are no multiples either."""

    def make(form: str, **sizes: object) -> tuple[str, Kernel]:
        label = " ".join(f"{name}={value}" for name, value in sizes.items())
        kernel = parse_kernel(form.format(**sizes))
        return f"{kernel.name} {label}", kernel

    extents = range(1, 2 * lanes + 2)
    wide = [3 * lanes - 1, 4 * lanes + 1, 8 * lanes, 9 * lanes + 5]
    for n in (*extents, *wide):
        yield make(MATMUL, m=5, n=n, k=7)
        yield make(SOFTMAX, m=3, n=n)
        yield make(LAYER_NORM, m=3, n=n, inverse=1 / n)
        yield make(ELEMENTWISE, m=5, n=n)
    for n in (*extents[::3], *wide):
        yield make(MATMUL, m=1, n=n, k=33)  # several panels side by side, the last one of any width
        yield make(ELEMENTWISE, m=n, n=lanes + 3)
        yield make(CONV, h=3, w=5, c=3, f=n)
        yield make(POOL, h=4, w=3, c=n)
        yield make(ATTENTION, m=5, n=n, d=7)
        yield make(ATTENTION, m=3, n=9, d=n)
        yield make(CHANNEL_NORM, n=7, c=n, inverse=1 / 7)
        yield make(FEW, m=5, n=3, k=n)  # fewer columns than lanes: vectors run along the sum
    for n in (lanes - 1, 4 * lanes + 1, 25 * lanes + 3):  # one panel of weights, and several of two widths
        yield make(RECURRENCE, n=n)
    for m in (*range(1, 31), 49, 57):
        yield make(MATMUL, m=m, n=lanes + 5, k=3)
    for k in (*range(1, 12), 64, 65):
        yield make(MATMUL, m=6, n=2 * lanes, k=k)
    for w in (1, 2, 6, 7, 9, 13, 14, 15, 29):
        yield make(CONV, h=2, w=w, c=2, f=lanes)
        yield make(SOFTMAX, m=w, n=lanes + 1)
        yield make(ATTENTION, m=w, n=lanes + 1, d=lanes)
    for n in (*extents[::2], wide[-1]):
        for gaps, type in ((2, "f32"), (2, "i8"), (4, "f32"), (4, "f64")):
            yield make(WEAVE, s=gaps, n=n, type=type)
            yield make(UNWEAVE, s=gaps, n=n, type=type)
    for source, target in (
        ("i8", "i32"),
        ("u8", "f32"),
        ("f64", "f32"),
        ("bf16", "f32"),
        ("f32", "bf16"),
        ("i64", "i8"),
    ):
        for n in (1, lanes - 1, lanes, lanes + 1, 4 * lanes + 3):
            yield make(NARROW, m=3, n=n, source=source, target=target)


def turns(kernel: Kernel) -> int:
    """Values that go into one result, over all stages."""
    return max(int(d.extent) for stage in kernel.stages for d in (*stage.kind(REDUCE), *stage.dims[:1]))  # type: ignore[arg-type]


@pytest.mark.parametrize("level", LEVELS, ids=str)
def test_tails_equal_the_untiled_meaning(level: str | None) -> None:
    rng = np.random.default_rng(11)
    made = list(kernels(select(level, None).lanes))
    works = [Work(kernel, draw_arrays(kernel, rng)) for _, kernel in made]
    image = Image(works, level)
    assert image.refused == {}
    wrong = []
    for number, (label, kernel) in enumerate(made):
        got = image.run(number)
        want = run_untiled(kernel, works[number].arrays)
        wrong += [f"{label}: {text}" for text in differences(got, want, turns(kernel))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("level", LEVELS, ids=str)
def test_all_schedules_of_a_kernel_agree(level: str | None) -> None:
    machine = select(level, None)
    target = describe(machine)
    rng = np.random.default_rng(12)
    works, wants = [], []
    for form, sizes in (
        (MATMUL, {"m": 37, "n": 53, "k": 19}),
        (MATMUL, {"m": 1, "n": 100, "k": 40}),
        (CONV, {"h": 9, "w": 7, "c": 5, "f": 37}),
        (SOFTMAX, {"m": 9, "n": 37}),
        (ATTENTION, {"m": 13, "n": 21, "d": 19}),
        (ELEMENTWISE, {"m": 37, "n": 41}),
        (POOL, {"h": 9, "w": 7, "c": 21}),
    ):
        kernel = parse_kernel(form.format(**sizes))
        arrays = draw_arrays(kernel, rng)
        want = run_untiled(kernel, arrays)
        for choice in tile(kernel, target, keep=200)[::2]:
            works.append(Work(kernel, arrays, choice.schedule))
            wants.append(want)
    assert len(works) > 40
    image = Image(works, level)
    assert image.refused == {}
    for number, want in enumerate(wants):
        work = works[number]
        assert differences(image.run(number), want, turns(work.kernel)) == [], work.schedule
