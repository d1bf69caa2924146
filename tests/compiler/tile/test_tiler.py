"""The tiler on a CPU's description: its schedules are legal, ranked, repeatable, quick, and no dearer on more machine.

A tile may outgrow a cache: that is slow, which the cost model charges, not wrong. So `tiles_fit` is not asked here.
"""

from dataclasses import replace
from functools import lru_cache
from time import process_time

import pytest

from isthmus.backends.cpu.machine import LEVELS, select
from isthmus.backends.cpu.target import describe
from isthmus.compiler.diagnostics import UnsupportedError
from isthmus.compiler.ir import TensorType, dtype_of, graph_input
from isthmus.compiler.ir.types import bf16, f32
from isthmus.compiler.ops import REGISTRY
from isthmus.compiler.ops.engine import sample_arrays
from isthmus.compiler.target.description import Target
from isthmus.compiler.tile.access_maps import wide_dtype
from isthmus.compiler.tile.canonical import canonical
from isthmus.compiler.tile.check import check
from isthmus.compiler.tile.stage import Kernel
from isthmus.compiler.tile.text import parse_kernel, print_kernel, print_schedule
from isthmus.compiler.tile.tiler import tile

CONV = """kernel "conv" {{
  input x: f32[1, {h}, {h}, {c}]  constant w: f32[{k}, {k}, {c}, {f}]  constant b: f32[{f}]
  local t: f32[1, {o}, {o}, {f}]  output y: f32[1, {o}, {o}, {f}]
  stage conv (b: 1, i: {o}, j: {o}, f: {f}, reduce p: {k}, reduce q: {k}, reduce c: {c}):
    t[b, i, j, f] = sum mul(x[b, {s}*i + p - {p}, {s}*j + q - {p}, c] else 0.0, w[p, q, c, f])
  stage epilogue (b: 1, i: {o}, j: {o}, f: {f}): y[b, i, j, f] = max(add(t[b, i, j, f], b[f]), 0.0:f32)
}}"""
MATMUL = """kernel "matmul" {{
  input a: f32[{m}, {k}]  constant b: f32[{k}, {n}]  output y: f32[{m}, {n}]
  stage mm (m: {m}, n: {n}, reduce k: {k}): y[m, n] = sum mul(a[m, k], b[k, n])
}}"""
SOFTMAX = """kernel "softmax" {{
  input x: f32[{m}, {n}]  local m: f32[{m}]  local e: f32[{m}, {n}]  local l: f32[{m}]  output y: f32[{m}, {n}]
  stage mx (i: {m}, reduce j: {n}): m[i] = max x[i, j]
  stage ex (i: {m}, j: {n}): e[i, j] = exp(sub(x[i, j], m[i]))
  stage sm (i: {m}, reduce j: {n}): l[i] = sum e[i, j]
  stage dv (i: {m}, j: {n}): y[i, j] = div(e[i, j], l[i])
}}"""
ATTENTION = """kernel "attention" {{
  input q: f32[{b}, {m}, {d}]  input k: f32[{b}, {m}, {d}]  input v: f32[{b}, {m}, {d}]
  local s: f32[{b}, {m}, {m}]  local m: f32[{b}, {m}]  local e: f32[{b}, {m}, {m}]  local l: f32[{b}, {m}]
  local o: f32[{b}, {m}, {d}]  output y: f32[{b}, {m}, {d}]
  stage qk (b: {b}, i: {m}, j: {m}, reduce d: {d}): s[b, i, j] = sum mul(q[b, i, d], k[b, j, d])
  stage mx (b: {b}, i: {m}, reduce j: {m}): m[b, i] = max s[b, i, j]
  stage ex (b: {b}, i: {m}, j: {m}): e[b, i, j] = exp(sub(s[b, i, j], m[b, i]))
  stage sm (b: {b}, i: {m}, reduce j: {m}): l[b, i] = sum e[b, i, j]
  stage pv (b: {b}, i: {m}, f: {d}, reduce j: {m}): o[b, i, f] = sum mul(e[b, i, j], v[b, j, f])
  stage dv (b: {b}, i: {m}, f: {d}): y[b, i, f] = div(o[b, i, f], l[b, i])
}}"""


def conv(h: int, c: int, f: int, k: int, s: int = 1) -> str:
    return CONV.format(h=h, c=c, f=f, k=k, s=s, p=k // 2, o=-(-h // s))


BLOCKS = {
    "3x3": conv(7, 512, 512, 3),
    "1x1": conv(14, 256, 1024, 1),
    "7x7 stride 2": conv(224, 3, 64, 7, 2),
    "matmul": MATMUL.format(m=128, n=3072, k=768),
    "one row": MATMUL.format(m=1, n=3072, k=768),
    "softmax": SOFTMAX.format(m=1536, n=128),
    "attention": ATTENTION.format(b=12, m=128, d=64),
}
RESNET50 = [
    conv(224, 3, 64, 7, 2), conv(56, 64, 64, 1), conv(56, 64, 64, 3), conv(56, 64, 256, 1), conv(56, 256, 64, 1),
    conv(56, 256, 128, 1), conv(56, 128, 128, 3, 2), conv(28, 128, 512, 1), conv(56, 256, 512, 1, 2),
    conv(28, 512, 128, 1), conv(28, 128, 128, 3), conv(28, 512, 256, 1), conv(28, 256, 256, 3, 2),
    conv(14, 256, 1024, 1), conv(28, 512, 1024, 1, 2), conv(14, 1024, 256, 1), conv(14, 256, 256, 3),
    conv(14, 1024, 512, 1), conv(14, 512, 512, 3, 2), conv(7, 512, 2048, 1), conv(14, 1024, 2048, 1, 2),
    conv(7, 2048, 512, 1), conv(7, 512, 512, 3), MATMUL.format(m=1, n=1000, k=2048),
]  # fmt: skip


def target(level: str) -> Target:
    return describe(select(level, None))


@lru_cache(maxsize=1)
def sample_kernels() -> tuple[tuple[str, Kernel], ...]:
    """The distinct kernels of all op samples."""
    found: dict[str, tuple[str, Kernel]] = {}
    for op in REGISTRY.values():
        for number, sample in enumerate(op.samples if op.stages is not None else ()):
            arrays = sample_arrays(sample)
            operands = [
                None if a is None else graph_input(f"x{n}", TensorType(dtype_of(a.dtype), a.shape))
                for n, a in enumerate(arrays)
            ]
            kernel = op.kernel(op.build(operands, sample.attributes))
            if kernel is not None and all(extent != 0 for b in kernel.buffers for extent in b.shape):
                found.setdefault(canonical(kernel)[2], (f"{op.name} {number}", kernel))
    return tuple(found.values())


@pytest.mark.parametrize("level", LEVELS)
def test_schedules_of_all_ops_are_legal(level: str) -> None:
    chip = target(level)
    illegal = []
    for label, kernel in sample_kernels():
        for choice in tile(kernel, chip, keep=3):
            for problem in check(kernel, choice.schedule, chip, without=["tiles_fit"]):
                illegal.append(
                    f"{label}: {problem.message}\n{print_kernel(kernel)}{print_schedule(choice.schedule)}"
                )
    assert not illegal, "\n".join(illegal[:5])


def test_a_kernel_steps_along_one_dim_only() -> None:
    two = parse_kernel("""kernel "two" {
      input x: f32[4]  output y: f32[4]  output z: f32[4]
      stage one (scan i: 4): y[i] = neg(x[i])
      stage other (scan j: 4): z[j] = neg(x[j])
    }""")
    with pytest.raises(UnsupportedError, match="2 sequential dims"):
        tile(two, target("avx2"))


def test_what_feeds_all_steps_of_a_recurrence_is_one_product() -> None:
    """It is no step itself: a block has several of its rows, where a step has one row and as many columns as it can."""
    layer = parse_kernel("""kernel "layer" {
      input x: f32[24, 32]  constant w: f32[32, 96]  constant r: f32[96, 96]
      local fed: f32[24, 96]  local back: f32[24, 96]  output h: f32[24, 96]  local state: f32[24, 96]
      stage feed (t: 24, k: 96, reduce c: 32): fed[t, k] = sum mul(x[t, c], w[c, k])
      stage again (scan t: 24, k: 96, reduce j: 96): back[t, k] = sum mul(state[t - 1, j] else 0.0, r[j, k])
      stage next (scan t: 24, k: 96): state[t, k] = tanh(add(fed[t, k], back[t, k]))
      stage out (scan t: 24, k: 96): h[t, k] = state[t, k]
    }""")
    chip = target("avx2")
    (choice,) = tile(layer, chip)
    assert not check(layer, choice.schedule, chip, without=["tiles_fit"])
    feed, again = (choice.schedule.place(name) for name in ("feed", "again"))
    assert (feed.at, again.at) == (0, 1)
    assert [(loop.dim, loop.step) for loop in feed.loops][:2] == [("k", 16), ("t", 6)]
    assert [(loop.dim, loop.step) for loop in again.loops][:1] == [("k", 96)]
    assert {hold.buffer for hold in choice.schedule.holds if hold.layout is not None} == {"w", "r"}


def test_a_window_takes_whole_cache_lines_and_goes_on_to_what_lies_beside() -> None:
    """Half of AVX2's 16 registers accumulate, and the channels of a place come before the next place."""
    window = parse_kernel("""kernel "window" {
      input x: f32[58, 58, 96]  constant w: f32[3, 3, 96]  output y: f32[56, 56, 96]
      stage s (i: 56, j: 56, c: 96, reduce p: 3, reduce q: 3): y[i, j, c] = sum mul(x[i + p, j + q, c], w[p, q, c])
    }""")
    (choice,) = tile(window, target("avx2"))
    assert [(loop.dim, loop.step) for loop in choice.schedule.loops] == [("i", 1), ("j", 4), ("c", 16)]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", BLOCKS)
def test_schedules_of_networks_are_legal_and_ranked(name: str, level: str) -> None:
    chip, kernel = target(level), parse_kernel(BLOCKS[name])
    choices = tile(kernel, chip, keep=40)
    costs = [choice.estimate.cycles for choice in choices]
    assert costs == sorted(costs)
    assert costs[0] > 0
    for choice in choices:
        assert check(kernel, choice.schedule, chip, without=["tiles_fit"]) == [], print_schedule(
            choice.schedule
        )


@pytest.mark.parametrize("name", BLOCKS)
def test_more_machine_never_costs_more(name: str) -> None:
    kernel = parse_kernel(BLOCKS[name])
    chip = target("avx512")
    cost = tile(kernel, chip)[0].estimate.cycles
    dearer = {}
    for memory in chip.memories.values():
        for change in ({"bandwidth": memory.bandwidth * 2}, {"bytes": memory.bytes * 2}):
            larger = replace(chip, memories={**chip.memories, memory.name: replace(memory, **change)})
            ratio = tile(kernel, larger)[0].estimate.cycles / cost
            if ratio > 1.01:
                dearer[memory.name, *change] = ratio
    assert not dearer


@pytest.mark.parametrize("name", BLOCKS)
def test_the_choice_is_repeatable(name: str) -> None:
    kernel, chip = parse_kernel(BLOCKS[name]), target("avx2")
    assert tile(kernel, chip, keep=10) == tile(parse_kernel(BLOCKS[name]), target("avx2"), keep=10)


def test_a_whole_network_is_tiled_within_a_second() -> None:
    kernels = [parse_kernel(text) for text in RESNET50]
    chip = target("avx512")
    begin = process_time()
    for kernel in kernels:
        tile(kernel, chip)
    assert process_time() - begin < 1.5


TABLE = """kernel "rows" {{
  input x: i64[64]  input t: f32[{rows}, 768]  local m: f32[64]  output y: f32[64, 768]
  stage mx (i: 64, reduce j: 768): m[i] = max t[x[i], j]
  stage dv (i: 64, j: 768): y[i, j] = div(t[x[i], j], m[i])
}}"""
STEPS = """kernel "steps" {{
  input x: f32[{n}, 2048]  constant w: f32[2048, 256]  constant r: f32[256, 256]
  local a: f32[{n}, 256]  local g: f32[{n}, 256]  local h: f32[{n}, 256]  output y: f32[{n}, 256]
  stage all (t: {n}, c: 256, reduce k: 2048): a[t, c] = sum mul(x[t, k], w[k, c])
  stage gates (scan t: {n}, c: 256, reduce k: 256): g[t, c] = sum mul(h[t - 1, k] else 0.0, r[k, c])
  stage cell (scan t: {n}, c: 256): h[t, c] = add(g[t, c], a[t, c])
  stage out (scan t: {n}, c: 256): y[t, c] = h[t, c]
}}"""


def test_factors_that_neighbouring_windows_share_have_registers() -> None:
    """Where a window of 3 moves by 2, each place has one of its 3 factors from the place before; by 4, none."""
    text = """kernel "stem" {{
      input x: f32[3, 229, 229]  constant w: f32[3, 3, 3, 32]  output y: f32[56, 56, 32]
      stage s (i: 56, j: 56, f: 32, reduce c: 3, reduce p: 3, reduce q: 3):
        y[i, j, f] = sum mul(x[c, {s}*i + p, {s}*j + q], w[c, p, q, f])
    }}"""
    for step, shared in ((2, 1), (4, 0)):
        schedule = tile(parse_kernel(text.format(s=step)), target("avx2"))[0].schedule
        rows, columns = (schedule.loops[-1].step, next(x.step for x in schedule.loops if x.dim == "f") // 8)
        assert (rows + 1) * (columns + shared) <= target("avx2").engine("contract").registers, step
        assert rows * columns >= 8


@pytest.mark.parametrize(("length", "held"), [(128, {"q", "k", "v"}), (4096, {"q", "k"})])
def test_factors_that_have_to_be_widened_are_copied_wide_while_they_are_few(
    length: int, held: set[str]
) -> None:
    text = ATTENTION.format(b=2, m=length, d=64)
    for name, read in (("q", "q[b, i, d]"), ("k", "k[b, j, d]"), ("v", "v[b, j, f]")):
        text = text.replace(f"input {name}: f32", f"input {name}: bf16").replace(read, f"cast({read}):f32")
    kernel = parse_kernel(text)
    schedule = tile(kernel, target("avx2"))[0].schedule
    assert {hold.buffer for hold in schedule.holds} & {"q", "k", "v"} == held
    assert all(schedule.place(name).engine == "fma" for name in ("qk", "pv"))
    assert {wide_dtype(kernel, name) for name in "qkv"} == {f32}
    assert wide_dtype(parse_kernel(ATTENTION.format(b=2, m=8, d=4)), "q") == f32


def test_what_is_read_as_it_is_too_is_not_widened() -> None:
    body = "add(cast(x[i]):f32, cast(neg(x[i])):f32)"
    kernel = parse_kernel(f'kernel "k" {{ input x: bf16[8] output y: f32[8] stage s (i: 8): y[i] = {body} }}')
    assert wide_dtype(kernel, "x") == bf16


@pytest.mark.parametrize(("k", "most"), [(1008, 16), (1024, 8), (2048, 8), (512, 16)])
def test_rows_that_lie_pages_apart_are_no_more_than_one_set_keeps(k: int, most: int) -> None:
    target = describe(replace(select("avx512", None), caches=((1, 32 << 10), (2, 1 << 20))))
    place = tile(parse_kernel(conv(14, k, 256, 1)), target)[0].schedule.loops[-1]
    assert (place.dim, most // 2 < place.step <= most) == ("j", True)


def test_a_table_costs_the_rows_that_are_read_of_it() -> None:
    few, many = (
        tile(parse_kernel(TABLE.format(rows=rows)), target("avx2"))[0].estimate for rows in (1000, 100_000)
    )
    assert few == many


def test_weights_of_what_is_no_step_are_read_once() -> None:
    """Those of the first product fill a cache: at every step they would be read again."""
    short, long = (
        tile(parse_kernel(STEPS.format(n=n)), target("avx2"))[0].estimate.memory["dram"] for n in (64, 256)
    )
    inputs = (256 - 64) * (2048 + 256) * 4  # bytes of x and y that more steps have
    assert (long - short) * target("avx2").memories["dram"].bandwidth < 2 * inputs


def test_what_runs_before_the_steps_of_a_recurrence_is_added_to_them() -> None:
    estimate = tile(parse_kernel(STEPS.format(n=64)), target("avx2"))[0].estimate
    assert estimate.apart > 0
    assert estimate.cycles >= max(estimate.compute, *estimate.memory.values()) + estimate.apart
    assert estimate.parts["apart"] == estimate.apart
