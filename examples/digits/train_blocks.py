"""Trains two small networks of the kinds that quantisation is measured on: residual blocks, inverted residual blocks.

Training and data are those of `train.py`. Their weights are trained, unlike those of the benchmark models, which are
random and so amplify the noise of 8 bits. Run it after `pip install -e '.[train]'`.
"""

import argparse
import sys
from pathlib import Path

import torch
from torch import nn
from train import REQUIRED_ACCURACY, SEED, Residual, accuracy, split, to_onnx, train, verify

DESTINATION = Path(__file__).resolve().parents[2] / "tests" / "api" / "models"
EPOCHS = 24


def convolution(
    inputs: int, outputs: int, size: int = 3, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """A convolution and its normalisation."""
    layer = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return [layer, nn.BatchNorm2d(outputs)]


def residual() -> nn.Sequential:
    """A stem, six residual blocks in three widths, 15 convolutions: f32 [n, 1, 8, 8] -> f32 [n, 10]."""
    layers = [*convolution(1, 6), nn.ReLU()]
    for inputs, outputs in ((6, 6), (6, 8), (8, 12)):
        if inputs != outputs:
            layers += [*convolution(inputs, outputs, 3, 2), nn.ReLU()]
        for _ in range(2):
            block = (*convolution(outputs, outputs), nn.ReLU(), *convolution(outputs, outputs))
            layers += [Residual(*block), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 10))


def inverted() -> nn.Sequential:
    """A stem and six inverted residual blocks, 20 convolutions: f32 [n, 1, 8, 8] -> f32 [n, 10]."""
    layers = [*convolution(1, 8), nn.ReLU6()]
    for inputs, outputs, stride in (
        (8, 8, 1),
        (8, 12, 2),
        (12, 12, 1),
        (12, 16, 2),
        (16, 16, 1),
        (16, 16, 1),
    ):
        wide = 3 * inputs
        block = [
            *(*convolution(inputs, wide, 1), nn.ReLU6()),
            *(*convolution(wide, wide, 3, stride, wide), nn.ReLU6()),
            *convolution(wide, outputs, 1),
        ]
        layers += [Residual(*block)] if inputs == outputs else block
    layers += [*convolution(16, 48, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 10)]
    return nn.Sequential(*layers)


def main(destination: Path) -> dict[str, float]:
    """Trains, checks and writes digits_residual.onnx and digits_inverted.onnx; the held-out accuracies."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    images, held_out, labels, held_out_labels = split()
    found = {}
    for network in (residual, inverted):
        torch.manual_seed(SEED)
        model = network()
        train(model, images, labels, epochs=EPOCHS)
        found[network.__name__] = reached = accuracy(model, held_out, held_out_labels)
        if reached < REQUIRED_ACCURACY:
            raise SystemExit(
                f"{network.__name__}: accuracy {reached:.3f} on held-out images, expected {REQUIRED_ACCURACY} or more; "
                "nothing written, train for more epochs"
            )
        onnx_model = to_onnx(model)
        verify(onnx_model, model, held_out)
        destination.mkdir(parents=True, exist_ok=True)
        file = destination / f"digits_{network.__name__}.onnx"
        file.write_bytes(onnx_model.SerializeToString(deterministic=True))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="Trains a residual and an inverted residual network for digits."
    )
    parser.add_argument("--destination", type=Path, default=DESTINATION, help="folder to write to")
    arguments = parser.parse_args()
    for name, share in main(arguments.destination).items():
        print(f"{name}: {share:.1%} of the held-out images right", file=sys.stderr)
