"""The activations that gates of recurrent layers may have, stated once for arrays and for scalar expressions."""

from collections.abc import Callable, Sequence
from typing import Any

from ..tile.stage import Expr, apply, lift
from .scalar import SCALARS

Activation = Callable[[Any], Any]
Call = Callable[..., Any]

# call(scalar op, *operands), x, alpha, beta; then the values of alpha and beta where none are given
ACTIVATIONS: dict[str, tuple[Callable[[Call, Any, float, float], Any], float, float]] = {
    "sigmoid": (lambda call, x, a, b: 1.0 / (1.0 + call("exp", -x)), 0.0, 0.0),
    "tanh": (lambda call, x, a, b: call("tanh", x), 0.0, 0.0),
    "relu": (lambda call, x, a, b: call("max", x, 0.0), 0.0, 0.0),
    "affine": (lambda call, x, a, b: x * a + b, 1.0, 0.0),
    "leaky_relu": (lambda call, x, a, b: call("where", x < 0.0, x * a, x), 0.01, 0.0),
    "thresholded_relu": (lambda call, x, a, b: call("where", x > a, x, x * 0.0), 1.0, 0.0),
    "scaled_tanh": (lambda call, x, a, b: call("tanh", x * b) * a, 1.0, 1.0),
    "hard_sigmoid": (lambda call, x, a, b: call("min", call("max", x * a + b, 0.0), 1.0), 0.2, 0.5),
    "elu": (lambda call, x, a, b: call("where", x < 0.0, (call("exp", x) - 1.0) * a, x), 1.0, 0.0),
    "softsign": (lambda call, x, a, b: x / (1.0 + call("abs", x)), 0.0, 0.0),
    "softplus": (
        lambda call, x, a, b: call("max", x, 0.0) + call("log", 1.0 + call("exp", -call("abs", x))),
        0.0,
        0.0,
    ),
}


def _on_arrays(name: str, *operands: Any) -> Any:
    return SCALARS[name].numpy(*operands)


def _on_expressions(name: str, *operands: Any) -> Expr:
    dtype = next(operand.dtype for operand in reversed(operands) if isinstance(operand, Expr))
    return apply(name, *(lift(operand, dtype) for operand in operands), dtype=dtype)


def functions(
    default: Sequence[str],
    directions: int,
    activations: Sequence[str],
    alphas: Sequence[float],
    betas: Sequence[float],
    clip: float | None,
) -> list[list[Activation]]:
    """The activations of each direction, parameters bound and input clipped; on arrays or expressions."""
    names = activations or tuple(default) * directions

    def bound(n: int) -> Activation:
        body, alpha, beta = ACTIVATIONS[names[n]]
        alpha = alphas[n] if alphas else alpha
        beta = betas[n] if betas else beta

        def function(x: Any) -> Any:
            call = _on_expressions if isinstance(x, Expr) else _on_arrays
            if clip is not None:
                x = call("min", call("max", x, -clip), clip)
            return body(call, x, alpha, beta)

        return function

    size = len(default)
    return [[bound(d * size + n) for n in range(size)] for d in range(directions)]
