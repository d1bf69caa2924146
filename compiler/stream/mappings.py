"""Which mapping of an array runs each of the products that follow one another.

A mapping may keep its sums in the array until the end, and let them out on the way that other mappings' sums take: the
product behind it then waits, unless its sums stay too. So the quickest mapping of each by itself is not the quickest
for all.
"""

from collections.abc import Sequence

from ...runtime.records import dataclass


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a product takes by one mapping: cycles, and of those for its sums to leave (0: they don't stay)."""

    cycles: float
    drain: float


def quickest(products: Sequence[Sequence[Mapped]]) -> list[int]:
    """The mapping of each product, by number, with which all of them take least; each has its `Mapped` of all
    mappings. Of equal ones the first."""
    best = [0.0]  # cycles so far, by the mapping of the last product
    drains = [0.0]
    before: list[list[int]] = []
    for ways in products:
        left = [cycles + drain for cycles, drain in zip(best, drains)]
        staying, leaving = best.index(min(best)), left.index(min(left))
        before.append([staying if way.drain else leaving for way in ways])
        best = [way.cycles + (best[staying] if way.drain else left[leaving]) for way in ways]
        drains = [way.drain for way in ways]
    at = best.index(min(best))
    found = []
    for each in reversed(before):
        found.append(at)
        at = each[at]
    return found[::-1]
