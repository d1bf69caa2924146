"""Sizes and the arithmetic on them: in the IR they are tensors of rank 0, which are known while the model is read."""

from collections.abc import Callable

from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import boolean, f64, i64
from ...build import math, reduce, shape
from ...normalise import axis_of
from ..promotion import cast, together
from ..schema import Any
from ..table import converter


@converter("sym_size.int", "size.int")
def size_of(self, dim: int):
    axis = axis_of(dim, self.type.rank, "dim")
    if isinstance(self.shape[axis], int):
        return constant(self.shape[axis], i64)
    extent = shape.slice(shape.of(self), starts=(axis,), sizes=(1,), steps=(1,))
    return shape.reshape(extent, shape=())


@converter("size")
def sizes_of(self):
    return shape.of(self)


@converter("dim")
def dim(self):
    return constant(self.type.rank, i64)


@converter("numel", "sym_numel")
def numel(self):
    return reduce.prod(shape.of(self), axes=(0,), keepdims=False)


@converter("_assert_scalar", "_assert_async", "sym_constrain_range_for_size", "sym_constrain_range")
def checked(
    self: Any = None, assert_msg: str | None = None, size: Any = None, min: Any = None, max: Any = None
):
    """What torch checked while it exported holds for every input that the signature allows."""
    return ()


@converter("item", "_local_scalar_dense")
def item(self):
    return shape.reshape(self, shape=())


_OPERATORS: dict[str, Callable[..., Value]] = {
    "add": lambda a, b: math.add(*together(a, b)),
    "sub": lambda a, b: math.sub(*together(a, b)),
    "mul": lambda a, b: math.mul(*together(a, b)),
    "floordiv": lambda a, b: math.floordiv(*together(a, b)),
    "mod": lambda a, b: math.mod(*together(a, b)),
    "truediv": lambda a, b: math.div(*together(a, b, dtype=f64)),
    "pow": lambda a, b: math.pow(*together(a, b)),
    "eq": lambda a, b: math.eq(*together(a, b)),
    "ne": lambda a, b: math.ne(*together(a, b)),
    "lt": lambda a, b: math.lt(*together(a, b)),
    "le": lambda a, b: math.le(*together(a, b)),
    "gt": lambda a, b: math.gt(*together(a, b)),
    "ge": lambda a, b: math.ge(*together(a, b)),
    "and_": lambda a, b: math.logical_and(*together(a, b, dtype=boolean)),
    "or_": lambda a, b: math.logical_or(*together(a, b, dtype=boolean)),
    "sym_max": lambda a, b: math.max(*together(a, b)),
    "sym_min": lambda a, b: math.min(*together(a, b)),
}


def _binary(operation: Callable[..., Value]) -> Callable[..., Value]:
    return lambda a, b: operation(a, b)


for _name, _operation in _OPERATORS.items():
    converter(_name, domain="operator")(_binary(_operation))


@converter("neg", domain="operator")
def neg(a):
    return math.neg(a)


@converter("not_", "sym_not", domain="operator")
def not_(a):
    return math.logical_not(cast(a, boolean))


@converter("sym_float", domain="operator")
def sym_float(a):
    return cast(a, f64)


@converter("trunc", "sym_int", "int", domain="operator")
def sym_int(a):
    return cast(a, i64)


@converter("floor", domain="operator")
def floor(a):
    return cast(math.floor(a) if a.dtype.is_float else a, i64)


@converter("ceil", domain="operator")
def ceil(a):
    return cast(math.ceil(a) if a.dtype.is_float else a, i64)
