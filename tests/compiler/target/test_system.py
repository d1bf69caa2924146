"""System files: what is read, the rules that fields must keep to, and what only the whole shows."""

from pathlib import Path

import pytest

from isthmus.compiler.diagnostics import CompileError
from isthmus.compiler.target.system import default_system, read_system

PINNED = sorted((Path(__file__).resolve().parents[3] / "examples" / "systems").glob("*.toml"))
GOOD = """
shared = [["a", "c"]]
[system]
name = "three"
host = "a"
[device.a]
target = "cpu"
[device.b]
target = "n1-8"
memory_bytes = 1000
launch_us = 1.5
[device.c]
target = "n1-16"
[link.ab]
between = ["a", "b"]
bytes_per_cycle = 8
clock_mhz = 500
"""


def problems(text: str) -> list[str]:
    with pytest.raises(CompileError) as caught:
        read_system(text, "s.toml")
    return [str(problem) for problem in caught.value.problems]


def test_a_file_is_read():
    system = read_system(GOOD, "s.toml")
    assert (system.name, system.host, system.shared) == ("three", "a", (("a", "c"),))
    assert [member.target for member in system.members] == ["cpu", "n1-8", "n1-16"]
    assert system.members[1].memory_bytes == 1000
    assert system.members[1].launch_us == 1.5
    (link,) = system.connections
    assert link.bytes_per_second == 4e9
    assert link.latency_us == 2


@pytest.mark.parametrize("path", PINNED, ids=lambda path: path.stem)
def test_the_pinned_systems_have_links_of_16_bytes_a_cycle_and_2_microseconds(path):
    system = read_system(path.read_text(), str(path))
    assert system.host == "cpu"
    assert system.name == path.stem
    assert {(link.bytes_per_second, link.latency_us) for link in system.connections} == {(16e9, 2)}


def test_names_make_a_system_with_links_between_all():
    system = default_system(["cpu", "n1-8", "n1-8"])
    assert [member.name for member in system.members] == ["cpu", "n1-8", "n1-8.2"]
    assert {link.between for link in system.connections} == {
        ("cpu", "n1-8"),
        ("cpu", "n1-8.2"),
        ("n1-8", "n1-8.2"),
    }


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("[system]", "[sistem]"), "unknown table 'sistem'"),
        (('name = "three"', "name = 3"), "s.toml:system: 'name' is 3; expected a text"),
        (('host = "a"', "hosts = 1"), "s.toml:system: unknown field 'hosts'; fields are: name, host"),
        (('target = "n1-8"', ""), "s.toml:device.b: 'target' is missing"),
        (("= 1000", "= -1"), "'memory_bytes' is -1; expected a whole number that is not negative"),
        (("= 1.5", '= "x"'), "s.toml:device.b: 'launch_us' is 'x'; expected a number that is not negative"),
        (("= 1.5", '= 1\nprecision = "f16"'), "'precision' is 'f16'; expected one of '', 'f32'"),
        (("= 1.5", "= 1\noptions = 2"), "'options' is 2; expected a table"),
        (("= 500", "= 0"), "s.toml:link.ab: 'clock_mhz' is 0; expected a positive number"),
        (('["a", "b"]\n', '["a"]\n'), "'between' is ['a']; expected the names of two devices"),
        (('[["a", "c"]]', '["a"]'), "s.toml:shared: is ['a']; expected lists of devices' names"),
        (("[device.b]", "[device]\nb = 1\n[other]"), "s.toml:device.b: is 1; expected a table"),
        (('host = "a"', 'host = "z"'), "s.toml:system: 'host' is 'z'; devices are: a, b, c"),
        (('["a", "b"]\n', '["a", "z"]\n'), "s.toml:link.ab: 'between' names 'z'; devices are: a, b, c"),
        (('[["a", "c"]]', '[["a", "y"]]'), "s.toml:shared: it names 'y'; devices are: a, b, c"),
        (('[["a", "c"]]', "[]"), "s.toml:device.c: no link leads to it; add a table link.NAME"),
    ],
)
def test_what_is_wrong_is_named(change, expected):
    assert any(expected in problem for problem in problems(GOOD.replace(*change)))


def test_all_problems_come_at_once_and_nothing_is_no_system():
    assert len(problems(GOOD.replace("= 500", "= 0").replace("= 1000", "= -1"))) == 2
    assert problems("") == ["s.toml: there is no device; add a table device.NAME"]
    assert problems("[")
    assert "not TOML" in problems("[")[0]
    assert problems("system = 1") == ["s.toml:system: is 1; expected a table"]
