"""What ONNX Runtime's own exporters and optimisers emit (domain com.microsoft): products, activations and norms.

Attention is in `contrib_attention.py`, quantised ops in `contrib_quantised.py`. Each is what its documentation
(onnxruntime, ContribOperators.md) says, in ops that every target has.
"""

from collections.abc import Sequence

import numpy as np

from ....compiler.diagnostics import ModelError, UnsupportedError
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import u8
from ...build import math, nn, quant, reduce, shape
from ...normalise import axis_of
from ..table import converter

MICROSOFT = "com.microsoft"


def swapped(x: Value) -> Value:
    """The transposes of the matrices in the last two axes."""
    rank = x.type.rank
    return shape.transpose(x, perm=(*range(rank - 2), rank - 1, rank - 2))


@converter("FusedMatMul", domain=MICROSOFT)
def fused_matmul(a, b, *, alpha=1.0, transA=0, transB=0, transBatchA=0, transBatchB=0):
    """transBatch: the first of the matrix axes stands before the batch axes."""
    sides = []
    for x, transposed, outermost in ((a, transA, transBatchA), (b, transB, transBatchB)):
        if outermost and x.type.rank > 2:
            x = shape.transpose(x, perm=(*range(1, x.type.rank - 1), 0, x.type.rank - 1))
        sides.append(swapped(x) if transposed and x.type.rank > 1 else x)
    y = nn.matmul(*sides)
    return y if alpha == 1 else math.mul(y, alpha)


@converter("Gelu", domain=MICROSOFT)
def gelu(x):
    return math.gelu(x)


@converter("BiasGelu", domain=MICROSOFT)
def bias_gelu(x, bias):
    return math.gelu(math.add(x, bias))


@converter("FastGelu", domain=MICROSOFT)
def fast_gelu(x, bias=None):
    return math.gelu(x if bias is None else math.add(x, bias), approximate="tanh")


@converter("QuickGelu", domain=MICROSOFT)
def quick_gelu(x, *, alpha=1.702):
    return math.silu(x, alpha=alpha)


@converter("SkipLayerNormalization", domain=MICROSOFT)
def skip_layer_norm(x, skip, gamma, beta=None, bias=None, *, epsilon=1e-12, call):
    total = _skipped(x, skip, bias)
    y = nn.layer_norm(total, gamma, beta, axis=total.type.rank - 1, epsilon=epsilon)
    return y, *_moments(total, epsilon, True, call), total


@converter("SkipSimplifiedLayerNormalization", domain=MICROSOFT)
def skip_rms_norm(x, skip, gamma, bias=None, *, epsilon=1e-5, call):
    total = _skipped(x, skip, bias)
    y = nn.rms_norm(total, gamma, axis=total.type.rank - 1, epsilon=epsilon)
    return y, *_moments(total, epsilon, False, call), total


@converter("SimplifiedLayerNormalization")
def rms_norm(x, gamma, *, axis=-1, epsilon=1e-5, stash_type=1, call):
    axis = axis_of(axis, x.type.rank)
    if call.wants(1):
        raise UnsupportedError("its output 1 is not supported", hint="remove what reads that output")
    return nn.rms_norm(x, gamma, axis=axis, epsilon=epsilon)


@converter("EmbedLayerNormalization", domain=MICROSOFT)
def embed_layer_norm(
    words,
    segments=None,
    word_table=None,
    position_table=None,
    segment_table=None,
    gamma=None,
    beta=None,
    mask=None,
    positions=None,
    *,
    epsilon=1e-12,
    mask_index_type=0,
    call,
):
    """The sum of the embeddings, normalised; the second output counts the words that a mask lets through."""
    if None in (word_table, position_table, gamma, beta) or call.wants(2):
        raise UnsupportedError("it needs both tables, gamma and beta, and its output 2 is not supported")
    total = shape.gather(word_table, words, axis=0)
    length = words.shape[1]
    if positions is not None:
        total = math.add(total, shape.gather(position_table, positions, axis=0))
    else:
        sizes = (length, position_table.shape[1])
        total = math.add(total, shape.slice(position_table, starts=(0, 0), sizes=sizes, steps=(1, 1)))
    if segments is not None and segment_table is not None:
        total = math.add(total, shape.gather(segment_table, segments, axis=0))
    y = nn.layer_norm(total, gamma, beta, axis=2, epsilon=epsilon)
    if mask is None:
        return y, shape.expand(constant(np.zeros((), np.int32)), shape=(words.shape[0],))
    return y, reduce.sum(mask, axes=(1,), keepdims=False)


def _skipped(x: Value, skip: Value, bias: Value | None) -> Value:
    total = math.add(x, skip)
    return total if bias is None else math.add(total, bias)


def _moments(x: Value, epsilon: float, centred: bool, call) -> Sequence[Value | None]:
    """Mean and inverse deviation of each row, for whoever asks for them."""
    if not call.wants(1) and not call.wants(2):
        return None, None
    axes = (x.type.rank - 1,)
    mean = reduce.mean(x, axes=axes, keepdims=True)
    off = math.sub(x, mean) if centred else x
    variance = reduce.mean(math.mul(off, off), axes=axes, keepdims=True)
    return mean, math.div(1.0, math.sqrt(math.add(variance, epsilon)))


@converter("MatMulNBits", domain=MICROSOFT)
def matmul_n_bits(
    x,
    packed,
    scales,
    zeros=None,
    order=None,
    bias=None,
    *,
    K,
    N,
    accuracy_level=0,
    bits=4,
    block_size,
    weight_prepacked=0,
):
    """Weights [N, K] of a few bits each, lowest bits first, with a scale (and zero point) for each block of a row."""
    if packed.constant is None or (zeros is not None and zeros.constant is None):
        raise UnsupportedError("its packed weights must be constant", hint="make them initializers")
    if order is not None or weight_prepacked:
        raise UnsupportedError("weights in another order (g_idx, prepacked) are not supported")
    if bits not in (2, 4, 8):
        raise UnsupportedError(f"weights of {bits} bits are not supported", hint="use 2, 4 or 8 bits")
    blocks = -(-K // block_size)
    codes = _unpacked(packed.constant, bits).reshape(N, -1)
    if codes.shape[1] != blocks * block_size:
        raise ModelError(f"its packed weights are {packed.type}, expected {N} rows of {blocks} blocks")
    scales = shape.reshape(scales, shape=(N, blocks))
    if zeros is None:
        offsets = np.full((N, blocks), 1 << (bits - 1), np.uint8)
    elif zeros.dtype == u8:
        offsets = _unpacked(zeros.constant.reshape(N, -1), bits)[:, :blocks]
    else:
        raise UnsupportedError(f"zero points of {zeros.dtype} are not supported", hint="use packed integers")
    weights = quant.dequantize(
        constant(codes), scales, constant(offsets), axis=1, dtype=scales.dtype, block=block_size
    )
    weights = shape.slice(weights, starts=(0, 0), sizes=(N, K), steps=(1, 1))
    y = nn.matmul(x, swapped(weights))
    return y if bias is None else math.add(y, bias)


def _unpacked(packed: np.ndarray, bits: int) -> np.ndarray:
    """Codes of so many bits, one a byte, along the last axis."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    parts = (packed[..., None] >> shifts) & np.uint8(2**bits - 1)
    return parts.reshape(*packed.shape[:-1], -1)
