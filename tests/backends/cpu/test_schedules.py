"""Random legal schedules, vectorised along random dims: what the emitter takes equals the untiled meaning.

`ISTHMUS_SCHEDULES=20000` draws more than `make test` does.
"""

import os
from collections import Counter
from dataclasses import replace
from functools import cache
from math import prod
from pathlib import Path

import numpy as np
import pytest

from isthmus.backends.cpu import backend
from isthmus.backends.cpu.machine import select
from isthmus.backends.cpu.target import describe
from isthmus.compiler.tile.check import check
from isthmus.compiler.tile.draw import draw_arrays, draw_schedule
from isthmus.compiler.tile.schedule import Loop, Schedule
from isthmus.compiler.tile.stage import REDUCE, SCAN, Kernel
from isthmus.compiler.tile.text import parse_kernel, print_kernel, print_schedule
from isthmus.compiler.tile.tiler import tile
from isthmus.compiler.tile.untiled import run_untiled

from .forms import ATTENTION, CONV, LAYER_NORM, MATMUL, POOL, SOFTMAX
from .running import Image, Work, differences, distinct
from .samples import cases, turns, work_of

FOLDER = Path(__file__).parents[2] / "compiler" / "tile" / "kernels"
DRAWS = int(os.environ.get("ISTHMUS_SCHEDULES", "300"))
LEVELS = distinct(None, "x86-64")


@cache
def kernels() -> list[Kernel]:
    """The kernels of the tile IR's tests without sequential dims, and some that are wider than a vector."""
    small = [parse_kernel(path.read_text()) for path in sorted(FOLDER.glob("*.kernel"))]
    wide = [
        MATMUL.format(m=5, n=37, k=6),
        CONV.format(h=3, w=4, c=2, f=19),
        SOFTMAX.format(m=3, n=37),
        LAYER_NORM.format(m=3, n=35, inverse=1 / 35),
        ATTENTION.format(m=4, n=19, d=5),
        POOL.format(h=3, w=4, c=19),
    ]
    return [k for k in (*small, *map(parse_kernel, wide)) if all(d.kind != SCAN for d in k.dims.values())]


@cache
def drawn(kernel: Kernel, number: int) -> Schedule:
    """One of the schedules of a kernel that are drawn, the same for all levels."""
    return draw(kernel, np.random.default_rng([number, 7]))


def draw(kernel: Kernel, rng: np.random.Generator) -> Schedule:
    """A legal schedule with tiles in caches and registers, and stages bound to vectors where that stays legal."""
    memories = ("l1", "reg") if rng.random() < 0.2 else ("l1", "l2")
    schedule = draw_schedule(kernel, rng, memories)
    stages = {stage.name: stage for stage in kernel.stages}
    places = []
    for place in schedule.places:
        dims = stages[place.stage].dims
        if dims and rng.random() < 0.8:
            place = replace(place, bind=(("n", (dims[int(rng.integers(len(dims)))].name,)),))
        if "reg" not in memories and prod(int(d.extent) for d in dims) > 200:  # else all of it is unrolled
            cut = {loop.dim for loop in place.loops}
            ribs = [Loop(d.name, int(rng.choice([1, 2, 5, 16]))) for d in dims if d.name not in cut]
            ribs = [*place.loops, *(ribs[n] for n in rng.permutation(len(ribs)))]
            ribs.sort(key=lambda rib: stages[place.stage].dim(rib.dim).kind == REDUCE)
            place = replace(place, loops=tuple(ribs))
        places.append(place)
    return replace(schedule, places=tuple(places))


@pytest.mark.parametrize("level", LEVELS, ids=str)
def test_random_schedules_equal_the_untiled_meaning(level: str | None) -> None:
    target = describe(select(level, None))
    forms = kernels()
    count = -(-DRAWS // len(forms))
    works, wants = [], []
    for kernel in forms:
        arrays = draw_arrays(kernel, np.random.default_rng(0))
        want = run_untiled(kernel, arrays)
        for n in range(count):
            schedule = drawn(kernel, n)
            if check(kernel, schedule, target):
                continue
            works.append(Work(kernel, arrays, schedule))
            wants.append(want)
    image = Image(works, level)
    reasons = Counter(" ".join(why.split()[-8:]) for why in image.refused.values())
    assert len(works) > 0.5 * count * len(forms)
    assert len(image.refused) < 0.4 * len(works), reasons
    for number, (work, want) in enumerate(zip(works, wants, strict=True)):
        if number not in image.refused:
            found = differences(image.run(number), want, turns=40)
            assert not found, f"{found}\n{print_kernel(work.kernel)}{print_schedule(work.schedule)}"


def test_a_random_schedule_of_op_samples() -> None:
    """Of every other sample, for time's sake."""
    level = "x86-64"
    target = describe(select(level, None))
    taken = [case for case in cases(constants=False) if not backend.refusals(case.node, {"level": level})][
        ::2
    ]
    works, chosen = [], []
    for case in taken:
        plain = work_of(case)
        schedule = draw(plain.kernel, np.random.default_rng(5))
        if not check(plain.kernel, schedule, target):
            works.append(replace(plain, schedule=schedule))
            chosen.append(case)
    image = Image(works, level)
    assert len(works) - len(image.refused) > 0.8 * len(taken)
    for number, case in enumerate(chosen):
        if number not in image.refused:
            got, meaning = image.run(number), case.want()
            want = {name: meaning[int(name[1:])] for name in got}
            found = differences(got, want, turns(works[number].kernel), ulps=8)
            assert not found, f"{case.label}: {found}\n{print_schedule(works[number].schedule)}"


def test_all_tiles_of_rows_equal_the_untiled_meaning() -> None:
    """Few rows and many at once, whole or passing by pieces of what they sum, and rows that are cut unevenly."""
    target = describe(select(None, None))
    rng = np.random.default_rng(9)
    works, cut = [], 0
    for m, n, d in ((29, 800, 9), (50, 37, 16), (7, 401, 5)):
        text = ATTENTION.format(m=m, n=n, d=d)
        for total in ("sum e[b, i, j]", "sum mul(e[b, i, j], v[b, j, f])"):
            text = text.replace(total, f"{total} repair m by exp(sub(old:f32, new:f32))")
        kernel = parse_kernel(text)
        arrays = draw_arrays(kernel, rng)
        for choice in tile(kernel, target, 20):
            assert not check(kernel, choice.schedule)
            works.append(Work(kernel, arrays, choice.schedule))
            cut += any(loop.step < n for loop in choice.schedule.loops if kernel.dims[loop.dim].size == n)
    assert cut
    image = Image(works)
    assert image.refused == {}
    for number, work in enumerate(works):
        want = run_untiled(work.kernel, work.arrays)
        assert not differences(image.run(number), want, turns=800), print_schedule(work.schedule)


def test_rows_whose_sums_jump_from_page_to_page_are_copied() -> None:
    """Only from a page on, and only where many columns pass by them."""
    target = describe(select(None, None))
    works, copied = [], []
    for m, n in ((1200, 130), (1200, 9), (600, 130)):
        kernel = parse_kernel(f"""kernel "turned" {{
          input x: f32[40, {m}]  constant w: f32[40, {n}]  output y: f32[{m}, {n}]
          stage s (i: {m}, j: {n}, reduce k: 40): y[i, j] = sum mul(x[k, i], w[k, j])
        }}""")
        schedule = tile(kernel, target)[0].schedule
        assert not check(kernel, schedule, target)
        copied.append([hold.layout for hold in schedule.holds if hold.buffer == "x"])
        works.append(Work(kernel, draw_arrays(kernel, np.random.default_rng(3)), schedule))
    assert copied == [[(1, 0)], [], []]
    image = Image(works)
    for number, work in enumerate(works):
        assert not differences(image.run(number), run_untiled(work.kernel, work.arrays), turns=40)
