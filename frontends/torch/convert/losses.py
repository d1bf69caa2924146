"""Losses, as models give them beside their results where they are given the truth."""

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import i64
from ...build import math, nn, reduce, shape
from ..promotion import cast, together
from ..table import converter
from .layout import unsqueeze


def _reduced(x: Value, reduction: int) -> Value:
    """0 leaves the elements, 1 takes their mean, 2 their sum."""
    if reduction == 0:
        return x
    axes = tuple(range(x.type.rank))
    return (reduce.mean if reduction == 1 else reduce.sum)(x, axes=axes, keepdims=False)


@converter("mse_loss")
def mse_loss(self, target, reduction: int = 1):
    gap = math.sub(*together(self, target))
    return _reduced(math.mul(gap, gap), reduction)


@converter("l1_loss")
def l1_loss(self, target, reduction: int = 1):
    return _reduced(math.abs(math.sub(*together(self, target))), reduction)


@converter("huber_loss")
def huber_loss(self, target, reduction: int = 1, delta: float = 1.0):
    """Half of the square up to delta, a line beyond."""
    gap = math.abs(math.sub(*together(self, target)))
    square = math.mul(math.mul(gap, gap), 0.5)
    line = math.mul(math.sub(gap, 0.5 * delta), delta)
    return _reduced(math.where(math.lt(gap, delta), square, line), reduction)


@converter("smooth_l1_loss")
def smooth_l1_loss(self, target, reduction: int = 1, beta: float = 1.0):
    return (
        l1_loss(self, target, reduction)
        if beta == 0
        else math.div(huber_loss(self, target, reduction, beta), beta)
    )


@converter("binary_cross_entropy_with_logits")
def binary_cross_entropy_with_logits(self, target, weight=None, pos_weight=None, reduction: int = 1):
    """(1 - t) x + (1 + (p - 1) t) softplus(-x)."""
    factor = 1 if pos_weight is None else math.add(math.mul(math.sub(pos_weight, 1), target), 1)
    loss = math.mul(math.softplus(math.neg(self)), factor)
    loss = math.add(math.mul(math.sub(constant(1, target.dtype), target), self), loss)
    return _reduced(loss if weight is None else math.mul(loss, weight), reduction)


@converter("binary_cross_entropy")
def binary_cross_entropy(self, target, weight=None, reduction: int = 1):
    """Logarithms are no less than -100, as in torch."""
    one = constant(1, self.dtype)
    likely, not_likely = (math.max(math.log(p), -100.0) for p in (self, math.sub(one, self)))
    loss = math.add(math.mul(target, likely), math.mul(math.sub(one, target), not_likely))
    return _reduced(math.neg(loss if weight is None else math.mul(loss, weight)), reduction)


@converter("kl_div")
def kl_div(self, target, reduction: int = 1, *, log_target: bool = False):
    """t (log t - x), nothing where t is 0."""
    if log_target:
        return _reduced(math.mul(math.exp(target), math.sub(target, self)), reduction)
    zero = constant(0, target.dtype)
    own = math.where(math.gt(target, zero), math.mul(target, math.log(target)), zero)
    return _reduced(math.sub(own, math.mul(target, self)), reduction)


@converter("nll_loss", "nll_loss_nd", "nll_loss2d")
def nll_loss(self, target, weight=None, reduction: int = 1, ignore_index: int = -100):
    """The target's entries of log probabilities [N, C, ...]; what is ignored counts nowhere, the rest by its weight."""
    axis = 0 if self.type.rank == 1 else 1
    kept = math.ne(target, ignore_index)
    chosen = math.where(kept, cast(target, i64), constant(0, i64))
    taken = shape.gather_elements(self, unsqueeze(chosen, axis), axis=axis)
    share = cast(kept, self.dtype)
    if weight is not None:
        share = math.mul(share, shape.gather(weight, chosen, axis=0))
    loss = math.mul(math.neg(shape.reshape(taken, shape=target.shape)), share)
    if reduction != 1:
        return _reduced(loss, reduction)
    return math.div(_reduced(loss, 2), _reduced(share, 2))


@converter("cross_entropy_loss")
def cross_entropy_loss(
    self, target, weight=None, reduction: int = 1, ignore_index: int = -100, label_smoothing: float = 0.0
):
    if label_smoothing or target.dtype.is_float:
        raise UnsupportedError(
            "targets that are probabilities, or smoothed, are not supported", hint="give numbers of classes"
        )
    logs = nn.log_softmax(self, axis=0 if self.type.rank == 1 else 1)
    return nll_loss(logs, target, weight, reduction, ignore_index)
