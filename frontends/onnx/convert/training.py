"""Steps of optimisers, written out: what they do to each tensor is one elementwise kernel."""

from collections.abc import Callable, Sequence

from ....compiler.diagnostics import ModelError
from ....compiler.ir.graph import Value, constant
from ...build import math, shape
from ..table import converter

DOMAIN = "ai.onnx.preview.training"


def _each(step: Callable[..., Sequence[Value]], tensors: Sequence[Value], kinds: int) -> list[Value]:
    """The results of a step for each of the optimised tensors, which come sorted by kind, and so go."""
    if len(tensors) % kinds:
        raise ModelError(f"it has {len(tensors)} tensors, expected {kinds} for each that is optimised")
    count = len(tensors) // kinds
    results = [step(*tensors[n::count]) for n in range(count)]
    return [result[kind] for kind in range(len(results[0])) for result in results]


def _like(number: Value, x: Value) -> Value:
    """A number in the dtype of a tensor."""
    flat = shape.reshape(number, shape=())
    return flat if flat.dtype == x.dtype else math.cast(flat, dtype=x.dtype)


@converter("Adagrad", domain=DOMAIN)
def adagrad(rate, count, *tensors, decay_factor=0.0, epsilon=0.0, norm_coefficient=0.0):
    def step(x, gradient, squares):
        slowed = math.div(_like(rate, x), math.add(math.mul(_like(count, x), decay_factor), 1.0))
        gradient = math.add(math.mul(x, norm_coefficient), gradient)
        squares = math.add(squares, math.mul(gradient, gradient))
        moved = math.div(math.mul(slowed, gradient), math.add(math.sqrt(squares), epsilon))
        return math.sub(x, moved), squares

    return _each(step, tensors, 3)


@converter("Adam", domain=DOMAIN)
def adam(
    rate,
    count,
    *tensors,
    alpha=0.9,
    beta=0.999,
    epsilon=0.0,
    norm_coefficient=0.0,
    norm_coefficient_post=0.0,
):
    def step(x, gradient, mean, squares):
        gradient = math.add(math.mul(x, norm_coefficient), gradient)
        mean = math.add(math.mul(mean, alpha), math.mul(gradient, 1 - alpha))
        squares = math.add(math.mul(squares, beta), math.mul(math.mul(gradient, gradient), 1 - beta))
        turn, plain = _like(count, x), _like(rate, x)
        left = [math.sub(1.0, math.pow(constant(base, x.dtype), turn)) for base in (alpha, beta)]
        unbiased = math.div(math.mul(plain, math.sqrt(left[1])), left[0])
        speed = math.where(math.gt(turn, 0.0), unbiased, plain)
        moved = math.div(math.mul(speed, mean), math.add(math.sqrt(squares), epsilon))
        return math.mul(math.sub(x, moved), 1 - norm_coefficient_post), mean, squares

    return _each(step, tensors, 4)


@converter("Momentum", domain=DOMAIN)
def momentum(rate, count, *tensors, alpha, beta, mode, norm_coefficient):
    def step(x, gradient, momentum):
        gradient = math.add(math.mul(x, norm_coefficient), gradient)
        damped = math.where(math.gt(_like(count, x), 0.0), constant(beta, x.dtype), constant(1, x.dtype))
        momentum = math.add(math.mul(momentum, alpha), math.mul(damped, gradient))
        moved = math.add(gradient, math.mul(momentum, alpha)) if mode == "nesterov" else momentum
        return math.sub(x, math.mul(_like(rate, x), moved)), momentum

    return _each(step, tensors, 3)
