"""What is known of small values while a model is read: numbers, and shape arithmetic over symbolic dimensions.

Frameworks compute shapes with tensors; the IR states them as attributes. `known` runs the ops' own numpy meanings over
arrays of dimensions, and says None where the answer waits for data.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import field
from functools import reduce as fold
from operator import add, mul, neg, sub
from typing import Any

import numpy as np

from ..compiler.diagnostics import CompileError, UnsupportedError
from ..compiler.ir.dims import Dim, Expr, extreme, substitute, symbol, symbols
from ..compiler.ir.graph import Value
from ..compiler.ir.types import TensorType
from ..compiler.ops import get
from ..runtime.records import dataclass

LARGEST = 4096
"""Elements of a value beyond which nothing is evaluated: shapes are small, weights are not looked at."""

MOST_DECISIVE = 64
"""Elements of an input whose values a model may be specialised for."""

MOST_ATOMS = 256
"""Symbols that a dimension may be made of, counted with repetition; products of sums grow without bound."""

# Families whose meanings take no more memory than their operands and results; padding and windows may.
_EVALUATED = ("math.", "reduce.", "shape.")
_NOT_EVALUATED = ("shape.pad", "shape.pad_dynamic")


@dataclass(slots=True)
class Memory:
    """What was found out of values, and what would have been known if certain inputs of the model were: `decisive`.

    `waits` tells whether something that decides an op's form follows from extents that are open.
    """

    inputs: Mapping[Value, str] = field(default_factory=dict)
    found: dict[Value, np.ndarray | None] = field(default_factory=dict)
    decisive: dict[str, None] = field(default_factory=dict)
    waits: bool = False


_memory: ContextVar[Memory | None] = ContextVar("known", default=None)


@contextmanager
def memory(inputs: Mapping[Value, str] | None = None) -> Iterator[Memory]:
    """Remember what is found out inside the block, so that long chains are walked once; `inputs` are the model's."""
    token = _memory.set(found := Memory(inputs or {}))
    try:
        yield found
    finally:
        _memory.reset(token)


def remember(value: Value, array: np.ndarray | None) -> None:
    """State what is known of a value, such as a region's input whose outer value is known."""
    here = _memory.get()
    if here is not None and array is not None:
        here.found[value] = array


def known(value: Value | None) -> np.ndarray | None:
    """The value's content: an array of its dtype, or an object array of Dims where some are symbolic; else None."""
    if value is None:
        return None
    here = _memory.get()
    if here is None:
        with memory():
            return known(value)
    if value not in here.found:
        here.found[value] = None
        here.found[value] = _evaluate(value)
    return here.found[value]


def wanted(value: Value | None) -> np.ndarray | None:
    """As `known`, for what decides an op's form: what would have to be known of inputs for it is noted."""
    array, here = known(value), _memory.get()
    if array is None and value is not None and here is not None:
        names, opened = _awaited(value, here.inputs)
        here.decisive.update(dict.fromkeys(names))
        here.waits = here.waits or opened
    return array


def _awaited(value: Value, inputs: Mapping[Value, str]) -> tuple[set[str], bool]:
    """The model's inputs that a small value follows from, and whether it follows from open extents; nothing where it
    follows from other data as well."""
    names, opened, seen, waiting = set(), False, {value}, [value]
    while waiting:
        value = waiting.pop()
        node = value.node
        if value in inputs and _small(value, MOST_DECISIVE):
            names.add(inputs[value])
        elif node.op == "shape.of":
            opened = opened or not all(v.type.is_static for v in node.operands if v is not None)
        elif node.op != "constant":
            if not _small(value) or not _is_evaluated(node.op):
                return set(), False
            fresh = [v for v in node.operands if v is not None and v not in seen]
            seen.update(fresh)
            waiting += fresh
    return names, opened


def dims(value: Value | None) -> tuple[Dim, ...] | None:
    """The elements of an integer vector (or scalar) as dimensions, if all are known."""
    array = wanted(value)
    if array is None or array.dtype.kind not in "iuO" or array.ndim > 1:
        return None
    return tuple(_plain(item) for item in array.reshape(-1))


def whole(value: Value | None) -> tuple[int, ...] | None:
    """The elements of an integer vector (or scalar), if all are known numbers."""
    found = dims(value)
    if found is None:
        return None
    numbers = tuple(dim for dim in found if isinstance(dim, int))
    return numbers if len(numbers) == len(found) else None


def ints(value: Value | None, name: str) -> tuple[int, ...]:
    """The elements of an operand that must be known integers. Raises UnsupportedError that names the operand."""
    found = whole(value)
    if found is None:
        symbolic = dims(value)
        reason = "only at run time" if symbolic is None else f"as [{', '.join(map(str, symbolic))}]"
        raise UnsupportedError(
            f"its operand '{name}' must be known when the model is compiled, and is known {reason}",
            hint="make it a constant, or fix the dimensions it depends on with shapes=",
        )
    return found


def _plain(item: Any) -> Dim:
    return item if isinstance(item, Expr) else int(item)


def _is_evaluated(op: str) -> bool:
    return op.startswith(_EVALUATED) and op not in _NOT_EVALUATED


def _small(value: Value, most: int = LARGEST) -> bool:
    type = value.type
    if not isinstance(type, TensorType) or not type.is_static:
        return False
    size = 1
    for dim in type.static_shape:
        size *= dim
    return size <= most and type.dtype.kind != "string"


def _evaluate(value: Value) -> np.ndarray | None:
    if not _small(value):
        return None
    node = value.node
    if node.op == "constant":
        return node.attributes["value"].array
    if node.op == "shape.of" and node.operands[0] is not None:
        return _settled(np.array(node.operands[0].shape, object), value)
    if not _is_evaluated(node.op):
        return None
    arrays = [None if operand is None else known(operand) for operand in node.operands]
    if any(a is None and operand is not None for a, operand in zip(arrays, node.operands, strict=True)):
        return None
    try:
        if all(a is None or a.dtype != object for a in arrays):
            return np.asarray(get(node.op).evaluate(*arrays, **node.attributes)[value.index])
        meaning = _OVER_DIMS.get(node.op)
        result = None if meaning is None else meaning(*arrays, **node.attributes)
    except (CompileError, ArithmeticError, ValueError, TypeError, IndexError):
        return None
    return None if result is None else _settled(result, value)


def _settled(array: Any, value: Value) -> np.ndarray | None:
    """An array of the value's dtype, when no symbol is left in it; None for dimensions that have grown too large."""
    array = np.asarray(array)
    if array.dtype == object and not any(isinstance(item, Expr) for item in array.flat):
        return array.astype(value.dtype.numpy)
    return None if any(atoms(item) > MOST_ATOMS for item in array.flat) else array


def atoms(dim: Any) -> int:
    """How many symbols a dimension is made of, those inside its quotients, largest and least ones included."""
    if not isinstance(dim, Expr):
        return 0
    count = 0
    for monomial, _ in dim.terms:
        for atom in monomial:
            count += 1 if isinstance(atom, str) else sum(map(atoms, atom.arguments))
    return count


def never_negative(dim: Dim, least: int = 0) -> bool:
    """Whether a dimension expression is provably >= 0, symbols being extents that are at least `least`."""
    if least:
        dim = substitute(dim, {name: symbol(name) + least for name in symbols(dim)})
    return dim >= 0 if isinstance(dim, int) else all(coefficient >= 0 for _, coefficient in dim.terms)


def sign(dim: Dim) -> int | None:
    """-1, 0 or 1 where it is certain; a lone positive expression may still be 0, so that needs a constant part."""
    if isinstance(dim, int):
        return (dim > 0) - (dim < 0)
    constant = sum(coefficient for monomial, coefficient in dim.terms if not monomial)
    for direction in (1, -1):
        if constant * direction > 0 and never_negative(dim * direction):
            return direction
    return None


def _elementwise(function: Callable[..., Any]) -> Callable[..., np.ndarray]:
    def over(*arrays: np.ndarray, **_: Any) -> np.ndarray:
        broadcast = np.broadcast_arrays(*arrays)
        out = np.empty(broadcast[0].shape, object)
        for index in np.ndindex(out.shape):
            out[index] = function(*(_plain(array[index]) for array in broadcast))
        return out

    return over


def _compare(holds: Callable[[int], bool]) -> Callable[..., np.ndarray]:
    def decide(x: Dim, y: Dim) -> bool:
        difference = sign(x - y)
        if difference is None:
            raise ArithmeticError("the data decide")
        return holds(difference)

    return lambda x, y: _elementwise(decide)(x, y).astype(bool)


def _truncated(x: Dim, y: Dim) -> Dim:
    if not (never_negative(x) and never_negative(y)) or y == 0:
        raise ArithmeticError("the sign is not known")
    return x // y


def _nonzero_floor(x: Dim, y: Dim) -> Dim:
    if y == 0:
        raise ArithmeticError("division by zero")
    return x // y


def _meaning(name: str) -> Callable[..., Any]:
    """The op's own numpy meaning, for ops that only move elements."""
    return lambda *arrays, **attributes: get(name).evaluate(*arrays, **attributes)[0]


def _cast(x: np.ndarray, *, dtype: Any, **_: Any) -> np.ndarray | None:
    """Extents are whole and far below 2**53, so a float that carries one is exact."""
    return x if dtype.kind in ("int", "uint") or dtype.name in ("f32", "f64") else None


def _whole(x: np.ndarray, **_: Any) -> np.ndarray:
    return x


def _reduce(function: Callable[[Any, Any], Any]) -> Callable[..., np.ndarray | None]:
    def over(x: np.ndarray, *, axes: tuple[int, ...], keepdims: bool = True) -> np.ndarray | None:
        if x.ndim != 1 or axes != (0,):
            return None
        out = np.empty((1,) if keepdims else (), object)
        out[...] = fold(function, (_plain(item) for item in x))
        return out

    return over


def _clip(x: np.ndarray, low: np.ndarray | None = None, high: np.ndarray | None = None) -> np.ndarray:
    for bound, function in ((low, "max"), (high, "min")):
        if bound is not None:
            x = _elementwise(lambda a, b, name=function: extreme(name, a, b))(x, bound)
    return x


def _extreme(name: str) -> Callable[..., np.ndarray]:
    return _elementwise(lambda x, y: extreme(name, x, y))


_OVER_DIMS: dict[str, Callable[..., Any]] = {
    "math.add": _elementwise(add),
    "math.sub": _elementwise(sub),
    "math.mul": _elementwise(mul),
    "math.neg": _elementwise(neg),
    "math.div": _elementwise(_truncated),
    "math.floordiv": _elementwise(_nonzero_floor),
    "math.mod": _elementwise(lambda x, y: x - _nonzero_floor(x, y) * y),
    "math.max": _extreme("max"),
    "math.min": _extreme("min"),
    "math.clip": _clip,
    "math.eq": _compare(lambda s: s == 0),
    "math.ne": _compare(lambda s: s != 0),
    "math.lt": _compare(lambda s: s < 0),
    "math.le": _compare(lambda s: s <= 0),
    "math.gt": _compare(lambda s: s > 0),
    "math.ge": _compare(lambda s: s >= 0),
    "math.where": lambda c, x, y: (
        None if c.dtype == object else np.where(c, x.astype(object), y.astype(object))
    ),
    "math.cast": _cast,
    "math.floor": _whole,
    "math.ceil": _whole,
    "math.round": _whole,
    "math.trunc": _whole,
    "reduce.prod": _reduce(mul),
    "reduce.sum": _reduce(add),
    "reduce.max": _reduce(lambda x, y: extreme("max", x, y)),
    "reduce.min": _reduce(lambda x, y: extreme("min", x, y)),
    **{
        name: _meaning(name)
        for name in (
            "shape.reshape",
            "shape.transpose",
            "shape.slice",
            "shape.concat",
            "shape.expand",
            "shape.tile",
            "shape.gather",
            "shape.gather_elements",
            "shape.gather_nd",
            "shape.scatter_elements",
            "shape.scatter_nd",
        )
    },
}
"""Scalars of arrays mix Dims and numpy integers: `_plain` makes both Dims before arithmetic."""
