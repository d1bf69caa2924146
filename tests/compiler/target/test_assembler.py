"""Listings: text and back on random code, and what is refused with its line."""

import pytest

from isthmus.compiler.target.assembler import assemble, disassemble
from isthmus.runtime.sim.errors import EncodingError
from isthmus.runtime.sim.fields import Halt, Instruction, Item, Loop, group, operand
from isthmus.runtime.sim.isa import Isa


class Piece(Item):
    """A piece."""

    base: int = operand(40, "where", unit="byte address", advance=True)
    kind: int = operand(2, "which", default=0, choices=("1", "2", "none"))


class Move(Instruction, mnemonic="move", opcode=3, queue="dma"):
    """Moves."""

    source: int = operand(32, "from", unit="byte address", advance=True)
    count: int = operand(20, "how many", default=1)
    step: int = operand(20, "how far", signed=True, default=0)
    mode: int = operand(1, "how", default=0, choices=("plain", "fast"))


class Mix(Instruction, mnemonic="mix", opcode=4, queue="alu"):
    """Mixes."""

    number: int = operand(4, "which")
    pieces: tuple[Piece, ...] = group(Piece, 3, "what", default=())
    constants: tuple[int, ...] = group(None, 4, "constants", default=())


TOY = Isa("toy", (Move, Mix))
RECORDS = [
    Move(source=0x40, mode=1, wait=0b101, signal=0x8000),
    Loop(count=3, length=2),
    Move(source=0, count=7, step=-5),
    Mix(number=9, pieces=(Piece(base=255), Piece(base=0, kind=1)), constants=(-1, 7)),
    Mix(number=0),
    Halt(),
]
STEPS = {2: (-8,), 3: (4, 0)}
TEXT = """\
# kernel: node
move source=0x40 mode=fast wait=[0, 2] signal=[15]
loop count=3 length=2
move source=0x0 count=7 step=-5 steps=[-8]
mix number=9 pieces=[{base=0xff}, {base=0x0 kind=2}] constants=[-1, 7] steps=[4, 0]
mix number=0
halt
"""


def test_listings_read_well_and_assemble_back():
    code = TOY.encode(RECORDS, STEPS)
    assert disassemble(TOY, code, {0: "kernel: node"}) == TEXT
    assert assemble(TOY, TEXT) == code
    spaced = TEXT.replace("\n", "  # why\r\n\n").replace("0x40", "64")
    assert assemble(TOY, spaced) == code


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("halt\ngo fast=1", "asm:2: there is no instruction 'go'; toy has halt, loop, barrier, move, mix"),
        ("move count=2", "asm:1: move lacks source"),
        ("move source=0 depth=1", "asm:1: move has no field 'depth'; it has source, count, step, mode, wait"),
        ("move source=0 source=1", "asm:1: move has 'source' twice"),
        ("move source=fast", "asm:1: source is no number"),
        ("move source=0 mode=slow", "asm:1: mode is slow, expected one of plain, fast"),
        ("move source=0 mode=[1]", "asm:1: mode is a list, expected one of plain, fast"),
        ("move source=0 wait=3", "asm:1: wait is no list of numbers"),
        ("move source=0 wait=[16]", "asm:1: wait names semaphore 16, expected 0 to 15"),
        ("mix number=0 pieces=[1]", "asm:1: pieces is no list of {...}"),
        ("mix number=0 pieces=[{}]", "asm:1: pieces lacks base"),
        ("mix number=0 pieces=[{base=1 size=2}]", "asm:1: pieces has no field 'size'; it has base, kind"),
        ("move source=0\nmove 12", "asm:2: not an instruction, expected a mnemonic and then name=value"),
        ("move source=-1", "instruction 0, move: source is -1, expected 0 to 4294967295"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text, problem):
    with pytest.raises(EncodingError) as caught:
        assemble(TOY, text, "asm")
    assert str(caught.value).startswith(problem)


def test_all_problems_are_named_at_once():
    with pytest.raises(EncodingError) as caught:
        assemble(TOY, "go\nmove\nmix number=0 pieces=[{base=x}]", "asm")
    assert [problem.location for problem in caught.value.problems] == ["asm:1", "asm:2", "asm:3"]
