"""Chip files: what they inherit, and every rule that a bad one breaks, named with its table, field and value."""

from pathlib import Path

import pytest

from isthmus.compiler.diagnostics import CompileError
from isthmus.compiler.target.chipfile import read_target

GOOD = """
[target]
name = "good"
kind = "test"
clock_mhz = 500
[memory.near]
bytes = 4096
[memory.dram]
home = true
bandwidth = 8
[engine.load]
does = "load"
writes = ["near"]
[engine.mul]
does = "contract"
types = ["i8*i8+i32"]
rows = 4
cols = 4
a = "near"
b = "near"
accumulators = "near"
[engine.mul.mapping.ws]
cycles = "n_tiles*k_tiles*m"
[engine.vec]
does = "elementwise"
reads = ["near"]
writes = ["near"]
lanes = 4
[control]
semaphores = 8
[energy]
mac_i8 = 0.5
"""


def problems(text: str, **overrides: object) -> list[str]:
    with pytest.raises(CompileError) as caught:
        read_target(text, "chip.toml", **overrides)
    return [str(problem) for problem in caught.value.problems]


def test_a_good_file() -> None:
    chip = read_target(GOOD, "chip.toml")
    assert (chip.name, chip.clock_mhz, chip.home.name, chip.home.bandwidth) == ("good", 500, "dram", 8)
    assert chip.engine("contract").mapping["ws"].cycles == "n_tiles*k_tiles*m"
    assert chip.energy == {"mac_i8": 0.5}
    assert chip.is_explicit


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ('kind = "test"', "", "chip.toml:target: name or kind is missing; give both"),
        ("clock_mhz = 500", "clock = 500", "chip.toml:target: unknown field 'clock'; fields are: clock_mhz, cores,"),
        ("clock_mhz = 500", "clock_mhz = 0", "chip.toml:target: 'clock_mhz' is 0; expected a positive number"),
        ("bytes = 4096", 'bytes = "4 KiB"', "chip.toml:memory.near: 'bytes' is '4 KiB'; expected a number that is not"),
        ("bytes = 4096", "bytes = 40.5", "chip.toml:memory.near: 'bytes' is 40.5; expected a whole number"),
        ("bytes = 4096", "bytes = -1", "chip.toml:memory.near: 'bytes' is -1; expected a number that is not negative"),
        ("bytes = 4096", "banks = 2", "chip.toml:memory.near: 'bytes' is missing; say how much it holds"),
        ("home = true", "home = 1", "chip.toml:memory.dram: 'home' is 1; expected true or false"),
        ("home = true", "bytes = 9", "chip.toml: no memory is marked home; say home = true for the one that holds"),
        ('does = "load"', "", "chip.toml:engine.load: 'does' is missing; one of contract, elementwise, load, store"),
        ('does = "load"', 'does = "fly"', "chip.toml:engine.load: 'does' is 'fly'; expected one of contract"),
        ('writes = ["near"]', 'writes = "near"', "chip.toml:engine.load: 'writes' is 'near'; expected a list of names"),
        ('writes = ["near"]', 'writes = ["far"]', "chip.toml:engine.load: 'writes' names the memory 'far'; memor"),
        ('a = "near"', 'a = "far"', "chip.toml:engine.mul: 'a' names the memory 'far'; memories are: near, dram"),
        ('a = "near"', "a = 3", "chip.toml:engine.mul: 'a' is 3; expected a text"),
        ("rows = 4", "rows = 0", "chip.toml:engine.mul: 'rows' is 0; expected a positive number"),
        ("n_tiles*k_tiles*m", "n_tiles*q", "chip.toml:engine.mul.mapping.ws:cycles: 'n_tiles*q' has the name q;"),
        ("n_tiles*k_tiles*m", "n_tiles*", "chip.toml:engine.mul.mapping.ws:cycles: 'n_tiles*' is no formula"),
        ('cycles = "n', 'speed = "n', "chip.toml:engine.mul.mapping.ws: unknown field 'speed'"),
        ("semaphores = 8", "semaphores = 0", "chip.toml:control: 'semaphores' is 0; expected a positive number"),
        ("semaphores = 8", "queues = 8", "chip.toml:control: unknown field 'queues'; fields are: issue_cycles"),
        ("mac_i8 = 0.5", "mac_i8 = true", "chip.toml:energy: 'mac_i8' is True; expected a number"),
        ("[energy]", "[power]", "chip.toml: unknown table 'power'; a chip file has: target, memory"),
    ],
)  # fmt: skip
def test_each_rule(old: str, new: str, wanted: str) -> None:
    assert old in GOOD
    found = problems(GOOD.replace(old, new, 1))
    assert any(wanted in problem for problem in found), found


def test_all_that_is_wrong_is_told_at_once() -> None:
    found = problems(GOOD.replace("rows = 4", "rows = -4").replace("lanes = 4", "lanes = 0"))
    assert len(found) == 2


def test_text_that_is_no_toml() -> None:
    with pytest.raises(CompileError, match=r"chip\.toml: not TOML: .*; mend the file at that line"):
        read_target("[target", "chip.toml")


def test_inheritance_changes_single_fields() -> None:
    child = read_target('inherits = "good"\nengine.mul.rows = 16\n', "child.toml", lambda name: GOOD)
    assert (child.engine("contract").rows, child.engine("contract").cols, child.name) == (16, 4, "good")
    overridden = read_target(GOOD, "chip.toml", memory={"near": {"bytes": 64}})
    assert overridden.memories["near"].bytes == 64


def test_inheritance_that_leads_nowhere() -> None:
    with pytest.raises(
        CompileError, match="inherits 'good', but no chip files are known here; write the chip out"
    ):
        read_target('inherits = "good"', "chip.toml")
    texts = {"a": 'inherits = "b"', "b": 'inherits = "a"'}
    with pytest.raises(CompileError, match="inherits 'b', which inherits this file; break the circle"):
        read_target(texts["a"], "a", texts.__getitem__)


def test_files_of_a_family(tmp_path: Path) -> None:
    from isthmus.targets import find_backend

    path = tmp_path / "mine.toml"
    path.write_text('inherits = "n1-16"\ntarget = { name = "mine" }\nengine.mxu.rows = 12\n')
    chip = find_backend(str(path)).target({})
    assert (chip.name, chip.engine("contract").rows, chip.engine("contract").cols) == ("mine", 12, 16)
    with pytest.raises(CompileError, match="npu has no option 'speed'; leave it out"):
        find_backend("npu").target({"speed": 3})
    with pytest.raises(CompileError, match="the chip file can't be read"):
        find_backend("npu").select(str(tmp_path / "lost.toml")).target({})
