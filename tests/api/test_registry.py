"""What registers itself: a stranger's plug-ins come the same way as our own, and say so when they are broken."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from isthmus import registry

STRANGER = {
    "stranger/__init__.py": "",
    "stranger/frontend.py": """
from isthmus.frontends.onnx import OnnxFrontend

class Stranger(OnnxFrontend):
    name = "stranger"
    description = "Stranger's files, .strange"
    packages = ()
    def probe(self, path, head):
        return path.suffix == ".strange"

frontend = Stranger()
""",
    "stranger/chip.py": """
from isthmus.backends.cpu import CpuBackend
from isthmus.backends.cpu.device import CpuDevice

class Chip(CpuBackend):
    name = "stranger"

class ChipDevice(CpuDevice):
    name = "stranger"

backend = Chip()
device = ChipDevice
""",
    "stranger/broken.py": "import nothing_of_this_name",
    "stranger-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n",
    "stranger-1.0.dist-info/entry_points.txt": """
[isthmus.frontends]
stranger = stranger.frontend:frontend
[isthmus.backends]
stranger = stranger.chip:backend
[isthmus.devices]
stranger = stranger.chip:device
""",
}
BROKEN = "\n[isthmus.backends]\nbroken = stranger.broken:backend\n"


@pytest.fixture
def isthmus_beside(tmp_path: Path):
    """Runs a command line where the stranger's distribution is installed too."""
    for name, text in STRANGER.items():
        path = tmp_path / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        script = f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); from isthmus.cli import main; main()"
        return subprocess.run(
            [sys.executable, "-P", "-c", script, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )

    run.site = tmp_path / "site"  # type: ignore[attr-defined]
    return run


def test_ours_are_registered() -> None:
    names = ["keras", "onnx", "tensorflow", "tflite", "torch"]
    assert [frontend.name for frontend in registry.frontends()] == names
    assert registry.kinds() == ("cpu", "fpga", "npu")
    assert {"cpu", "n1-8", "n1-16", "n1-32", "n1-128"} <= set(registry.targets())
    assert registry.backend("cpu").name == "cpu"
    assert registry.devices(("cpu", "unheard-of")).keys() == {"cpu"}


def test_a_stranger_reads_compiles_and_runs(
    isthmus_beside, digits: Path, given: Path, tmp_path: Path
) -> None:
    (tmp_path / "model.strange").write_bytes(digits.read_bytes())
    assert "stranger     Stranger's files, .strange" in isthmus_beside("formats").stdout
    assert re.search(r"^stranger +cpu", isthmus_beside("targets").stdout, re.MULTILINE)
    arguments = ("model.strange", "--shapes", "image=1,1,8,8", "--target", "stranger", "-o", "model.isth")
    done = isthmus_beside("compile", *arguments)
    assert done.returncode == 0, done.stderr
    done = isthmus_beside("run", "model.isth", "--input", given)
    assert done.stdout.startswith("scores: float32[1, 10]"), done.stderr
    refused = isthmus_beside("compile", *arguments[:-1], "model.o", "--emit", "object")
    assert refused.stderr == "error: model.o: target stranger has no 'object'; emit a package\n"


def test_the_device_must_be_there(isthmus_beside, digits: Path, given: Path, tmp_path: Path, command) -> None:
    arguments = ("--shapes", "image=1,1,8,8", "--target", "stranger", "-o", tmp_path / "model.isth")
    assert isthmus_beside("compile", digits, *arguments).returncode == 0
    done = command("run", tmp_path / "model.isth", "--input", given)
    assert done.status == 1
    assert "the package needs device 'stranger'; there is none; install the backend" in done.err


def test_broken_and_doubled_plugins_are_named(isthmus_beside, digits: Path) -> None:
    entries = isthmus_beside.site / "stranger-1.0.dist-info" / "entry_points.txt"
    entries.write_text(BROKEN)
    done = isthmus_beside("check", digits, "--target", "broken")
    assert done.returncode == 1
    assert (
        "isthmus.backends:broken: stranger.broken:backend can't be loaded: ModuleNotFoundError" in done.stdout
    )
    assert "repair or uninstall stranger" in done.stdout
    entries.write_text(BROKEN.replace("broken =", "cpu ="))
    done = isthmus_beside("targets")
    assert done.returncode == 1
    assert done.stderr.startswith("error: isthmus.backends:cpu: registered as ")
    assert done.stderr.endswith("uninstall one of the two distributions\n")
