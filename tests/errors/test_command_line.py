"""Bad input through the command line: one line a problem, status 1, nothing left behind, quick and small."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

import isthmus
from isthmus import cli

DIGITS = Path(str(files("isthmus.demo").joinpath("digits.onnx")))
SECONDS, BYTES = 2, 512 << 20


@dataclass(frozen=True)
class Refused:
    """The lines of standard error without their "error: ", and what the process took."""

    lines: tuple[str, ...]
    seconds: float = 0.0
    bytes: int = 0


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> Refused:
    """Run a command line in this process that must fail as a user's error does."""
    status = cli.run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert (status, captured.out) == (1, "")
    return Refused(lines(captured.err))


# The largest resident set comes from the process itself: what its parent is told counts the parent's memory, too, which
# a child shares until it calls exec.
LAUNCH = """
import atexit, runpy, sys
def peak():
    status = open("/proc/self/status").read().split()
    print(status[status.index("VmHWM:") + 1])
atexit.register(peak)
runpy.run_module("isthmus", run_name="__main__")
"""


def refused_by_a_process(*arguments: object) -> Refused:
    """The same in a process of its own, measured: processor seconds and the largest resident set."""
    command = [sys.executable, "-P", "-c", LAUNCH, *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        out, err = child.stdout.read(), child.stderr.read()
        _, code, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(code)
    assert child.returncode == 1, err
    (kilobytes,) = out.split()  # nothing else is printed there
    return Refused(lines(err), usage.ru_utime + usage.ru_stime, int(kilobytes) << 10)


def lines(text: str) -> tuple[str, ...]:
    assert "Traceback" not in text
    found = text.splitlines()
    assert found
    assert all(line.startswith("error: ") for line in found), text
    return tuple(line.removeprefix("error: ") for line in found)


def test_bad_model_is_refused(bad_model, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, written = tmp_path / "made", tmp_path / "written"
    made.mkdir()
    written.mkdir()
    path = bad_model.make(made)
    found = refused(capsys, "compile", path, "-o", written / "model.isth")
    assert len(found.lines) == len(bad_model.lines), found.lines
    for line, texts in zip(found.lines, bad_model.lines, strict=True):
        for text in texts:
            assert text in line
    assert list(written.iterdir()) == []
    assert cli.run(["check", str(path), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert not report["ok"]
    assert len(report["problems"]) == len(bad_model.lines)


@pytest.mark.parametrize(
    "name", ["truncated", "missing_external_file", "cycle", "huge_raw", "shapes_clash", "unknown_ops"]
)
def test_refusing_a_bad_model_costs_little(bad_models, name: str, tmp_path: Path) -> None:
    bad_model = next(case for case in bad_models if case.name == name)
    path = bad_model.make(tmp_path)
    before = sorted(tmp_path.iterdir())
    found = refused_by_a_process("compile", path, "-o", tmp_path / "model.isth")
    assert found.seconds < SECONDS
    assert found.bytes < BYTES
    assert sorted(tmp_path.iterdir()) == before


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "digits.isth"
    isthmus.compile(DIGITS, shapes={"image": (1, 1, 8, 8)}).save(path)
    return path


@pytest.fixture
def given(tmp_path: Path) -> Path:
    np.savez(tmp_path / "in.npz", image=np.zeros((1, 1, 8, 8), np.float32))
    return tmp_path / "in.npz"


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def cut_to_its_head(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def replaced(path: Path) -> None:
    path.write_bytes(DIGITS.read_bytes())


def removed(path: Path) -> None:
    path.unlink()


def changed(entry: str) -> Callable[[Path], None]:
    """Flips a bit of an entry, in place."""

    def change(path: Path) -> None:
        data = bytearray(path.read_bytes())
        with zipfile.ZipFile(path) as archive:
            content = archive.read(entry)
        data[data.find(content) + len(content) // 2] ^= 4
        path.write_bytes(data)

    change.__name__ = f"changed_{entry.replace('/', '_')}"
    return change


def rewritten(entry: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Gives an entry other contents, checksums made anew."""

    def rewrite(path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            contents = {name: archive.read(name) for name in archive.namelist()}
        contents[entry] = change(contents[entry])
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for name, content in contents.items():
                archive.writestr(name, content)

    return rewrite


def newer(manifest: bytes) -> bytes:
    return manifest.replace(b'"format_version": 1', b'"format_version": 99')


@pytest.mark.parametrize(
    ("damage", "texts"),
    [
        (truncated, ("digits.isth: not a package, or a damaged one", "recompile the model")),
        (cut_to_its_head, ("digits.isth: not a package, or a damaged one", "recompile the model")),
        (emptied, ("digits.isth: not a package, or a damaged one", "recompile the model")),
        (replaced, ("digits.isth: not a package, or a damaged one", "recompile the model")),
        (removed, ("digits.isth: no such file", "give the path of an .isth package")),
        (changed("manifest.json"), ("digits.isth:manifest.json: its bytes changed", "recompile the model")),
        (changed("program.json"), ("digits.isth:program.json: its SHA-256 differs", "recompile the model")),
        (changed("cpu/code.bin"), ("digits.isth:cpu/code.bin: its SHA-256 differs", "recompile the model")),
        (
            changed("cpu/constants.bin"),
            ("digits.isth:cpu/constants.bin: its bytes changed", "recompile the model"),
        ),
        (
            rewritten("manifest.json", newer),
            ("digits.isth:manifest.json: package format 99", "reads up to format 1", "upgrade isthmus"),
        ),
        (
            rewritten("manifest.json", lambda _: b"{"),
            ("digits.isth:manifest.json: unreadable manifest", "recompile the model"),
        ),
        (
            rewritten("cpu/code.bin", lambda code: code[:-1]),
            ("digits.isth:cpu/code.bin:", "bytes, expected", "recompile the model"),
        ),
    ],
)
def test_bad_package_is_refused(
    damage: Callable[[Path], None], texts: tuple[str, ...], packed: Path, given: Path, tmp_path: Path, capsys
) -> None:
    path = tmp_path / "digits.isth"
    shutil.copy(packed, path)
    damage(path)
    before = sorted(tmp_path.iterdir())
    (line,) = refused(capsys, "run", path, "--input", given, "-o", tmp_path / "out.npz").lines
    for text in texts:
        assert text in line
    assert sorted(tmp_path.iterdir()) == before


def test_refusing_a_bad_package_costs_little(packed: Path, given: Path, tmp_path: Path) -> None:
    path = tmp_path / "digits.isth"
    for damage in (truncated, rewritten("manifest.json", newer)):
        shutil.copy(packed, path)
        damage(path)
        found = refused_by_a_process("run", path, "--input", given)
        assert found.seconds < SECONDS
        assert found.bytes < BYTES


RIGHT = np.zeros((1, 1, 8, 8), np.float32)


@pytest.mark.parametrize(
    ("arrays", "texts"),
    [
        ({}, ["input 'image': is missing; the model takes: 'image' f32[1, 1, 8, 8]"]),
        (
            {"image": RIGHT, "mask": RIGHT},
            ["input 'mask': the model has no such input; the model takes: 'image'"],
        ),
        (
            {"imag": RIGHT},
            ["input 'image': is missing", "input 'imag': the model has no such input; did you mean 'image'?"],
        ),
        (
            {"image": RIGHT[:, :, :4]},
            [
                "input 'image': got float32[1, 1, 4, 8], expected f32[1, 1, 8, 8]; pass that shape, or recompile"
            ],
        ),
        (
            {"image": RIGHT[0]},
            ["input 'image': got float32[1, 8, 8], expected f32[1, 1, 8, 8]"],
        ),
        (
            {"image": RIGHT.astype(np.float64)},
            [
                "input 'image': got float64[1, 1, 8, 8], expected f32[1, 1, 8, 8]; convert it with .astype('float32')"
            ],
        ),
    ],
)
def test_wrong_arrays_are_refused(
    arrays: dict, texts: list[str], packed: Path, tmp_path: Path, capsys
) -> None:
    np.savez(tmp_path / "in.npz", **arrays)
    out = tmp_path / "out.npz"
    found = refused(
        capsys, "run", packed, "--input", tmp_path / "in.npz", "-o", out, "--trace", tmp_path / "t.json"
    )
    assert len(found.lines) == len(texts)
    for line, text in zip(found.lines, texts, strict=True):
        assert line.startswith(text)
    assert [path.name for path in tmp_path.iterdir()] == ["in.npz"]


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 and no more", b"\x93NUMPY\x01\x00"])
def test_wrong_input_files_are_refused(content: bytes, packed: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "in.npz").write_bytes(content)
    (line,) = refused(capsys, "run", packed, "--input", tmp_path / "in.npz").lines
    assert "in.npz: is no .npz or .npy file that can be read" in line
    assert line.endswith("write it with numpy.savez, plain arrays only")


def test_an_array_that_claims_4_tib_is_refused(packed: Path, tmp_path: Path) -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1048576, 1048576), }"
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    path = tmp_path / "image.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(16))
    found = refused_by_a_process("run", packed, "--input", path)
    assert found.seconds < SECONDS
    assert found.bytes < BYTES


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("compile",), "Missing argument 'MODEL'; see isthmus compile --help"),
        (
            ("compile", DIGITS, "-o", "{}/x.o", "--emit", "object"),
            "batch is open in 'image' f32[batch, 1, 8, 8]; give shapes=",
        ),
        (
            ("compile", DIGITS, "-o", "{}/x.isth", "--shapes", "8,8"),
            "'8,8' names no input; write NAME=1,3,224,224",
        ),
        (
            ("compile", DIGITS, "-o", "{}/x.isth", "--shapes", "a=1"),
            "digits.onnx: shapes= names 'a', which is no input",
        ),
        (("compile", DIGITS, "-o", "{}/x.isth", "--target", "tpu"), "target 'tpu': there is no such target"),
        (("compile", DIGITS, "-o", "{}/x.isth", "--precision", "int4"), "precision: got 'int4'"),
        (
            (
                *("compile", DIGITS, "-o", "{}/x.isth", "--shapes", "image=1,1,8,8"),
                *("--precision", "int8", "--calibration", "nowhere.npz"),
            ),
            "nowhere.npz: can't be read: No such file or directory; check the path",
        ),
        (
            ("compile", DIGITS, "-o", "{}/no/x.isth", "--shapes", "image=1,1,8,8"),
            "no/x.isth: can't be written: No such file or directory; choose a folder that exists",
        ),
        (("compile", "nowhere.onnx", "-o", "{}/x.isth"), "nowhere.onnx: no such file; check the path"),
        (("run", DIGITS, "--input", "x.npz"), "digits.onnx: not a package, or a damaged one"),
        (("disasm", DIGITS), "digits.onnx: not a package, or a damaged one"),
        (("show", "nowhere.isth"), "nowhere.isth: no such file"),
        (("fly",), "No such command 'fly'; see isthmus --help"),
        (
            ("run", "x.isth", "--input", "y", "--threads", "0"),
            "0 is not in the range x>=1; see isthmus run --help",
        ),
    ],
)
def test_wrong_command_lines_are_refused(arguments: tuple, text: str, tmp_path: Path, capsys) -> None:
    (line,) = refused(capsys, *(str(part).format(tmp_path) for part in arguments)).lines
    assert text in line
    assert list(tmp_path.iterdir()) == []


def test_unknown_options_of_a_target_are_refused(tmp_path: Path, capsys) -> None:
    options = ("--shapes", "image=1,1,8,8", "-o", tmp_path / "x.isth", "--option")
    cases = (
        ("level=avx9", "digits.onnx: unknown CPU level 'avx9'; the levels are: host, x86-64, avx2, avx512"),
        ("triple=z80-unknown-none", "LLVM knows no triple 'z80-unknown-none'; give one such as"),
        ("speed=fast", "digits.onnx: the cpu has no option 'speed'; it has: level"),
    )
    for option, text in cases:
        (line,) = refused(capsys, "compile", DIGITS, *options, option).lines
        assert text in line
    assert list(tmp_path.iterdir()) == []


def test_damaged_data_of_an_earlier_file_survives_a_failure(tmp_path: Path, capsys) -> None:
    """A compilation that fails leaves what was there."""
    path = tmp_path / "x.isth"
    path.write_text("precious")
    refused(capsys, "compile", DIGITS, "-o", path, "--option", "level=avx9")
    assert path.read_text() == "precious"
