"""Libraries and executables: a C program calls the model and gets the package's values."""

import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from isthmus.backends.cpu import c_source, emit_files
from isthmus.backends.cpu.device import device
from isthmus.compiler.diagnostics import CompileError, UnsupportedError
from isthmus.runtime import HostStep, LoadedPackage, Port, Segment, Slot

COMPILER = next(filter(None, map(shutil.which, emit_files.COMPILERS)), None)
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler (cc, gcc, clang) on PATH")

CALLER = """#include "sample_model.h"
#include <stdio.h>

int main(void) {
  static float x[4096], y[4097];
  if (fread(x, sizeof *x, 4096, stdin) != 4096) return 3;
  for (int turn = 0; turn < 3; turn++)
    if (sample_model_run(x, y + turn % 2)) return 4;
  return fwrite(y, sizeof *y, 4096, stdout) != 4096;
}
"""


@pytest.fixture
def model(sample_artefact, sample_object):
    artefact = sample_artefact()
    entries = {name: artefact.entry(name) for name in artefact.names}
    return emit_files.NativeModel("sample-model", artefact.program, sample_object, ["segment_0"], entries)


@needs_compiler
def test_a_c_program_calls_the_library(model, tmp_path, x, sample_output):
    library, header = emit_files.write_library(model, tmp_path / "libsample.so")
    assert header == tmp_path / "sample_model.h"
    (tmp_path / "caller.c").write_text(CALLER)
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", f"-Wl,-rpath,{tmp_path}"]
    subprocess.run(
        [COMPILER, *flags, "caller.c", library.name, "-o", "caller"], cwd=tmp_path, check=True, timeout=60
    )
    done = subprocess.run(
        [tmp_path / "caller"], input=x.tobytes(), capture_output=True, check=True, timeout=60
    )
    assert np.array_equal(np.frombuffer(done.stdout, np.float32), sample_output(x))


@needs_compiler
def test_the_library_exports_one_function_and_calls_overlap(model, tmp_path, x, sample_output):
    import ctypes
    import threading

    library, _ = emit_files.write_library(model, tmp_path / "libsample.so")
    names = subprocess.run(
        ["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True
    )
    assert [line.split()[-1] for line in names.stdout.splitlines()] == ["sample_model_run"]
    function = ctypes.CDLL(str(library)).sample_model_run
    wrong = []

    def work(seed: int) -> None:
        mine = np.random.default_rng(seed).standard_normal(4096).astype(np.float32)
        y = np.empty_like(mine)
        for _ in range(100):
            status = function(ctypes.c_void_p(mine.ctypes.data), ctypes.c_void_p(y.ctypes.data))
            if status or not np.array_equal(y, sample_output(mine)):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@needs_compiler
def test_the_executable_reads_and_writes_files(model, tmp_path, x, sample_output):
    program = emit_files.write_executable(model, tmp_path / "sample")
    x.tofile(tmp_path / "x.bin")
    subprocess.run([program, "x.bin", "y.bin"], cwd=tmp_path, check=True, timeout=60)
    assert np.array_equal(np.fromfile(tmp_path / "y.bin", np.float32), sample_output(x))


@needs_compiler
def test_the_executable_says_what_is_wrong(model, tmp_path, x):
    program = emit_files.write_executable(model, tmp_path / "sample")

    def error(*arguments: str) -> str:
        done = subprocess.run([program, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        return done.stderr

    assert error() == f"usage: {program} x.in y.out\n"
    assert error("none", "y") == "none: expected 16384 bytes for input 'x'\n"
    x.tofile(tmp_path / "x.bin")
    assert error("x.bin", "no/y") == "no/y: can't be written\n"
    for size in (4095, 4097):
        np.resize(x, size).tofile(tmp_path / "bad.bin")
        assert error("bad.bin", "y") == "bad.bin: expected 16384 bytes for input 'x'\n"


@needs_compiler
def test_equal_models_give_equal_files(model, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        emit_files.write_library(model, tmp_path / folder / "m.so")
        emit_files.write_executable(model, tmp_path / folder / "m")
    for name in ("m.so", "m", "sample_model.h"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@needs_compiler
def test_arrays_between_segments_and_aliased_outputs(model, sample_artefact, tmp_path, x):
    """Two calls through a host array; outputs that are an input, a constant, the arena, and another output."""
    first, n = model.program, 4096
    program = replace(
        first,
        slots=(
            *first.slots,
            Slot("z", "f32", (n,), "host"),
            Slot("h", "f32", (n,), "arena", 0, "cpu"),
            Slot("c", "f32", (n,), "constant", 0, "cpu"),
            Slot("more", "f32", (2,), "constant", 4, entry="more"),
        ),
        steps=(Segment("cpu", 0, ("x", "z"), ("z",)), Segment("cpu", 0, ("z", "y"), ("y",))),
        outputs=(
            *first.outputs,
            *(Port(f"out {s}", s, "f32", (n,)) for s in ("z", "h", "c", "x", "y")),
            Port("more", "more", "f32", (2,)),
        ),
    )
    entries = {**model.entries, "more": np.array([1, 2, 3], np.float32).view(np.uint8)}
    model = replace(model, program=program, entries=entries)
    artefact = sample_artefact()
    parts = {name: entries[name] for name in ("cpu/code", "cpu/constants", "more")}
    expected = LoadedPackage(type(artefact)(artefact.manifest, program, parts), {"cpu": device()}).run([x])
    executable = emit_files.write_executable(model, tmp_path / "sample")
    x.tofile(tmp_path / "x.bin")
    files = [f"{i}.bin" for i in range(len(program.outputs))]
    subprocess.run([executable, "x.bin", *files], cwd=tmp_path, check=True, timeout=60)
    for port, file in zip(program.outputs, files, strict=True):
        assert np.array_equal(np.fromfile(tmp_path / file, np.float32), expected[port.name]), port.name


def test_host_steps_are_refused_by_node(model, tmp_path):
    steps = tuple(
        HostStep("random.normal", "", ("x",), ("y",), f"n{i}", (f"m.onnx:RandomNormal_{i}",))
        for i in range(2)
    )
    model = replace(model, program=replace(model.program, steps=steps))
    with pytest.raises(UnsupportedError) as caught:
        emit_files.write_library(model, tmp_path / "a.so")
    assert str(caught.value).splitlines() == [
        f"m.onnx:RandomNormal_{i}: random.normal runs by its reference meaning, which needs Python; "
        "use a .isth package for this model"
        for i in range(2)
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("dtype", "shape", "message"),
    [
        ("string", (2,), "'x' has type string, which C lacks"),
        ("f32", ("N", 2), r"'x' has shape \[N, 2\]; compile with shapes= for all inputs"),
        ("f32", None, "'x' has unknown rank; compile with shapes= for all inputs"),
    ],
)
def test_what_c_can_not_say_is_refused(model, tmp_path, dtype, shape, message):
    program = replace(model.program, inputs=(Port("x", "x", dtype, shape),))
    with pytest.raises(UnsupportedError, match=message):
        emit_files.write_executable(replace(model, program=program), tmp_path / "a")


def test_other_devices_are_refused(model, tmp_path):
    other = replace(model.program.devices[0], name="npu")
    program = replace(model.program, devices=(*model.program.devices, other))
    with pytest.raises(UnsupportedError, match="runs on cpu, npu; C code comes for the cpu alone"):
        emit_files.write_library(replace(model, program=program), tmp_path / "a.so")


def test_without_a_compiler(model, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        CompileError, match=r"no C compiler on PATH \(looked for cc, gcc, clang\); install gcc"
    ):
        emit_files.write_library(model, tmp_path / "a.so")


def test_another_machine(model, tmp_path):
    facts = {**model.program.devices[0].meta, "triple": "aarch64-unknown-linux-gnu"}
    program = replace(model.program, devices=(replace(model.program.devices[0], meta=facts),))
    with pytest.raises(
        CompileError, match="compiled for aarch64, and the C compiler here makes code for x86-64"
    ):
        emit_files.write_library(replace(model, program=program), tmp_path / "a.so")


@needs_compiler
def test_a_failing_compiler_is_quoted(model, tmp_path):
    with pytest.raises(CompileError, match=r"failed: .*segment_7.*; use --emit object"):
        emit_files.write_executable(replace(model, segments=["segment_7"]), tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_files_are_written_whole_or_not_at_all(tmp_path):
    assert emit_files.write_file(tmp_path / "a.ll", "define").read_text() == "define"
    assert emit_files.write_file(tmp_path / "a.o", b"\x7fELF").read_bytes() == b"\x7fELF"
    with pytest.raises(CompileError, match="can't be written: No such file or directory"):
        emit_files.write_file(tmp_path / "no" / "a.o", b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ll", "a.o"]


@pytest.mark.parametrize(
    ("text", "taken", "expected"),
    [
        ("input:0", (), "input_0"),
        ("3d", (), "_3d"),
        ("int", (), "_int"),
        ("größe", (), "gr__e"),
        ("", (), "_"),
        ("x", ("x", "x_2"), "x_3"),
    ],
)
def test_identifiers(text, taken, expected):
    assert c_source.identifier(text, taken) == expected


def test_every_c_type_has_the_size_of_its_dtype():
    from isthmus.runtime import dtypes

    for name in c_source.C_TYPES:
        assert c_source._bytes(Slot("s", name, (3,), "host")) == 3 * dtypes.numpy_dtype(name).itemsize
