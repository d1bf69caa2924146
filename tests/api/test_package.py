"""Packages: compiled, saved, loaded, run in threads, their graph evaluated."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import isthmus
from isthmus.compiler.diagnostics import CompileError, UnsupportedError
from isthmus.runtime.errors import InputError


def test_compiled_package_meets_the_reference(
    package: isthmus.Package, digits: Path, images: np.ndarray
) -> None:
    model = isthmus.read(digits)
    for image in images[:8]:
        got = package.run({"image": image[None]})["scores"]
        np.testing.assert_allclose(got, model.evaluate([image[None]])["scores"], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(got, package.graph.evaluate([image[None]])["scores"], rtol=1e-4, atol=1e-5)


def test_loaded_package_is_the_compiled_one(
    package: isthmus.Package, packed: Path, images: np.ndarray
) -> None:
    loaded = isthmus.load(packed, threads=2)
    assert loaded.inputs == package.inputs
    assert loaded.outputs == package.outputs
    assert loaded.manifest == package.manifest
    assert loaded.manifest.model == "digits.onnx"
    assert loaded.manifest.target == "cpu"
    assert loaded.graph.text == package.graph.text
    loaded.verify()
    np.testing.assert_array_equal(loaded.run([images[:1]])["scores"], package.run([images[:1]])["scores"])
    np.testing.assert_allclose(
        loaded.graph.evaluate([images[:1]])["scores"],
        package.graph.evaluate([images[:1]])["scores"],
        rtol=1e-5,
        atol=1e-6,  # numpy's sums depend on where the arrays lie
    )


def test_runs_may_overlap(packed: Path, images: np.ndarray) -> None:
    loaded = isthmus.load(packed)
    alone = [loaded.run([image[None]], threads=1)["scores"] for image in images[:64]]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda image: loaded.run([image[None]])["scores"], images[:64]))
    np.testing.assert_array_equal(alone, together)


def test_profile_accounts_for_every_kernel(
    package: isthmus.Package, images: np.ndarray, tmp_path: Path
) -> None:
    profile = package.profile([images[:1]])
    np.testing.assert_array_equal(profile.outputs["scores"], package.run([images[:1]])["scores"])
    assert profile.seconds > 0
    assert any("conv1+norm1+relu1" in step.name for step in profile.steps)
    profile.save_trace(tmp_path / "trace.json")
    assert (tmp_path / "trace.json").stat().st_size > 0


def test_stripped_package_runs_but_has_no_graph(digits: Path, images: np.ndarray, tmp_path: Path) -> None:
    isthmus.compile(digits, shapes={"image": (1, 1, 8, 8)}, strip=True).save(tmp_path / "small.isth")
    small = isthmus.load(tmp_path / "small.isth")
    assert small.run([images[:1]])["scores"].shape == (1, 10)
    with pytest.raises(CompileError, match=r"small\.isth: the package holds no source constants"):
        _ = small.graph


def test_same_input_gives_the_same_bytes(packed: Path, digits: Path, tmp_path: Path) -> None:
    """Whatever the folder, the hash seed and the process."""
    for seed in ("1", "2"):
        folder = tmp_path / f"elsewhere{seed}"
        folder.mkdir()
        (folder / "digits.onnx").write_bytes(digits.read_bytes())
        arguments = ["compile", "digits.onnx", "--shapes", "image=1,1,8,8", "-o", "digits.isth", "--quiet"]
        command = [sys.executable, "-P", "-m", "isthmus", *arguments]
        subprocess.run(command, cwd=folder, env=os.environ | {"PYTHONHASHSEED": seed}, check=True)
        assert (folder / "digits.isth").read_bytes() == packed.read_bytes()


@pytest.mark.parametrize("level", ["avx2", "x86-64"])
def test_feature_levels_compute_the_same(digits: Path, images: np.ndarray, level: str) -> None:
    built = isthmus.compile(digits, shapes={"image": (1, 1, 8, 8)}, options={"level": level})
    assert "avx512f" not in built.manifest.features["cpu"]
    expected = isthmus.read(digits).evaluate([images[:1]])["scores"]
    np.testing.assert_allclose(built.run([images[:1]])["scores"], expected, rtol=1e-4, atol=1e-5)


def test_threads_are_checked_before_work_starts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="threads: got 0, expected a whole number of at least 1"):
        isthmus.compile(tmp_path / "nowhere.onnx", threads=0)


def test_wrong_inputs_are_named(package: isthmus.Package, images: np.ndarray) -> None:
    with pytest.raises(
        InputError, match=r"input 'image': got float64\[2, 1, 8, 8\], expected f32\[1, 1, 8, 8\]"
    ):
        package.run({"image": images[:2].astype(np.float64)})
    with pytest.raises(InputError, match="threads: got 0"):
        package.run([images[:1]], threads=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": "tpu"}, "target 'tpu': there is no such target; targets are: cpu, f1-b4096, "),
        ({"target": "cpu+tpu"}, r"target 'tpu': there is no such target"),
    ],
)
def test_what_is_not_there_is_refused(digits: Path, arguments: dict, message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        isthmus.compile(digits, **arguments)
