"""Memory for runs: aligned, and refused where the machine has less."""

import numpy as np
import pytest

from isthmus.runtime import memory
from isthmus.runtime.errors import ExecutionError


def test_arrays_are_aligned():
    assert memory.address(memory.empty((3, 5), np.dtype("f4"))) % memory.ALIGNMENT == 0
    assert not memory.zeros(100).any()


@pytest.mark.parametrize("size", [2**45, 2**70])
def test_more_than_there_is(size):
    for make in (memory.zeros, lambda size: memory.empty((size,), np.dtype("u1"))):
        with pytest.raises(ExecutionError, match=r"there is no memory for .* bytes; use smaller shapes"):
            make(size)
