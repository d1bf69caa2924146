"""Models of one operator, as data: what `record.py` builds and runs to record TFLite's results."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

I8, U8, I32, F32, BOOL = np.int8, np.uint8, np.int32, np.float32, np.bool_


@dataclass(frozen=True)
class T:
    """A tensor: `data` makes it a constant; scale and zero point may be one a slice of `axis`.

    `sparse` says how `data` are placed: the order of dimensions, those that have blocks, and for each in order its
    extent or (segments, indices). `open` is the shape with -1 for what is open until run time; random i32 inputs are
    below `high`.
    """

    shape: Sequence[int]
    dtype: Any = F32
    scale: Any = None
    zero: Any = 0
    data: Any = None
    axis: int = 0
    open: Sequence[int] = ()
    high: int = 4
    sparse: tuple[Sequence[int], Sequence[int], Sequence[Any]] | None = None


@dataclass(frozen=True)
class Case:
    """A model of one operator. `options` fill the options class `kind` of the operator.

    `runs=False` marks models that isthmus refuses; `reference=False` those whose reference kernel does not work.
    Each of the `signatures` gives the operands and results names of its own.
    """

    op: str
    inputs: Sequence[T]
    outputs: Sequence[T]
    version: int = 1
    kind: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    custom: str = ""
    runs: bool = True
    reference: bool = True
    signatures: Sequence[str] = ()


CASES: dict[str, Case] = {}


def case(name: str, op: str, inputs: Sequence[T], *outputs: T, version: int = 1, **more: Any) -> None:
    """Note a case. A keyword with a capital is the operator's options class, with its fields."""
    kind = next((key for key in more if key[0].isupper()), "")
    options = more.pop(kind, {})
    CASES[name] = Case(op, inputs, outputs, version, kind, options, **more)


def const(values: Any, dtype: Any = I32, scale: Any = None, zero: Any = 0, axis: int = 0) -> T:
    array = np.asarray(values, dtype)
    return T(array.shape, dtype, scale, zero, array, axis)


def contractions(tag: str, dtype: Any, scales: Callable[[int], Any], activation: int = 0) -> None:
    """Convolution, depthwise convolution and matrix product with the same kind of quantisation."""
    rng = np.random.default_rng(3)
    zero, weight_zero = (128, 121) if dtype == U8 else (-5, 0)
    x = T((2, 5, 6, 3), dtype, 0.05, zero)
    fused = {"fusedActivationFunction": activation}

    def weight(shape: Sequence[int], axis: int) -> T:
        values = rng.integers(0, 256, shape) if dtype == U8 else rng.integers(-127, 128, shape)
        return const(values, dtype, scales(shape[axis]), weight_zero, axis)

    def bias(count: int) -> T:
        return const(rng.integers(-900, 900, count), I32, np.asarray(scales(count)) * 0.05)

    window = {"padding": 0, "strideW": 2, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 2, **fused}
    version = 3 if dtype == I8 else 1
    inputs = (x, weight((4, 3, 3, 3), 0), bias(4))
    y = T((2, 5, 3, 4), dtype, 0.11, zero - 20)
    case(f"conv_{tag}", "CONV_2D", inputs, y, version=version, Conv2DOptions=window)
    window = {"padding": 1, "strideW": 1, "strideH": 1, "depthMultiplier": 2, **fused}
    inputs = (x, weight((1, 3, 3, 6), 3), bias(6))
    y = T((2, 3, 4, 6), dtype, 0.09, zero + 3)
    case(f"depthwise_{tag}", "DEPTHWISE_CONV_2D", inputs, y, version=version, DepthwiseConv2DOptions=window)
    inputs, y = (T((2, 90), dtype, 0.05, zero), weight((9, 90), 0), bias(9)), T((2, 9), dtype, 0.4, zero)
    version = 4 if dtype == I8 else 1
    case(f"dense_{tag}", "FULLY_CONNECTED", inputs, y, version=version, FullyConnectedOptions=fused)


def eight_bits(tag: str, dtype: Any) -> None:
    """Ops whose kernels know both 8-bit types."""
    shift = 128 if dtype == U8 else 0
    x, other = T((1, 8, 8, 4), dtype, 0.05, shift - 12), T((1, 8, 8, 4), dtype, 0.031, shift + 7)
    row, v = T((4,), dtype, 0.031, shift + 7), 2 if dtype == I8 else 1
    pool = {"padding": 0, "strideW": 2, "strideH": 2, "filterWidth": 3, "filterHeight": 3}
    axes, size = const([1, 2]), const([13, 5])

    def y(scale: float, zero: int, shape: Sequence[int] = x.shape) -> T:
        return T(shape, dtype, scale, shift + zero)

    def like(shape: Sequence[int]) -> T:
        return T(shape, dtype, x.scale, x.zero)

    def one(name: str, op: str, inputs: Sequence[T], output: T, version: int = v, **more: Any) -> None:
        case(f"{name}_{tag}", op, inputs, output, version=version, **more)

    one("add", "ADD", [x, other], y(0.07, 3), AddOptions={})
    one("add_relu", "ADD", [x, row], y(0.07, 3), AddOptions={"fusedActivationFunction": 1})
    one("sub", "SUB", [x, other], y(0.08, -9), SubOptions={})
    one("mul", "MUL", [x, other], y(0.12, 0), MulOptions={})
    one("mul_relu6", "MUL", [x, row], y(0.05, 0), MulOptions={"fusedActivationFunction": 3})
    one("maximum", "MAXIMUM", [x, x], x, MaximumMinimumOptions={})
    one("average_pool", "AVERAGE_POOL_2D", [x], like((1, 4, 4, 4)), Pool2DOptions=pool)
    one("max_pool", "MAX_POOL_2D", [x], like((1, 4, 4, 4)), Pool2DOptions=pool)
    one("mean", "MEAN", [x, axes], y(0.02, 11, (1, 4)), ReducerOptions={})
    one("mean_keep", "MEAN", [x, axes], y(0.02, 11, (1, 1, 1, 4)), ReducerOptions={"keepDims": True})
    one("sum", "SUM", [x, axes], y(0.9, 11, (1, 4)), 2, ReducerOptions={}, reference=dtype == U8)
    one("logistic", "LOGISTIC", [x], y(1 / 256, -128))
    one("tanh", "TANH", [x], y(1 / 128, 0))
    one("softmax", "SOFTMAX", [x], y(1 / 256, -128), SoftmaxOptions={"beta": 1.0})
    one("relu", "RELU", [x], y(0.03, -100), 2)
    one("relu6", "RELU6", [x], y(6 / 255, -128), 2)
    one("leaky_relu", "LEAKY_RELU", [x], y(0.06, -20), 2, LeakyReluOptions={"alpha": 0.2})
    one("hard_swish", "HARD_SWISH", [x], y(0.04, -20), 1)
    one("hard_swish_wide", "HARD_SWISH", [T(x.shape, dtype, 0.4, x.zero)], y(0.4, -20), 1)
    one("requantize", "QUANTIZE", [x], y(0.11, 30), 2, QuantizeOptions={})
    one("quantize", "QUANTIZE", [T(x.shape)], y(0.02, 30), 1, QuantizeOptions={})
    one("dequantize", "DEQUANTIZE", [x], T(x.shape), 2, DequantizeOptions={})
    half, corners = {"halfPixelCenters": True}, {"alignCorners": True}
    one("resize", "RESIZE_BILINEAR", [x, size], like((1, 13, 5, 4)), 3, ResizeBilinearOptions=half)
    one("resize_corners", "RESIZE_BILINEAR", [x, size], like((1, 13, 5, 4)), 3, ResizeBilinearOptions=corners)
    inputs = [x, size]
    one(
        "nearest",
        "RESIZE_NEAREST_NEIGHBOR",
        inputs,
        like((1, 13, 5, 4)),
        3,
        ResizeNearestNeighborOptions=half,
    )
    one("pad", "PAD", [x, const([[0, 0], [1, 2], [0, 1], [0, 0]])], like((1, 11, 9, 4)), PadOptions={})
    one("concat", "CONCATENATION", [x, x], like((1, 8, 8, 8)), ConcatenationOptions={"axis": 3})
    blocks = [x, const([2, 3]), const([[0, 0], [1, 0]])]
    one("space_to_batch", "SPACE_TO_BATCH_ND", blocks, like((6, 4, 3, 4)), 2, SpaceToBatchNDOptions={})


def signed_bits() -> None:
    """Ops whose kernels know i8 alone."""
    rng = np.random.default_rng(5)
    x, other, row = T((1, 8, 8, 4), I8, 0.05, -12), T((1, 8, 8, 4), I8, 0.031, 7), (1, 256)

    def one(name: str, op: str, inputs: Sequence[T], output: T, version: int = 2, **more: Any) -> None:
        case(f"{name}_i8", op, inputs, output, version=version, **more)

    y = T(x.shape, I8, 0.3, -100)
    one("squared_difference", "SQUARED_DIFFERENCE", [x, other], y, SquaredDifferenceOptions={})
    one("gelu", "GELU", [x], T(x.shape, I8, 0.03, -90), GeluOptions={})
    one("gelu_tanh", "GELU", [x], T(x.shape, I8, 0.03, -90), GeluOptions={"approximate": True})
    one("rsqrt", "RSQRT", [T(row, I8, 0.01, -128)], T(row, I8, 0.04, -128))
    one("exp", "EXP", [T(row, I8, 0.02, 5)], T(row, I8, 0.05, -128), ExpOptions={})
    one("log", "LOG", [T(row, I8, 0.02, -128)], T(row, I8, 0.05, 100))
    one("abs", "ABS", [T(row, I8, 0.02, 5)], T(row, I8, 0.015, -128), AbsOptions={})
    inputs = [T((2, 5, 16), I8, 0.05, -3), T((2, 7, 16), I8, 0.04, 9)]
    one("batch_matmul", "BATCH_MATMUL", inputs, T((2, 5, 7), I8, 0.2, 4), BatchMatMulOptions={"adjY": True})
    x, scales = T((1, 5, 4, 4), I8, 0.05, -12), [0.02, 0.03, 0.01]
    bias = const([90, -50, 7], I32, [0.001, 0.0015, 0.0005])
    weight, y = const(rng.integers(-127, 128, (3, 3, 2, 4)), I8, scales), T((1, 11, 9, 3), I8, 0.1, 9)
    window = {"padding": 1, "strideW": 2, "strideH": 2}
    inputs = [const([1, 11, 9, 3]), weight, x, bias]
    one("transpose_conv", "TRANSPOSE_CONV", inputs, y, 3, TransposeConvOptions=window)
    weight, y = const(rng.integers(-127, 128, (3, 3, 3, 4)), I8, scales), T((1, 10, 8, 3), I8, 0.1, 9)
    inputs, window = [const([1, 10, 8, 3]), weight, x], {**window, "padding": 0}
    one("transpose_conv_same", "TRANSPOSE_CONV", inputs, y, TransposeConvOptions=window)


def floats() -> None:
    """Ops on floats and plain integers that the recorded networks do not have."""
    x, numbers, blocks = T((1, 4, 6, 8)), T((2, 3), I32), const([2, 3])

    def one(name: str, op: str, inputs: Sequence[T], *outputs: T, **more: Any) -> None:
        case(f"{name}_f32", op, inputs, *outputs, **more)

    one("open_batch", "RELU", [T((1, 3), open=(-1, 3))], T((1, 3), open=(-1, 3)))
    one("slice", "SLICE", [x, const([0, 1, 0, 2]), const([1, 2, -1, 3])], T((1, 2, 6, 3)), SliceOptions={})
    one("slice_at", "SLICE", [T((6, 6)), T((2,), I32), const([1, 3])], T((1, 3)), SliceOptions={})
    bounds = [const([0, 0, 5, 1]), const([0, 4, 0, 2]), const([1, 2, -2, 1])]
    masks = {"beginMask": 1, "endMask": 1, "shrinkAxisMask": 8}
    one("strided_slice", "STRIDED_SLICE", [x, *bounds], T((1, 2, 3)), StridedSliceOptions=masks)
    inputs = [x, blocks, const([[0, 0], [2, 1]])]
    one("space_to_batch", "SPACE_TO_BATCH_ND", inputs, T((6, 2, 3, 8)), SpaceToBatchNDOptions={})
    inputs = [T((6, 2, 2, 8)), blocks, const([[0, 1], [2, 1]])]
    one("batch_to_space", "BATCH_TO_SPACE_ND", inputs, T((1, 3, 3, 8)), BatchToSpaceNDOptions={})
    one("depth_to_space", "DEPTH_TO_SPACE", [x], T((1, 8, 12, 2)), DepthToSpaceOptions={"blockSize": 2})
    one("space_to_depth", "SPACE_TO_DEPTH", [x], T((1, 2, 3, 32)), SpaceToDepthOptions={"blockSize": 2})
    parts = (T((1, 4, 2, 8)), T((1, 4, 4, 8)))
    one("split_v", "SPLIT_V", [x, const([2, -1]), const(2)], *parts, SplitVOptions={"numSplits": 2})
    one("unpack", "UNPACK", [T((2, 3))], T((3,)), T((3,)), UnpackOptions={"num": 2})
    inputs = [numbers, const(4), const(1.5, F32), const(-1.0, F32)]
    one("one_hot", "ONE_HOT", inputs, T((2, 3, 4)), OneHotOptions={"axis": -1})
    one("gather_nd", "GATHER_ND", [T((4, 5)), T((3, 1), I32)], T((3, 5)), GatherNdOptions={})
    one("reverse", "REVERSE_V2", [x, const([2])], x, ReverseV2Options={})
    one("arg_max", "ARG_MAX", [x, const(3)], T((1, 4, 6), I32), ArgMaxOptions={"outputType": 2})
    one("top_k", "TOPK_V2", [T((3, 9)), const(4)], T((3, 4)), T((3, 4), I32), TopKV2Options={})
    one("cumsum", "CUMSUM", [T((3, 9)), const(1)], T((3, 9)), CumsumOptions={"exclusive": True})
    one(
        "bucketize",
        "BUCKETIZE",
        [T((3, 4))],
        T((3, 4), I32),
        BucketizeOptions={"boundaries": [-1.0, 0.0, 0.5]},
    )
    inputs = [const([[1], [3], [1]]), T((3, 4)), const([5, 4])]
    one("scatter_nd", "SCATTER_ND", inputs, T((5, 4)), ScatterNdOptions={})
    one("reduce_any", "REDUCE_ANY", [T((3, 9), BOOL), const([1])], T((3,), BOOL), ReducerOptions={})
    one("floor_mod", "FLOOR_MOD", [T((2, 3)), T((2, 3))], T((2, 3)), FloorModOptions={})
    one("squared_difference", "SQUARED_DIFFERENCE", [x, T((8,))], x, SquaredDifferenceOptions={})
    inputs = [T((5, 4)), T((2, 3)), T((2,), I32)]
    one("update_slice", "DYNAMIC_UPDATE_SLICE", inputs, T((5, 4)), DynamicUpdateSliceOptions={})
    one("tile", "TILE", [T((2, 3)), const([2, 1])], T((4, 3)), TileOptions={})
    one("mirror_pad", "MIRROR_PAD", [T((3, 4)), const([[1, 2], [0, 3]])], T((6, 7)), MirrorPadOptions={})
    one("select", "SELECT", [T((3,), BOOL), T((3, 4)), T((3, 4))], T((3, 4)), SelectOptions={})
    one("l2_normalization", "L2_NORMALIZATION", [T((3, 9))], T((3, 9)), L2NormOptions={})
    weight = const(np.random.default_rng(1).standard_normal((2, 3, 3, 2, 3)), F32)
    window = {"padding": 1, "strideD": 1, "strideW": 1, "strideH": 1}
    one("conv_3d", "CONV_3D", [T((1, 4, 5, 6, 2)), weight], T((1, 3, 3, 4, 3)), Conv3DOptions=window)
    y, corners = T((1, 7, 9, 8)), {"alignCorners": True}
    one("nearest", "RESIZE_NEAREST_NEIGHBOR", [x, const([7, 9])], y, ResizeNearestNeighborOptions=corners)
    one("hard_swish", "HARD_SWISH", [x], x)
    one("halves", "DEQUANTIZE", [const(np.arange(6), np.float16)], T((6,)), version=2, DequantizeOptions={})


def choices() -> None:
    """Choices between quantised operands, which share a scale."""
    q = T((3, 4), I8, 0.1, -3)
    case("i8_select", "SELECT", [T((3,), BOOL), q, q], q, SelectOptions={})
    case("i8_select_2", "SELECT_V2", [T((4,), BOOL), q, T((1, 4), I8, 0.1, -3)], q, SelectV2Options={})


def sparse() -> None:
    """Rows compressed, columns before rows, and blocks of two by two with two of four there."""
    values = np.arange(1, 9, dtype=F32)
    forms = {
        "rows": ((3, 5), ((0, 1), (), (3, ([0, 2, 2, 5], [1, 4, 0, 2, 3]))), 5),
        "columns": ((3, 4), ((1, 0), (), (4, ([0, 1, 3, 3, 4], [2, 0, 1, 2]))), 4),
        "blocks": ((4, 4), ((0, 1, 2, 3), (0, 1), (2, ([0, 1, 2], [1, 0]), 2, 2)), 8),
    }
    for name, (shape, form, count) in forms.items():
        case(
            f"densify_{name}",
            "DENSIFY",
            [T(shape, data=values[:count], sparse=form)],
            T(shape),
            DensifyOptions={},
        )


def hybrid() -> None:
    """Floats with weights of 8 bits, with a scale for all or one a channel."""
    rng = np.random.default_rng(4)

    def weight(shape: Sequence[int], axis: int, scale: Any = None) -> T:
        scales = np.linspace(0.004, 0.02, shape[axis]) if scale is None else scale
        return const(rng.integers(-127, 128, shape), I8, scales, axis=axis)

    image, window = T((1, 6, 7, 4)), {"padding": 1, "strideW": 1, "strideH": 1}
    dense = [T((2, 12)), weight((5, 12), 0, 0.01)]
    case("hybrid_dense", "FULLY_CONNECTED", dense, T((2, 5)), version=3, FullyConnectedOptions={})
    bias = const(rng.standard_normal(3), F32)
    operands = [image, weight((3, 3, 3, 4), 0), bias]
    case("hybrid_conv", "CONV_2D", operands, T((1, 4, 5, 3)), version=5, Conv2DOptions=window)
    operands = [image, weight((1, 3, 3, 8), 3)]
    options = {**window, "depthMultiplier": 2}
    result = T((1, 4, 5, 8))
    case("hybrid_depthwise", "DEPTHWISE_CONV_2D", operands, result, version=6, DepthwiseConv2DOptions=options)


def refused() -> None:
    """Models that isthmus refuses, and why."""
    x, q = T((2, 3)), T((2, 3), U8, 0.1)

    def one(name: str, op: str, inputs: Sequence[T], output: T = x, **more: Any) -> None:
        case(name, op, inputs, output, runs=False, **more)

    one("custom", "CUSTOM", [x], custom="TFLite_Detection_PostProcess")
    one("flex", "CUSTOM", [x], custom="FlexErfinv")
    one("unknown_op", "SVDF", [x])
    one("newer_version", "RELU", [x], version=99)
    one("no_quantised_form", "DIV", [q, q], q, DivOptions={})
    y = T((6,), I8, 0.2)
    one("between_scales", "RESHAPE", [T((2, 3), I8, 0.1), const([6])], y, ReshapeOptions={})
    one("signatures", "RELU", [x], signatures=("encode", "decode"))
    wave, spectrum = T((1, 4, 8)), T((1, 4, 5), np.complex64)
    one("complex_result", "RFFT2D", [wave, const([4, 8])], spectrum)
    one("complex_input", "REAL", [spectrum], T((1, 4, 5)))
    one("variable", "VAR_HANDLE", [], T((), I32), VarHandleOptions={})


contractions("i8_channels", I8, lambda n: np.linspace(0.004, 0.02, n).tolist())
contractions("i8", I8, lambda n: 0.011, activation=1)
contractions("u8", U8, lambda n: 0.011, activation=3)
eight_bits("i8", I8)
eight_bits("u8", U8)
signed_bits()
floats()
refused()
choices()
sparse()
hybrid()
