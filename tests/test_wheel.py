"""The built wheel holds every module and data file, and works where the repository is not."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {
    "isthmus": "api",
    "isthmus/compiler": "compiler",
    "isthmus/frontends": "frontends",
    "isthmus/backends": "backends",
    "isthmus/runtime": "runtime",
}
ENTRY_POINTS = re.compile(r"^(\w+) ?= ?(isthmus[\w.]*):(\w+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the wheel is built from: setuptools leaves build/ behind, and would ship what is stale in it."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for folder in FOLDERS.values():
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    return copy


@pytest.fixture(scope="module")
def shipped(source: Path) -> dict[str, Path]:
    """Every file of the five folders by its name in the wheel."""
    return {
        f"{package}/{path.relative_to(source / folder).as_posix()}": path
        for package, folder in FOLDERS.items()
        for path in (source / folder).rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def wheel(source: Path, shipped: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel. `shipped` is asked for so that it is listed before the build adds files of its own."""
    destination = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-build-isolation", "--no-index", "--wheel-dir", str(destination), str(source)]
    done = subprocess.run(command, cwd=destination, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = destination.glob("isthmus-*.whl")
    return built


def test_wheel_holds_every_file(wheel: Path, shipped: dict[str, Path]) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    missing, strange = sorted(shipped.keys() - held), sorted(held - shipped.keys())
    assert not missing, (
        f"not in the wheel (add __init__.py, or a pattern to package-data in pyproject.toml): {missing}"
    )
    assert not strange, f"in the wheel, but nowhere in the tree: {strange}"


def test_wheel_adds_one_name_to_site_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"isthmus"}


def test_every_folder_with_modules_is_a_package(shipped: dict[str, Path]) -> None:
    """A folder without __init__.py imports from the tree and is missing from the wheel."""
    folders = {path.parent for path in shipped.values() if path.suffix == ".py"}
    assert not [str(folder) for folder in folders if not (folder / "__init__.py").exists()]


def test_wheel_imports_from_outside_the_tree(wheel: Path, tmp_path: Path) -> None:
    """Installed by unpacking, in another folder: entry points resolve, and all comes from the wheel."""
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
        (entry_points,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        declared = ENTRY_POINTS.findall(archive.read(entry_points).decode())
    assert {name for name, _, _ in declared} >= {"isthmus", "onnx", "cpu"}
    script = (
        "import importlib, sys\n"
        f"sys.path.insert(0, {str(site)!r})\n"
        "sys.meta_path[:] = [each for each in sys.meta_path if 'editable' not in getattr(each, '__module__', '')]\n"
        f"for _, module, attribute in {declared!r}:\n"
        "    getattr(importlib.import_module(module), attribute)\n"
        "names = [name for name in sys.modules if name.split('.')[0] == 'isthmus']\n"
        "assert names\n"
        f"strange = [name for name in names if not sys.modules[name].__file__.startswith({str(site)!r})]\n"
        "assert not strange, strange\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
