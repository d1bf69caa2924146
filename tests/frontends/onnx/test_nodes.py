"""The standard's own tests, all of them, by the ops' reference meanings. What does not pass is listed with the reason;
a listed case that passes fails the test as well. Compiled code is judged by `isthmus conformance`."""

import pytest

from isthmus.testing.conformance import run_cases
from isthmus.testing.expected import read_expected


@pytest.fixture(scope="module")
def tally():
    return run_cases(target="", expected=read_expected(), jobs=1)


def test_every_case_goes_as_expected(tally):
    assert not tally.surprises, "\n" + "\n".join(tally.surprises)


def test_nearly_all_cases_pass(tally):
    """With opset 28 there are 1,884 of ops and 140 of models."""
    counts = {suite: part.counts["passed"] / len(part.outcomes) for suite, part in tally.by_suite().items()}
    assert counts["node"] > 0.98
    assert min(counts.values()) > 0.9
