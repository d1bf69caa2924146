"""Progress is drawn where a person watches, on standard error, and nowhere else."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest


def compiled_on_a_terminal(digits: Path, folder: Path, *flags: str) -> tuple[str, str]:
    """What reaches a terminal and standard output while the digits network is compiled."""
    ours, theirs = pty.openpty()
    arguments = ["compile", str(digits), "--shapes", "image=1,1,8,8", "-o", str(folder / "x.isth"), *flags]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    command = [sys.executable, "-P", "-m", "isthmus", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=theirs, text=True, env=environment
    ) as child:
        os.close(theirs)
        seen = b""
        try:
            while part := os.read(ours, 4096):
                seen += part
        except OSError:  # how Linux says that the other end is closed
            os.close(ours)
        out, _ = child.communicate()
    assert child.returncode == 0
    return seen.decode(), out


def test_a_terminal_shows_the_passes(digits: Path, tmp_path: Path) -> None:
    seen, out = compiled_on_a_terminal(digits, tmp_path)
    assert "compiling digits.onnx: " in seen
    assert "compiling" not in out


@pytest.mark.parametrize("flag", ["--quiet", "--json"])
def test_flags_turn_it_off(digits: Path, tmp_path: Path, flag: str) -> None:
    seen, _ = compiled_on_a_terminal(digits, tmp_path, flag)
    assert seen == ""
