"""Cycle formulas of chip files: arithmetic over names, parsed and never evaluated as code.

    formula = term (("+" | "-") term)*    term = factor (("*" | "/") factor)*
    factor  = number | name | "(" formula ")" | "-" factor | ("ceil" | "floor" | "max" | "min") "(" formula, ... ")"

Values are numbers or numpy arrays, so that one call evaluates a formula for many candidates. Division is exact.
"""

import math
import re
from collections.abc import Callable, Mapping
from functools import cache, reduce
from typing import Any

import numpy as np

from .errors import ChipError

_TOKEN = re.compile(r"\s*(?:(\d+\.?\d*)|([A-Za-z_]\w*)|(.))")
_Evaluate = Callable[[Mapping[str, Any]], Any]
_MOST_DEPTH = 64


def _each(scalar: Callable[..., Any], array: Callable[..., Any]) -> Callable[..., Any]:
    """Of numbers Python's function, which is fast and exact, of arrays numpy's."""

    def apply(*values: Any) -> Any:
        return array(*values) if any(isinstance(value, np.ndarray) for value in values) else scalar(*values)

    return apply


def _divided(x: Any, y: Any) -> Any:
    if (
        not isinstance(x, np.ndarray)
        and not isinstance(y, np.ndarray)
        and isinstance(x, int)
        and isinstance(y, int)
    ):
        return x // y if y and x % y == 0 else x / y
    return x / y


_FUNCTIONS: dict[str, tuple[Callable[..., Any], int]] = {
    "ceil": (_each(math.ceil, np.ceil), 1),
    "floor": (_each(math.floor, np.floor), 1),
    "max": (lambda *values: reduce(_each(max, np.maximum), values), 2),
    "min": (lambda *values: reduce(_each(min, np.minimum), values), 2),
}


class Formula:
    """A parsed formula; `names` are those that it needs."""

    def __init__(self, text: str, location: str = "formula"):
        self.text = text
        self.names: frozenset[str] = frozenset()
        self._location = location
        self._tokens = [match.groups() for match in _TOKEN.finditer(text.rstrip())]
        self._position = self._depth = 0
        names: set[str] = set()
        self._evaluate = self._sum(names)
        if self._position < len(self._tokens):
            self._refuse("the end")
        self.names = frozenset(names)

    def __call__(self, **values: Any) -> Any:
        """The value for these names; ChipError when one is missing or a divisor is 0."""
        missing = self.names - values.keys()
        if missing:
            raise ChipError(
                f"'{self.text}' has the name {', '.join(sorted(missing))}",
                location=self._location,
                hint=f"known here are {', '.join(sorted(values))}",
            )
        try:
            return self._evaluate(values)
        except ZeroDivisionError:
            raise ChipError(f"'{self.text}' divides by 0", location=self._location) from None

    def _peek(self) -> str:
        if self._position == len(self._tokens):
            return ""
        return "".join(part or "" for part in self._tokens[self._position])

    def _take(self, expected: str) -> None:
        if self._peek() != expected:
            self._refuse(f"'{expected}'")
        self._position += 1

    def _refuse(self, expected: str) -> None:
        found = f"'{self._peek()}'" if self._peek() else "its end"
        raise ChipError(
            f"'{self.text}' is no formula: got {found}, expected {expected}",
            location=self._location,
            hint="numbers, names, + - * / ( ), ceil, floor, max and min",
        )

    def _sum(self, names: set[str]) -> _Evaluate:
        return self._chain(names, self._product, {"+": lambda x, y: x + y, "-": lambda x, y: x - y})

    def _product(self, names: set[str]) -> _Evaluate:
        return self._chain(names, self._factor, {"*": lambda x, y: x * y, "/": _divided})

    def _chain(
        self,
        names: set[str],
        operand: Callable[[set[str]], _Evaluate],
        operators: Mapping[str, Callable[[Any, Any], Any]],
    ) -> _Evaluate:
        left = operand(names)
        while (apply := operators.get(self._peek())) is not None:
            self._position += 1
            left = _binary(apply, left, operand(names))
        return left

    def _factor(self, names: set[str]) -> _Evaluate:
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            self._refuse(f"at most {_MOST_DEPTH} levels")
        factor = self._inside(names)
        self._depth -= 1
        return factor

    def _inside(self, names: set[str]) -> _Evaluate:
        token = self._peek()
        number, name, _ = self._tokens[self._position] if token else ("", "", "")
        if number:
            self._position += 1
            constant = float(number) if "." in number else int(number)
            return lambda values: constant
        if name:
            self._position += 1
            if self._peek() == "(":
                return self._call(name, names)
            names.add(name)
            return lambda values: values[name]
        if token == "-":
            self._position += 1
            inner = self._factor(names)
            return lambda values: -inner(values)
        if token != "(":
            self._refuse("a number, a name or '('")
        self._take("(")
        inside = self._sum(names)
        self._take(")")
        return inside

    def _call(self, name: str, names: set[str]) -> _Evaluate:
        if name not in _FUNCTIONS:
            self._position -= 1
            self._refuse(f"one of {', '.join(_FUNCTIONS)}")
        apply, least = _FUNCTIONS[name]
        self._take("(")
        arguments = [self._sum(names)]
        while self._peek() == ",":
            self._position += 1
            arguments.append(self._sum(names))
        if len(arguments) < least or (least == 1 and len(arguments) > 1):
            self._refuse(f"{least} argument{'s or more' if least > 1 else ''} of {name}")
        self._take(")")
        return lambda values: apply(*(argument(values) for argument in arguments))


def _binary(apply: Callable[[Any, Any], Any], left: _Evaluate, right: _Evaluate) -> _Evaluate:
    return lambda values: apply(left(values), right(values))


@cache
def formula(text: str, location: str = "formula") -> Formula:
    """The parsed formula; ChipError for text that is none."""
    return Formula(text, location)
