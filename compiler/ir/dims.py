"""Tensor dimensions: an int, or an immutable integer polynomial over named symbols.

`+ - *` keep the polynomial canonical, so equal expressions compare equal; `//`, `%`, `max` and `min` that can't be
resolved become opaque atoms. Nothing is guessed: where a relation is not provable the answer is None or False.
"""

from collections.abc import Iterable, Mapping
from functools import reduce
from itertools import count
from math import gcd

from ...runtime.records import dataclass


@dataclass(frozen=True, slots=True)
class Call:
    """An operation on dimensions that has no polynomial form: floordiv, mod, max or min."""

    function: str
    arguments: tuple["Dim", ...]

    def __str__(self) -> str:
        return f"{self.function}({', '.join(map(str, self.arguments))})"


Atom = str | Call
Monomial = tuple[Atom, ...]


@dataclass(frozen=True, slots=True)
class Expr:
    """Sum of coefficient * product of atoms, terms sorted by their text; never constant (that is an int)."""

    terms: tuple[tuple[Monomial, int], ...]

    def __add__(self, other: "Dim") -> "Dim":
        return _collect([*self.terms, *_terms(other)])

    __radd__ = __add__

    def __neg__(self) -> "Dim":
        return self * -1

    def __sub__(self, other: "Dim") -> "Dim":
        return self + other * -1

    def __rsub__(self, other: "Dim") -> "Dim":
        return self * -1 + other

    def __mul__(self, other: "Dim") -> "Dim":
        return _collect(
            [(tuple(sorted(a + b, key=str)), m * n) for a, m in self.terms for b, n in _terms(other)]
        )

    __rmul__ = __mul__

    def __floordiv__(self, other: "Dim") -> "Dim":
        return floordiv(self, other)

    def __rfloordiv__(self, other: "Dim") -> "Dim":
        return floordiv(other, self)

    def __mod__(self, other: "Dim") -> "Dim":
        return self - floordiv(self, other) * other

    def __rmod__(self, other: "Dim") -> "Dim":
        return other - floordiv(other, self) * self

    def __str__(self) -> str:
        parts = []
        for monomial, coefficient in self.terms:
            factors = [str(atom) for atom in monomial]
            if coefficient != 1 or not factors:
                factors.insert(0, str(coefficient))
            parts.append("*".join(factors))
        return " + ".join(parts)

    __repr__ = __str__


Dim = int | Expr


def symbol(name: str) -> Expr:
    """The dimension called `name`."""
    return Expr((((name,), 1),))


_fresh = count()


def fresh(prefix: str = "u") -> Expr:
    """A new dimension that only the data decide. Frontends rename these in order once a graph is complete."""
    return symbol(f"{prefix}${next(_fresh)}")


def _terms(dim: Dim) -> Iterable[tuple[Monomial, int]]:
    return dim.terms if isinstance(dim, Expr) else ([((), int(dim))] if dim else [])


def _collect(terms: Iterable[tuple[Monomial, int]]) -> Dim:
    total: dict[Monomial, int] = {}
    for monomial, coefficient in terms:
        total[monomial] = total.get(monomial, 0) + coefficient
    kept = {monomial: coefficient for monomial, coefficient in total.items() if coefficient}
    if not kept:
        return 0
    if set(kept) == {()}:
        return kept[()]
    return Expr(tuple(sorted(kept.items(), key=lambda item: (not item[0], str(item[0])))))


def floordiv(a: Dim, b: Dim) -> Dim:
    """a // b; exact division of every coefficient by a constant is carried out, the rest stays symbolic."""
    if isinstance(a, int) and isinstance(b, int):
        return a // b
    if (isinstance(b, int) and b == 1) or a == 0:
        return a
    if a == b:
        return 1
    if isinstance(b, int) and isinstance(a, Expr):
        whole = [(m, c) for m, c in a.terms if c % b == 0]
        rest = [(m, c) for m, c in a.terms if c % b]
        quotient = _collect([(m, c // b) for m, c in whole])
        if not rest:
            return quotient
        remainder = _collect(rest)
        if isinstance(remainder, int):
            return quotient + remainder // b
        return quotient + Expr((((Call("floordiv", (remainder, b)),), 1),))
    exact = _divide_monomials(a, b)
    return exact if exact is not None else Expr((((Call("floordiv", (a, b)),), 1),))


def _divide_monomials(a: Dim, b: Dim) -> Dim | None:
    divisor = list(_terms(b))
    if len(divisor) != 1:
        return None
    atoms, coefficient = divisor[0]
    out = []
    for monomial, c in _terms(a):
        left = list(monomial)
        for atom in atoms:
            if atom not in left:
                return None
            left.remove(atom)
        if c % coefficient:
            return None
        out.append((tuple(left), c // coefficient))
    return _collect(out)


def ceildiv(a: Dim, b: Dim) -> Dim:
    """Smallest whole number >= a / b."""
    return -floordiv(-a, b) if isinstance(a, int) and isinstance(b, int) else floordiv(a + b - 1, b)


def extreme(function: str, a: Dim, b: Dim) -> Dim:
    """max or min of two dimensions; resolved when their difference is constant."""
    difference = a - b
    if isinstance(difference, int):
        return (a if difference >= 0 else b) if function == "max" else (b if difference >= 0 else a)
    return Expr((((Call(function, tuple(sorted((a, b), key=str))),), 1),))


def product(dims: Iterable[Dim]) -> Dim:
    """Product of dimensions; 1 for none."""
    total: Dim = 1
    for each in dims:
        total = total * each
    return total


def symbols(dim: Dim) -> set[str]:
    """Names that occur in a dimension."""
    found: set[str] = set()
    for monomial, _ in _terms(dim):
        for atom in monomial:
            found |= {atom} if isinstance(atom, str) else set().union(*map(symbols, atom.arguments))
    return found


def substitute(dim: Dim, values: Mapping[str, Dim]) -> Dim:
    """`dim` with symbols replaced; names that `values` lacks stay."""
    if isinstance(dim, int):
        return dim
    total: Dim = 0
    for monomial, coefficient in dim.terms:
        term: Dim = coefficient
        for atom in monomial:
            term = term * (values.get(atom, symbol(atom)) if isinstance(atom, str) else _call(atom, values))
        total = total + term
    return total


def _call(call: Call, values: Mapping[str, Dim]) -> Dim:
    a, b = (substitute(argument, values) for argument in call.arguments)
    return floordiv(a, b) if call.function == "floordiv" else extreme(call.function, a, b)


def common_divisor(dim: Dim) -> int:
    """Largest int known to divide the dimension."""
    return reduce(gcd, (abs(coefficient) for _, coefficient in _terms(dim)), 0)
