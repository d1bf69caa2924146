"""Recurrent layers against ONNX Runtime."""

import numpy as np
import pytest

from isthmus.compiler.diagnostics import TypeRuleError
from isthmus.compiler.ops import get

STEPS, BATCH, FEATURES, HIDDEN = 6, 3, 4, 5
LENGTHS = np.array([6, 2, 4], np.int32)
ONNX_NAMES = {
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "relu": "Relu",
    "affine": "Affine",
    "leaky_relu": "LeakyRelu",
    "thresholded_relu": "ThresholdedRelu",
    "scaled_tanh": "ScaledTanh",
    "hard_sigmoid": "HardSigmoid",
    "elu": "Elu",
    "softsign": "Softsign",
    "softplus": "Softplus",
}


def data(gates: int, directions: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    return {
        "x": normal(STEPS, BATCH, FEATURES),
        "w": normal(directions, gates * HIDDEN, FEATURES),
        "r": normal(directions, gates * HIDDEN, HIDDEN),
        "bias": normal(directions, 2 * gates * HIDDEN),
        "h": normal(directions, BATCH, HIDDEN),
        "c": normal(directions, BATCH, HIDDEN),
        "peephole": normal(directions, 3 * HIDDEN),
    }


def directions_of(direction: str) -> int:
    return 2 if direction == "bidirectional" else 1


def assert_all_close(got, want):
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("full", [False, True], ids=["plain", "full"])
def test_lstm(onnx_runtime, direction, lengths, full):
    d = data(4, directions_of(direction))
    operands = [d["x"], d["w"], d["r"]]
    rest = [d["bias"], d["h"], d["c"], d["peephole"]] if full else [None] * 4
    clip = {"clip": 0.7} if full else {}
    got = get("nn.lstm").evaluate(*operands, *rest, lengths, direction=direction, **clip)
    bias, h, c, peephole = rest
    want = onnx_runtime(
        "LSTM",
        *operands,
        *(bias, lengths, h, c, peephole),
        outputs=3,
        hidden_size=HIDDEN,
        direction=direction,
        **clip,
    )
    assert_all_close(got, want)


@pytest.mark.parametrize("linear_before_reset", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_gru(onnx_runtime, direction, lengths, linear_before_reset):
    d = data(3, directions_of(direction))
    got = get("nn.gru").evaluate(
        *(d[name] for name in ("x", "w", "r", "bias", "h")),
        lengths,
        direction=direction,
        linear_before_reset=linear_before_reset,
    )
    want = onnx_runtime(
        "GRU",
        *(d[name] for name in ("x", "w", "r", "bias")),
        lengths,
        d["h"],
        outputs=2,
        hidden_size=HIDDEN,
        direction=direction,
        linear_before_reset=int(linear_before_reset),
    )
    assert_all_close(got, want)


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
@pytest.mark.parametrize("name", ONNX_NAMES)
def test_rnn_with_every_activation(onnx_runtime, name, lengths):
    d = data(1, 2)
    operands = [d[key] * np.float32(0.3) for key in ("x", "w", "r", "bias", "h")]
    parameters: dict[str, dict[str, list[float]]] = {
        "affine": {"alpha": [0.5, 0.3], "beta": [0.1, 0.2]},
        "leaky_relu": {"alpha": [0.1, 0.2]},
        "thresholded_relu": {"alpha": [0.1, 0.2]},
        "scaled_tanh": {"alpha": [0.5, 0.6], "beta": [0.7, 0.8]},
        "hard_sigmoid": {"alpha": [0.3, 0.4], "beta": [0.5, 0.6]},
        "elu": {"alpha": [0.5, 0.7]},
    }
    given = parameters.get(name, {})
    got = get("nn.rnn").evaluate(
        *operands,
        lengths,
        direction="bidirectional",
        activations=(name, name),
        alphas=tuple(given.get("alpha", ())),
        betas=tuple(given.get("beta", ())),
    )
    want = onnx_runtime(
        "RNN",
        *operands[:4],
        lengths,
        operands[4],
        outputs=2,
        hidden_size=HIDDEN,
        direction="bidirectional",
        activations=[ONNX_NAMES[name]] * 2,
        **{f"activation_{key}": values for key, values in given.items()},
    )
    assert_all_close(got, want)


def test_input_forget_couples_the_gates(onnx_runtime):
    d = data(4, 1)
    operands = [d["x"], d["w"], d["r"], d["bias"]]
    got = get("nn.lstm").evaluate(*operands, input_forget=True)
    want = onnx_runtime("LSTM", *operands, outputs=3, hidden_size=HIDDEN, input_forget=1)
    assert_all_close(got, want)


@pytest.mark.parametrize(
    ("change", "attributes", "message"),
    [
        ({}, {"direction": "sideways"}, "direction is 'sideways', expected forward"),
        ({}, {"activations": ("tanh",)}, "1 activations, expected 3"),
        ({}, {"activations": ("tanh", "tanh", "cosh")}, "no activation 'cosh'"),
        ({"w": np.zeros((1, 19, 4), np.float32)}, {}, r"w is f32\[1, 19, 4\], expected \[1, 20, 4\]"),
        ({"r": np.zeros((1, 20, 5))}, {}, "different dtypes"),
    ],
)
def test_refusals(change, attributes, message):
    d = {**data(4, 1), **change}
    with pytest.raises(TypeRuleError, match=message):
        get("nn.lstm")(d["x"], d["w"], d["r"], **attributes)
