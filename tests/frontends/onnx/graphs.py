"""Graphs as exporters and optimisers write them, in the text form of `onnx.parser`, weights drawn at random.

Inputs whose names begin with `w` become initializers. f32 values lie in -0.5..0.5, integers are small and not negative.
"""

from collections.abc import Mapping

import numpy as np
from onnx import ModelProto, helper, numpy_helper, parser

_PARSED = {1: np.float32, 2: np.uint8, 3: np.int8, 6: np.int32, 7: np.int64, 9: np.bool_, 10: np.float16}

HEADER = '<ir_version: {ir}, opset_import: ["" : {opset}, "com.microsoft" : 1, "local" : 1]>\n'

MODELS: dict[str, tuple[int, str]] = {
    "bert layer, fused": (
        14,
        """g (int32[2,6] ids, int32[2,6] mask, float[9,8] w1, float[6,8] w2, float[8] w3, float[8] w4, float[8,24] w5,
           float[24] w6, float[8,16] w7, float[16] w8, float[16,8] w9, float[8] w10) => (float[2,6,8] y) {
          e, lengths = com.microsoft.EmbedLayerNormalization <epsilon: float = 1e-6> (ids, , w1, w2, , w3, w4, , )
          a = com.microsoft.Attention <num_heads: int = 2> (e, w5, w6, mask)
          s = com.microsoft.SkipLayerNormalization <epsilon: float = 1e-6> (a, e, w3, w4, w10)
          m = MatMul (s, w7)
          b = com.microsoft.BiasGelu (m, w8)
          n = MatMul (b, w9)
          y = com.microsoft.SkipLayerNormalization <epsilon: float = 1e-6> (n, s, w3, w4, w10) }""",
    ),
    "gpt block with a past": (
        13,
        """g (float[1,1,8] x, float[2,1,2,3,4] past, float[8] w1, float[8] w2, float[8,24] w3, float[24] w4,
           float[8,8] w5)
           => (float[1,1,8] y, float[2,1,2,4,4] present) {
          n = com.microsoft.SkipLayerNormalization (x, x, w1, w2)
          a, present = com.microsoft.Attention <num_heads: int = 2, unidirectional: int = 1> (n, w3, w4, , past)
          m = MatMul (a, w5)
          f = com.microsoft.FastGelu (m)
          y = Add (f, x) }""",
    ),
    "llama block, 4-bit weights": (
        17,
        """g (float[1,3,32] x, float[1,1,4,16] pk, float[1,1,4,16] pv, int32[1,1] last, int32[1] total, float[32] w1,
           uint8[32,2,8] wq, float[64] w2, uint8[16,2,8] wk, float[32] w3, uint8[16,2,8] wv, float[32] w4,
           float[16,8] wcos, float[16,8] wsin, uint8[32,2,8] wo, float[32,64] wup, float[64,32] wdown)
           => (float[1,3,32] y, float[1,1,7,16] ok, float[1,1,7,16] ov) {
          n = SimplifiedLayerNormalization <axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1> (x, w1)
          q = com.microsoft.MatMulNBits <K: int = 32, N: int = 32, bits: int = 4, block_size: int = 16> (n, wq, w2)
          k = com.microsoft.MatMulNBits <K: int = 32, N: int = 16, bits: int = 4, block_size: int = 16> (n, wk, w3)
          v = com.microsoft.MatMulNBits <K: int = 32, N: int = 16, bits: int = 4, block_size: int = 16> (n, wv, w4)
          a, ok, ov = com.microsoft.GroupQueryAttention <num_heads: int = 2, kv_num_heads: int = 1, do_rotary: int = 1>
            (q, k, v, pk, pv, last, total, wcos, wsin)
          o = com.microsoft.MatMulNBits <K: int = 32, N: int = 32, bits: int = 4, block_size: int = 16> (a, wo, w2)
          s, , , r = com.microsoft.SkipSimplifiedLayerNormalization <epsilon: float = 1e-5> (o, x, w1)
          u = MatMul (s, wup)
          g = Sigmoid (u)
          h = Mul (u, g)
          d = MatMul (h, wdown)
          y = Add (d, r) }""",
    ),
    "attention over another sequence": (
        16,
        """g (float[2,3,8] q, float[2,5,8] k, float[2,5,8] v, int32[2] lengths, float[24] w1) => (float[2,3,8] y) {
          y = com.microsoft.MultiHeadAttention <num_heads: int = 2> (q, k, v, w1, lengths) }""",
    ),
    "rotary embedding and products": (
        16,
        """g (float[2,4,16] x, int64[2,4] p, float[8,4] wcos, float[8,4] wsin, float[16,16] w1) => (float[2,4,4] y) {
          q = com.microsoft.RotaryEmbedding <num_heads: int = 2> (x, p, wcos, wsin)
          k = MatMul (x, w1)
          z = com.microsoft.FusedMatMul <transB: int = 1, alpha: float = 0.25> (q, k)
          y = Softmax <axis: int = -1> (z) }""",
    ),
    "quantised network": (
        13,
        """g (float[1,3,8,8] x, float ws, uint8 wz, int8[4,3,3,3] wc, float wcs, int8 wcz, int32[4] wb, uint8[4,5] wm)
           => (float[1,5] y) {
          q = QuantizeLinear (x, ws, wz)
          c = QLinearConv <pads: ints = [1,1,1,1]> (q, ws, wz, wc, wcs, wcz, ws, wz, wb)
          l = com.microsoft.QLinearLeakyRelu <alpha: float = 0.1> (c, ws, wz, ws, wz)
          a = com.microsoft.QLinearAdd (c, ws, wz, l, ws, wz, wcs, wz)
          p = com.microsoft.QLinearGlobalAveragePool (a, wcs, wz, ws, wz)
          f = Flatten (p)
          m = QLinearMatMul (f, ws, wz, wm, wcs, wz, ws, wz)
          y = DequantizeLinear (m, ws, wz) }""",
    ),
    "quantised while running": (
        13,
        """g (float[2,8] x, int8[8,6] w1, float ws, float[6] w2) => (float[2,6] y) {
          y = com.microsoft.DynamicQuantizeMatMul (x, w1, ws, , w2) }""",
    ),
    "convolutions of opset 7": (
        7,
        """g (float[1,3,9,9] x, float[4,3,3,3] w1, float[4] w2, float[4] w3, float[4] w4) => (float[1,4,8,8] y) {
          c = Conv <kernel_shape: ints = [3,3], strides: ints = [2,2], pads: ints = [1,1,1,1]> (x, w1)
          v = Abs (w4)
          b = BatchNormalization <epsilon: float = 0.1> (c, w2, w3, w2, v)
          r = Relu (b)
          p = MaxPool <kernel_shape: ints = [2,2]> (r)
          u = Upsample <mode: string = "nearest", scales: floats = [1.0, 1.0, 2.0, 2.0]> (p)
          d = Dropout <ratio: float = 0.3> (u)
          y = Clip <min: float = 0.0, max: float = 0.4> (d) }""",
    ),
    "shapes computed by nodes": (
        10,
        """g (float[2,3,4] x) => (float[2,12] y, float[6,5] z) {
          s = Shape (x)
          zero = Constant <value = int64 {0}> ()
          n = Gather <axis: int = 0> (s, zero)
          u = Unsqueeze <axes: ints = [0]> (n)
          rest = Constant <value = int64[1] {-1}> ()
          target = Concat <axis: int = 0> (u, rest)
          y = Reshape (x, target)
          b = ReduceSum <axes: ints = [2], keepdims: int = 0> (x)
          f = Reshape (b, rest)
          c = Cast <to: int = 1> (s)
          five = Constant <value = int64[2] {6, 5}> ()
          k = ConstantOfShape <value = float[1] {0.5}> (five)
          t = Unsqueeze <axes: ints = [1]> (f)
          z = Mul (k, t) }""",
    ),
    "detection head": (
        11,
        """g (float[1,6,4] boxes, float[1,2,6] scores, float[1,3,5,5] image, float[0] wroi)
           => (int64[n,3] chosen, float[m,4] kept, float[1,3,10,10] y) {
          most = Constant <value = int64[1] {3}> ()
          overlap = Constant <value = float[1] {0.5}> ()
          least = Constant <value = float[1] {0.0}> ()
          chosen = NonMaxSuppression (boxes, scores, most, overlap, least)
          two = Constant <value = int64 {2}> ()
          rows = Gather <axis: int = 1> (chosen, two)
          flat = Squeeze <axes: ints = [0]> (boxes)
          kept = Gather <axis: int = 0> (flat, rows)
          scales = Constant <value = float[4] {1.0, 1.0, 2.0, 2.0}> ()
          y = Resize <mode: string = "linear",
            coordinate_transformation_mode: string = "half_pixel"> (image, wroi, scales) }""",
    ),
    "what the data decide": (
        13,
        """g (float[12] x) => (float[n] y, int64[m] counts, float[k] loud) {
          r = Round (x)
          y, first, back, counts = Unique <sorted: int = 1> (r)
          a = Abs (x)
          limit = Constant <value = float {0.25}> ()
          over = Greater (a, limit)
          at = NonZero (over)
          zero = Constant <value = int64[1] {0}> ()
          flat = Squeeze (at, zero)
          taken = Gather (x, flat)
          loud = Exp (taken) }""",
    ),
    "a branch on an outer value": (
        13,
        """g (float[3] x, bool c) => (float[3] y) {
          t = Exp (x)
          y = If (c) <then_branch = yes () => (float[3] a) { a = Add (t, x) },
                      else_branch = no () => (float[3] b) { q = Neg (t) b = Mul (q, x) }> }""",
    ),
    "a loop with a growing result": (
        13,
        """g (float[3] x, int64 n, bool go) => (float[3] last, float[k,3] all) {
          one = Constant <value = float {1.5}> ()
          last, all = Loop (n, go, x) <body =
          step (int64 i, bool on, float[3] s) => (bool more, float[3] t, float[3] out) {
            more = Identity (on)
            m = Mul (s, one)
            t = Add (m, x)
            out = Identity (t) }> }""",
    ),
    "a scan": (
        13,
        """g (float[2] h, float[5,2] xs, float[2,2] w1) => (float[2] last, float[5,2] ys) {
          last, ys = Scan <num_scan_inputs: int = 1, body = step (float[2] s, float[2] x) => (float[2] t, float[2] y) {
            m = MatMul (s, w1)
            a = Add (m, x)
            t = Tanh (a)
            y = Identity (t) }> (h, xs) }""",
    ),
    "functions in functions": (
        17,
        """g (float[2,4] x, float[4] w1) => (float[2,4] y) {
          y = local.block <slope: float = 0.2> (x, w1) }
        <domain: "local", opset_import: ["" : 17, "local" : 1]>
        block <slope> (x, w) => (y) {
          a = local.twice (x)
          b = Mul (a, w)
          y = LeakyRelu <alpha: float = @slope> (b) }
        <domain: "local", opset_import: ["" : 17]>
        twice (x) => (y) { y = Add (x, x) }""",
    ),
    "half precision": (
        17,
        """g (float[2,8] x, float16[8,8] w1, float16[8] w2, float16[8] w3) => (float[2,8] y) {
          h = Cast <to: int = 10> (x)
          m = MatMul (h, w1)
          n = LayerNormalization <axis: int = -1> (m, w2, w3)
          s = Softmax <axis: int = -1> (n)
          y = Cast <to: int = 1> (s) }""",
    ),
    "attention of opset 23": (
        23,
        """g (float[1,4,3,8] q, float[1,2,3,8] k, float[1,2,3,8] v, float[8] w1) => (float[1,4,3,8] y) {
          n = RMSNormalization <axis: int = -1> (q, w1)
          y = Attention <is_causal: int = 1> (n, k, v) }""",
    ),
    "a recurrent tagger": (
        14,
        """g (int64[5,2] ids, int32[2] lengths, float[7,3] w1, float[2,16,3] w2, float[2,16,4] w3, float[2,32] w4,
           float[8,3] w5)
           => (float[5,2,3] y) {
          e = Gather (w1, ids)
          h, last, cell = LSTM <direction: string = "bidirectional", hidden_size: int = 4> (e, w2, w3, w4, lengths)
          t = Transpose <perm: ints = [0,2,1,3]> (h)
          shape = Constant <value = int64[3] {0, 0, -1}> ()
          r = Reshape (t, shape)
          m = MatMul (r, w5)
          y = LogSoftmax <axis: int = 2> (m) }""",
    ),
    "fused by an optimiser": (
        12,
        """g (float[1,3,6,6] x, float[4,3,3,3] w1, float[4] w2, float[4,5] w3, float[5] w4) => (float[1,5] y) {
          c = com.microsoft.FusedConv <activation: string = "LeakyRelu", activation_params: floats = [0.1],
            kernel_shape: ints = [3,3]> (x, w1, w2)
          p = GlobalAveragePool (c)
          f = Flatten (p)
          y = com.microsoft.FusedGemm <activation: string = "Relu", alpha: float = 0.5> (f, w3, w4) }""",
    ),
    "padding, sorting, choosing": (
        18,
        """g (float[3,4] x) => (float[3,2] top, int64[3,2] at, float[5,8] padded, float[3,4] chosen) {
          two = Constant <value = int64[1] {2}> ()
          top, at = TopK <axis: int = 1> (x, two)
          pads = Constant <value = int64[4] {1, 2, 1, 2}> ()
          padded = Pad <mode: string = "reflect"> (x, pads)
          low = Constant <value = float {-0.1}> ()
          b = Greater (x, low)
          axis = Constant <value = int64 {1}> ()
          t = CumSum (x, axis)
          chosen = Where (b, x, t) }""",
    ),
    "weights beside the file": (
        20,
        """g (float[2,40] x, float[40,30] w1, float[30] w2) => (float[2,30] y) { y = Gemm (x, w1, w2) }""",
    ),
}

GIVEN = {
    "bert layer, fused": {"mask": np.array([[1] * 6, [1] * 4 + [0] * 2], np.int32)},
    "llama block, 4-bit weights": {"last": np.array([[6]], np.int32), "total": np.array([7], np.int32)},
    "attention over another sequence": {"lengths": np.array([5, 3], np.int32)},
    "a loop with a growing result": {"go": np.array(True), "n": np.array(4)},
    "a recurrent tagger": {"lengths": np.array([5, 3], np.int32)},
}
"""Inputs that can't be any number."""


def model(name: str) -> ModelProto:
    """A model with its weights."""
    opset, text = MODELS[name]
    made = parser.parse_model(HEADER.format(ir=8 if opset < 19 else 10, opset=opset) + text)
    rng = np.random.default_rng(list(name.encode()))
    for port in list(made.graph.input):
        if port.name.startswith("w"):
            made.graph.initializer.append(numpy_helper.from_array(_drawn(port, rng), port.name))
            made.graph.input.remove(port)
    return made


def inputs(name: str, made: ModelProto, draw: int) -> Mapping[str, np.ndarray]:
    """Arrays for its inputs."""
    rng = np.random.default_rng(draw)
    return {port.name: _drawn(port, rng) for port in made.graph.input} | GIVEN.get(name, {})


def _drawn(port: helper.ValueInfoProto, rng: np.random.Generator) -> np.ndarray:
    type = port.type.tensor_type
    shape = [dim.dim_value for dim in type.shape.dim]
    dtype = np.dtype(_PARSED[type.elem_type])
    if dtype.kind == "f":
        scalar = 0.02 if not shape else None
        return np.asarray(rng.uniform(-0.5, 0.5, shape) if scalar is None else scalar).astype(dtype)
    if dtype.kind == "b":
        return np.asarray(rng.integers(0, 2, shape)).astype(bool)
    low, high = {1: (0, 60), 4: (0, 5), 8: (0, 5)}[
        dtype.itemsize
    ]  # ONNX Runtime saturates products of larger bytes
    return np.asarray(rng.integers(low, high, shape)).astype(dtype)
