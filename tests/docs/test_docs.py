"""The documentation holds: links lead somewhere, files that it names exist, generated pages are fresh, snippets run.

What stands after a code block's language decides: `run` executes it, `file=PATH` writes it, `more=PATH` appends to it
behind two empty lines, `output` is what the block before must have printed (`...` stands for anything). Blocks of a
page run in order in one folder of their own.
"""

import os
import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [
    path
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted(DOCS.rglob("*.md")),
        ROOT / "benchmarks/README.md",
    )
    if path.exists()
]
FENCE = re.compile(r"^```(\S*)[ ]?(.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
GAP = "\n\n"
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
NAMED = re.compile(
    r"`((?:api|compiler|frontends|backends|runtime|tests|benchmarks|examples|docs|\.ci)/[\w./<>*-]*)`"
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, what its first line asks for, and its text."""

    language: str
    order: str
    text: str


def blocks(page: Path) -> list[Block]:
    return [Block(*found) for found in FENCE.findall(page.read_text())]


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return FENCE.sub("", page.read_text())


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    found = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def broken_links(page: Path) -> Iterator[str]:
    for link in LINK.findall(prose(page)):
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            yield f"{name(page)}: {link} leads nowhere"
        elif anchor and anchor not in anchors(target):
            yield f"{name(page)}: {name(target)} has no heading #{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    assert not list(broken_links(page))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_that_are_named_exist(page: Path) -> None:
    """Paths from the root in backquotes; in `<x>` any name fits."""
    lost = [
        path
        for path in NAMED.findall(prose(page))
        if not any(ROOT.glob(re.sub(r"<\w+>", "*", path).rstrip("/"))) and path != "build/"
    ]
    assert not lost, f"{name(page)} names {lost}"


def test_every_page_is_listed() -> None:
    for index, folder in ((DOCS / "index.md", DOCS), (DOCS / "design/README.md", DOCS / "design")):
        linked = {(folder / link.partition("#")[0]).resolve() for link in LINK.findall(index.read_text())}
        missing = [
            name(page) for page in folder.glob("*.md") if page != index and page.resolve() not in linked
        ]
        assert not missing, f"{name(index)} does not list {missing}"


@pytest.mark.parametrize("page", ["ops.md", "onnx.md", "tensorflow.md", "tflite.md"])
def test_generated_pages_are_fresh(page: str) -> None:
    text = (DOCS / page).read_text()
    if page == "onnx.md" and f"with onnx {version('onnx')}." not in text:
        pytest.skip("generated with another version of onnx")
    assert runpy.run_path(str(DOCS / "generate.py"))["PAGES"][page]() == text, "run make docs"


def install(folder: Path) -> None:
    """What pip would note of the distribution whose pyproject.toml lies in a folder: its entry points."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    info = folder / f"{project['name']}-{project['version']}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = []
    for group, entries in project.get("entry-points", {}).items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))


def run(block: Block, folder: Path) -> str:
    """What a block prints. It finds the demo's network, and this Python with its commands."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = [sys.executable, "-"] if block.language == "python" else ["sh", "-eu", "-s"]
    done = subprocess.run(
        command,
        input=block.text,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(folder), "HOME": str(folder), "COLUMNS": "200"},
    )
    assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def fits(wanted: str, printed: str) -> bool:
    """Whether it was printed; `...` stands for anything, all white space counts as one space."""
    parts = [re.escape(" ".join(part.split())) for part in wanted.split("...")]
    return re.search(".*".join(parts), " ".join(printed.split())) is not None


@pytest.mark.parametrize("page", [p for p in PAGES if any(b.order == "run" for b in blocks(p))], ids=name)
def test_snippets_run(page: Path, tmp_path: Path) -> None:
    for data in ("digits.onnx", "digits.npz"):
        (tmp_path / data).write_bytes(files("isthmus.demo").joinpath(data).read_bytes())
    np.savez(tmp_path / "in.npz", image=np.load(tmp_path / "digits.npz")["images"][:1, None].astype("f") / 16)
    printed = ""
    for block in blocks(page):
        if block.order.startswith("file="):
            path = tmp_path / block.order.removeprefix("file=")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
            if path.name == "pyproject.toml":
                install(tmp_path)
        elif block.order.startswith("more="):
            with (tmp_path / block.order.removeprefix("more=")).open("a") as file:
                file.write(GAP + block.text)
        elif block.order == "run":
            printed = run(block, tmp_path)
        elif block.order == "output":
            assert fits(block.text, printed), f"{name(page)}: expected\n{block.text}\ngot\n{printed}"


def test_the_tutorial_builds_the_example() -> None:
    """What docs/add-a-chip.md writes step by step is the chip of examples/add_a_chip."""
    written: dict[str, str] = {}
    for block in blocks(DOCS / "add-a-chip.md"):
        how, _, path = block.order.partition("=")
        if how in ("file", "more"):
            written[path] = written[path] + GAP + block.text if how == "more" else block.text
    example = ROOT / "examples" / "add_a_chip"
    names = ["tarn/__init__.py", "tarn/tarn-6x10.toml", "pyproject.toml"]
    assert {name: written[name] for name in names} == {name: (example / name).read_text() for name in names}


@pytest.mark.parametrize(
    ("wanted", "printed", "fitting"),
    [
        ("a ... c", "a b c\n", True),
        ("a\n...\nd", "x\na\nb\nc\nd", True),
        ("a  b", "a b c", True),
        ("a b", "ab", False),
        ("1.5", "125", False),
    ],
)
def test_what_was_printed_is_compared(wanted: str, printed: str, fitting: bool) -> None:
    assert fits(wanted, printed) is fitting
