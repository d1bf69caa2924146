"""Cycles of f1's instructions, by the formulas that the chip files state."""

from dataclasses import replace

import pytest

from isthmus.backends.fpga.costs import costs
from isthmus.backends.fpga.isa import F1, Conv, Depthwise, Pool, View
from isthmus.backends.fpga.resources import estimate
from isthmus.runtime.sim.fields import Halt, Instruction
from isthmus.targets import find_backend


def record(chip: str) -> dict:
    return find_backend(chip).target({}).record()


def busy(chip: str, instruction: Instruction) -> float:
    """Cycles that an instruction keeps its engine, without those in which the pipeline drains."""
    stream = F1.decode(F1.encode([instruction, Halt()]))
    engine = record(chip)["engines"][type(instruction).queue]
    return float(costs(record(chip), stream).work.busy[0]) - engine.get("between", 0)


@pytest.mark.parametrize(
    ("chip", "pixels", "inputs", "outputs"), [("f1-b4096", 8, 16, 16), ("f1-b512", 4, 8, 8)]
)
@pytest.mark.parametrize(
    ("oh", "ow", "kh", "kw", "ci", "co"),
    [(1, 1, 1, 1, 1, 1), (7, 7, 3, 3, 512, 512), (56, 56, 1, 1, 64, 256), (5, 13, 3, 2, 17, 33)],
)
def test_convolutions_take_what_the_array_is_wide(chip, pixels, inputs, outputs, oh, ow, kh, kw, ci, co):
    conv = Conv(a=0, w=0, c=0, m1=oh, m0=ow, k2=kh, k1=kw, k0=ci, n=co, am0=1, pitch=4 * co)
    expected = oh * -(-ow // pixels) * kh * kw * -(-ci // inputs) * -(-co // outputs)
    assert busy(chip, conv) == expected


def view(memory: str, type: int, *strides: int) -> View:
    number = ("fm", "wgt", "psum").index(memory)
    return View(memory=number, dtype=type, base=0, **{f"s{n}": s for n, s in enumerate(strides)})


def test_channels_and_pixels_share_the_misc_engine():
    streams = (
        view("fm", 3, 1, 144, 8064),
        view("fm", 0, 1, 144, 8352, 144, 8352),
        view("fm", 0, 1, 0, 0, 432, 144),
    )
    depthwise = Depthwise(n0=144, n1=56, n2=2, n3=3, n4=3, streams=streams)
    assert busy("f1-b4096", depthwise) == 9 * 9 * 14 * 2  # 144 of 16, 56 of 4
    assert busy("f1-b4096", replace(depthwise, n0=64, n1=1)) == 9 * 2
    pool = Pool(n0=32, n1=7, n2=7, n3=2, n4=2, combine=2, streams=streams[:2])
    assert busy("f1-b4096", pool) == 2 * 2 * 7 * 4


def test_a_larger_array_is_never_slower():
    conv = Conv(a=0, w=0, c=0, m1=14, m0=14, k2=3, k1=3, k0=256, n=256, am0=1, pitch=1024)
    cycles = [busy(chip, conv) for chip in ("f1-b512", "f1-b2304", "f1-b3136", "f1-b4096")]
    assert cycles == sorted(cycles, reverse=True)
    lookups = [
        estimate(find_backend(chip).target({})).total["dsp"] for chip in ("f1-b512", "f1-b2304", "f1-b4096")
    ]
    assert lookups == sorted(lookups)
