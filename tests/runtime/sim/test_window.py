"""The window of a vector engine, against its cycles one by one."""

import numpy as np
import pytest

from isthmus.runtime.sim.vector_costs import windowed


def stepped(results: int, combined: int, most: int) -> int:
    """A cycle takes `most` vectors, or fewer where they complete two results."""
    left, rest, cycles = results, combined, 0
    while left:
        taken, complete, cycles = 0, 0, cycles + 1
        while left and taken < most and complete < 2:
            step = min(rest, most - taken)
            taken, rest = taken + step, rest - step
            if not rest:
                left, rest, complete = left - 1, combined, complete + 1
    return cycles


@pytest.mark.parametrize("most", [1, 4, 16])
@pytest.mark.parametrize("combined", [1, 2, 3, 7, 8, 9, 12, 15, 16, 17, 49])
def test_a_window_completes_two_results_a_cycle_at_most(most: int, combined: int) -> None:
    results = np.array([1, 2, 3, 5, 40, 101])
    found = windowed(results * combined, np.full(len(results), combined), most)
    assert found.tolist() == [stepped(count, combined, most) for count in results]
