"""Ops of the domain com.microsoft, compiled and by their meaning, beside ONNX Runtime, which defines them."""

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, helper

import isthmus
from isthmus.compiler.diagnostics import UnsupportedError

RNG = np.random.default_rng(5)


def floats(*shape, low=-1.0, high=1.0):
    return RNG.uniform(low, high, shape).astype(np.float32)


def codes(*shape):
    return RNG.integers(0, 256, shape).astype(np.uint8)


def small(*shape):
    """Weights that ONNX Runtime multiplies exactly on all machines: it saturates sums of two products in i16."""
    return RNG.integers(-60, 60, shape).astype(np.int8)


def ids(*values):
    return np.array(values, np.int32)


def scale(value):
    return np.float32(value)


ANGLES = [np.outer(np.arange(16), 0.7 ** np.arange(4)).astype(np.float32)]
COS, SIN = np.cos(ANGLES[0]), np.sin(ANGLES[0])
Q, K, V = floats(2, 5, 32), floats(2, 5, 32), floats(2, 5, 32)
ZERO = np.uint8(120)

# op, operands (None: absent), attributes, how many outputs
CASES = {
    "FusedMatMul": ([floats(2, 3, 4), floats(2, 5, 3)], {"transA": 1, "transB": 1, "alpha": 0.5}, 1),
    "FusedMatMul batch": ([floats(3, 2, 4), floats(2, 4, 5)], {"transBatchA": 1}, 1),
    "FusedConv sum": (
        [floats(1, 2, 5, 5), floats(3, 2, 3, 3), floats(3), floats(1, 3, 3, 3)],
        {"activation": "Clip", "activation_params": [-0.2, 0.3]},
        1,
    ),
    "FusedConv": (
        [floats(1, 2, 5, 5), floats(3, 2, 3, 3)],
        {"activation": "HardSigmoid", "activation_params": [0.3, 0.4]},
        1,
    ),
    "FusedGemm": (
        [floats(3, 4), floats(5, 4), floats(5)],
        {"transB": 1, "activation": "LeakyRelu", "activation_alpha": 0.2},
        1,
    ),
    "Gelu": ([floats(3, 7, high=4)], {}, 1),
    "BiasGelu": ([floats(3, 7), floats(7)], {}, 1),
    "FastGelu": ([floats(3, 7), floats(7)], {}, 1),
    "FastGelu plain": ([floats(3, 7)], {}, 1),
    "QuickGelu": ([floats(3, 7)], {"alpha": 1.5}, 1),
    "SkipLayerNormalization": (
        [floats(2, 3, 8), floats(2, 3, 8), floats(8), floats(8), floats(8)],
        {"epsilon": 1e-5},
        4,
    ),
    "SkipSimplifiedLayerNormalization": ([floats(2, 3, 8), floats(2, 3, 8), floats(8)], {"epsilon": 1e-5}, 1),
    "EmbedLayerNormalization": (
        [
            ids([1, 4, 2], [0, 3, 3]),
            ids([0, 1, 1], [0, 0, 1]),
            *(floats(n, 8) for n in (5, 6, 2)),
            floats(8),
            floats(8),
            ids([1, 1, 0], [1, 0, 0]),
        ],
        {},
        2,
    ),
    "MatMulNBits": (
        [floats(2, 40), codes(6, 3, 8), floats(18, low=0.1), codes(12)],
        {"K": 40, "N": 6, "bits": 4, "block_size": 16},
        1,
    ),
    "MatMulNBits symmetric": (
        [floats(3, 32), codes(4, 1, 16), floats(4, low=0.1)],
        {"K": 32, "N": 4, "bits": 4, "block_size": 32},
        1,
    ),
    "Attention": ([floats(2, 5, 8), floats(8, 48), floats(48)], {"num_heads": 4}, 1),
    "Attention lengths": (
        [floats(2, 5, 8), floats(8, 48), floats(48), ids(3, 5)],
        {"num_heads": 2, "scale": 0.3},
        1,
    ),
    "Attention past": (
        [
            floats(2, 3, 8),
            floats(8, 48),
            floats(48),
            ids(*[[1] * 6 + [0], [1] * 7]),
            floats(2, 2, 4, 4, 4),
        ],
        {"num_heads": 4, "unidirectional": 1},
        2,
    ),
    "MultiHeadAttention": ([Q, K, V, floats(96)], {"num_heads": 4}, 1),
    "MultiHeadAttention mask": (
        [Q, K, V, None, ids([1, 1, 1, 0, 0], [1] * 5), floats(1, 4, 5, 5)],
        {"num_heads": 4},
        1,
    ),
    "MultiHeadAttention causal": ([Q, K, V], {"num_heads": 2, "unidirectional": 1}, 1),
    "RotaryEmbedding": (
        [floats(2, 5, 32), np.array([[0, 1, 2, 3, 4], [3, 4, 5, 6, 7]]), COS, SIN],
        {},
        1,
    ),
    "RotaryEmbedding offset": (
        [floats(2, 4, 5, 8), np.array([3]), COS, SIN],
        {"interleaved": 1},
        1,
    ),
    "GroupQueryAttention": (
        [
            Q,
            floats(2, 5, 16),
            floats(2, 5, 16),
            floats(2, 2, 0, 8),
            floats(2, 2, 0, 8),
            ids(4, 4),
            np.int32(5),
        ],
        {"num_heads": 4, "kv_num_heads": 2},
        3,
    ),
    "GroupQueryAttention step": (
        [
            floats(2, 1, 64),
            floats(2, 1, 32),
            floats(2, 1, 32),
            floats(2, 2, 6, 16),
            floats(2, 2, 6, 16),
            ids(6, 6),
            np.int32(7),
            np.repeat(COS, 2, 1),
            np.repeat(SIN, 2, 1),
        ],
        {"num_heads": 4, "kv_num_heads": 2, "do_rotary": 1, "local_window_size": 4},
        3,
    ),
    "GroupQueryAttention lengths": (
        [
            floats(2, 1, 64),
            floats(2, 1, 32),
            floats(2, 1, 32),
            floats(2, 2, 8, 16),
            floats(2, 2, 8, 16),
            ids(3, 6),
            np.int32(7),
        ],
        {"num_heads": 4, "kv_num_heads": 2},
        3,
    ),
    "QLinearAdd": ([codes(3, 4), scale(0.1), ZERO, codes(4), scale(0.2), ZERO, scale(0.25), ZERO], {}, 1),
    "QLinearMul": ([codes(3, 4), scale(0.1), ZERO, codes(4), scale(0.2), ZERO, scale(2), ZERO], {}, 1),
    "QLinearSigmoid": ([codes(3, 4), scale(0.05), ZERO, scale(1 / 256), np.uint8(0)], {}, 1),
    "QLinearLeakyRelu": ([codes(3, 4), scale(0.05), ZERO, scale(0.06), ZERO], {"alpha": 0.2}, 1),
    "QLinearSoftmax": (
        [codes(3, 4), scale(0.02), ZERO, scale(1 / 256), np.uint8(0)],
        {"axis": -1, "opset": 13},
        1,
    ),
    "QLinearConcat": (
        [scale(0.2), ZERO, codes(2, 3), scale(0.1), ZERO, codes(2, 4), scale(0.3), ZERO],
        {"axis": 1},
        1,
    ),
    "QLinearGlobalAveragePool": (
        [codes(2, 3, 4, 5), scale(0.1), ZERO, scale(0.05), ZERO],
        {"channels_last": 0},
        1,
    ),
    "QLinearAveragePool": (
        [codes(1, 2, 6, 6), scale(0.1), ZERO, scale(0.09), ZERO],
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 0, 0]},
        1,
    ),
    "MatMulIntegerToFloat": (
        [codes(3, 8), small(8, 4), scale(0.1), scale(0.2), ZERO, np.int8(3), floats(4)],
        {},
        1,
    ),
    "DynamicQuantizeMatMul": (
        [floats(3, 8), small(8, 4), scale(0.02), np.int8(3), floats(4)],
        {},
        1,
    ),
    "QLinearWhere": (
        [np.array([[True], [False], [True]]), codes(3, 4), scale(0.1), ZERO]
        + [codes(4), scale(0.2), ZERO, scale(0.25), ZERO],
        {},
        1,
    ),
    "QGemm": (
        [codes(3, 8), scale(0.1), ZERO, small(4, 8), np.linspace(0.01, 0.04, 4, dtype=np.float32)]
        + [np.zeros(4, np.int8), ids(5, -9, 70, 0), scale(0.3), ZERO],
        {"transB": 1, "alpha": 0.5},
        1,
    ),
    "QGemm floats": (
        [codes(8, 3), scale(0.1), ZERO, small(8, 4), scale(0.02), np.int8(3), None, None, None],
        {"transA": 1},
        1,
    ),
    "DynamicQuantizeLSTM": (
        [
            floats(5, 2, 3),
            small(2, 3, 16),
            small(2, 4, 16),
            floats(2, 32),
            ids(5, 3),
            floats(2, 2, 4),
            floats(2, 2, 4),
            floats(2, 12),
            np.array([0.002, 0.004], np.float32),
            np.array([3, -2], np.int8),
            np.array([0.003, 0.001], np.float32),
            np.array([0, 5], np.int8),
        ],
        {"hidden_size": 4, "direction": "bidirectional"},
        3,
    ),
    "DynamicQuantizeLSTM columns": (
        [
            floats(5, 2, 3),
            small(1, 3, 16),
            small(1, 4, 16),
            *[None] * 5,
            np.linspace(0.001, 0.005, 16, dtype=np.float32)[None],
            np.zeros((1, 16), np.int8),
            np.linspace(0.005, 0.001, 16, dtype=np.float32)[None],
            np.zeros((1, 16), np.int8),
        ],
        {"hidden_size": 4},
        3,
    ),
}

CONSTANT = ("MatMulNBits", "DynamicQuantizeLSTM")
"""Ops whose packed weights must be initializers."""


def model_of(op: str, operands, attributes, outputs: int) -> ModelProto:
    names = ["" if operand is None else f"x{n}" for n, operand in enumerate(operands)]
    node = helper.make_node(
        op, names, [f"y{n}" for n in range(outputs)], domain="com.microsoft", **attributes
    )
    given = dict(zip(names, operands, strict=True))
    given.pop("", None)
    fixed = {name: array for name, array in given.items() if op in CONSTANT and name != "x0"}
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in given.items()
        if name not in fixed
    ]
    results = [helper.make_empty_tensor_value_info(f"y{n}") for n in range(outputs)]
    initializers = [
        helper.make_tensor(
            name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape, array.tobytes(), raw=True
        )
        for name, array in fixed.items()
    ]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    graph = helper.make_graph([node], op, inputs, results, initializers)
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize("name", CASES)
def test_an_op_gives_what_onnx_runtime_gives(name):
    operands, attributes, outputs = CASES[name]
    model = model_of(name.split()[0], operands, attributes, outputs)
    given = {f"x{n}": operand for n, operand in enumerate(operands) if operand is not None}
    inputs = {port.name: np.asarray(given[port.name]) for port in model.graph.input}
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = session.run(None, inputs)
    package = isthmus.compile(model)
    got = package.run(inputs)
    if name == "GroupQueryAttention lengths":
        expected = expected[:1]  # what lies behind the valid rows of a cache is nobody's
    for n, want in enumerate(expected):
        if not got[f"y{n}"].size:
            continue
        near = {"atol": 1} if want.dtype.kind in "iu" else {"rtol": 2e-4, "atol": 2e-5}
        if "LSTM" in name:  # ONNX Runtime rounds inputs and states to 8 bits
            near = {"atol": 0.02}
        np.testing.assert_allclose(got[f"y{n}"].astype(float), want.astype(float), **near)


REFUSED = {
    "FusedConv": ([floats(1, 2, 5, 5), floats(3, 2, 3, 3)], {"activation": "Selu"}),
    "Attention": ([floats(2, 5, 8), floats(8, 48)], {"num_heads": 4, "do_rotary": 1}),
    "MultiHeadAttention": ([floats(2, 5, 4, 3, 8)], {"num_heads": 4}),
    "RotaryEmbedding": ([floats(2, 5, 32), np.array([0]), COS, SIN], {"scale": 2.0}),
    "QLinearSoftmax": (
        [codes(3, 4), scale(0.02), ZERO, scale(1 / 256), np.uint8(0)],
        {"axis": 0, "opset": 12},
    ),
    "QLinearAveragePool": (
        [codes(1, 6, 6, 2), scale(0.1), ZERO, scale(0.09), ZERO],
        {"kernel_shape": [3, 3], "channels_last": 1},
    ),
}


@pytest.mark.parametrize("op", REFUSED)
def test_forms_that_are_not_supported_are_refused(op):
    operands, attributes = REFUSED[op]
    with pytest.raises(UnsupportedError, match=f"{op}.* supported"):
        isthmus.read(model_of(op, operands, attributes, 1))
