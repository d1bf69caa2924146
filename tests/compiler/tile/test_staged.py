"""Choices of tiles for chips of explicit memories: places of tiles."""

import pytest

from isthmus.compiler.tile.assumption import ROOMY, USUAL
from isthmus.compiler.tile.staged import Staging, stage_tiles
from isthmus.compiler.tile.text import parse_kernel
from isthmus.targets import find_backend

PRODUCT = """
kernel "k" {{
  input x: i8[{rows}, {inner}]
  input r: i8[{rows}, 2048]
  constant w: i8[{inner}, 2048]
  output y: i8[{rows}, 2048]
  local acc: i32[{rows}, 2048]
  stage s0 (i: {rows}, j: 2048, reduce k: {inner}): acc[i, j] = sum mul(cast(x[i, k]):i32, cast(w[k, j]):i32)
  stage s1 (i: {rows}, j: 2048): y[i, j] = cast(max(acc[i, j], cast(r[i, j]):i32)):i8
}}
"""


@pytest.mark.parametrize(("rows", "inner", "places"), [(49, 512, 3), (196, 1024, 2)])
def test_tiles_of_columns_have_a_place_more_where_home_is_busy(rows, inner, places):
    """Of 49 rows a tile of weights is used little longer than it takes to come, and what else is copied delays it."""
    kernel = parse_kernel(PRODUCT.format(rows=rows, inner=inner))
    choice = stage_tiles(kernel, find_backend("n1-16").target({}))
    assert {hold.buffer: hold.slots for hold in choice.schedule.holds}["w"] == places


def test_results_on_their_way_to_another_engine_have_spare_places():
    """What is loaded has as many as without; tiles are chosen so that all of them fit."""
    kernel, target = parse_kernel(PRODUCT.format(rows=392, inner=512)), find_backend("n1-16").target({})
    usual, roomy = (
        {hold.buffer: hold.slots for hold in Staging(kernel, target, each).choice(each[0]).schedule.holds}
        for each in (USUAL, ROOMY)
    )
    assert roomy["acc"] == usual["acc"] + 1
    assert (roomy["x"], roomy["r"], roomy["y"]) == (usual["x"], usual["r"], usual["y"])


@pytest.mark.parametrize("chip", ["n1-16", "n1-32"])
@pytest.mark.parametrize("tokens", [50, 197])
def test_what_lacks_a_dim_passes_by_once(chip, tokens):
    """Heads side by side in rows of values: the result has tokens outside, but each head's values fit beside them."""
    kernel = parse_kernel(f"""
    kernel "k" {{
      input p: i8[12, {tokens}, {tokens}]  input v: i8[{tokens}, 768]  output y: i8[{tokens}, 12, 64]
      local acc: i32[{tokens}, 12, 64]
      stage s0 (i: {tokens}, h: 12, d: 64, reduce j: {tokens}):
        acc[i, h, d] = sum mul(cast(p[h, i, j]):i32, cast(v[j, 64*h + d]):i32)
      stage s1 (i: {tokens}, h: 12, d: 64): y[i, h, d] = cast(acc[i, h, d]):i8
    }}""")
    schedule = stage_tiles(kernel, find_backend(chip).target({})).schedule
    around = [loop.dim for loop in schedule.loops[: next(h.at for h in schedule.holds if h.buffer == "v")]]
    assert "i" not in around


@pytest.mark.parametrize("count", [24, 90])
def test_sums_of_many_operands_hold_them_alike(count):
    """Each of them could be held at two depths: 2 ** count ways are not looked at one by one."""
    names = [f"x{n}" for n in range(count)]
    operands = "\n".join(f"input {name}: f32[256, 4096]" for name in names)
    total = names[0] + "[i, j]"
    for name in names[1:]:
        total = f"add({total}, {name}[i, j])"
    kernel = parse_kernel(f"""
    kernel "k" {{
      {operands}
      output y: f32[256, 4096]
      stage s0 (i: 256, j: 4096): y[i, j] = {total}
    }}""")
    schedule = stage_tiles(kernel, find_backend("n1-32").target({})).schedule
    assert len({hold.at for hold in schedule.holds if hold.buffer in names}) == 1


def test_a_sum_is_cut_in_as_many_parts_as_let_its_operands_stay():
    """Rows of bf16 take twice the room: with a sixth of the sum at most, tiles of rows and columns would be half as
    large and pass by several times."""
    kernel = parse_kernel("""
    kernel "k" {
      input x: bf16[128, 3072]  input r: bf16[128, 768]
      constant w: bf16[3072, 768]
      output y: bf16[128, 768]
      local acc: f32[128, 768]
      stage s0 (i: 128, j: 768, reduce k: 3072): acc[i, j] = sum mul(cast(x[i, k]):f32, cast(w[k, j]):f32)
      stage s1 (i: 128, j: 768): y[i, j] = cast(add(acc[i, j], cast(r[i, j]):f32)):bf16
    }""")
    choice = stage_tiles(kernel, find_backend("n1-32").target({}))
    assert next(loop.step for loop in choice.schedule.loops if loop.dim == "k") < 512
