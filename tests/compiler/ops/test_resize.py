"""nn.resize against ONNX's reference, and the resampled form against nn.resize."""

import itertools

import numpy as np
import pytest

from isthmus.compiler.diagnostics import TypeRuleError
from isthmus.compiler.ir import Graph, TensorType, dtype_of, graph_input, symbol
from isthmus.compiler.ops import get
from isthmus.compiler.ops.interpret import run_graph
from isthmus.compiler.ops.resize import COORDINATES, NEAREST, resampled

CASES = [
    {"mode": mode, "coordinates": coordinates}
    for mode, coordinates in itertools.product(("nearest", "linear", "cubic"), COORDINATES)
] + [
    *({"mode": "nearest", "coordinates": "asymmetric", "nearest": nearest} for nearest in NEAREST),
    {"mode": "cubic", "coordinates": "half_pixel", "exclude_outside": True, "cubic_a": -0.5},
    {"mode": "linear", "coordinates": "half_pixel", "antialias": True},
    {"mode": "cubic", "coordinates": "half_pixel", "antialias": True},
]
ROI = (0.0, 0.1, -0.25, 1.0, 0.8, 1.25)


_ONNX_NAMES = {"half_pixel_unless_one": "pytorch_half_pixel", "crop": "tf_crop_and_resize"}


def reference(judge, x, shape, case):
    crops = case["coordinates"] == "crop"
    (want,) = judge(
        "Resize",
        *(x, np.array(ROI, np.float32) if crops else None, None, np.array(shape)),
        opset=19,
        mode=case["mode"],
        coordinate_transformation_mode=_ONNX_NAMES.get(case["coordinates"], case["coordinates"]),
        nearest_mode=case.get("nearest", "round_prefer_floor"),
        cubic_coeff_a=case.get("cubic_a", -0.75),
        exclude_outside=int(case.get("exclude_outside", False)),
        antialias=int(case.get("antialias", False)),
        extrapolation_value=7.0,
    )
    return want


def attributes_of(case, shape):
    roi = ROI if case["coordinates"] == "crop" else ()
    return {"shape": shape, "extrapolation": 7.0, "roi": roi, **case}


@pytest.mark.parametrize("shape", [(2, 9, 11), (2, 3, 4), (2, 5, 1)], ids=str)
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case.values())))
@pytest.mark.parametrize("dtype", [np.float32, np.uint8], ids=["f32", "u8"])
def test_resize_is_onnx_resize(onnx_reference, case, shape, dtype):
    x = np.random.default_rng(0).uniform(0, 255, (2, 5, 7)).astype(dtype)
    attributes = attributes_of(case, shape)
    (got,) = get("nn.resize").evaluate(x, **attributes)
    want = reference(onnx_reference, x, shape, case)
    assert got.shape == want.shape
    if dtype == np.uint8:  # f32 against f64 may round to the other side
        assert np.mean(got != want) < 0.1
        assert np.abs(got.astype(int) - want).max() <= 1
    else:
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-3)

    value = graph_input("x", TensorType(dtype_of(x.dtype), x.shape))
    node = get("nn.resize")(value, **attributes).node
    out = resampled(node.operands[0], node.attributes)
    assert out is not None
    assert out.type == node.result.type
    (chained,) = run_graph(Graph([value], [out], ["y"]), [x])
    np.testing.assert_array_equal(chained, got)


def test_scales_serve_the_coordinates_only():
    x = np.arange(10, dtype=np.float32)
    (got,) = get("nn.resize").evaluate(
        x, shape=(13,), scales=(1.35,), coordinates="asymmetric", nearest="floor"
    )
    np.testing.assert_array_equal(got, x[np.floor(np.arange(13) / np.float32(1.35)).astype(int)])


def test_symbolic_extents_stay_a_resize():
    value = graph_input("x", TensorType(dtype_of(np.float32), (symbol("n"), 4)))
    node = get("nn.resize")(value, shape=(symbol("n"), 8)).node
    assert resampled(value, node.attributes) is None


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"shape": (2,)}, "must have an entry"),
        ({"shape": (2, 2), "mode": "sinc"}, "expected one of nearest, linear, cubic"),
        ({"shape": (2, 2), "antialias": True}, "antialias does not go with"),
    ],
)
def test_refusals(attributes, message):
    with pytest.raises(TypeRuleError, match=message):
        get("nn.resize")(np.zeros((2, 3), np.float32), **attributes)
