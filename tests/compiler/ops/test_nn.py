"""Convolution, pooling, normalisation and attention against ONNX's reference and ONNX Runtime."""

import itertools

import numpy as np
import pytest

from isthmus.compiler.diagnostics import TypeRuleError
from isthmus.compiler.ir import TensorType, graph_input, symbol
from isthmus.compiler.ir.types import f32
from isthmus.compiler.ops import get

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def assert_close(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


CONVS = [
    ((2, 4, 9, 8), (6, 2, 3, 2), (2, 1), (1, 0, 2, 1), (1, 2), 2),
    ((1, 6, 11), (6, 1, 4), (3,), (2, 1), (2,), 6),
    ((1, 3, 5, 4, 6), (2, 3, 2, 3, 1), (1, 2, 3), (0, 1, 0, 1, 1, 2), (2, 1, 1), 1),
]


@pytest.mark.parametrize(("x", "w", "strides", "pads", "dilations", "groups"), CONVS)
def test_conv(onnx_runtime, x, w, strides, pads, dilations, groups):
    operands = normal(*x), normal(*w), normal(w[0])
    form = {"strides": strides, "pads": pads, "dilations": dilations}
    (got,) = get("nn.conv").evaluate(*operands, groups=groups, **form)
    (want,) = onnx_runtime("Conv", *operands, group=groups, **form)
    assert_close(got, want)


TRANSPOSED = [
    ((2, 4, 5, 4), (4, 3, 3, 4), (2, 3), (1, 0, 2, 1), (1, 2), (1, 2), 2),
    ((1, 2, 6), (2, 3, 5), (4,), (3, 2), (2,), (3,), 1),
    ((1, 2, 3, 4, 2), (2, 2, 2, 1, 3), (1, 2, 3), (0,) * 6, (1, 1, 1), (0, 1, 0), 1),
    ((1, 6, 7), (6, 1, 4), (2,), (1, 1), (1,), (0,), 6),
]


@pytest.mark.parametrize(("x", "w", "strides", "pads", "dilations", "output_padding", "groups"), TRANSPOSED)
def test_conv_transpose(onnx_runtime, x, w, strides, pads, dilations, output_padding, groups):
    operands = normal(*x), normal(*w), normal(w[1] * groups)
    form = {"strides": strides, "pads": pads, "dilations": dilations, "output_padding": output_padding}
    (got,) = get("nn.conv_transpose").evaluate(*operands, groups=groups, **form)
    (want,) = onnx_runtime("ConvTranspose", *operands, group=groups, **form)
    assert_close(got, want)


POOLS = [
    ((2, 3, 9, 8), (3, 2), (2, 3), (1, 0, 0, 1), (1, 1)),
    ((1, 2, 13), (4,), (3,), (1, 2), (2,)),
    ((1, 1, 5, 6, 4), (2, 3, 2), (2, 1, 1), (0, 1, 0, 1, 1, 0), (1, 1, 2)),
]


@pytest.mark.parametrize(("shape", "kernel", "strides", "pads", "dilations"), POOLS)
def test_max_pool_with_indices(onnx_runtime, shape, kernel, strides, pads, dilations):
    form = {"strides": strides, "pads": pads, "dilations": dilations}
    x = np.round(normal(*shape))  # ties: the first wins
    values, indices = get("nn.max_pool_indices").evaluate(x, kernel=kernel, **form)
    (alone,) = get("nn.max_pool").evaluate(x, kernel=kernel, **form)
    want = onnx_runtime("MaxPool", x, outputs=2, kernel_shape=kernel, **form)
    np.testing.assert_array_equal(values, want[0])
    np.testing.assert_array_equal(alone, want[0])
    np.testing.assert_array_equal(indices, want[1])
    np.testing.assert_array_equal(x.reshape(-1)[indices], values)


def test_max_pool_knows_not_a_number():
    x = np.array([[[1, np.nan, 3, 4]]], np.float32)
    values, indices = get("nn.max_pool_indices").evaluate(
        x, kernel=(2,), strides=(1,), pads=(0, 0), dilations=(1,)
    )
    np.testing.assert_array_equal(values, [[[np.nan, np.nan, 4]]])
    np.testing.assert_array_equal(indices, [[[1, 1, 3]]])


@pytest.mark.parametrize("include", [False, True])
@pytest.mark.parametrize(("shape", "kernel", "strides", "pads", "dilations"), POOLS)
def test_avg_pool(onnx_runtime, shape, kernel, strides, pads, dilations, include):
    form = {"strides": strides, "pads": pads, "dilations": dilations}
    x = normal(*shape)
    (got,) = get("nn.avg_pool").evaluate(x, kernel=kernel, count_include_pad=include, **form)
    (want,) = onnx_runtime("AveragePool", x, kernel_shape=kernel, count_include_pad=int(include), **form)
    assert_close(got, want)


@pytest.mark.parametrize("include", [False, True])
def test_overhang_never_counts(onnx_runtime, include):
    """What ceil mode adds at the end: 8 elements, windows of 3 by 2 with padding 1, need 1 more."""
    x = normal(1, 2, 8)
    form = {"strides": (2,), "pads": (1, 0)}
    (got,) = get("nn.avg_pool").evaluate(
        x, kernel=(3,), dilations=(1,), count_include_pad=include, overhang=(1,), **form
    )
    (want,) = onnx_runtime(
        "AveragePool", x, kernel_shape=(3,), count_include_pad=int(include), ceil_mode=1, opset=19, **form
    )
    assert_close(got, want)


@pytest.mark.parametrize("p", [1, 2, 3])
def test_lp_pool(onnx_reference, p):
    x = normal(1, 2, 7, 6)
    form = {"strides": (2, 1), "pads": (1, 0, 1, 1), "dilations": (1, 2)}
    (got,) = get("nn.lp_pool").evaluate(x, kernel=(3, 2), p=p, **form)
    (want,) = onnx_reference("LpPool", x, kernel_shape=(3, 2), p=p, **form)
    assert_close(got, want)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_softmax(onnx_reference, axis):
    x = normal(3, 5, 4) * 10
    assert_close(get("nn.softmax").evaluate(x, axis=axis)[0], onnx_reference("Softmax", x, axis=axis)[0])
    assert_close(
        get("nn.log_softmax").evaluate(x, axis=axis)[0], onnx_reference("LogSoftmax", x, axis=axis)[0]
    )


@pytest.mark.parametrize("axis", [1, 2])
def test_layer_norm(onnx_runtime, axis):
    x = normal(3, 5, 4)
    scale, bias = normal(*x.shape[axis:]), normal(*x.shape[axis:])
    (got,) = get("nn.layer_norm").evaluate(x, scale, bias, axis=axis, epsilon=1e-5)
    (want,) = onnx_runtime("LayerNormalization", x, scale, bias, axis=axis, epsilon=1e-5)
    assert_close(got, want)


def test_rms_norm(onnx_reference):
    x, scale = normal(3, 5, 4), normal(5, 4)
    (got,) = get("nn.rms_norm").evaluate(x, scale, axis=1, epsilon=1e-5)
    (want,) = onnx_reference("RMSNormalization", x, scale, axis=1, epsilon=1e-5, opset=23)
    assert_close(got, want)


def test_norms_by_channel(onnx_runtime):
    x, scale, bias, mean = normal(2, 6, 5, 4), normal(6), normal(6), normal(6)
    var = np.abs(normal(6)) + 0.1
    (got,) = get("nn.batch_norm").evaluate(x, scale, bias, mean, var, epsilon=1e-3)
    (want,) = onnx_runtime("BatchNormalization", x, scale, bias, mean, var, epsilon=1e-3)
    assert_close(got, want)
    (got,) = get("nn.instance_norm").evaluate(x, scale, bias, epsilon=1e-3)
    (want,) = onnx_runtime("InstanceNormalization", x, scale, bias, epsilon=1e-3)
    assert_close(got, want)
    (got,) = get("nn.group_norm").evaluate(x, scale, bias, groups=3, epsilon=1e-3)
    (want,) = onnx_runtime("GroupNormalization", x, scale, bias, num_groups=3, epsilon=1e-3, opset=21)
    assert_close(got, want)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_lrn(onnx_runtime, size):
    x = normal(2, 7, 3, 2)
    form = {"size": size, "alpha": 0.01, "beta": 0.7, "bias": 1.5}
    assert_close(get("nn.lrn").evaluate(x, **form)[0], onnx_runtime("LRN", x, **form)[0])


MASKS = {
    "none": lambda: None,
    "bool": lambda: RNG.random((2, 1, 5, 7)) > 0.5,
    "float": lambda: np.where(RNG.random((5, 7)) > 0.4, normal(5, 7), -np.inf).astype(np.float32),
}


@pytest.mark.parametrize(
    ("mask", "causal", "softcap", "groups"),
    list(itertools.product(MASKS, [False, True], [0.0, 2.0], [4, 2, 1])),
)
def test_attention(onnx_reference, mask, causal, softcap, groups):
    q, k, v = normal(2, 4, 5, 3), normal(2, groups, 7, 3), normal(2, groups, 7, 6)
    m = MASKS[mask]()
    (got,) = get("nn.attention").evaluate(q, k, v, m, scale=0.4, causal=causal, softcap=softcap)
    (want,) = onnx_reference(
        "Attention", q, k, v, m, scale=0.4, is_causal=int(causal), softcap=softcap, opset=24
    )
    assert_close(got, want)


def test_attention_gives_nothing_where_all_is_masked():
    q, mask = normal(1, 1, 2, 3), np.array([[True, False], [False, False]])
    (got,) = get("nn.attention").evaluate(q, q, q, mask, scale=1.0)
    assert_close(got[0, 0], [q[0, 0, 0], [0, 0, 0]])


def test_causal_offset_counts_earlier_keys():
    q, k = normal(1, 1, 3, 4), normal(1, 1, 5, 4)
    mask = np.tri(3, 5, 2, dtype=bool)
    (got,) = get("nn.attention").evaluate(q, k, k, scale=1.0, causal=True, offset=2)
    (want,) = get("nn.attention").evaluate(q, k, k, mask, scale=1.0)
    assert_close(got, want)


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk", [(2, 3), (3, 4)]),
        ("...ij,...jk->...ik", [(2, 1, 3, 4), (5, 4, 2)]),
        ("bhid,bhjd->bhij", [(2, 3, 4, 5), (2, 3, 6, 5)]),
        ("i,j,k->kji", [(2,), (3,), (4,)]),
        ("ii->i", [(3, 3)]),
        ("...ii", [(2, 3, 3)]),
        ("ab , bc -> ", [(2, 3), (3, 4)]),
    ],
)
def test_einsum(onnx_reference, equation, shapes):
    operands = [normal(*shape) for shape in shapes]
    value = get("nn.einsum")(
        *(graph_input(f"x{n}", TensorType(f32, s)) for n, s in enumerate(shapes)), equation=equation
    )
    (got,) = get("nn.einsum").evaluate(*operands, equation=equation)
    (want,) = onnx_reference("Einsum", *operands, equation=equation.replace(" ", ""))
    assert value.shape == got.shape
    assert_close(got, want)


def test_symbolic_extents_follow_the_window():
    n = symbol("n")
    x = graph_input("x", TensorType(f32, (1, 3, n * 2, n)))
    w = np.zeros((4, 3, 2, 3), np.float32)
    y = get("nn.conv")(x, w, strides=(2, 1), pads=(0, 1, 0, 1), dilations=(1, 1))
    assert y.shape == (1, 4, n, n)
    back = get("nn.conv_transpose")(
        y,
        np.zeros((4, 3, 2, 3), np.float32),
        strides=(2, 1),
        pads=(0, 1, 0, 1),
        dilations=(1, 1),
        output_padding=(0, 0),
    )
    assert back.shape == (1, 3, n * 2, n)


REFUSALS = [
    ("nn.matmul", [(2, 3), (4, 5)], {}, "inner dimensions differ"),
    ("nn.matmul", [(3,), (3, 5)], {}, "matmul needs rank 2 or more"),
    ("nn.einsum", [(2, 3)], {"equation": "ij,jk->ik"}, "names 2 operands, got 1"),
    ("nn.einsum", [(2, 3), (4, 5)], {"equation": "ij,jk->ik"}, "axis 'j' is 3 and 4"),
    ("nn.einsum", [(2, 3)], {"equation": "ij->iz"}, "not a valid equation"),
    ("nn.einsum", [(2, 3)], {"equation": "ijk->i"}, "does not fit an operand of rank 2"),
    (
        "nn.conv",
        [(1, 3, 8), (4, 2, 3)],
        {"strides": (1,), "pads": (0, 0), "dilations": (1,)},
        "do not fit 1 groups",
    ),
    (
        "nn.conv",
        [(1, 3, 2), (4, 3, 3)],
        {"strides": (1,), "pads": (0, 0), "dilations": (1,)},
        r"the window \[3\] is larger than the padded input",
    ),
    (
        "nn.conv",
        [(1, 3, 8), (4, 3, 3)],
        {"strides": (1, 1), "pads": (0, 0), "dilations": (1,)},
        "'strides' has 2 entries, expected 1",
    ),
    (
        "nn.conv_transpose",
        [(1, 3, 8), (4, 3, 3)],
        {"strides": (1,), "pads": (0, 0), "dilations": (1,), "output_padding": (0,)},
        "do not fit 1 groups",
    ),
    (
        "nn.max_pool",
        [(1, 3, 8)],
        {"kernel": (3,), "strides": (0,), "pads": (0, 0), "dilations": (1,)},
        "must be positive",
    ),
    (
        "nn.lp_pool",
        [(1, 3, 8)],
        {"kernel": (3,), "strides": (1,), "pads": (0, 0), "dilations": (1,), "p": 0},
        "'p' is 0, expected 1 or more",
    ),
    ("nn.softmax", [(2, 3)], {"axis": 2}, "axis"),
    (
        "nn.layer_norm",
        [(2, 3), (4,)],
        {"axis": 1, "epsilon": 0.1},
        "does not broadcast to the normalised axes",
    ),
    ("nn.group_norm", [(2, 6), (6,), (6,)], {"groups": 4, "epsilon": 0.1}, "4 groups do not divide"),
    ("nn.batch_norm", [(2, 6), (6,), (5,), (6,), (6,)], {"epsilon": 0.1}, "expected one value per channel"),
    (
        "nn.attention",
        [(1, 3, 2, 4), (1, 2, 2, 4), (1, 2, 2, 4)],
        {"scale": 1.0},
        "2 key heads do not divide 3",
    ),
    ("nn.attention", [(1, 2, 2, 4), (1, 2, 5, 3), (1, 2, 5, 4)], {"scale": 1.0}, "do not fit each other"),
    (
        "nn.attention",
        [(1, 2, 2, 4), (1, 2, 5, 4), (1, 2, 5, 4), (3, 5)],
        {"scale": 1.0},
        "does not broadcast",
    ),
]


@pytest.mark.parametrize(("op", "shapes", "attributes", "message"), REFUSALS)
def test_refusals(op, shapes, attributes, message):
    operands = [graph_input(f"x{n}", TensorType(f32, shape)) for n, shape in enumerate(shapes)]
    with pytest.raises(TypeRuleError, match=message):
        get(op)(*operands, **attributes)
