"""The demo's network and images: what is shipped is what the training script writes, and it is accurate."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "api" / "demo"
OPS = ["Conv", "BatchNormalization", "Relu", "MaxPool"] * 2 + ["Flatten", "Gemm", "Relu", "Gemm"]


def accuracy(folder: Path) -> float:
    """The share of the held-out images that ONNX Runtime, an engine that is not ours, classifies rightly."""
    with np.load(folder / "digits.npz") as held_out:
        images, labels = held_out["images"], held_out["labels"]
    session = onnxruntime.InferenceSession(folder / "digits.onnx", providers=["CPUExecutionProvider"])
    (scores,) = session.run(["scores"], {"image": images[:, None].astype(np.float32) / 16})
    return float((scores.argmax(1) == labels).mean())


def test_shipped_images_are_what_the_demo_documents() -> None:
    with np.load(SHIPPED / "digits.npz") as held_out:
        images, labels = held_out["images"], held_out["labels"]
    assert (images.shape, images.dtype) == ((360, 8, 8), np.uint8)
    assert (labels.shape, labels.dtype) == ((360,), np.uint8)
    assert images.max() == 16
    assert set(labels.tolist()) == set(range(10))


def test_shipped_network_is_unfolded_and_accurate() -> None:
    model = onnx.load(SHIPPED / "digits.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == OPS
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for statistic, neutral in (("running_mean", 0), ("running_var", 1)):
        assert not np.allclose(weights[f"norm1.{statistic}"], neutral), "folding it would prove nothing"
    assert accuracy(SHIPPED) >= 0.97


@pytest.mark.frameworks
def test_training_writes_the_same_images_and_an_equal_network(tmp_path: Path) -> None:
    """Weights may differ between machines in their last bits, so the network is compared by what it can do."""
    script = ROOT / "examples" / "digits" / "train.py"
    command = [sys.executable, str(script), "--destination", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(SHIPPED / "digits.npz") as shipped, np.load(tmp_path / "digits.npz") as written:
        assert shipped.files == written.files
        for name in shipped.files:
            np.testing.assert_array_equal(shipped[name], written[name])
    assert [node.op_type for node in onnx.load(tmp_path / "digits.onnx").graph.node] == OPS
    assert accuracy(tmp_path) >= 0.97
