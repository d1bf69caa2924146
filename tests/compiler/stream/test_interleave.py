"""The order in which engines take up instructions: whatever is ready, but nothing before what it depends on."""

from dataclasses import fields, replace

import numpy as np

from isthmus.backends.npu.isa import Lda, Mxu, Vec, View, context
from isthmus.compiler.stream.interleave import EARLY, PATIENCE, interleaved
from isthmus.compiler.stream.sync import Touched
from isthmus.runtime.sim.events import Work
from isthmus.runtime.sim.fields import Instruction

ARRAY = Touched(context({"engines": {"mxu": {"rows": 8, "cols": 8}}}))
QUEUES = ("lda", "mxu", "vec")


def load(spa: int) -> Lda:
    return Lda(dram=0, spa=spa, n0=64)


def product(a: int, c: int = 0) -> Mxu:
    return Mxu(a=a, w=0, c=c, m0=8, n=8, k0=8, am0=8)


def copied(source: int, target: int) -> Vec:
    return Vec(
        number=0, n0=64, streams=tuple(View(memory=0, dtype=0, base=at, s0=1) for at in (target, source))
    )


def orders(turns: list[tuple[Instruction, int]]) -> list[list[int]]:
    """Of instructions with the cycles that each keeps its engine busy."""
    records = [record for record, _ in turns]
    none = Work(**{each.name: np.zeros(len(turns)) for each in fields(Work)})
    engine = np.array([QUEUES.index(record.queue) for record in records])
    work = replace(none, engine=engine, busy=np.array([float(n) for _, n in turns]))
    return interleaved(records, ARRAY, work, ("lda",))


def order(turns: list[tuple[Instruction, int]]) -> list[int]:
    """The first one."""
    return orders(turns)[0]


def test_an_engine_goes_on_with_the_next_kernel_while_it_waits():
    first = [(load(0), 100), (copied(0, 1024), 500), (product(1024), 100)]
    second = [(load(4096), 100), (product(4096, c=512), 100)]
    assert order([*first, *second]) == [0, 1, 3, 4, 2]


def test_what_touches_the_same_bytes_keeps_its_order():
    """In one queue too, and where a later value takes the place of an earlier one."""
    turns = [(load(0), 500), (copied(0, 1024), 10), (copied(4096, 1024), 10), (copied(1024, 0), 10)]
    assert order(turns) == [0, 1, 2, 3]


def test_a_little_is_waited_for_what_stands_first():
    for late, expected in ((PATIENCE, [0, 1, 2]), (PATIENCE + 1, [0, 2, 1])):
        assert order([(load(0), late), (product(0), 50), (product(4096, c=512), 50)]) == expected


def test_loads_that_come_far_ahead_come_later_in_a_second_order():
    turns = [(load(0), 100), (load(4096), 100), (product(0), EARLY + 500), (product(4096, c=512), 50)]
    assert orders(turns) == [[0, 1, 2, 3], [0, 2, 1, 3]]
    assert len(orders([*turns[:2], (product(0), EARLY - 500), turns[3]])) == 1
