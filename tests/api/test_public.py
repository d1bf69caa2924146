"""The names that users import, and what importing them costs."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import isthmus

COMPILER = ("isthmus.compiler", "isthmus.frontends", "onnx", "llvmlite", "lark", "networkx", "rich")


def modules_after(script: str) -> set[str]:
    """What a fresh process has loaded after running a script."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"{script}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    return set(done.stdout.split())


def loaded(modules: set[str], packages: tuple[str, ...]) -> set[str]:
    return {
        name for name in modules for package in packages if name == package or name.startswith(package + ".")
    }


def test_every_public_name_is_there() -> None:
    assert isthmus.__version__
    for name in isthmus.__all__:
        assert getattr(isthmus, name).__doc__
    assert set(isthmus.__all__) <= set(dir(isthmus))
    with pytest.raises(AttributeError, match="no attribute 'compyle'"):
        _ = isthmus.compyle  # type: ignore[attr-defined]


def test_importing_isthmus_loads_nothing() -> None:
    modules = modules_after("import isthmus; dir(isthmus)")
    assert not loaded(modules, ("numpy", *COMPILER))


def test_help_loads_nothing_heavy() -> None:
    modules = modules_after("from isthmus.cli import run; run(['--help'])")
    assert not loaded(modules, ("numpy", *COMPILER))


def test_help_is_quick() -> None:
    """The best of a few, since the cores are shared."""
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-P", "-m", "isthmus", "--help"], capture_output=True, check=True)
        times.append(time.perf_counter() - begin)
    assert min(times) < 0.3


def test_a_package_runs_without_the_compiler(packed: Path, images: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", images[:1])
    script = (
        f"import isthmus, numpy; package = isthmus.load({str(packed)!r}, threads=1)\n"
        f"package.profile([numpy.load({str(tmp_path / 'image.npy')!r})]).save_trace({str(tmp_path / 't.json')!r})"
    )
    assert not loaded(modules_after(script), COMPILER)
    assert json.loads((tmp_path / "t.json").read_text())["traceEvents"]


def test_run_needs_no_compiler(packed: Path, given: Path, tmp_path: Path) -> None:
    arguments = ["run", str(packed), "--input", str(given), "-o", str(tmp_path / "out.npz")]
    modules = modules_after(f"from isthmus.cli import run; assert run({arguments!r}) == 0")
    assert not loaded(modules, COMPILER)
    assert np.load(tmp_path / "out.npz")["scores"].shape == (1, 10)
