"""Orders of instructions: what is known of one order holds of others in which no class changes its own."""

import numpy as np
import pytest

from isthmus.backends.npu import backend
from isthmus.backends.npu.isa import Lda, Sto
from isthmus.compiler.stream import orders
from isthmus.compiler.stream.orders import Orders


def load(number: int) -> Lda:
    return Lda(dram=4096 * number, spa=64 * number, n0=64)


def store(number: int) -> Sto:
    return Sto(dram=1 << 20 | 4096 * number, spa=64 * number, n0=64)


def chip() -> Orders:
    return Orders(backend.instructions(), backend.target({}))


def test_places_are_known_where_each_class_keeps_its_order() -> None:
    a, b, c, d = load(0), load(1), store(0), store(1)
    assert orders._places([a, b, c, d], [a, c, b, d]) == [0, 2, 1, 3]
    assert orders._places([a, b, c, d], [b, c, a, d]) is None
    assert orders._places([a, b, c], [a, b, c, d]) is None


def test_the_clock_says_the_same_of_costs_that_were_known() -> None:
    """Copies of other engines pass one another: what each costs is asked once."""
    known, anew = chip(), chip()
    turns = [(0, each) for n in range(6) for each in (load(n), store(n))]
    given = known._numbered(turns)
    work = known._work([record for _, record, _ in given])
    order = [*turns[::2], *turns[1::2]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(known, "_work", lambda records: pytest.fail("asked again"))
        cycles = known._timed(order, given, work).cycles
        patch.setattr(orders, "_places", lambda given, ordered: None)
        assert cycles == anew._timed(order, given, work).cycles


def test_of_the_same_instructions_the_order_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found, asked = chip(), []
    monkeypatch.setattr(
        found, "_quickest", lambda turns, original=found._quickest: asked.append(1) or original(turns)
    )
    first = found.best([[load(0), store(0)], [load(1), store(1)]])
    assert found.best([[load(0), store(0)], [load(1), store(1)]]) is first
    other = found.best([[load(0), store(0), load(1)], [store(1)]])
    assert (len(asked), other.kernels != first.kernels) == (2, True)
    assert np.isfinite(first.cycles)
