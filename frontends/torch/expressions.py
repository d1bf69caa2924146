"""Symbolic sizes: torch writes them as sympy's `srepr`, such as Add(Symbol('s0', integer=True), Integer(1))."""

import ast
from functools import reduce
from operator import add, mul
from typing import Any

from ...compiler.diagnostics import ModelError
from ...compiler.ir.dims import Dim, extreme, floordiv, symbol

LONGEST = 10_000
"""Characters of an expression that are parsed."""


def _power(base: Dim, exponent: Dim) -> Dim:
    if not isinstance(exponent, int) or not 0 <= exponent <= 8:
        raise ValueError(f"a power of {exponent}")
    return reduce(mul, [base] * exponent, 1)


_FUNCTIONS: dict[str, Any] = {
    "Add": lambda *terms: reduce(add, terms),
    "Mul": lambda *factors: reduce(mul, factors),
    "Max": lambda *each: reduce(lambda a, b: extreme("max", a, b), each),
    "Min": lambda *each: reduce(lambda a, b: extreme("min", a, b), each),
    "FloorDiv": floordiv,
    "CleanDiv": floordiv,
    "Mod": lambda a, b: a - floordiv(a, b) * b,
    "PythonMod": lambda a, b: a - floordiv(a, b) * b,
    "Pow": _power,
}


def parse_size(text: str) -> Dim:
    """The dimension that an expression stands for. Raises ModelError for functions that sizes do not have here."""
    try:
        if len(text) > LONGEST:
            raise ValueError("it is too long")
        return _value(ast.parse(text, mode="eval").body)
    except (SyntaxError, ValueError, TypeError, ZeroDivisionError, RecursionError) as error:
        raise ModelError(
            f"the size {text[:80]!r} can't be read: {error}", hint="export with simpler dynamic shapes"
        ) from None


def _value(tree: ast.expr) -> Dim:
    if isinstance(tree, ast.Constant) and type(tree.value) is int:
        return tree.value
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
        return -_value(tree.operand)
    if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
        raise ValueError(f"'{ast.unparse(tree)[:40]}' is no expression over sizes")
    name, arguments = tree.func.id, tree.args
    if name == "Symbol" and arguments and isinstance(arguments[0], ast.Constant):
        return symbol(str(arguments[0].value))
    if name == "Integer":
        return _value(arguments[0])
    if name not in _FUNCTIONS:
        raise ValueError(f"{name} is not known")
    return _FUNCTIONS[name](*map(_value, arguments))
