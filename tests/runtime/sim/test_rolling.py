"""Loops found in sequences: the same once run out, and shorter where something repeats."""

import random

import pytest

from isthmus.runtime.sim.fields import Barrier, Halt, Instruction, Loop
from isthmus.runtime.sim.rolling import roll

from .test_isa import TOY, Copy, Fetch, Part, drawn


def rolled(records: list[Instruction]) -> bytes:
    """The code of rolled instructions, after a look that it runs out to the same."""
    code = TOY.encode(*roll(records))
    assert TOY.decode(code).records == records
    return code


def test_one_instruction_over_and_over():
    records = [Copy(source=100 + 64 * turn, target=5, count=9) for turn in range(50)] + [Halt()]
    assert roll(records)[0] == [Loop(count=50, length=1), records[0], Halt()]
    assert roll(records)[1] == {1: (64, 0)}
    assert len(rolled(records)) == 4 * 16
    same = [records[0]] * 50
    assert len(rolled(same)) == 2 * 16


def test_bodies_of_several_instructions_with_items():
    records: list[Instruction] = []
    for turn in range(20):
        slot = turn % 2
        records += [
            Copy(source=4096 * turn, target=1000 * slot, count=64, wait=1 if turn > 1 else 0, signal=2),
            Fetch(parts=(Part(base=1000 * slot), Part(base=50 + 3 * turn)), numbers=(1, 2), wait=2, signal=1),
        ]
    code = rolled(records)
    assert len(code) < len(TOY.encode(records)) / 3
    stored = TOY.decode_stored(code).records
    assert Loop(count=9, length=4) in stored


def test_what_does_not_repeat_stays():
    records = drawn(5, 40)
    assert roll(records) == (records, {})
    assert roll([]) == ([], {})
    assert roll([Halt()]) == ([Halt()], {})


def test_control_instructions_are_in_no_loop():
    records: list[Instruction] = [Copy(source=0, target=0, count=1), Barrier()] * 10
    assert roll(records) == (records, {})


@pytest.mark.parametrize("seed", range(6))
def test_random_repetitions_run_out_to_the_same(seed):
    source = random.Random(seed)
    pool = drawn(seed, 6)
    for record in pool:
        if isinstance(record, Copy):
            record.source, record.target = 1 << 20, 1 << 10
        elif isinstance(record, Fetch):
            record.parts = tuple(Part(base=1 << 10) for _ in record.parts)
    records: list[Instruction] = []
    while len(records) < 150:
        body = [source.choice(pool) for _ in range(source.randint(1, 5))]
        steps = [source.choice([0, 0, 8, -4]) for _ in body]
        for turn in range(source.randint(1, 6)):
            for record, step in zip(body, steps):
                if isinstance(record, Copy):
                    fields = record.__dict__ | {"source": record.source + step * turn}
                    records.append(Copy(**fields))
                else:
                    records.append(record)
    assert len(rolled(records)) <= len(TOY.encode(records))
