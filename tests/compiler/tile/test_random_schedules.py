"""Random legal schedules mean what the kernel means; `ISTHMUS_SCHEDULES=20000` draws more than `make test` does."""

import os
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from isthmus.compiler.diagnostics import VerifyError
from isthmus.compiler.ir import TensorType, dtype_of, graph_input
from isthmus.compiler.ops import REGISTRY
from isthmus.compiler.ops.engine import Op, Sample, sample_arrays
from isthmus.compiler.tile.check import check
from isthmus.compiler.tile.draw import draw_arrays, draw_schedule
from isthmus.compiler.tile.draw_kernels import draw_kernel
from isthmus.compiler.tile.interpret import run_tiled
from isthmus.compiler.tile.schedule import PARALLEL_LOOP, Schedule
from isthmus.compiler.tile.stage import Kernel
from isthmus.compiler.tile.text import parse_kernel, parse_schedule, print_kernel, print_schedule
from isthmus.compiler.tile.untiled import run_untiled
from isthmus.compiler.tile.verify import require_kernel
from isthmus.compiler.tile.view import View

KERNELS = {path.stem: path for path in sorted((Path(__file__).parent / "kernels").glob("*.kernel"))}
DRAWS = int(os.environ.get("ISTHMUS_SCHEDULES", "600"))
STAGED = [
    pytest.param(op, sample, id=f"{op.name}-{n}")
    for op in REGISTRY.values()
    if op.stages is not None
    for n, sample in enumerate(op.samples)
]


@cache
def drawn(name: str, number: int) -> Schedule:
    """One of the schedules of a kernel that are drawn."""
    return draw_schedule(parsed(name), np.random.default_rng([number, 1]))


@cache
def parsed(name: str) -> Kernel:
    return parse_kernel(KERNELS[name].read_text())


def features(kernel: Kernel, schedule: Schedule) -> list[str]:
    """What a schedule exercises."""
    view = View(kernel, schedule)
    partial = {stage.write.buffer for stage in view.partial}
    found = {
        "lag": any(place.lag for place in schedule.places),
        "slots": any(hold.slots > 1 for hold in schedule.holds),
        "ring": any(hold.roll for hold in schedule.holds),
        "ribs": any(place.loops for place in schedule.places),
        "parallel": any(loop.kind == PARALLEL_LOOP for loop in schedule.loops),
        "a dim twice": len({loop.dim for loop in schedule.loops}) < len(schedule.loops),
        "cut sum": bool(partial),
        "cut sum with inner hold": any(len(view.holds(buffer)) > 1 for buffer in partial),
        "repair": any(s.repair is not None and s.repair.of in partial for s in view.partial),
        "late stage": any(view.late.values()),
    }
    return [name for name, present in found.items() if present]


def assert_same(
    kernel: Kernel, schedule: Schedule, arrays: dict[str, np.ndarray], want: dict[str, np.ndarray]
) -> None:
    try:
        got = run_tiled(kernel, schedule, arrays)
        for name, value in got.items():
            dtype = kernel.buffer(name).dtype
            epsilon = {64: 1e-9, 32: 1e-4, 16: 0.03}.get(dtype.bits, 0.3) if dtype.is_float else 0
            np.testing.assert_allclose(
                value.astype(np.float64),
                want[name].astype(np.float64),
                rtol=epsilon,
                atol=epsilon,
                err_msg=name,
            )
    except Exception as error:
        raise AssertionError(f"{print_kernel(kernel)}{print_schedule(schedule)}") from error


@pytest.mark.parametrize("name", KERNELS)
def test_random_schedules_of_kernels(name: str) -> None:
    kernel = parsed(name)
    arrays = draw_arrays(kernel, np.random.default_rng(0))
    want = run_untiled(kernel, arrays)
    for n in range(-(-DRAWS // len(KERNELS))):
        schedule = drawn(name, n)
        assert not check(kernel, schedule)
        text = print_schedule(schedule)
        assert print_schedule(parse_schedule(text)) == text
        assert_same(kernel, schedule, arrays, want)


@pytest.mark.parametrize(("op", "sample"), STAGED)
def test_a_random_schedule_of_each_op_sample(op: Op, sample: Sample) -> None:
    arrays = sample_arrays(sample)
    operands = [
        None if array is None else graph_input(f"x{n}", TensorType(dtype_of(array.dtype), array.shape))
        for n, array in enumerate(arrays)
    ]
    kernel = op.kernel(op.build(operands, sample.attributes))
    if kernel is None:
        return  # this sample is opaque
    given = {f"x{n}": array for n, array in enumerate(arrays) if array is not None}
    schedule = draw_schedule(kernel, np.random.default_rng(2))
    assert not check(kernel, schedule)
    assert_same(kernel, schedule, given, run_untiled(kernel, given))


def test_random_schedules_of_random_kernels() -> None:
    kernels = DRAWS // 3
    without = 0
    for n in range(kernels):
        random = np.random.default_rng([n, 3])
        kernel = draw_kernel(random)
        require_kernel(kernel)
        assert parse_kernel(print_kernel(kernel)) == kernel
        arrays = draw_arrays(kernel, random)
        try:
            schedule = draw_schedule(kernel, random)
        except VerifyError:
            without += 1  # some random recurrences are read in ways that no one spine can serve
            continue
        assert not check(kernel, schedule)
        assert_same(kernel, schedule, arrays, run_untiled(kernel, arrays))
    assert without <= kernels // 50


def test_draws_exercise_every_feature() -> None:
    count: Counter[str] = Counter()
    for name in KERNELS:
        kernel = parsed(name)
        repaired = any(stage.repair is not None for stage in kernel.stages)
        for n in range(60 if repaired else 12):  # a reduction that needs repair is seldom cut
            count.update(features(kernel, drawn(name, n)))
    expected = (
        "lag",
        "slots",
        "ring",
        "ribs",
        "parallel",
        "a dim twice",
        "cut sum",
        "cut sum with inner hold",
    )
    assert all(count[name] >= 5 for name in (*expected, "late stage")), count
    assert count["repair"] > 0, count
