"""An op of your own, from PyTorch to machine code, without a line in isthmus: its meaning, its stages, its converter.

Importing this module declares the op and registers the converter. It needs no PyTorch.
"""

import numpy as np

from isthmus.compiler.ops.engine import case, op
from isthmus.compiler.ops.rules import only, per_element, same_type
from isthmus.compiler.tile.stage import apply, lift
from isthmus.frontends.torch.table import converter


def stages(s, x, *, bound):
    """The op as a loop: one element of the result from one of x."""
    index = s.dims(*x.shape)
    value = x[index]
    size = apply("max", apply("abs", value), lift(bound, x.dtype))
    s.store(s.results[0][index], value / size)


@op(
    "acme.soft_limit",
    infer=only(("float",), same_type()),
    stages=stages,
    cost=per_element(7),
    samples=(case("f32[4, 37]"), case("f64[3, 5]", bound=0.5)),
)
def soft_limit(x, *, bound: float = 1.0):
    """x / max(|x|, bound)."""
    return x / np.maximum(np.abs(x), bound).astype(x.dtype)


@converter("soft_limit", domain="acme")
def convert_soft_limit(x, bound: float = 1.0):
    """The signature is the op's schema in PyTorch: `acme::soft_limit(Tensor x, float bound)`."""
    return soft_limit(x, bound=bound)
