"""What becomes of errors on the command line, whatever they are: one line, a status, a traceback only on demand."""

import json
import os
import signal
import subprocess
import sys

import pytest

from isthmus.compiler.diagnostics import Problem, UnsupportedError, VerifyError

TOOL = [sys.executable, "-P", "-m", "isthmus"]


@pytest.fixture
def failing(command, monkeypatch: pytest.MonkeyPatch):
    """Runs `isthmus formats` with an error raised inside."""

    def run(error: BaseException, *arguments: str):
        def fail() -> None:
            raise error

        monkeypatch.setattr("isthmus.registry.frontends", fail)
        return command("formats", *arguments)

    return run


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (
            UnsupportedError("no such op", location="m.onnx:a", hint="export it"),
            1,
            "error: m.onnx:a: no such op; export it",
        ),
        (MemoryError(), 1, "error: out of memory; use a machine with more memory, or smaller shapes"),
        (FileNotFoundError(2, "No such file", "x.npz"), 1, "error: x.npz: No such file"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (SystemExit(3), 3, ""),
        (
            ValueError("two\nlines"),
            2,
            "internal error: ValueError: two lines; a defect of isthmus: run again with --debug and report it",
        ),
        (RecursionError("too deep"), 2, "internal error: RecursionError: too deep; a defect of isthmus"),
        (VerifyError("no rule", location="fold"), 2, "internal error: fold: no rule; a defect of isthmus"),
    ],
)
def test_every_error_is_a_line_and_a_status(failing, error: BaseException, status: int, line: str) -> None:
    done = failing(error)
    assert done.status == status
    assert done.out == ""
    assert done.err.strip().startswith(line)
    assert len(done.err.strip().splitlines()) == (1 if line else 0)


def test_problems_come_one_to_a_line(failing) -> None:
    error = UnsupportedError("", problems=[Problem("a", "wrong"), Problem("b", "also\n  wrong", "mend it")])
    assert failing(error).err == "error: a: wrong\nerror: b: also wrong; mend it\n"


def test_json_tells_errors_on_standard_output(failing) -> None:
    done = failing(UnsupportedError("wrong", location="a", hint="mend it"), "--json")
    assert (done.status, done.err) == (1, "")
    expected = {"ok": False, "problems": [{"location": "a", "message": "wrong", "hint": "mend it"}]}
    assert json.loads(done.out) == expected


def test_debug_shows_the_traceback(failing) -> None:
    done = failing(ValueError("why"), "--debug")
    assert done.status == 2
    assert done.err.startswith("Traceback")
    assert "in fail" in done.err


def test_a_reader_that_leaves_early_causes_no_noise() -> None:
    with subprocess.Popen([*TOOL, "ops"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == b""
        assert child.wait() == 1


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_without_a_traceback(number: signal.Signals, status: int) -> None:
    """A process that waits for a pipe's writer is told to stop, also where what runs the tests ignores interrupts."""
    script = (
        "import os, signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import isthmus.registry as registry, isthmus.cli as cli\n"
        f"registry.frontends = lambda: os.kill(os.getpid(), {int(number)}) or signal.pause()\n"
        "import sys; sys.argv = ['isthmus', 'formats']; cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], capture_output=True, text=True, env=dict(os.environ)
    )
    assert done.returncode == status
    assert "Traceback" not in done.stderr
