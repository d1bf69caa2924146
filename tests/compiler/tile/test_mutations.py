"""Every legality rule is needed: each has a schedule that only it refuses, and that goes wrong when run."""

from pathlib import Path

import numpy as np
import pytest

from isthmus.compiler.diagnostics import VerifyError
from isthmus.compiler.target.description import Memory, Target
from isthmus.compiler.tile.check import check, require_legal
from isthmus.compiler.tile.draw import draw_arrays
from isthmus.compiler.tile.interpret import run_tiled
from isthmus.compiler.tile.rules import RULES
from isthmus.compiler.tile.stage import Kernel
from isthmus.compiler.tile.text import parse_kernel, parse_schedule
from isthmus.compiler.tile.untiled import run_untiled

KERNELS = Path(__file__).parent / "kernels"

STATE = """
kernel "state" {
  input x: f32[5, 4]
  local g: f32[5, 4]
  local h: f32[5, 4]
  output y: f32[5, 4]
  stage gates (scan t: 5, i: 4, reduce k: 4): g[t, i] = sum h[t - 1, k] else 1.0
  stage cell (scan t: 5, i: 4): h[t, i] = add(mul(g[t, i], 0.5:f32), x[t, i])
  stage out (scan t: 5, i: 4): y[t, i] = h[READ, i]
}
"""

SHIFTED = """
kernel "shifted" {
  input x: f32[6, 3]
  local s: f32[6]
  output y: f32[4, 3]
  stage sum (a: 6, reduce r: 3): s[a] = sum x[a, r]
  stage out (i: 4, r: 3): y[i, r] = s[i + r]
}
"""

SPREAD = """
kernel "spread" {
  input x: f32[4, 6]
  input b: f32[5]
  local s: f32[4]
  output y: f32[4, 5]
  stage sum (m: 4, reduce k: 6): s[m] = sum x[m, k]
  stage out (m: 4, n: 5): y[m, n] = mul(s[m], b[n])
}
"""

RESTARTED = """
kernel "restarted" {
  input s: f32[4, 6]
  input v: f32[3, 6]
  local m: f32[4]
  local e: f32[4, 6]
  local o: f32[4]
  output y: f32[4]
  stage mx (i: 4, reduce j: 6): m[i] = max s[i, j]
  stage ex (i: 4, j: 6): e[i, j] = exp(sub(s[i, j], m[i]))
  stage pv (i: 4, reduce z: 3, reduce j: 6):
    o[i] = sum mul(e[i, j], v[z, j]) repair m by exp(sub(max(old:f32, -3e38:f32), new:f32))
  stage out (i: 4): y[i] = o[i]
}
"""

MIRRORED = """
kernel "mirrored" {
  input x: f32[4]
  output y: f32[4]
  output z: f32[4]
  stage double (i: 4): y[i] = add(x[i], x[i])
  stage turn (i: 4): z[i] = y[-i + 3]
}
"""

SCALED = """
kernel "scaled" {
  input s: f32[4, 6]
  local m: f32[4]
  local w: f32[4]
  local l: f32[4]
  output y: f32[4]
  stage mx (i: 4, reduce j: 6): m[i] = max s[i, j]
  stage ex (i: 4): w[i] = exp(neg(m[i]))
  stage sm (i: 4, reduce j: 6):
    l[i] = sum mul(exp(s[i, j]), w[i]) repair m by exp(sub(max(old:f32, -3e38:f32), new:f32))
  stage out (i: 4): y[i] = l[i]
}
"""

TWO_WRITERS = """
kernel "two_writers" {
  input a: f32[6, 3]
  output z: f32[6, 5]
  stage left (i: 6, p: 3): z[i, p] = a[i, p]
  stage right (i: 6, q: 2): z[i, q + 3] = neg(a[i, q])
}
"""

MIXED = """
kernel "mixed" {
  input a: f32[4, 6]
  input b: f32[3, 6]
  output y: f32[7]
  stage sums (i: 4, reduce k: 6): y[i] = sum a[i, k]
  stage tops (j: 3, reduce k: 6): y[j + 4] = min mul(b[j, k], b[j, k])
}
"""

SKIPPED = """
kernel "skipped" {
  input x: f32[5, 6]
  local g: f32[5, 6]
  local h: f32[5, 6]
  output y: f32[3]
  stage gates (scan t: 5, c: 6, reduce k: 4): g[t, c] = sum h[t - 1, k] else 1.0
  stage cell (scan t: 5, c: 6): h[t, c] = add(g[t, c], x[t, c])
  stage out (i: 3): y[i] = h[4, 2*i]
}
"""

FED = """
kernel "fed" {
  input x: f32[9]
  local u: f32[9]
  local w: f32[9]
  output y: f32[3, 2]
  stage first (a: 9): u[a] = exp(x[a])
  stage second (b: 9): w[b] = neg(u[b])
  stage third (i: 3, j: 2): y[i, j] = w[2*i + 3*j]
}
"""

CASES = {
    "scans_are_stepped: two steps at once": (
        STATE.replace("READ", "t"),
        "hold h in m hold g in m for t step 2 place gates, cell, out on e",
    ),
    "scans_carry_on: the state is held inside the loop": (
        STATE.replace("READ", "t"),
        "for t step 1 hold h in m hold g in m place gates, cell, out on e",
    ),
    "scans_carry_on: the loop over the state is outside": (
        STATE.replace("READ", "t"),
        "hold h in m for i step 2 for t step 1 hold g in m place gates, cell, out on e",
    ),
    "scans_carry_on: the loop inside skips elements": (
        SKIPPED,
        "hold h in m place out on e for t step 1 for i step 1 hold g in m place gates, cell on e",
    ),
    "scans_are_read_behind: the last step is read first": (
        STATE.replace("READ", "-t + 4"),
        "hold h in m for t step 1 hold g in m place gates, cell, out on e",
    ),
    "locals_are_held: not at all": ("conv_residual", "place conv, epi on e"),
    "locals_are_held: written outside an inner hold": (
        "conv_residual",
        "hold acc in m for b step 1 place conv on e for oh step 2 hold acc in r place epi on e",
    ),
    "locals_are_held: read outside": (
        "conv_residual",
        "place epi on e for b step 1 hold acc in m place conv on e",
    ),
    "late_stages_are_fed: the loop inside skips elements": (
        FED,
        "hold w in m place third on e for j step 1 hold u in m place second on e for i step 1 place first on e",
    ),
    "outputs_are_stored_whole: interleaved": (
        "transposed",
        "for r step 1 hold acc in m hold y in m place conv, out on e",
    ),
    "kept_tiles_are_filled: a copy with gaps": (
        "cascade",
        "hold c in m place pool on e for k step 2 for t step 2 hold c in r for t step 1 "
        "hold a in r place conv1, conv2 on e",
    ),
    "accumulators_outlive_their_loops: begun in each tile": (
        "matmul",
        "for k step 4 hold y in m place mm on e",
    ),
    "accumulators_outlive_their_loops: not held": ("matmul", "for k step 4 place mm on e"),
    "accumulators_begin_alike: a sum beside a minimum": (
        MIXED,
        "hold y in m for k step 2 place sums, tops on e",
    ),
    "sums_count_once: a loop that the stage lacks": (
        SPREAD,
        "for m step 2 hold s in m place out on e for n step 2 for k step 3 place sum on e",
    ),
    "sums_count_once: a halo": (
        "cascade",
        "hold c in m hold a in m place pool, conv2 on e for c1 step 1 for t step 2 place conv1 on e",
    ),
    "sums_count_once: reduced and moved by one loop": (
        SHIFTED,
        "hold s in m place out on e for r step 1 place sum on e",
    ),
    "partial_results_are_repaired: a mean in the making": (
        "layer_norm",
        "for i step 2 hold mean in m hold var in m hold spread in m place sp, no on e for j step 5 place me, va on e",
    ),
    "partial_results_are_repaired: the maximum starts again, the sum does not": (
        RESTARTED,
        "hold o in m place out on e for z step 1 hold m in m for j step 2 hold e in m place mx, ex, pv on e",
    ),
    "nothing_is_read_early: written after the loop": (
        "softmax",
        "for i step 2 hold m in m hold l in m hold e in m place ex, dv on e for j step 5 place mx, sm on e",
    ),
    "outputs_are_written_before_read: from the other end": (
        MIRRORED,
        "for i step 1 place double, turn on e",
    ),
    "parallel_tiles_are_apart: parallel parts of a sum": (
        "matmul",
        "hold y in m for k step 4 parallel place mm on e",
    ),
    "parallel_tiles_are_apart: a shared halo": (
        "cascade",
        "hold a in m hold c in m for t step 2 parallel place conv1, conv2, pool on e",
    ),
    "rings_slide: another loop moves the tile": (
        "inverted_residual",
        "for oh step 2 for ow step 3 hold h in m roll oh hold a in m hold d in m hold p in m "
        "place expand, relu, depthwise, project, residual on e",
    ),
    "rings_slide: an output with gaps": (
        "transposed",
        "hold acc in m for q step 4 hold y in m roll q place conv, out on e",
    ),
    "rings_slide: the sum is not complete": (
        "cascade",
        "for t step 2 hold c in m hold a in m roll t place conv2, pool on e for c1 step 1 place conv1 on e",
    ),
    "rings_slide: held again inside": (
        "cascade",
        "for t step 1 hold c in m hold a in m roll t place pool on e for g step 1 hold a in r place conv1, conv2 on e",
    ),
    "rings_slide: under a parallel loop": (
        "cascade",
        "for t step 1 parallel hold c in m hold a in m roll t place conv1, conv2, pool on e",
    ),
    "lags_fit_slots: read before it is written": (
        "conv_residual",
        "for oh step 2 hold acc in m slots 2 place conv on e lag 1 place epi on e",
    ),
    "lags_fit_slots: overwritten before it is read": (
        "conv_residual",
        "for oh step 2 hold acc in m slots 2 place conv on e place epi on e lag 2",
    ),
    "lags_fit_slots: an operand": (
        "conv_residual",
        "for oh step 2 hold acc in m slots 2 hold r in m place conv on e place epi on e lag 1",
    ),
    "lags_fit_slots: writers apart": (
        TWO_WRITERS,
        "for i step 2 hold z in m place left on e place right on e lag 1",
    ),
    "changing_buffers_are_read_at_once: a maximum that has gone on": (
        "attention",
        "for b step 1 for i step 3 hold m in m slots 2 hold l in m slots 2 hold o in m slots 2 place dv on e lag 1 "
        "for j step 4 hold s in m slots 2 hold e in m place qk, mx on e place ex, sm, pv on e lag 1",
    ),
    "changing_buffers_are_read_at_once: what follows a maximum": (
        SCALED,
        "hold m in m hold l in m hold w in m slots 2 place out on e lag 1 for j step 2 "
        "place mx on e place ex on e place sm on e lag 1",
    ),
    "changing_buffers_are_read_at_once: loaded before it is stored": (
        MIXED.replace("min mul", "sum mul"),
        "hold y in m slots 2 for k step 2 hold y in r slots 2 place sums on e place tops on e lag 1",
    ),
    "changing_buffers_are_read_at_once: the steps of a scan": (
        STATE.replace("READ", "t"),
        "hold h in m hold g in m slots 2 for t step 1 place gates on e place cell, out on e lag 1",
    ),
}

RESOURCES = {
    "registers_are_not_indexed": "the interpreter has no register file; the emitters rely on it",
    "sizes_are_static": "the interpreter binds symbols first; the emitters rely on it",
    "tiles_fit": "the interpreter's memories have no end",
    "sums_begin_at_once": "the interpreter sets what it holds to the sum's identity; instructions set what they write",
}
"""Rules about machines, with the reason why no values go wrong without them."""


def kernel_of(name: str) -> Kernel:
    return parse_kernel(name if "\n" in name else (KERNELS / f"{name}.kernel").read_text())


def rules_broken(problems: list) -> set[str]:
    return {problem.location.rpartition("rule ")[2] for problem in problems}


def goes_wrong(kernel: Kernel, text: str) -> bool:
    arrays = draw_arrays(kernel, np.random.default_rng(5))
    want = run_untiled(kernel, arrays)
    try:
        got = run_tiled(kernel, parse_schedule(text), arrays)
    except VerifyError:
        return True
    return not all(np.allclose(got[name], want[name], rtol=1e-4, atol=1e-4) for name in got)


def test_every_rule_has_a_case() -> None:
    assert {name.partition(":")[0] for name in CASES} | set(RESOURCES) == set(RULES)


@pytest.mark.parametrize("case", CASES)
def test_only_the_rule_refuses_and_without_it_the_run_goes_wrong(case: str) -> None:
    name = case.partition(":")[0]
    kernel, text = kernel_of(CASES[case][0]), CASES[case][1]
    schedule = parse_schedule(text)
    assert rules_broken(check(kernel, schedule)) == {name}
    assert not check(kernel, schedule, without=[name])
    assert goes_wrong(kernel, text)


CHIP = Target(
    "chip",
    "test",
    memories={
        "reg": Memory("reg", bytes=256, private=True),
        "pad": Memory("pad", bytes=240),
        "cache": Memory("cache", bytes=640, managed="cache", usable=0.5),
        "dram": Memory("dram", home=True),
    },
)


@pytest.mark.parametrize(
    ("rule", "kernel", "schedule"),
    [
        (None, "matmul", "for m step 3 hold y in reg for k step 2 place mm on e m=(m) n=(n)"),
        ("registers_are_not_indexed", "matmul", "for m step 3 hold y in reg for k step 2 place mm on e m/1"),
        (
            None,
            "conv_residual",
            "for oh step 1 for b step 1 hold acc in reg place conv on e kh/1 m=(ow) n=(co) "
            "place epi on e m=(ow) n=(co)",
        ),
        (
            "registers_are_not_indexed",
            "conv_residual",
            "for oh step 1 for b step 1 hold acc in reg place conv on e m=(ow) n=(co) place epi on e n=(ow) m=(co)",
        ),
        (
            "registers_are_not_indexed",
            "conv_residual",
            "for oh step 1 for b step 1 hold acc in reg place epi on e for kh step 1 place conv on e",
        ),
        (None, "conv_residual", "for oh step 2 hold acc in cache place conv, epi on e"),
        ("tiles_fit", "conv_residual", "for oh step 3 hold acc in cache place conv, epi on e"),
        (None, "conv_residual", "for oh step 3 hold acc in dram place conv, epi on e"),
        ("tiles_fit", "conv_residual", "for oh step 2 hold acc in pad place conv, epi on e"),
        (None, "conv_residual", "for oh step 1 hold acc in pad hold bias in pad place conv, epi on e"),
        ("tiles_fit", "conv_residual", "for oh step 1 hold acc in pad slots 2 place conv, epi on e"),
        ("tiles_fit", "conv_residual", "for oh step 1 hold acc in scratch place conv, epi on e"),
        (None, "matmul", "for m step 3 hold y in pad for k step 2 place mm on e"),
        (None, "matmul", "hold y in cache for m step 3 for k step 2 place mm on e"),
        (None, "matmul", "for n step 3 hold y in pad for m step 7 for k step 2 place mm on e"),
        (
            "sums_begin_at_once",
            "matmul",
            "for n step 3 hold y in pad for m step 3 for k step 2 place mm on e",
        ),
        (
            "sums_begin_at_once",
            "matmul",
            "for n step 3 hold y in pad for k step 2 for m step 3 place mm on e",
        ),
        (
            "sums_begin_at_once",
            MIXED.replace("min mul", "sum mul"),
            "hold y in pad for k step 2 place sums, tops on e",
        ),
        # rows of 4 and 2 elements of 4 bytes: a ring of 5 or 7 rows beside one of 3
        (None, "cascade", "for t step 1 hold a in pad roll t hold c in pad place conv1, conv2, pool on e"),
        (
            "tiles_fit",
            "cascade",
            "for t step 4 hold a in pad roll t hold c in pad place conv1, conv2, pool on e",
        ),
    ],
)
def test_memories_are_respected(rule: str | None, kernel: str, schedule: str) -> None:
    problems = check(kernel_of(kernel), parse_schedule(schedule), CHIP)
    assert rules_broken(problems) == ({rule} if rule else set())


def test_symbolic_extents_are_cut_by_the_spine() -> None:
    text = (KERNELS / "matmul.kernel").read_text().replace("[7, ", "[N, ").replace("m: 7", "m: N")
    kernel = parse_kernel(text)
    assert not check(kernel, parse_schedule("for m step 3 hold y in r place mm on e"))
    assert not check(kernel, parse_schedule("place mm on e m/3"))
    assert rules_broken(check(kernel, parse_schedule("place mm on e"))) == {"sizes_are_static"}
    assert rules_broken(check(kernel, parse_schedule("hold y in r place mm on e m/3"))) == {
        "sizes_are_static"
    }


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("place conv on e", "stage 'epi' has 0 places"),
        ("place conv, epi, conv on e", "stage 'conv' has 2 places"),
        ("place conv, epi, other on e", "there is no stage 'other'"),
        ("for q step 1 place conv, epi on e", "no stage has the dim 'q'"),
        ("for oh step 0 place conv, epi on e", "step 0 and unit 1"),
        ("for oh step 2 unit 3 place conv, epi on e", "step 2 and unit 3"),
        ("hold q in m place conv, epi on e", "no stage touches 'q'"),
        ("hold acc in m hold acc in l place conv, epi on e", "is the second there"),
        ("hold acc in m slots 0 place conv, epi on e", "has 0 slots"),
        ("hold acc in m layout (0, 1, 1, 2) place conv, epi on e", "order the axes 0 to 3"),
        ("hold acc in m place conv on e q/1 place epi on e", "has a rib over 'q'"),
        ("hold acc in m place conv on e kh/1 oh/1 place epi on e", "parallel rib 'oh' inside a reduce rib"),
        ("hold acc in m place conv on e m=(oh) n=(oh) place epi on e", "bind dims of the stage, each once"),
    ],
)
def test_impossible_schedules_are_refused_with_a_sentence(schedule: str, message: str) -> None:
    problems = check(kernel_of("conv_residual"), parse_schedule(schedule))
    assert any(message in str(problem) for problem in problems), problems


def test_problems_are_raised_together() -> None:
    with pytest.raises(VerifyError) as error:
        require_legal(
            kernel_of("attention"), parse_schedule("for j step 2 place qk, mx, ex, sm, pv, dv on e")
        )
    assert len(error.value.problems) > 5
    assert all(problem.message and problem.hint for problem in error.value.problems)


def test_rules_say_what_they_ask() -> None:
    assert all(rule.sentence[0].islower() and not rule.sentence.endswith(".") for rule in RULES.values())
