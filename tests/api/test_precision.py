"""int8 and bf16 through the public interface: accuracy, equality with the meaning, what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import isthmus
from isthmus.compiler.diagnostics import UnsupportedError
from isthmus.precision import find_precision
from isthmus.runtime.errors import InputError, IsthmusError

MODELS = Path(__file__).parent / "models"
SHAPES = {"image": (1, 1, 8, 8)}


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    with np.load(Path(isthmus.__file__).parent / "demo" / "digits.npz") as held_out:
        return np.asarray(held_out["labels"])


def compiled(model: Path, images: np.ndarray, **more: Any) -> isthmus.Package:
    package = isthmus.compile(
        model,
        shapes=SHAPES,
        precision="int8",
        calibration=[{"image": image[None]} for image in images[:16]],
        **more,
    )
    assert isinstance(package, isthmus.Package)
    return package


def right(package: Any, images: np.ndarray, labels: np.ndarray) -> float:
    scores = [package.run([image[None]])["scores"] for image in images]
    return float((np.concatenate(scores).argmax(1) == labels).mean())


@pytest.mark.parametrize("name", ["digits", "digits_depthwise", "digits_residual", "digits_inverted"])
def test_int8_keeps_the_accuracy_and_equals_its_meaning(
    name: str, digits: Path, images: np.ndarray, labels: np.ndarray
) -> None:
    model = digits if name == "digits" else MODELS / f"{name}.onnx"
    package = compiled(model, images, quantisation={"report": True})
    assert not package.manifest.fallbacks
    ops = {node.op for node in package.graph.graph.nodes}
    assert not ops & {"nn.conv", "nn.matmul"}
    exact = isthmus.compile(model, shapes=SHAPES)
    seen = slice(None, None, 1 if name in ("digits", "digits_depthwise") else 3)
    assert right(package, images[seen], labels[seen]) >= right(exact, images[seen], labels[seen]) - 0.01
    for image in images[:8]:
        got, want = package.run([image[None]]), package.graph.evaluate([image[None]])
        np.testing.assert_array_equal(got["scores"], want["scores"])
    assert package.quantisation is not None
    assert package.quantisation.worst > 30
    assert package.manifest.options["precision"] == "int8"


def test_a_budget_leaves_costly_products_in_bf16(images: np.ndarray) -> None:
    model = MODELS / "digits_inverted.onnx"
    package = compiled(model, images, quantisation={"budget": 36.5, "rest": "bf16"})
    products = [node.result.dtype.name for node in package.graph.graph.nodes if node.op == "nn.conv"]
    assert set(products) == {"bf16"}
    assert 0 < len(products) < 20
    assert package.quantisation is not None
    assert package.quantisation.worst >= 36.5
    assert f"in floats: {model.name}:" in str(package.quantisation)


def test_the_same_samples_give_the_same_bytes(digits: Path, images: np.ndarray, tmp_path: Path) -> None:
    for name in ("a", "b"):
        compiled(digits, images).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    options = isthmus.load(tmp_path / "a").manifest.options
    other = find_precision("int8", [{"image": image[None]} for image in images[1:17]])
    assert options["quantisation"] == other.record["quantisation"]
    assert options["calibration"] != other.record["calibration"]


def test_bf16_is_near(digits: Path, images: np.ndarray) -> None:
    package = isthmus.compile(digits, shapes=SHAPES, precision="bf16")
    exact = isthmus.compile(digits, shapes=SHAPES)
    for image in images[:8]:
        got, want = (p.run([image[None]])["scores"] for p in (package, exact))
        assert got.dtype == np.float32
        assert np.abs(got - want).max() <= 2e-2 * np.abs(want).max()
    assert package.manifest.options["precision"] == "bf16"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"precision": "int4"}, "precision: got 'int4', expected one of f32, bf16, int8"),
        ({"precision": "f32", "calibration": []}, "calibration: is for precision 'int8', and this is 'f32'"),
        ({"calibration": []}, "calibration: holds no samples"),
        ({"precision": "bf16", "quantisation": {}}, "quantisation: is for precision 'int8'"),
        ({"precision": "int8", "calibration": []}, "calibration: holds no samples"),
        (
            {"precision": "int8", "quantisation": {"bits": 4}},
            "quantisation: has no choice 'bits'; it has: ranges",
        ),
        (
            {"precision": "int8", "quantisation": {"ranges": "best"}},
            "quantisation: ranges are 'best', expected one of minmax, percentile, mse, entropy",
        ),
        (
            {"precision": "int8", "quantisation": {"rest": "f16"}},
            "quantisation: rest is 'f16', expected f32 or bf16",
        ),
        ({"precision": "int8"}, "digits.onnx: code is made for fixed shapes, and batch is open"),
    ],
)
def test_refused(digits: Path, arguments: dict, message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        isthmus.compile(digits, **arguments)


def test_samples_alone_ask_for_integers(digits: Path, images: np.ndarray) -> None:
    package = isthmus.compile(digits, shapes=SHAPES, calibration=[[images[0][None]]])
    assert package.manifest.options["precision"] == "int8"


def test_an_idle_array_is_told(command: Callable[..., Any], digits: Path, tmp_path: Path) -> None:
    arguments = (
        "compile",
        digits,
        "--shapes",
        "image=1,1,8,8",
        "-o",
        tmp_path / "x.isth",
        "--target",
        "n1-8",
    )
    told = "multiply f32 element by element: the array of n1-8 does i8*i8+i32, bf16*bf16+f32; compile for"
    assert told in command(*arguments).out
    assert "element by element" not in command(*arguments, "--precision", "bf16").out
    assert told in str(isthmus.explain(digits, "n1-8", shapes=SHAPES))
    assert isthmus.explain(digits, "cpu", shapes=SHAPES).advice is None


def test_without_samples_products_are_named(digits: Path) -> None:
    with pytest.raises(
        UnsupportedError, match=r"nothing says in which range .* give sample inputs"
    ) as caught:
        isthmus.compile(digits, shapes=SHAPES, precision="int8")
    places = [problem.location for problem in caught.value.problems]
    assert places == [
        "digits.onnx:conv1+norm1",
        "digits.onnx:conv2+norm2",
        "digits.onnx:dense1",
        "digits.onnx:dense2",
    ]


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ({}, r"calibration\[0\]: has arrays none, expected image"),
        (
            {"image": np.zeros((1, 1, 8, 9), np.float32)},
            r"calibration\[0\]: 'image' is float32\[1, 1, 8, 9\], expected f32\[1, 1, 8, 8\]",
        ),
    ],
)
def test_samples_must_fit(digits: Path, sample: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        isthmus.compile(digits, shapes=SHAPES, precision="int8", calibration=[sample])


def test_on_the_command_line(
    command: Callable[..., Any], digits: Path, images: np.ndarray, tmp_path: Path
) -> None:
    np.savez(tmp_path / "samples.npz", image=images[:4])
    arguments = ["compile", digits, "--shapes", "image=1,1,8,8", "--precision", "int8"]
    files = ["--calibration", tmp_path / "samples.npz", "-o", tmp_path / "x.isth"]
    done = command(*arguments, *files, "--report", "--float-layer", "conv1", "--ranges", "percentile")
    assert done.status == 0, done.err
    assert "SQNR dB" in done.out
    assert "in floats: digits.onnx:conv1+norm1" in done.out
    assert isthmus.load(tmp_path / "x.isth").manifest.options["quantisation"]["ranges"] == "percentile"


def test_every_verb_on_models_takes_a_precision(
    command: Callable[..., Any], digits: Path, images: np.ndarray, tmp_path: Path
) -> None:
    np.savez(tmp_path / "samples.npz", image=images[:2])
    model = (digits, "--shapes", "image=1,1,8,8", "--precision", "int8")
    samples = ("--calibration", tmp_path / "samples.npz", "--target", "n1-8")
    verbs = {"check": "compiles for n1-8", "explain": "0 steps by ref", "profile": "n1-8: ", "bench": " runs"}
    for verb, text in verbs.items():
        done = command(verb, *model, *samples, *(("--runs", 1) if verb == "bench" else ()))
        assert (done.status, done.err) == (0, ""), verb
        assert text in done.out, verb
        assert "precision: got 'int4'" in command(verb, digits, "--precision", "int4").err
    unsure = command("check", *model)
    assert unsure.status == 1
    assert unsure.out.count("give sample inputs") == 4


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"picture": np.zeros((1, 1, 8, 8))}, "has no array 'image'; it needs one for each input"),
        (
            {"image": np.zeros((3, 8, 8), np.float32)},
            r"'image' is [3, 8, 8], expected [1, 1, 8, 8] or several",
        ),
    ],
)
def test_sample_files_must_fit(digits: Path, tmp_path: Path, arrays: dict, message: str) -> None:
    from isthmus.calibration import load_samples

    np.savez(tmp_path / "samples.npz", **arrays)
    with pytest.raises(IsthmusError) as caught:
        load_samples([str(tmp_path / "samples.npz")], isthmus.read(digits, SHAPES))
    assert message in str(caught.value)


def test_files_hold_one_sample_or_many(digits: Path, tmp_path: Path, images: np.ndarray) -> None:
    from isthmus.calibration import load_samples

    model = isthmus.read(digits, SHAPES)
    for array, count in ((images[:1], 1), (images[:5], 5), (images[:5, None], 5)):
        np.savez(tmp_path / "samples.npz", image=array)
        samples = load_samples([str(tmp_path / "samples.npz")] * 2, model)
        assert len(samples) == 2 * count
        assert {sample["image"].shape for sample in samples} == {(1, 1, 8, 8)}
