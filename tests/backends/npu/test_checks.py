"""The proof about a stream, on n1's own instructions: correct programs pass, each single defect is noticed."""

from dataclasses import replace

import pytest

from isthmus.backends.npu.isa import N1, Lda, Ldw, Mxu, Program, Sto, Vec, context
from isthmus.backends.npu.programs import operation, stream
from isthmus.runtime.sim.checks import check
from isthmus.runtime.sim.errors import HazardError
from isthmus.runtime.sim.fields import Barrier, Instruction

from .running import ARENA, CONSTANTS, EXTERNAL, chip
from .test_device import ACC, I8, I32, SPA, view
from .test_time import stream_of

CHIP = chip(8, 8)
SIZES = {name: CHIP["memories"][name]["bytes"] for name in ("spa", "spw", "acc")}


def proved(records: list[Instruction], depth: int = 8) -> None:
    check(records, N1.queues, depth, SIZES, context(CHIP), lambda number: f"node_{number}")


def findings(records: list[Instruction], depth: int = 8) -> list[str]:
    with pytest.raises(HazardError) as caught:
        proved(records, depth)
    return [str(problem) for problem in caught.value.problems]


def copied(tiles: int, slots: int = 2) -> list[Instruction]:
    return [replace(record) for record in stream_of(tiles, slots)]


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_correct_programs_pass(slots):
    proved(copied(9, slots))


def test_every_removed_semaphore_is_noticed():
    masks = [
        (number, semaphore)
        for number, record in enumerate(copied(7))
        for semaphore in range(16)
        if record.wait >> semaphore & 1
    ]
    assert len(masks) > 40
    for number, semaphore in masks:
        records = copied(7)
        records[number].wait &= ~(1 << semaphore)
        assert any(f"semaphore {semaphore} has" in finding for finding in findings(records))


def test_every_pair_of_signal_and_wait_that_is_removed_together_is_noticed():
    base = copied(7)
    removed = 0
    for semaphore in range(8):
        signals = [n for n, record in enumerate(base) if record.signal >> semaphore & 1]
        waits = [n for n, record in enumerate(base) if record.wait >> semaphore & 1]
        for signal, wait in zip(signals, waits, strict=True):
            records = copied(7)
            records[signal].signal &= ~(1 << semaphore)
            records[wait].wait &= ~(1 << semaphore)
            found = findings(records)
            assert any("no token orders the two" in finding for finding in found), (semaphore, signal, wait)
            removed += 1
    assert removed == 48


def test_one_slot_less_than_the_tokens_allow_is_noticed():
    records = copied(7, 3)
    for record in records:
        if isinstance(record, Lda):
            record.spa %= 4096
        elif isinstance(record, Mxu):
            record.a %= 4096
    assert any("lda, writes bytes of spa" in finding for finding in findings(records))


def test_waits_that_can_not_be_met_are_named():
    load = Lda(dram=ARENA, spa=0, n0=64, wait=1, signal=2)
    store = Sto(dram=EXTERNAL, spa=0, n0=64, wait=2, signal=1)
    assert findings([load, store]) == [
        "node_0: instruction 0, lda, never starts: queues are full, or its tokens depend on itself",
        "node_1: instruction 1, sto, never starts: queues are full, or its tokens depend on itself",
    ]


def test_queues_that_are_too_short_for_the_order_of_fetching_are_noticed():
    loads = [Lda(dram=ARENA, spa=64 * n, n0=64, wait=1 if n == 0 else 0) for n in range(4)]
    store = Sto(dram=EXTERNAL, spa=1024, n0=64, signal=1)
    first = Lda(dram=ARENA, spa=1024, n0=64, signal=2)
    records = [first, *loads, replace(store, wait=2)]
    proved(records, 8)
    assert any("queues are full" in finding for finding in findings(records, 2))


def test_a_semaphore_of_several_queues_is_refused():
    records = [
        Lda(dram=ARENA, spa=0, n0=64, signal=1),
        Ldw(dram=ARENA, spw=0, n0=64, signal=1),
        Mxu(a=0, w=0, c=0, m0=1, n=1, k0=1, am0=1, wait=1),
        Sto(dram=EXTERNAL, spa=0, n0=64, wait=1),
    ]
    assert findings(records) == [
        "node_0: semaphore 0 is signalled by lda and ldw, expected one queue",
        "node_2: semaphore 0 is waited for by mxu and sto, expected one queue",
    ]


def test_reads_of_what_nothing_wrote():
    copy = Program(number=0, micros=(operation("copy", 0, stream(1)),))
    load = Lda(dram=ARENA, spa=0, n0=16, n1=4, s1=16, d1=32, signal=1)
    target = view(ACC, I32, 0, 1, 16)
    inside = Vec(number=0, n0=16, n1=4, wait=1, streams=(target, view(SPA, I8, 0, 1, 32)))
    proved([copy, load, inside])
    across = replace(inside, streams=(target, view(SPA, I8, 0, 1, 16)))
    assert findings([copy, load, across]) == [
        "node_2: instruction 2, vec, reads bytes of spa between 0x0 and 0x40 that nothing has written"
    ]
    onto = replace(inside, combine=1, initialise=0)
    assert "reads bytes of acc between 0x0 and 0x100" in findings([copy, load, onto])[0]


def test_two_values_in_one_place():
    loads = [Lda(dram=ARENA, spa=0, n0=64), Lda(dram=ARENA, spa=0, n0=64, signal=1)]
    store = Sto(dram=EXTERNAL, spa=0, n0=64, wait=1)
    assert findings([*loads, store]) == [
        "node_1: instruction 1, lda, overwrites what instruction 0, lda, wrote and nobody has read: two values live in "
        "one place"
    ]


def test_accesses_outside_a_memory():
    assert (
        "touches bytes of spw between 0xfff0 and 0x10030, which has 0x10000"
        in findings([Ldw(dram=CONSTANTS, spw=65520, n0=64)])[0]
    )


def test_conflicts_in_dram_and_barriers():
    store = Sto(dram=ARENA, spa=0, n0=64, wait=1)
    records = [Lda(dram=ARENA + 64, spa=0, n0=64, signal=1), store, Lda(dram=ARENA, spa=64, n0=64)]
    assert "lda, reads bytes of dram" in findings(records)[0]
    proved([*records[:2], Barrier(), records[2]])
