"""Trains a depthwise network for digits, and scales its channels badly: a hard case for 8-bit integers.

Training and data are those of `train.py`. Then channels in front of depthwise and pointwise convolutions are multiplied
by factors over four decades, and the weights behind them divided: the network computes the same in floats, while one
scale for a whole tensor leaves most of its channels no bits. Run it after `pip install -e '.[train]'`.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from train import REQUIRED_ACCURACY, SEED, accuracy, split, to_onnx, train, verify

DESTINATION = Path(__file__).resolve().parents[2] / "tests" / "api" / "models"
DECADES = 4.0


def network() -> nn.Sequential:
    """A stem, two depthwise-separable blocks, a global average, a dense layer: f32 [n, 1, 8, 8] -> f32 [n, 10]."""

    def block(inputs: int, outputs: int, groups: int = 1, size: int = 1) -> list[nn.Module]:
        layer = nn.Conv2d(inputs, outputs, size, padding=size // 2, groups=groups, bias=False)
        return [layer, nn.BatchNorm2d(outputs), nn.ReLU()]

    return nn.Sequential(
        *block(1, 16, size=3),
        *block(16, 16, groups=16, size=3),
        *block(16, 32),
        nn.MaxPool2d(2),
        *block(32, 32, groups=32, size=3),
        *block(32, 48),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(48, 10),
    )


def scale_badly(model: nn.Sequential, seed: int = SEED) -> None:
    """Multiply each channel between two convolutions by 10^u, u uniform over DECADES; the next weights undo it."""
    rng = np.random.default_rng(seed)
    layers = list(model)
    for norm, activation, following in zip(layers[1:], layers[2:], layers[3:], strict=False):
        if not isinstance(norm, nn.BatchNorm2d) or not isinstance(following, nn.Conv2d):
            continue
        assert isinstance(activation, nn.ReLU)  # what a positive factor passes through
        exponents = rng.uniform(-DECADES / 2, DECADES / 2, norm.num_features)
        factors = torch.from_numpy((10.0**exponents).astype(np.float32))
        with torch.no_grad():
            norm.weight *= factors
            norm.bias *= factors
            depthwise = following.groups > 1
            following.weight /= factors.reshape((-1, 1, 1, 1) if depthwise else (1, -1, 1, 1))


def main(destination: Path) -> float:
    """Trains, scales, checks and writes digits_depthwise.onnx into `destination`; the held-out accuracy."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    images, held_out, labels, held_out_labels = split()
    model = network()
    train(model, images, labels, epochs=24)
    scale_badly(model)
    reached = accuracy(model, held_out, held_out_labels)
    if reached < REQUIRED_ACCURACY:
        raise SystemExit(
            f"digits: accuracy {reached:.3f} on held-out images, expected {REQUIRED_ACCURACY} or more; "
            "nothing written, train for more epochs"
        )
    onnx_model = to_onnx(model)
    verify(onnx_model, model, held_out)
    destination.mkdir(parents=True, exist_ok=True)
    (destination / "digits_depthwise.onnx").write_bytes(onnx_model.SerializeToString(deterministic=True))
    return reached


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Trains the depthwise digits network and scales it badly.")
    parser.add_argument("--destination", type=Path, default=DESTINATION, help="folder to write to")
    arguments = parser.parse_args()
    print(f"digits: {main(arguments.destination):.1%} of the held-out images right", file=sys.stderr)
