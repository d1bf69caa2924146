"""What of the CPU's chip file the machine itself decides."""

from dataclasses import replace
from pathlib import Path

from isthmus.backends.cpu.machine import data_caches, select
from isthmus.backends.cpu.target import describe


def test_caches_have_the_sizes_that_linux_lists_for_data(tmp_path: Path) -> None:
    listed = (("1", "Data", "32K"), ("1", "Instruction", "64K"), ("2", "Unified", "1M"), ("3", "Unified", ""))
    for number, (level, kind, size) in enumerate(listed):
        index = tmp_path / f"index{number}"
        index.mkdir()
        for name, text in (("level", level), ("type", kind), ("size", size)):
            index.joinpath(name).write_text(f"{text}\n")
    (tmp_path / "index9").mkdir()
    assert data_caches(tmp_path) == ((1, 32 << 10), (2, 1 << 20))
    assert data_caches(tmp_path / "none") == ()


def test_a_machine_has_its_own_caches_and_those_of_the_file_where_it_tells_none() -> None:
    known = select("x86-64", None)
    told = describe(replace(known, caches=((1, 4096), (2, 8192), (4, 1 << 30))))
    assert [told.memories[name].bytes for name in ("l1", "l2")] == [4096, 8192]
    assert told.memories["l3"] == describe(known).memories["l3"]
    assert told.near.name == "l2"
    assert [memory.name for memory in told.caches] == ["l1", "l2", "l3"]


def test_rates_are_those_of_the_maker_and_of_how_wide_its_units_are() -> None:
    known = select("amx", "x86_64-unknown-linux-gnu")
    intel, zen4, zen5 = (
        {
            name: (engine.issue, engine.loads)
            for name, engine in describe(replace(known, features=known.features.union(more))).engines.items()
        }
        for more in ((), ("sse4a",), ("sse4a", "avx512vp2intersect"))
    )
    assert {name for name, rates in zen5.items() if rates != intel[name]} == {"pairs_bf16"}
    assert zen5["pairs_bf16"][0] == 2 * zen5["fma"][0] + 0.02
    for name, (issue, loads) in zen5.items():
        passes = 1 if name.startswith("tiles") else 2
        assert zen4[name] == (issue / passes, loads / passes)
