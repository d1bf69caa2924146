"""Products of narrow values: blocks that take several neighbours along a sum at once, and what they are fed with."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import takewhile

import numpy as np
import pytest

from isthmus.backends.cpu import codegen
from isthmus.backends.cpu.constants import pack, packed_size
from isthmus.backends.cpu.holds import Packing
from isthmus.backends.cpu.kernel import KernelEmitter
from isthmus.backends.cpu.leaves import LEAVES
from isthmus.backends.cpu.machine import Machine, select
from isthmus.backends.cpu.target import describe
from isthmus.compiler.diagnostics import UnsupportedError
from isthmus.compiler.ir.types import DType, bf16, i8, i16, u8
from isthmus.compiler.tile.check import check
from isthmus.compiler.tile.choice import uneven
from isthmus.compiler.tile.draw import draw_arrays
from isthmus.compiler.tile.grouped import grouped
from isthmus.compiler.tile.schedule import Schedule
from isthmus.compiler.tile.stage import Kernel
from isthmus.compiler.tile.text import parse_kernel, parse_schedule
from isthmus.compiler.tile.tiler import tile
from isthmus.compiler.tile.untiled import run_untiled

from .forms import BYTES, BYTES_CONV
from .matrix_tiles import MatrixTiles
from .running import Image, Work, differences, distinct

LEVELS = distinct(None, "avx2", "x86-64")
SHAPED = bytes([1, *[0] * 15, *[8, 0] * 8, *[0] * 16, *[3] * 8, *[0] * 8])
"""Tiles of three rows of 8 bytes each."""
TEXT = BYTES.format(a="i8", b="i8", t="i32", m=37, n=70, k=128)


def kernels() -> Iterator[tuple[str, Kernel]]:
    """Tails along every dim, strides, edges filled with another number than zero, both signs of both factors."""

    def make(form: str, **sizes: object) -> tuple[str, Kernel]:
        label = " ".join(f"{name}={value}" for name, value in sizes.items())
        return label, parse_kernel(form.format(**sizes))

    for a, b in (("i8", "i8"), ("u8", "i8"), ("i8", "u8"), ("u8", "u8")):
        yield make(BYTES, a=a, b=b, t="i32", m=7, n=19, k=9)
        yield make(BYTES_CONV, a=a, b=b, h=4, w=9, c=5, f=17, s=1)
    for n, k in ((19, 9), (16, 64)):
        yield make(BYTES, a="i16", b="i16", t="i32", m=7, n=n, k=k)
    for n in (1, 7, 16, 33):
        yield make(BYTES, a="i8", b="i8", t="i32", m=5, n=n, k=32)
        yield make(BYTES, a="bf16", b="bf16", t="f32", m=5, n=n, k=32)
    for m, k in ((1, 64), (2, 1), (6, 2), (13, 3), (49, 65)):
        yield make(BYTES, a="i8", b="i8", t="i32", m=m, n=24, k=k)
        yield make(BYTES, a="bf16", b="bf16", t="f32", m=m, n=24, k=k)
    for k in (16, 24, 100, 144):  # sums of floats that do not fill tiles
        yield make(BYTES, a="bf16", b="bf16", t="f32", m=37, n=40, k=k)
    for a, t in (("i8", "i32"), ("bf16", "f32")):
        yield make(BYTES, a=a, b=a, t=t, m=37, n=70, k=130)
    for h, w, c, s in (
        (1, 1, 1, 1),
        (7, 7, 16, 1),
        (6, 5, 3, 2),
        (3, 29, 8, 1),
        (9, 8, 4, 2),
        (5, 20, 64, 1),
    ):
        yield make(BYTES_CONV, a="i8", b="i8", h=h, w=w, c=c, f=16, s=s)


@pytest.mark.parametrize("level", LEVELS, ids=str)
def test_products_of_narrow_values_equal_the_untiled_meaning(level: str | None) -> None:
    rng = np.random.default_rng(3)
    made = list(kernels())
    works = [Work(kernel, draw_arrays(kernel, rng)) for _, kernel in made]
    image = Image(works, level)
    assert image.refused == {}
    grouped = 0
    for number, (label, kernel) in enumerate(made):
        choice = tile(kernel, describe(select(level, None)))[0]
        grouped += bool(choice.schedule.place("mm").bound("k"))
        assert not check(kernel, choice.schedule)
        want = run_untiled(kernel, works[number].arrays)
        assert not differences(image.run(number), want, turns=128), label
    assert grouped == len(made)


def test_matrix_tiles_equal_the_untiled_meaning() -> None:
    """On any machine, by functions instead of the operations; they stop where a tile leaves its array."""
    rng = np.random.default_rng(4)
    made = [(label, kernel, on_tiles(kernel)) for label, kernel in kernels()]
    made = [(label, kernel, schedule) for label, kernel, schedule in made if schedule is not None]
    works = [Work(kernel, draw_arrays(kernel, rng), schedule) for _, kernel, schedule in made]
    tiles = MatrixTiles(SHAPED)
    image = Image(works, "amx", tiles)
    for number, (label, _, _) in enumerate(made):
        want = run_untiled(works[number].kernel, works[number].arrays)
        assert not differences(image.run(number), want, turns=128), label
    assert tiles.errors == []
    assert tiles.shape == SHAPED  # others may have shaped them for good
    assert len(made) >= 10


def on_tiles(kernel: Kernel) -> Schedule | None:
    """The best schedule on matrix tiles, whatever other engines would take."""
    for plan in grouped(kernel, describe(select("amx", None))):
        if plan.engine.name.startswith("tiles"):
            return next((choice.schedule for choice in plan.choices(1)), None)
    return None


def engine(kernel: Kernel, level: str) -> str:
    """What the tiler takes for a product."""
    return tile(kernel, describe(select(level, None)))[0].schedule.place("mm").engine


def test_extremes_do_not_overflow() -> None:
    """Pairs of the least values: 2 * 128 * 128 is one more than an operation with 16-bit sums could hold."""
    kernel = parse_kernel(BYTES.format(a="i8", b="i8", t="i32", m=3, n=16, k=32))
    lowest = {b.name: np.full(b.static_shape, -128, b.dtype.numpy) for b in kernel.buffers if b.name in "ab"}
    arrays = {**draw_arrays(kernel, np.random.default_rng(0)), **lowest}
    image = Image([Work(kernel, arrays)])
    assert np.array_equal(image.run(0)["y"], run_untiled(kernel, arrays)["y"])


def with_features(*features: str, level: str = "avx512") -> Machine:
    base = select(level, None)
    return replace(base, features=base.features | set(features), cpu="sapphirerapids")


def listing(text: str, machine: Machine) -> str:
    kernel = parse_kernel(text)
    schedule = tile(kernel, describe(machine))[0].schedule
    assert not check(kernel, schedule)
    declarations: set[str] = set()
    code = KernelEmitter(kernel, schedule, machine, "kernel", declarations).emit()
    text = codegen.module_text(machine, [code.text.replace("hidden ", "")], declarations)
    return codegen.assembly(machine, text)


@pytest.mark.parametrize(
    ("machine", "dtype", "wanted"),
    [
        (select("x86-64", None), "i8", ["pmaddwd"]),
        (select("avx2", None), "i8", ["vpmaddubsw", "vpxor", "vpbroadcastd"]),
        (select("avx512", None), "i8", ["vpmaddwd", "zmm"]),
        (with_features("avx512vnni"), "i8", ["vpdpbusd", "zmm"]),
        (with_features("avxvnni", level="avx2"), "i8", ["vpdpbusd", "ymm"]),
        (with_features("avx512bf16"), "bf16", ["vdpbf16ps", "zmm"]),
        (
            select("amx", None),
            "i8",
            ["ldtilecfg", "tilezero", "tileloadd", "tdpbssd", "tilestored", "sttilecfg"],
        ),
        (select("amx", None), "u8", ["tdpbusd"]),
        (select("amx", None), "bf16", ["tdpbf16ps"]),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_features_choose_the_operation(machine: Machine, dtype: str, wanted: list[str]) -> None:
    sums, other = ("f32", "bf16") if dtype == "bf16" else ("i32", "i8")
    code = listing(BYTES.format(a=dtype, b=other, t=sums, m=40, n=64, k=128), machine)
    assert all(name in code for name in wanted)


def hot_loop(dtype: str, level: str, operation: str) -> list[str]:
    """The instructions of the innermost loop of a product, which does the operation most often."""
    code = listing(BYTES.format(a=dtype, b=dtype, t="i32", m=37, n=70, k=128), select(level, None))
    block = max(code.split("\n.LBB"), key=lambda block: block.count(operation))
    lines = [line.strip() for line in block.split("\n") if line.startswith("\t") and "#" not in line]
    return list(takewhile(lambda line: not line.startswith("j"), lines))


@pytest.mark.parametrize(
    ("level", "dtype", "operation"),
    [
        ("avx2", "i8", "vpmaddubsw"),
        ("avx2", "i16", "vpmaddwd"),
        ("avx512", "i8", "vpmaddwd"),
        ("avx512", "i16", "vpmaddwd"),
    ],
)
def test_hot_loops_keep_their_sums_in_registers(level: str, dtype: str, operation: str) -> None:
    loop = hot_loop(dtype, level, operation)
    assert sum(operation in line for line in loop) >= 18
    spilled = [
        line for line in loop if "rsp" in line and "broadcast" not in line
    ]  # copied rows may lie there
    assert spilled == []


def test_signs_beside_columns_are_charged_as_memory() -> None:
    target = describe(select("avx2", None))
    signs = replace(target.engines["signs"], planes=1)
    lean = replace(target, engines={**target.engines, "signs": signs})
    kernel = parse_kernel(BYTES.format(a="i8", b="i8", t="i32", m=4, n=512, k=512))
    plans = [plan for each in (target, lean) for plan in grouped(kernel, each) if plan.engine.name == "signs"]
    charged, free = (plan.choices(1)[0].estimate.memory["dram"] for plan in plans)
    assert charged > 1.8 * free


@pytest.mark.parametrize(("h", "c", "f"), [(14, 512, 512), (28, 256, 256), (56, 128, 128)])
def test_what_copies_its_rows_is_shared_evenly_by_two_cores(h: int, c: int, f: int) -> None:
    """A copy for all columns at once would be cheapest, and leave a second core nothing; so would seven strips."""
    form = BYTES_CONV.replace("[{h}, {w}, {f}]", "[{o}, {o}, {f}]").replace(
        "i: {h}, j: {w}", "i: {o}, j: {o}"
    )
    kernel = parse_kernel(form.format(a="i8", b="i8", h=h, w=h, o=h // 2, c=c, f=f, s=2))
    schedule = tile(kernel, describe(select("avx2", None)))[0].schedule
    assert uneven(schedule.loops, {name: each.size for name, each in kernel.dims.items()}) == 1.0


def test_products_of_words_are_as_fast_as_those_of_bytes_without_vnni() -> None:
    """What the integers' fast convolutions count on where AVX-512 is without VNNI: as many instructions a product."""
    shares = []
    for dtype in ("i8", "i16"):
        loop = hot_loop(dtype, "avx512", "vpmaddwd")
        products, sums = ([line for line in loop if line.startswith(name)] for name in ("vpmaddwd", "vpaddd"))
        assert len(products) == len(sums)
        assert all("zmm" in line for line in products + sums)
        shares.append(len(products) / len(loop))
    assert shares[1] == pytest.approx(shares[0], rel=0.15)


@pytest.mark.parametrize("dtype", ["i8", "u8"])
def test_the_largest_products_pass_no_register(dtype: str) -> None:
    """Pairs of products of the ends of both ranges come to 32,768 in 16 bits, or nearly so."""
    kernel = parse_kernel(BYTES.format(a=dtype, b="i8", t="i32", m=16, n=16, k=12))
    assert tile(kernel, describe(select(None, None)))[0].schedule.place("mm").bound("k")
    arrays = draw_arrays(kernel, np.random.default_rng(6))
    ends = {"i8": [-128, 127], "u8": [0, 255]}
    pattern = np.array(np.meshgrid(*[[0, 1]] * 4)).reshape(4, 16).T.repeat(3, 1)
    arrays["a"] = np.take(ends[dtype], pattern).astype(arrays["a"].dtype)
    arrays["b"] = np.take([-128, 127], pattern.T).astype(np.int8)
    want = run_untiled(kernel, arrays)
    for level in LEVELS:
        assert not differences(Image([Work(kernel, arrays)], level).run(0), want)


def panels(
    array: np.ndarray, dtype: DType, group: int, depth: int, offset: int = 0, signs: bool = False
) -> np.ndarray:
    """A matrix packed in panels of 32 and 16 columns."""
    cuts = tuple((n, min(32, array.shape[1] - n)) for n in range(0, array.shape[1], 32))
    packing = Packing("w", (), (0, 1), cuts, 16, dtype, group, depth, offset, signs)
    flat = np.zeros(packed_size(array.shape, packing), dtype.numpy)
    pack(array, packing, flat)
    return flat


@pytest.mark.parametrize(
    ("dtype", "group", "depth"), [(i16, 2, 2), (i8, 4, 4), (i8, 4, 64), (bf16, 2, 32)], ids=str
)
def test_a_tile_of_columns_holds_groups_of_the_sum(dtype: DType, group: int, depth: int) -> None:
    """What a matrix tile or a broadcast group meets in a panel, row by row, gives the product."""
    rng = np.random.default_rng(4)
    rows = rng.integers(-128, 128, (5, 96 if dtype == bf16 else 70))
    columns = rng.integers(-128, 128, (rows.shape[1], 40))
    whole = -(-rows.shape[1] // depth) * depth
    flat = panels(columns.astype(dtype.numpy), dtype, group, depth).astype(np.int64)
    filled = np.zeros((5, whole), np.int64)
    filled[:, : rows.shape[1]] = rows
    got, at = [], 0
    for width in (32, 16):
        panel = flat[at : at + whole * width].reshape(whole // group, width, group)
        got.append(sum(filled[:, g * group : (g + 1) * group] @ panel[g].T for g in range(whole // group)))
        at += whole * width
    assert at == flat.size
    assert np.array_equal(np.hstack(got)[:, :40], rows @ columns)


def test_panels_for_shifted_rows_end_in_what_the_shift_adds() -> None:
    columns = np.random.default_rng(5).integers(-127, 128, (10, 40)).astype(np.int8)
    flat = panels(columns, i8, 4, 4, offset=128)
    first = flat[: 16 * 32]
    assert np.array_equal(first[12 * 32 :].view(np.int32), -128 * columns[:, :32].sum(0, dtype=np.int32))
    assert np.array_equal(flat[-64:].view(np.int32)[:8], -128 * columns[:, 32:].sum(0, dtype=np.int32))


def test_panels_with_signs_hold_magnitudes_and_masks() -> None:
    """What is left after rows were turned round where a number is negative stands at the end."""
    columns = np.random.default_rng(5).integers(-128, 128, (10, 16)).astype(np.int8)
    flat = panels(columns, u8, 4, 4, offset=-128, signs=True)
    groups = flat[: 3 * 2 * 16 * 4].reshape(3, 2, 16, 4)
    sizes, masks = (np.moveaxis(groups[:, n], 2, 1).reshape(12, 16)[:10] for n in (0, 1))
    assert np.array_equal(sizes, np.abs(columns.astype(int)))
    assert np.array_equal(masks == 255, columns < 0)
    assert np.array_equal(masks == 0, columns >= 0)
    whole = columns.astype(np.int32)
    assert np.array_equal(flat[384:].view(np.int32), 128 * whole.sum(0) - whole.clip(max=0).sum(0))


def test_machines_have_only_engines_that_they_can_run() -> None:
    names = {level: set(describe(select(level, None)).engines) & set(LEAVES) for level in ("avx2", "amx")}
    assert {"tiles_i8", "tiles_bf16", "dots", "pairs_bf16"} <= names["amx"]
    assert names["avx2"] == {"pairs", "words", "signs", "signs_u8", "widened"}


def test_blocks_of_more_than_two_tiles_are_refused() -> None:
    schedule = parse_schedule(
        """for m step 40
  hold s in l1
  place mm on tiles_i8 k/64:64 n=(n) k=(k)
  place epilogue on tiles_i8 m/4 n=(n)"""
    )
    kernel = parse_kernel(BYTES.format(a="i8", b="i8", t="i32", m=40, n=32, k=64))
    with pytest.raises(UnsupportedError, match="block of more than two tiles"):
        KernelEmitter(kernel, schedule, select("amx", None), "kernel", set()).emit()
