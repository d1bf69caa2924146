"""Formulas of chip files."""

import numpy as np
import pytest

from isthmus.runtime.sim.errors import ChipError
from isthmus.runtime.sim.formula import formula


def test_formulas_follow_arithmetic():
    assert formula("ceil(n/cols)*ceil(k/rows)*max(m,rows)")(n=65, cols=32, k=64, rows=32, m=10) == 192
    assert formula("2 - 3 - 4")() == -5
    assert formula("24 / 4 / 2 + -(1 - 2) * 3")() == 6
    assert formula("max(1, min(7, 5), 3) + floor(7 / 2)")() == 8
    assert formula("0.5 * n")(n=3) == 1.5


def test_arrays_give_arrays():
    m = np.array([1, 64, 65])
    assert formula("ceil(m / 32) * max(m, 40)")(m=m).tolist() == [40, 128, 195]


def test_whole_numbers_stay_exact():
    large = 1 << 60
    assert formula("ceil(n / 2) * 2 + 1")(n=large) == large + 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got its end, expected a number"),
        ("1 +", "got its end"),
        ("(1", r"expected '\)'"),
        ("1 2", "got '2', expected the end"),
        ("power(2, 3)", "got 'power', expected one of ceil"),
        ("ceil(1, 2)", "expected 1 argument of ceil"),
        ("max(1)", "expected 2 arguments or more of max"),
        ("m ** 2", "expected a number"),
        ("__import__('os')", "expected one of"),
        ("(" * 100 + "1" + ")" * 100, "expected at most 64 levels"),
    ],
)
def test_what_is_no_formula_is_refused(text, message):
    with pytest.raises(ChipError, match=message):
        formula(text)


def test_unknown_names_and_zeros_are_refused():
    with pytest.raises(ChipError, match="has the name rows; known here are m"):
        formula("m * rows")(m=1)
    with pytest.raises(ChipError, match="divides by 0"):
        formula("1 / m")(m=0)
