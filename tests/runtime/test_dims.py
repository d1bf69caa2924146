"""Dimensions' text at run time; it must read whatever the compiler's dimensions print."""

import pytest

from isthmus.compiler.ir import dims as compiler_dims
from isthmus.runtime import dims


@pytest.mark.parametrize(
    ("dim", "expected"),
    [(7, 7), ("N", 10), ("2*N + -1", 19), ("floordiv(N + 2, 4)", 3), ("max(N, M*3)", 12), ("mod(N, 3)", 1)],
)
def test_values(dim, expected):
    assert dims.evaluate(dim, {"N": 10, "M": 4}) == expected


def test_names_that_are_no_identifiers():
    assert dims.evaluate("batch-size.0", {"batch-size.0": 3}) == 3


@pytest.mark.parametrize("dim", ["K", "N + K", "open('x')", "N.real", "N + 0.5", "(", "", "max(N)", "2**N"])
def test_what_is_unknown_is_a_key_error(dim):
    with pytest.raises(KeyError):
        dims.evaluate(dim, {"N": 10})


def test_the_compilers_text_is_read():
    n, m = compiler_dims.symbol("N"), compiler_dims.symbol("M")
    values = {"N": 13, "M": 4}
    for dim in (
        n * 2 - 1,
        (n + 3) // 4 * m,
        n % 5,
        compiler_dims.extreme("max", n, m),
        compiler_dims.ceildiv(n * m, 8) - n * n * 3,
    ):
        assert dims.evaluate(str(dim), values) == compiler_dims.substitute(dim, values)
