"""The coefficients in the CPU backend are those that the script fits."""

import pytest

from isthmus.backends.cpu import coefficients

pytest.importorskip("mpmath", reason="the script needs mpmath, which the tests do not install")

from benchmarks import fit_vector_math

QUICK = ("LOG_SHORT", "SIN_F64", "COS_SHORT", "SINH_SHORT")


@pytest.mark.parametrize("name", QUICK)
def test_coefficients_are_the_fitted_ones(name: str) -> None:
    (fit,) = [fit for fit in fit_vector_math.FITS if fit.name == name]
    assert tuple(fit_vector_math.coefficients(fit)[0]) == getattr(coefficients, name)


def test_every_fit_has_its_coefficients() -> None:
    missing = [fit.name for fit in fit_vector_math.FITS if not hasattr(coefficients, fit.name)]
    assert not missing
