"""Dimensions at run time: an int, or the text of an integer expression over symbols that the inputs' shapes bind."""

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import cache

Dim = int | str

_OPERATORS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}
_FUNCTIONS: dict[str, Callable[[int, int], int]] = {
    "floordiv": operator.floordiv,
    "mod": operator.mod,
    "max": max,
    "min": min,
}


def evaluate(dim: Dim, symbols: Mapping[str, int]) -> int:
    """The extent that `dim` stands for, e.g. `2*N + -1`; KeyError for a symbol that `symbols` lacks."""
    if isinstance(dim, int):
        return dim
    if dim in symbols:  # a framework's symbol need not be an identifier
        return symbols[dim]
    return _value(_parse(dim), symbols)


def fixed(shape: Sequence[Dim] | None) -> bool:
    """Whether a shape is known and holds no symbol."""
    return shape is not None and all(isinstance(dim, int) for dim in shape)


def evaluate_shape(shape: Sequence[Dim], symbols: Mapping[str, int]) -> tuple[int, ...]:
    """`evaluate` of every dimension."""
    return tuple(evaluate(dim, symbols) for dim in shape)


@cache
def _parse(text: str) -> ast.expr:
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError:
        raise KeyError(text) from None


def _value(node: ast.expr, symbols: Mapping[str, int]) -> int:
    match node:
        case ast.Constant(value=int(number)):
            return number
        case ast.Name(id=name):
            return symbols[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, symbols)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(left, symbols), _value(right, symbols))
        case ast.Call(func=ast.Name(id=name), args=[left, right]) if name in _FUNCTIONS:
            return _FUNCTIONS[name](_value(left, symbols), _value(right, symbols))
    raise KeyError(ast.unparse(node))
