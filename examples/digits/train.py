"""Trains the network that `isthmus demo` compiles, and writes it as ONNX beside images that it has not seen.

The data are the handwritten digits that come with scikit-learn (UCI "Optical Recognition of Handwritten
Digits", 8x8 pixels of 0 to 16). Writers are not told apart there, so the held-out images are unseen images,
not unseen hands. The file is written node by node with onnx.helper, batch normalisation unfolded, so that a
compiler has something to fold and fuse. Run it after `pip install -e '.[train]'`.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

DESTINATION = Path(__file__).resolve().parents[2] / "api" / "demo"
SEED = 7
HELD_OUT = 360
OPSET = 17
REQUIRED_ACCURACY = 0.97


KINDS = ("conv", "norm", "relu", "clip", "add", "pool", "flatten", "dense")
"""Of layers, as nodes are named."""


class Residual(nn.Module):
    """x + body(x)."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


def split() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The digits as (train images, held-out images, train labels, held-out labels).

    Images are u8 [n, 1, 8, 8] with values 0 to 16, labels u8 [n]; every digit is as frequent in both halves.
    """
    digits = load_digits()
    images = digits.images.astype(np.uint8)[:, None]
    labels = digits.target.astype(np.uint8)
    parts = train_test_split(images, labels, test_size=HELD_OUT, random_state=SEED, stratify=labels)
    return tuple(parts)


def network() -> nn.Sequential:
    """Two convolution blocks with pooling, then two dense layers: f32 [n, 1, 8, 8] -> f32 [n, 10]."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def scaled(images: np.ndarray) -> torch.Tensor:
    """Pixels of 0 to 16 as f32 of 0 to 1, the network's input."""
    return torch.from_numpy(images.astype(np.float32) / 16)


def train(
    model: nn.Sequential, images: np.ndarray, labels: np.ndarray, epochs: int = 12, batch: int = 64
) -> None:
    """Trains in place: AdamW, one-cycle learning rate, samples in an order that torch's seed decides."""
    inputs, targets = scaled(images), torch.from_numpy(labels.astype(np.int64))
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    batches = len(inputs) // batch
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=1e-2, total_steps=epochs * batches)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.05)
    model.train()
    for _ in range(epochs):
        order = torch.randperm(len(inputs))
        for chosen in order[: batches * batch].split(batch):
            optimiser.zero_grad()
            loss_of(model(inputs[chosen]), targets[chosen]).backward()
            optimiser.step()
            rate.step()
    model.eval()


def accuracy(model: nn.Sequential, images: np.ndarray, labels: np.ndarray) -> float:
    """The share of images whose largest score is that of their label."""
    with torch.no_grad():
        return float((model(scaled(images)).argmax(1).numpy() == labels).mean())


def to_onnx(model: nn.Sequential) -> onnx.ModelProto:
    """The trained network as ONNX, one node a layer.

    Its input is "image" f32 [batch, 1, 8, 8], its output "scores" f32 [batch, 10]; batch is symbolic.
    """
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []

    def weight(name: str, tensor: torch.Tensor) -> str:
        weights.append(numpy_helper.from_array(tensor.detach().numpy().copy(), name))
        return name

    current, seen = "image", dict.fromkeys(KINDS, 0)

    def add(op_type: str, kind: str, operands: list[str], **attributes: object) -> None:
        nonlocal current
        seen[kind] += 1
        name = f"{kind}{seen[kind]}"
        nodes.append(helper.make_node(op_type, [current, *operands], [name], name=name, **attributes))
        current = name

    def add_all(layers: nn.Sequential) -> None:
        nonlocal current
        for layer in layers:
            match layer:
                case nn.Conv2d():
                    kernel = weight(f"conv{seen['conv'] + 1}.weight", layer.weight)
                    size, pads, strides = [*layer.kernel_size], [*layer.padding] * 2, [*layer.stride]
                    groups = {} if layer.groups == 1 else {"group": layer.groups}
                    add("Conv", "conv", [kernel], kernel_shape=size, pads=pads, strides=strides, **groups)
                case nn.BatchNorm2d():
                    prefix = f"norm{seen['norm'] + 1}"
                    statistics = ("weight", "bias", "running_mean", "running_var")
                    operands = [weight(f"{prefix}.{field}", getattr(layer, field)) for field in statistics]
                    add("BatchNormalization", "norm", operands, epsilon=layer.eps)
                case nn.ReLU():
                    add("Relu", "relu", [])
                case nn.ReLU6():
                    bounds = [weight(f"clip{seen['clip'] + 1}.{n}", torch.tensor(float(n))) for n in (0, 6)]
                    add("Clip", "clip", bounds)
                case Residual():
                    before = current
                    add_all(layer.body)
                    add("Add", "add", [before])
                case nn.MaxPool2d():
                    add(
                        "MaxPool",
                        "pool",
                        [],
                        kernel_shape=[layer.kernel_size] * 2,
                        strides=[layer.stride] * 2,
                    )
                case nn.AdaptiveAvgPool2d():
                    add("GlobalAveragePool", "pool", [])
                case nn.Flatten():
                    add("Flatten", "flatten", [], axis=1)
                case nn.Linear():
                    prefix = f"dense{seen['dense'] + 1}"
                    operands = [
                        weight(f"{prefix}.weight", layer.weight),
                        weight(f"{prefix}.bias", layer.bias),
                    ]
                    add("Gemm", "dense", operands, transB=1)
                case _:
                    raise TypeError(
                        f"{type(layer).__name__}: no ONNX form for this layer; add a case to to_onnx"
                    )

    add_all(model)
    nodes[-1].output[0] = "scores"
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 10])],
        weights,
    )
    onnx_model = helper.make_model(
        graph,
        ir_version=8,  # the first that allows opset 17
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="isthmus examples/digits",
    )
    onnx.checker.check_model(onnx_model, full_check=True)
    return onnx_model


def verify(onnx_model: onnx.ModelProto, model: nn.Sequential, images: np.ndarray) -> None:
    """Raises AssertionError unless ONNX Runtime computes from the file what torch computes."""
    import onnxruntime

    session = onnxruntime.InferenceSession(onnx_model.SerializeToString(), providers=["CPUExecutionProvider"])
    inputs = scaled(images)
    (scores,) = session.run(None, {"image": inputs.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(scores, model(inputs).numpy(), rtol=1e-4, atol=1e-4)


def main(destination: Path) -> float:
    """Trains, checks and writes digits.onnx and digits.npz into `destination`; the held-out accuracy.

    The archive holds `images` u8 [360, 8, 8] with values 0 to 16 and `labels` u8 [360].
    """
    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # sums in one order, so that the same machine writes the same bytes
    torch.use_deterministic_algorithms(True)
    images, held_out, labels, held_out_labels = split()
    model = network()
    train(model, images, labels)
    reached = accuracy(model, held_out, held_out_labels)
    if reached < REQUIRED_ACCURACY:
        raise SystemExit(
            f"digits: accuracy {reached:.3f} on held-out images, expected {REQUIRED_ACCURACY} or more; "
            "nothing written, train for more epochs"
        )
    onnx_model = to_onnx(model)
    verify(onnx_model, model, held_out)
    destination.mkdir(parents=True, exist_ok=True)
    (destination / "digits.onnx").write_bytes(onnx_model.SerializeToString(deterministic=True))
    np.savez_compressed(destination / "digits.npz", images=held_out[:, 0], labels=held_out_labels)
    return reached


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Trains the network of `isthmus demo` and writes its files.")
    parser.add_argument("--destination", type=Path, default=DESTINATION, help="folder to write to")
    arguments = parser.parse_args()
    print(f"digits: {main(arguments.destination):.1%} of {HELD_OUT} held-out images right", file=sys.stderr)
