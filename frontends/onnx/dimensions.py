"""Names of dimensions: exporters write plain names, but also sums and products such as `past + sequence`."""

import ast
import re
from operator import add, floordiv, mul, sub

from ...compiler.ir.dims import Dim, fresh, symbol

_OPERATORS = {ast.Add: add, ast.Sub: sub, ast.Mult: mul, ast.FloorDiv: floordiv}
_LONGEST = 200
_UNNAMED = re.compile(r"\W*|-1|None")
"""What exporters write for "any extent", in one place after the other: not the name of one and the same."""


def named_dimension(text: str) -> Dim:
    """The dimension that a `dim_param` stands for: arithmetic over names, or else one symbol made of its letters; a
    new one for what names nothing."""
    if _UNNAMED.fullmatch(text):
        return fresh()
    if text.isidentifier():
        return symbol(text)
    if len(text) <= _LONGEST:
        try:
            return _value(ast.parse(text, mode="eval").body)
        except (SyntaxError, ValueError, ZeroDivisionError):
            pass
    return symbol(re.sub(r"\W", "_", text[:_LONGEST]))


def _value(tree: ast.expr) -> Dim:
    if isinstance(tree, ast.Name):
        return symbol(tree.id)
    if isinstance(tree, ast.Constant) and type(tree.value) is int:
        return tree.value
    if isinstance(tree, ast.BinOp) and type(tree.op) in _OPERATORS:
        return _OPERATORS[type(tree.op)](_value(tree.left), _value(tree.right))
    raise ValueError(f"'{ast.unparse(tree)}' is no arithmetic on names")
