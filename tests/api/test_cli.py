"""Every verb of the command line on the demo's network: what it prints, writes and returns."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

import isthmus
from isthmus.commands import VERBS

SHAPES = ("--shapes", "image=1,1,8,8")


def test_help_lists_every_verb_with_a_whole_sentence(command) -> None:
    done = command("--help")
    assert done.status == 0
    for verb in VERBS:
        line = next(line for line in done.out.splitlines() if line.startswith(f"  {verb} "))
        assert line.endswith(".")
        assert not line.endswith("...")
        own = command(verb, "--help")
        assert own.status == 0
        for flag in ("--json", "--quiet", "--debug"):
            assert flag in own.out
    assert command().out == done.out
    assert command("--version").out == f"isthmus {isthmus.__version__}\n"


def test_compile_and_run(command, digits: Path, given: Path, images: np.ndarray, tmp_path: Path) -> None:
    package, out, trace = tmp_path / "digits.isth", tmp_path / "out.npz", tmp_path / "trace.json"
    done = command("compile", digits, *SHAPES, "-o", package)
    assert (done.status, done.err) == (0, "")
    assert re.fullmatch(r".*/digits\.isth: [\d,]+ bytes, \d+ kernels, \d+\.\d\d s\n", done.out)
    done = command("run", package, "--input", given, "-o", out, "--trace", trace, "--threads", 1)
    assert done == type(done)(0, "", "")
    expected = isthmus.read(digits).evaluate([images[:1]])["scores"]
    np.testing.assert_allclose(np.load(out)["scores"], expected, rtol=1e-4, atol=1e-5)
    assert any("conv1" in event["name"] for event in json.loads(trace.read_text())["traceEvents"])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "digits.isth",
        "in.npz",
        "out.npz",
        "trace.json",
    ]


def test_compile_with_an_input_fixed(command, tmp_path: Path) -> None:
    model, package = tmp_path / "model.onnx", tmp_path / "model.isth"
    node = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], "resize")
    declared = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 2]),
        helper.make_tensor_value_info("sizes", TensorProto.INT64, [2]),
    ]
    graph = helper.make_graph([node], "g", declared, [helper.make_empty_tensor_value_info("y")])
    model.write_bytes(helper.make_model(graph).SerializeToString())
    refused = command("compile", model, "-o", package)
    assert refused.status == 1
    assert "depends on the values of sizes" in refused.err
    assert "--constant sizes=VALUE" in refused.err
    for size in (4, 6):  # what is kept of the one is not taken for the other
        assert command("compile", model, "--constant", f"sizes=2,{size}", "-o", package).status == 0
        assert isthmus.load(package).run([np.ones((2, 2), "f")])["y"].shape == (2, size)
    for wrong in ("sizes", "sizes=", "sizes=2,x"):
        assert command("compile", model, "--constant", wrong, "-o", package).status == 1


def test_run_describes_what_it_does_not_write(
    command, packed: Path, given: Path, images: np.ndarray, tmp_path
) -> None:
    done = command("run", packed, "--input", given)
    assert re.fullmatch(r"scores: float32\[1, 10\], -?[\d.]+ to [\d.]+, mean -?[\d.]+\n", done.out)
    np.save(tmp_path / "image.npy", images[:1])
    assert command("run", packed, "--input", tmp_path / "image.npy").out == done.out
    assert command("run", packed, "--input", f"image={tmp_path / 'image.npy'}").out == done.out
    record = json.loads(command("run", packed, "--input", given, "--json").out)
    assert record == {"outputs": {"scores": {"dtype": "float32", "shape": [1, 10]}}, "written": None}


def test_check(command, digits: Path) -> None:
    done = command("check", digits, *SHAPES)
    assert (done.status, done.out) == (0, "digits.onnx compiles for cpu: 16 nodes\n")
    assert "batch known at run time only" in command("check", digits).out
    record = json.loads(command("check", digits, "--target", "tpu", "--json").out)
    assert record["ok"] is False
    assert record["problems"][0]["location"] == "target 'tpu'"
    assert "cpu" in record["problems"][0]["hint"]


def test_explain_tells_where_and_why(command, digits: Path) -> None:
    table = command("explain", digits, *SHAPES)
    assert table.status == 0
    assert "7 kernels, 0 steps by reference meaning" in table.out
    assert re.search(r"^ +1  cpu +[\d,]+ +[\d.]+%  conv1, norm1, relu1$", table.out, re.MULTILINE)
    detail = command("explain", digits, *SHAPES, "--kernel", "conv2")
    for text in ('kernel "', "place s0 on fma", "# predicted ", "compute "):
        assert text in detail.out
    record = json.loads(command("explain", digits, *SHAPES, "--json").out)
    assert record["clock_mhz"] > 0
    assert [step["number"] for step in record["steps"]] == list(range(7))
    missing = command("explain", digits, *SHAPES, "--kernel", "nothing")
    assert (missing.status, missing.out) == (1, "")
    assert missing.err.startswith(
        "error: digits.onnx: no kernel is called 'nothing'; give a number from 0 to 6"
    )


def test_show_before_between_and_after(command, digits: Path, packed: Path) -> None:
    before = command("show", digits, *SHAPES).out
    assert before.count("nn.batch_norm") == 2
    after = command("show", digits, *SHAPES, "--after", "fold-affine").out
    assert "2 batch_norm(x) => x * s + t" in after
    assert "nn.batch_norm(" not in after
    stored = command("show", packed)
    assert stored.out in command("show", digits, *SHAPES, "--after", "simplify#2").out
    assert "place s0 on fma" in command("show", digits, *SHAPES, "--after", "kernels").out
    assert json.loads(command("show", packed, "--json").out)["model"] == "digits.onnx"
    unknown = command("show", digits, "--after", "magic")
    assert unknown.err.startswith("error: --after: no pass is called 'magic'; the passes are: simplify, ")
    assert command("show", packed, "--after", "simplify").status == 1


@pytest.mark.parametrize(
    ("kind", "start"), [("ir", b'graph "digits"'), ("llvm", b"target triple"), ("object", b"\x7fELF")]
)
def test_emit(command, digits: Path, tmp_path: Path, kind: str, start: bytes) -> None:
    done = command("compile", digits, *SHAPES, "--emit", kind, "-o", tmp_path / "out")
    assert done.status == 0
    assert (tmp_path / "out").read_bytes().startswith(start)


@pytest.mark.parametrize(("kind", "name"), [("package", "digits.isth"), ("llvm", "digits.ll")])
def test_what_is_compiled_is_named_as_the_model(
    command, digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = command("compile", digits.absolute(), *SHAPES, "--emit", kind)
    assert done.out.startswith(f"{name}: ")
    assert (tmp_path / name).stat().st_size > 0


def test_emit_for_another_machine(command, digits: Path, tmp_path: Path) -> None:
    arguments = (
        "compile",
        digits,
        *SHAPES,
        "--option",
        "triple=aarch64-unknown-linux-gnu",
        "-o",
        tmp_path / "out",
    )
    assert command(*arguments, "--emit", "object").status == 0
    assert (tmp_path / "out").read_bytes()[18:20] == b"\xb7\x00", "EM_AARCH64"
    assert command(*arguments, "--emit", "asm").status == 0
    assert "fmla" in (tmp_path / "out").read_text()


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_emitted_executable_runs(command, digits: Path, images: np.ndarray, tmp_path: Path) -> None:
    assert command("compile", digits, *SHAPES, "--emit", "executable", "-o", tmp_path / "digits").status == 0
    images[:1].tofile(tmp_path / "image.in")
    subprocess.run(["./digits", "image.in", "scores.out"], cwd=tmp_path, check=True)
    got = np.fromfile(tmp_path / "scores.out", np.float32)
    expected = isthmus.read(digits).evaluate([images[:1]])["scores"][0]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_bench_and_profile(command, digits: Path, packed: Path, given: Path) -> None:
    for file, more in ((packed, ()), (digits, SHAPES)):
        record = json.loads(command("bench", file, *more, "--runs", 3, "--threads", 1, "--json").out)
        assert len(record["seconds"]) == 3
        assert 0 < record["minimum"] <= record["median"]
    assert "over 3 runs" in command("bench", packed, "--runs", 3, "--input", given).out
    record = json.loads(command("profile", packed, "--input", given, "--json", "--top", 2).out)
    assert len(record["steps"]) == 2


def test_bench_tells_of_kernels_and_of_accuracy(command, digits: Path, packed: Path, tmp_path: Path) -> None:
    picture = tmp_path / "roofline.svg"
    done = command("bench", digits, *SHAPES, "--runs", 2, "--picture", picture, "--top", 2)
    assert "time-weighted error of prediction" in done.out
    assert picture.read_text().startswith("<svg")
    record = json.loads(command("bench", digits, *SHAPES, "--runs", 1, "--accuracy", "--json").out)
    assert [way["title"].split()[0].strip(",") for way in record["ways"]] == ["f32", "f32", "bf16"]
    for flag in ("--profile", "--accuracy"):
        assert f"{flag} takes a model, not a package" in command("bench", packed, flag).err
        refused = command("bench", digits, *SHAPES, flag, "--target", "n1-8").err
        assert f"{flag} is for the cpu, not for n1-8" in refused


def test_lists(command) -> None:
    assert command("targets").out.startswith("cpu ")
    assert json.loads(command("targets", "--json").out)[0]["engines"]["fma"] == "contract"
    assert "\nonnx " in command("formats").out
    assert "nn.softmax(x, axis)\n    exp(x) / sum of exp(x)" in command("ops", "softmax").out
    every = json.loads(command("ops", "--json").out)
    assert len(every) > 100
    assert all(op["meaning"] for op in every)
    assert command("ops", "nothing-like-it").status == 1


@pytest.mark.skipif(not shutil.which("objdump"), reason="no binutils")
def test_disasm(command, packed: Path) -> None:
    done = command("disasm", packed)
    assert done.status == 0
    assert re.match(r"; cpu of .*digits\.isth: \S+, \S+, \d+ bytes\n", done.out)
    assert "\nsegment_0:\n" in done.out
    assert re.search(r"\bret\b", done.out)
    assert "the package has code for: cpu" in command("disasm", packed, "--device", "npu").err


def test_demo_is_right_and_shows_every_stage(command) -> None:
    done = command("demo")
    assert done.status == 0
    for number in range(1, 8):
        assert f"\n{number}. " in done.out
    assert re.search(r"^35\d of 360 images right: accuracy 99\.\d%$", done.out, re.MULTILINE)
    record = json.loads(command("demo", "--json").out)
    assert record["accuracy"] > 0.97
    assert record["difference"] < 1e-4


def test_profile_of_a_simulated_chip(command, digits: Path, tmp_path: Path) -> None:
    html, trace = tmp_path / "page.html", tmp_path / "trace.json"
    done = command("profile", digits, *SHAPES, "--target", "n1-8", "--html", html, "--trace", trace)
    assert done.status == 0
    assert re.search(r"^n1-8: [\d,]+ cycles, .* of the roofline's bound; ", done.out, re.MULTILINE)
    assert html.read_text().count("<svg") >= 1
    names = {each["args"].get("name") for each in json.loads(trace.read_text())["traceEvents"]}
    assert {"n1-8, simulated", "lda", "ldw", "mxu", "vec", "sto"} <= names
    record = json.loads(command("profile", digits, *SHAPES, "--target", "n1-8", "--json").out)
    (chip,) = record["chips"]
    assert chip["cycles"] == record["cycles"]["npu"]
    assert sum(each["cycles"] for each in chip["kernels"]) == pytest.approx(chip["cycles"], abs=1)
    for engine in chip["engines"].values():
        assert engine["busy"] + sum(engine["stalls"].values()) == pytest.approx(chip["cycles"], abs=1)


def test_disasm_of_a_simulated_chip(command, digits: Path, tmp_path: Path) -> None:
    packed = tmp_path / "digits.isth"
    assert command("compile", digits, *SHAPES, "--target", "n1-8", "-o", packed).status == 0
    listed = command("disasm", packed).out
    assert listed.startswith("# entry 0 of n1-8: ")
    assert re.search(r"^# digits.onnx:conv1\+norm1\+relu1.*: conv1, norm1, relu1", listed, re.MULTILINE)
    assert re.search(r"^sto dram=0x\w+ spa=0x\w+ n0=\d+ .*wait=\[\d", listed, re.MULTILINE)
