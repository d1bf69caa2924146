"""Declared instructions: layout, encoding, decoding, loops, and what is refused."""

import random

import numpy as np
import pytest

from isthmus.runtime.sim.errors import EncodingError
from isthmus.runtime.sim.fields import Halt, Instruction, Item, Loop, Operand, group, operand
from isthmus.runtime.sim.isa import Isa


class Part(Item):
    """A part of a fetch."""

    base: int = operand(20, "where", advance=True)
    stride: int = operand(12, "how far", signed=True, default=1)


class Wide(Item):
    """An item of 64 bits."""

    number: int = operand(40, "a number", signed=True)


class Copy(Instruction, mnemonic="copy", opcode=3, queue="move"):
    """Copies."""

    source: int = operand(32, "from", unit="byte address", advance=True)
    target: int = operand(20, "to", advance=True)
    count: int = operand(20, "how many", least=1)
    rows: int = operand(40, "how many rows", default=1)
    skip: int = operand(64, "between rows", signed=True, default=0)
    mode: int = operand(2, "how", default=0, choices=("plain", "fast", "slow"))


class Fetch(Instruction, mnemonic="fetch", opcode=9, queue="work"):
    """Fetches parts."""

    parts: tuple[Part, ...] = group(Part, 5, "what", default=())
    wides: tuple[Wide, ...] = group(Wide, 3, "more", default=())
    numbers: tuple[int, ...] = group(None, 9, "constants", default=())


TOY = Isa("toy", (Copy, Fetch))


def drawn(seed: int, count: int = 200) -> list[Instruction]:
    """Random instructions, many fields at a limit."""
    source = random.Random(seed)

    def value(field: Operand) -> int:
        low, high = field.limits
        return source.choice(
            [low, high, source.randint(low, high), low if field.default is None else field.default]
        )

    def fields(operands: tuple[Operand, ...]) -> dict[str, int]:
        return {each.name: value(each) for each in operands}

    records: list[Instruction] = []
    for _ in range(count):
        masks = {name: source.randrange(1 << 16) for name in ("wait", "signal")}
        if source.random() < 0.5:
            records.append(Copy(**fields(Copy.operands), **masks))
        else:
            parts = tuple(Part(**fields(Part.operands)) for _ in range(source.randrange(6)))
            numbers = tuple(source.randint(-(1 << 31), (1 << 31) - 1) for _ in range(source.randrange(10)))
            wides = tuple(Wide(**fields(Wide.operands)) for _ in range(source.randrange(4)))
            records.append(Fetch(parts=parts, wides=wides, numbers=numbers, **masks))
    return records


@pytest.mark.parametrize("seed", range(3))
def test_decoding_gives_what_was_encoded(seed):
    records = drawn(seed)
    stream = TOY.decode(TOY.encode(records))
    assert stream.records == records
    assert stream.column("wait").tolist() == [record.wait for record in records]
    assert stream.queues(["move", "work"]).tolist() == [int(isinstance(record, Fetch)) for record in records]


@pytest.mark.parametrize("seed", range(3))
def test_what_is_collected_is_what_its_bytes_would_give(seed):
    records = drawn(seed)
    got, want = TOY.collect(records), TOY.decode(TOY.encode(records))
    assert got.records == records
    assert got.words.tolist() == want.words.tolist()
    for kind, block in want.blocks.items():
        assert got.blocks[kind].positions.tolist() == block.positions.tolist()
        for mine, theirs in (
            (got.blocks[kind].columns, block.columns),
            (got.blocks[kind].counts, block.counts),
        ):
            assert {name: each.tolist() for name, each in mine.items()} == {
                name: each.tolist() for name, each in theirs.items()
            }


def test_default_words_at_the_end_are_not_stored():
    short = Copy(source=1, target=2, count=3)
    assert len(TOY.encode([short])) == 16
    assert len(TOY.encode([Copy(source=1, target=2, count=3, rows=2)])) == 32


def test_words_hold_fields_where_the_layout_says():
    lanes = np.frombuffer(TOY.encode([Copy(source=0xABCD, target=7, count=5, wait=2, signal=4)]), "<u8")
    for place in Copy.layout.places[:3]:
        got = int(lanes[place.lane]) >> place.shift & (1 << place.operand.bits) - 1
        assert got == {"source": 0xABCD, "target": 7, "count": 5}[place.operand.name]
    assert int(lanes[0]) & 0x3F == 3
    assert int(lanes[0]) >> 12 & 0xFFFF == 2
    assert int(lanes[0]) >> 28 & 0xFFFF == 4


def test_fields_beyond_their_limits_are_all_named():
    wrong = [
        Copy(source=-1, target=0, count=0),
        Fetch(parts=(Part(base=1 << 20),)),
        Copy(source=2.5, target=0, count=1),
    ]
    for make in (TOY.encode, TOY.collect):
        with pytest.raises(EncodingError) as caught:
            make(wrong)
        assert [str(problem) for problem in caught.value.problems] == [
            "instruction 0, copy: source is -1, expected 0 to 4294967295",
            "instruction 0, copy: count is 0, expected 1 to 1048575",
            "instruction 1, fetch: parts.base is 1048576, expected 0 to 1048575",
            "instruction 2, copy: source is 2.5, expected 0 to 4294967295",
        ]


def test_numbers_of_items_are_limited():
    with pytest.raises(EncodingError, match="parts_count is 6, expected 0 to 5"):
        TOY.encode([Fetch(parts=(Part(base=0),) * 6)])


def test_instructions_of_another_set_are_refused():
    with pytest.raises(EncodingError, match="Copy is none of this instruction set"):
        Isa("other", (Fetch,)).encode([Copy(source=0, target=0, count=1)])


def test_loops_run_out_with_their_steps():
    parts = (Part(base=100), Part(base=8))
    stored = [
        Loop(count=3, length=2),
        Copy(source=10, target=50, count=1),
        Fetch(parts=parts, numbers=(1, 2, 3)),
        Halt(),
    ]
    code = TOY.encode(stored, {1: (4, -5), 2: (7, -1)})
    as_stored = TOY.decode_stored(code)
    assert as_stored.records == stored
    assert as_stored.steps == {1: (4, -5), 2: (7, -1)}
    run = TOY.decode(code).records
    assert run == [
        each
        for turn in range(3)
        for each in (
            Copy(source=10 + 4 * turn, target=50 - 5 * turn, count=1),
            Fetch(parts=(Part(base=100 + 7 * turn), Part(base=8 - turn)), numbers=(1, 2, 3)),
        )
    ] + [Halt()]


@pytest.mark.parametrize(
    ("records", "steps", "message"),
    [
        ([Loop(count=2, length=2), Copy(source=0, target=0, count=1)], {}, "or less than 2"),
        ([Loop(count=2, length=1), Halt()], {}, "holds a control instruction"),
        (
            [Loop(count=9, length=1), Copy(source=0, target=0, count=1)],
            {1: (0, -1)},
            "drives target of copy to -1",
        ),
        ([Loop(count=1048575, length=200), *[Halt()] * 200], {}, "loops run 209715201 instructions"),
    ],
)
def test_loops_that_do_not_work_are_refused(records, steps, message):
    with pytest.raises(EncodingError, match=message):
        TOY.decode(TOY.encode(records, steps))


def test_a_wrong_number_of_steps_is_refused():
    with pytest.raises(EncodingError, match="has 1 steps, expected 2"):
        TOY.encode([Copy(source=0, target=0, count=1)], {0: (1,)})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda code: code[:-8], "expected a multiple of 16"),
        (lambda code: code[:-16], "ends 1 words behind the code"),
        (lambda code: bytes([code[0] & 0xC0 | 63]) + code[1:], "has opcode 63, which is none"),
        (lambda code: code[:8] + bytes(8) + code[16:], "count is 0, expected 1"),
        (lambda code: TOY.encode([Halt()])[:-1] + b"\xff", "bits that belong to no field"),
    ],
)
def test_bytes_that_are_no_instructions_are_refused(damage, message):
    code = TOY.encode([Copy(source=1, target=2, count=3, rows=5)])
    with pytest.raises(EncodingError, match=message):
        TOY.decode(damage(code))


@pytest.mark.parametrize(("place", "number"), [(0, 0), (2, 1), (5, 11), (6, 12)])
def test_the_first_that_is_no_instruction_is_named_by_its_number_once_loops_are_run_out(place, number):
    copy, fetch = Copy(source=1, target=2, count=3), Fetch(parts=(Part(base=1),), numbers=())
    records = [
        copy,
        Loop(count=5, length=2),
        fetch,
        copy,
        Loop(count=1, length=1),
        copy,
        fetch,
        fetch,
        Halt(),
    ]
    code = bytearray(TOY.encode(records))
    first = [len(TOY.encode(records[:n])) for n in range(len(records))]
    assert len(TOY.decode(bytes(code)).records) == 15
    code[first[7]] ^= 63
    code[first[place]] ^= 63
    with pytest.raises(EncodingError, match=f"instruction {place} has opcode") as caught:
        TOY.decode(bytes(code))
    assert caught.value.instruction == number


def test_damaged_code_is_decoded_or_refused():
    code = bytearray(TOY.encode(drawn(7, 50)))
    source = random.Random(1)
    refused = []
    for _ in range(300):
        damaged = bytearray(code)
        for _ in range(source.randrange(1, 4)):
            damaged[source.randrange(len(code))] ^= 1 << source.randrange(8)
        try:
            records = TOY.decode(bytes(damaged)).records
        except EncodingError as error:
            refused.append(error)
            continue
        assert TOY.decode(TOY.encode(records)).records == records
    assert refused
    assert all(each.instruction is not None or "loops run" in each.message for each in refused)


def test_two_instructions_may_not_share_an_opcode():
    with pytest.raises(ValueError, match="share"):
        Isa("twice", (Copy, Copy))


def test_instructions_are_alike_that_differ_in_addresses_and_semaphores():
    parts = (Part(base=1, stride=2), Part(base=3))
    records = [
        Copy(source=0, target=5, count=2),
        Copy(source=9, target=6, count=2, wait=1, signal=2),
        Copy(source=0, target=5, count=3),
        Fetch(parts=parts, numbers=(1, 2)),
        Fetch(parts=(Part(base=7, stride=2), Part(base=8)), numbers=(1, 2)),
        Fetch(parts=parts, numbers=(1, 3)),
        Fetch(parts=parts[:1], numbers=(1, 2)),
    ]
    stream = TOY.decode(TOY.encode(records))
    copies, fetches = stream.blocks[Copy], stream.blocks[Fetch]
    assert copies.alike() == [[0, 1], [2]]
    assert copies.alike(besides="xyx") == [[0], [1], [2]]
    assert fetches.alike() == [[0, 1], [2], [3]]
    assert [fetches.record(row) for row in range(4)] == fetches.records() == records[3:]
    assert stream.mnemonics == ["copy"] * 3 + ["fetch"] * 4
