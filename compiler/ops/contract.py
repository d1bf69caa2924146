"""Contractions: matrix product and einsum; convolutions are in `convolution.py`.

Floats narrower than f32 are multiplied and summed in f32, and rounded once.
"""

import numpy as np

from ..diagnostics import TypeRuleError
from ..ir.dims import Dim, product
from ..ir.types import DType, TensorType
from ..tile.writer import Ref, Stages
from .engine import Cost, Tolerance, case, op
from .rules import broadcast_shapes, differ, only, same_dtype, wide, widen

CONTRACTION = Tolerance(relative=2e-5, absolute=2e-5)
"""Sums of many products in another order than numpy's."""


def multiplicand(x: np.ndarray) -> np.ndarray:
    """An operand as numpy multiplies it fast: widened, and aligned, which what a file maps need not be."""
    return np.require(widen(x), requirements="A")


def matmul_type(x: TensorType, y: TensorType) -> TensorType:
    dtype = same_dtype(x, y)
    if x.rank < 2 or y.rank < 2:
        raise TypeRuleError(
            f"matmul needs rank 2 or more, got {x} and {y}", hint="reshape vectors to matrices"
        )
    if differ(x.shape[-1], y.shape[-2]):
        raise TypeRuleError(f"inner dimensions differ: {x} times {y}")
    batch = broadcast_shapes(x.shape[:-2], y.shape[:-2])
    return TensorType(dtype, (*batch, x.shape[-2], y.shape[-1]))


def _matmul_cost(results: tuple[TensorType, ...], x: TensorType, _: TensorType) -> Cost:
    return Cost(macs=results[0].elements * x.shape[-1])


def _matmul_stages(s: Stages, x: Ref, y: Ref) -> None:
    result = s.results[0]
    dtype = wide(x.dtype)
    *batch, m, n = s.dims(*result.shape)
    (k,) = s.reduce(x.shape[-1])
    left = x.broadcast(batch, m, k).cast(dtype)
    right = y.broadcast(batch, k, n).cast(dtype)
    s.store(result[(*batch, m, n)], left * right, "sum")


@op(
    "nn.matmul",
    infer=matmul_type,
    stages=_matmul_stages,
    cost=_matmul_cost,
    tolerance=CONTRACTION,
    samples=(
        case("f32[5, 7]", "f32[7, 3]"),
        case("f32[2, 1, 5, 7]", "f32[3, 7, 4]"),
        case("f32[2, 1, 1]", "f32[1, 3]"),
        case("f64[1, 33]", "f64[33, 40]"),
        case("f16[4, 9]", "f16[9, 5]"),
        case("i32[3, 4]", "i32[4, 5]"),
    ),
)
def matmul(x, y):
    """Matrix product over the last two axes, numpy broadcasting over the others."""
    return np.matmul(multiplicand(x), multiplicand(y)).astype(x.dtype, copy=False)


def _labels(equation: str, ranks: list[int]) -> tuple[list[str], str]:
    """One letter for each axis of each operand, and those of the result.

    An ellipsis becomes Greek letters, counted from the right so that its axes broadcast. Without `->` the result has
    the labels that occur once, sorted.
    """
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise TypeRuleError(f"einsum '{equation}' names {len(terms)} operands, got {len(ranks)}")
    spread = 0
    operands = []
    for term, rank in zip(terms, ranks, strict=True):
        hidden = rank - len(term.replace("...", "")) if "..." in term else 0
        if hidden < 0 or len(term.replace("...", "")) + hidden != rank:
            raise TypeRuleError(f"einsum '{equation}': '{term}' does not fit an operand of rank {rank}")
        spread = max(spread, hidden)
        operands.append(term.replace("...", _ELLIPSIS[len(_ELLIPSIS) - hidden :]))
    hidden_labels = _ELLIPSIS[len(_ELLIPSIS) - spread :]
    if arrow:
        result = right.replace("...", hidden_labels)
    else:
        every = "".join(operands)
        result = hidden_labels + "".join(
            sorted(c for c in set(every) - set(_ELLIPSIS) if every.count(c) == 1)
        )
    unknown = [c for c in result if not any(c in term for term in operands)]
    if unknown or len(set(result)) != len(result) or not all(c.isalpha() for c in "".join(operands)):
        raise TypeRuleError(f"einsum: '{equation}' is not a valid equation")
    return operands, result


_ELLIPSIS = "αβγδεζηθ"


def _einsum_extents(terms: list[str], operands: tuple[TensorType, ...]) -> dict[str, Dim]:
    extents: dict[str, Dim] = {}
    for term, operand in zip(terms, operands, strict=True):
        for label, extent in zip(term, operand.shape, strict=True):
            known = extents.setdefault(label, extent)
            if known == 1:
                extents[label] = extent
            elif extent != 1 and differ(known, extent):
                raise TypeRuleError(f"einsum: axis '{label}' is {known} and {extent}")
    return extents


def einsum_type(*operands: TensorType, equation: str) -> TensorType:
    terms, result = _labels(equation, [operand.rank for operand in operands])
    extents = _einsum_extents(terms, operands)
    return TensorType(same_dtype(*operands), tuple(extents[label] for label in result))


def einsum_cost(results: tuple[TensorType, ...], *operands: TensorType, equation: str) -> Cost:
    terms, _ = _labels(equation, [operand.rank for operand in operands])
    points = product(_einsum_extents(terms, operands).values())
    return Cost(macs=points * (len(operands) - 1)) if len(operands) > 1 else Cost(operations=points)


def _einsum_stages(s: Stages, *operands: Ref, equation: str) -> None:
    einsum_stages(s, *operands, equation=equation, dtype=wide(operands[0].dtype))


def einsum_stages(s: Stages, *operands: Ref, equation: str, dtype: DType) -> None:
    """Operands are contracted from left to right in a dtype, each label summed as soon as nothing further needs it."""
    terms, result = _labels(equation, [operand.rank for operand in operands])
    types = tuple(TensorType(operand.dtype, operand.shape) for operand in operands)
    extents = _einsum_extents(terms, types)
    dims = dict(zip(extents, s.dims(*extents.values()), strict=True))
    total, held = None, set()
    for n, (term, operand) in enumerate(zip(terms, operands, strict=True)):
        index = [
            dims[label] if extent != 1 or extents[label] == 1 else 0
            for label, extent in zip(term, operand.shape, strict=True)
        ]
        element = operand.at(*index).cast(dtype)
        total = element if total is None else total * element
        held |= set(term)
        needed = set(result).union(*terms[n + 1 :])
        combine = "sum" if held - needed else None
        if n == len(terms) - 1:
            s.store(s.results[0].at(*(dims[label] for label in result)), total, combine)
        elif combine:
            held &= needed
            total = s.total(combine, total, [dims[label] for label in extents if label in held])


@op(
    "nn.einsum",
    infer=einsum_type,
    stages=_einsum_stages,
    cost=einsum_cost,
    tolerance=CONTRACTION,
    samples=(
        case("f32[3, 5, 4]", "f32[3, 4, 7]", equation="bij,bjk->bik"),
        case("f32[2, 1, 5, 3]", "f32[4, 3, 2]", equation="...ij, ...jk"),
        case("f64[4, 5]", "f64[5, 3]", "f64[3, 2]", equation="ij,jk,kl->li"),
        case("f32[5, 5, 3]", equation="iik->k"),
        case("i32[4, 3]", equation="ij->ji"),
        case("f32[4, 3]", "f32[3, 2]", equation="ij, jk ->"),
    ),
)
def einsum(*operands, equation: str):
    """Einstein summation in numpy's notation; axes of extent 1 broadcast, a label used twice takes a diagonal."""
    out = np.einsum(equation.replace(" ", ""), *map(multiplicand, operands), optimize=len(operands) > 1)
    return np.asarray(out).astype(operands[0].dtype, copy=False)


def _det_type(x: TensorType) -> TensorType:
    if x.rank < 2 or differ(x.shape[-1], x.shape[-2]):
        raise TypeRuleError(f"det takes square matrices, got {x}")
    return x.with_shape(x.shape[:-2])


@op("nn.det", infer=only(("float",), _det_type), samples=(case("f32[3, 3]"), case("f64[2, 2, 4, 4]")))
def det(x):
    """The determinants of the matrices in the last two axes."""
    return np.asarray(np.linalg.det(widen(x))).astype(x.dtype, copy=False)
