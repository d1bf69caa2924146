"""Names and locations carry no meaning: kernels that differ in nothing else have one normal form and one key."""

from dataclasses import replace
from pathlib import Path

import pytest

from isthmus.compiler.tile.canonical import canonical
from isthmus.compiler.tile.text import parse_kernel, parse_schedule, print_kernel
from isthmus.compiler.tile.verify import require_kernel

KERNELS = sorted((Path(__file__).parent / "kernels").glob("*.kernel"))
TEXT = (Path(__file__).parent / "kernels" / "attention.kernel").read_text()
FLASH = """
for b step 1 parallel for i step 3 hold m in near hold l in near hold o in near roll i place dv on vector
for j step 4 hold s in far hold e in far place qk on array d/2 rows=(i) columns=(j) place mx, ex, sm, pv on vector
"""


def renamed(text: str, names: dict[str, str]) -> str:
    """Every dim, stage and buffer of the text renamed; the new names sort the other way round."""
    out, word = [], ""
    for char in text + " ":
        if char.isalnum() or char in "_.":
            word += char
        else:
            out += [names.get(word, word), char]
            word = ""
    return "".join(out)


WORDS = (
    "b",
    "i",
    "j",
    "d",
    "f",
    "q",
    "k",
    "v",
    "s",
    "m",
    "e",
    "l",
    "o",
    "y",
    "qk",
    "mx",
    "ex",
    "sm",
    "pv",
    "dv",
)
NAMES = {name: f"z{99 - n}" for n, name in enumerate(WORDS)}


@pytest.mark.parametrize("path", KERNELS, ids=lambda path: path.stem)
def test_the_normal_form_is_well_formed_and_its_own(path: Path) -> None:
    normal, schedule, key = canonical(parse_kernel(path.read_text()))
    require_kernel(normal)
    assert schedule is None
    assert canonical(normal) == (normal, None, key)


def test_renaming_changes_nothing() -> None:
    one, two = parse_kernel(TEXT), parse_kernel(renamed(TEXT, NAMES))
    first, second = parse_schedule(FLASH), parse_schedule(renamed(FLASH, NAMES))
    second = replace(second, holds=second.holds[::-1], places=second.places[::-1])
    assert one != two
    assert canonical(one, first) == canonical(two, second)


def test_locations_and_the_kernels_name_change_nothing() -> None:
    other = TEXT.replace('kernel "attention"', 'kernel "other"').replace(
        "k[b, j, d])", 'k[b, j, d]) loc("a.onnx", "n")'
    )
    assert canonical(parse_kernel(other)) == canonical(parse_kernel(TEXT))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("input q: f32[2, 7, 4]", "input q: f32[2, 8, 4]"),
        ("input q:", "constant q:"),
        ("= max s", "= min s"),
        ("exp(sub(s[b, i, j], m[b, i]))", "exp(sub(m[b, i], s[b, i, j]))"),
        ("-3e38:f32), new:f32))", "-2e38:f32), new:f32))"),
        ("div(o[b, i, f], l[b, i])", "div(o[b, i, f], l[b, 0])"),
        ("input k: f32[2, 9, 4]\n  input v: f32[2, 9, 5]", "input v: f32[2, 9, 5]\n  input k: f32[2, 9, 4]"),
    ],
)
def test_everything_else_changes_the_key(old: str, new: str) -> None:
    assert old in TEXT
    assert canonical(parse_kernel(TEXT.replace(old, new)))[2] != canonical(parse_kernel(TEXT))[2]


def test_the_key_covers_the_schedule() -> None:
    kernel = parse_kernel(TEXT)
    changes = [
        ("", ""),
        ("step 4", "step 5"),
        ("d/2", "d/3"),
        ("columns=(j)", "columns=(d)"),
        (" parallel", ""),
        ("e in far", "e in near"),
    ]
    keys = {canonical(kernel, parse_schedule(FLASH.replace(*change)))[2] for change in changes}
    assert len(keys) == 6
    assert len(print_kernel(canonical(kernel)[0])) > 100
