"""Resources: the published points of designs of this class, and overlays that do not fit."""

from pathlib import Path

import pytest

from isthmus.backends.fpga.resources import estimate
from isthmus.compiler.diagnostics import CompileError
from isthmus.targets import find_backend

# AMD, PG338 1.2, table 9 (high DSP usage, without depthwise convolution), and PG338 3.4, "Extra resources of DPUCZDX8G
# with Depthwise Convolution": pixels, input and output channels; LUT, FF, DSP; extra LUT, BRAM36 and DSP.
PUBLISHED = [
    (4, 8, 8, 20177, 31782, 98, 1734, 4, 12),
    (4, 10, 10, 20617, 35065, 142, 2293, 4.5, 15),
    (8, 8, 8, 27377, 46241, 194, 2744, 4, 24),
    (4, 12, 12, 28698, 46906, 194, 2365, 5.5, 18),
    (8, 10, 10, 30877, 56267, 282, 3392, 4.5, 30),
    (8, 12, 12, 34379, 67481, 386, 3943, 5.5, 36),
    (8, 14, 14, 38555, 79867, 506, 4269, 6.5, 42),
    (8, 16, 16, 40865, 92630, 642, 4930, 7.5, 48),
]
CHIP = """
inherits = "f1-b4096"
target = {{ name = "mine", part = "{part}", cores = {cores}, clock_mhz = {clock} }}
engine.conv = {{ pixels = {pixels}, rows = {rows}, cols = {cols} }}
engine.misc = {{ pixels = {half}, lanes = {lanes}, mac_per_cycle = {lanes} }}
memory.fm.banks = {pixels}
memory.psum.banks = {pixels}
memory.wgt.banks = {cols}
"""


def chip(
    folder: Path, pixels: int, rows: int, cols: int, part: str = "XCZU7EV", cores: int = 1, clock: int = 300
) -> str:
    path = folder / "mine.toml"
    half, lanes = pixels // 2, pixels // 2 * cols
    path.write_text(CHIP.format(**locals()))
    return str(path)


def close(got: float, wanted: float) -> bool:
    return abs(got / wanted - 1) <= 0.15


@pytest.mark.parametrize("point", PUBLISHED, ids=lambda point: f"B{2 * point[0] * point[1] * point[2]}")
def test_published_points(tmp_path, point) -> None:
    pixels, rows, cols, lut, ff, dsp, more_lut, more_bram, more_dsp = point
    uses = estimate(find_backend(chip(tmp_path, pixels, rows, cols)).target({})).uses
    plain = {kind: uses["conv"][kind] + uses["control"][kind] for kind in ("lut", "ff", "dsp")}
    assert close(plain["lut"], lut)
    assert close(plain["ff"], ff)
    assert plain["dsp"] == dsp
    assert uses["misc"]["dsp"] == more_dsp
    assert close(uses["misc"]["lut"], more_lut)
    assert close(uses["misc"]["bram"], more_bram)


def test_a_whole_design_of_3136_operations() -> None:
    """AMD, Kria KV260 "NLP SmartVision", hardware architecture, 2020.2 and 2022.1: the DPU B3136 with URAM."""
    total = estimate(find_backend("f1-b3136").target({})).total
    assert total["dsp"] == 548
    assert total["uram"] == 44
    assert total["bram"] == 67
    assert close(total["lut"], 43366)
    assert close(total["lut"], 45517)


def test_what_does_not_fit_is_refused_with_the_table(tmp_path) -> None:
    path = chip(tmp_path, 8, 16, 16, cores=3, clock=400)
    with open(path, "a") as file:
        file.write("memory.dram.bandwidth = 64\n")
    with pytest.raises(CompileError) as raised:
        find_backend(path).target({})
    message = str(raised.value)
    assert "does not fit XCZU7EV (ZCU104)" in message
    for each in ("2,070 DSP of 1,728", "144 URAM of 96", "400 MHz of 300", "MB/s of 19,200 to DRAM"):
        assert each in message
    assert "URAM" in message.splitlines()[1]


def test_a_part_without_uram_takes_bram() -> None:
    found = estimate(find_backend("f1-b512-z7020").target({}))
    assert found.total["uram"] == 0
    assert found.uses["fm"] == {"bram": 32}
    assert not found.exceeded


def test_a_part_that_nobody_knows(tmp_path) -> None:
    with pytest.raises(CompileError, match=r"the part is 'XC1', expected XC7Z020 or XCZU7EV"):
        find_backend(chip(tmp_path, 4, 8, 8, part="XC1")).target({})
