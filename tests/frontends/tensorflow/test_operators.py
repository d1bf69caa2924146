"""Recorded operators give what TensorFlow gave, one frozen graph for each group."""

import pytest

CONTROL = ("branch", "branch_not_taken", "loop")
SHAPES = ("gather", "move", "resize", "slice")
NUMBERS = ("binary", "dtype", "positive", "product", "reduce", "segment", "unary", "whole")
WINDOWS = ("conv", "conv_transpose", "pool")


@pytest.mark.parametrize("name", [*CONTROL, *SHAPES, *NUMBERS, *WINDOWS])
def test_operator(check_operator, name):
    check_operator(name)


def test_all_are_tested(operators):
    assert {name.partition("/")[0] for name in operators} == {*CONTROL, *SHAPES, *NUMBERS, *WINDOWS}
