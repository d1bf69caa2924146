"""Declaring an instruction: a class whose fields are stated once. Layout, encoder, decoder, text and manual derive.

    class Load(Instruction, mnemonic="load", opcode=4, queue="load"):
        \"\"\"Copies bytes from DRAM to the scratchpad.\"\"\"

        dram: int = operand(32, "address of the first byte", unit="byte", advance=True)
        bytes: int = operand(20, "how many", unit="byte", least=1)

Code is a sequence of words of 128 bits, each two lanes of 64. The first 44 bits of an instruction are its header; each
field lies in the first lane that has room for it. Words at the end of an instruction whose fields all have their
default are not stored. Behind the fields follow the items of groups, then, inside a loop, one signed
32-bit step for each field that advances.
"""

from dataclasses import MISSING, dataclass, field, fields
from itertools import accumulate
from typing import TYPE_CHECKING, Any, ClassVar, Self, dataclass_transform

from .access import Access

if TYPE_CHECKING:
    from .memories import Prepared

HEADER = {"opcode": 6, "words": 5, "stepped": 1, "wait": 16, "signal": 16}
"""The fields of the header and their bits, from bit 0 on: number of words less one; whether steps follow (in a loop);
semaphores whose tokens are taken before the instruction starts, and given when it is complete."""
HEADER_BITS = sum(HEADER.values())
HEADER_SHIFTS = dict(zip(HEADER, accumulate(HEADER.values(), initial=0)))
SEMAPHORES = HEADER["wait"]
MOST_WORDS = 1 << HEADER["words"]
LANE = 64


@dataclass(frozen=True, slots=True)
class Operand:
    """One field: its bits, whether they are a two's complement number, what it means in which unit.

    `least` is the smallest value that means something; it is stored as itself. `choices` name the values 0, 1, ...
    `advance`: a loop may add a step to it from one iteration to the next.
    """

    name: str
    bits: int
    meaning: str
    unit: str = ""
    signed: bool = False
    default: int | None = None
    least: int | None = None
    advance: bool = False
    choices: tuple[str, ...] = ()

    @property
    def limits(self) -> tuple[int, int]:
        """The least and the greatest value."""
        low, high = (
            (-(1 << self.bits - 1), (1 << self.bits - 1) - 1) if self.signed else (0, (1 << self.bits) - 1)
        )
        if self.choices:
            high = len(self.choices) - 1
        return (low if self.least is None else self.least), high


@dataclass(frozen=True, slots=True)
class Group:
    """A field that holds a tuple of items behind the fixed fields; `count` is the operand that says how many."""

    name: str
    item: type["Item"] | None
    most: int
    meaning: str

    @property
    def count(self) -> Operand:
        """The field that says how many there are."""
        return Operand(
            f"{self.name}_count", self.most.bit_length(), f"how many {self.name} follow", default=0
        )


def operand(
    bits: int,
    meaning: str,
    *,
    unit: str = "",
    signed: bool = False,
    default: int | None = None,
    least: int | None = None,
    advance: bool = False,
    choices: tuple[str, ...] = (),
) -> Any:
    """A field of an instruction or of an item of a group; see `Operand`. One without a default must be given."""
    options = {
        "bits": bits,
        "meaning": meaning,
        "unit": unit,
        "signed": signed,
        "default": default,
        "least": least,
        "advance": advance,
        "choices": choices,
    }
    return field(default=MISSING if default is None else default, metadata={"operand": options})


def group(item: type["Item"] | None, most: int, meaning: str, *, default: tuple[Any, ...]) -> Any:
    """A field that holds up to `most` items, or, with no class of items, signed 32-bit numbers."""
    return field(default=default, metadata={"group": {"item": item, "most": most, "meaning": meaning}})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a field lies: the lane within its instruction or item, and the lowest bit within the lane."""

    operand: Operand
    lane: int
    shift: int


class Layout:
    """Where the fields of an instruction or an item lie."""

    def __init__(self, operands: tuple[Operand, ...], reserved: int = 0):
        room = [LANE - reserved]
        self.places: list[Place] = []
        for each in operands:
            lane = next((n for n, free in enumerate(room) if free >= each.bits), len(room))
            if lane == len(room):
                room.append(LANE)
            self.places.append(Place(each, lane, LANE - room[lane]))
            room[lane] -= each.bits
        self.lanes = len(room)
        self.bits = LANE * self.lanes - room[-1]

    @property
    def words(self) -> int:
        """Words of 128 bits."""
        return (self.lanes + 1) // 2


@dataclass_transform(kw_only_default=True, field_specifiers=(operand, group))
class _Declared:
    """What instructions and items share: every subclass becomes a dataclass with the fields that it declares."""

    operands: ClassVar[tuple[Operand, ...]] = ()
    layout: ClassVar[Layout]

    def __init_subclass__(cls) -> None:
        dataclass(kw_only=True)(cls)
        cls.operands = tuple(
            Operand(each.name, **each.metadata["operand"])
            for each in fields(cls)  # type: ignore[arg-type]
            if "operand" in each.metadata
        )

    def text(self) -> str:
        """`name=value` of every field that does not have its default."""
        return " ".join(
            f"{each.name}={spelled(each, value)}"
            for each in self.operands
            if (value := getattr(self, each.name)) != each.default
        )


class Item(_Declared):
    """An item of a group: a class of its own, of at most 128 bits. `size` is in bits, 32, 64 or 128."""

    size: ClassVar[int]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.layout = Layout(cls.operands)
        cls.size = next(size for size in (32, 64, 128) if size >= cls.layout.bits)


class Instruction(_Declared):
    """An instruction as a record of its fields; `wait` and `signal` are masks of semaphores.

    A class of its own for each, with its mnemonic, opcode, and the queue that it goes to; with no queue the fetch unit
    executes it.
    """

    mnemonic: ClassVar[str] = ""
    opcode: ClassVar[int] = 0
    queue: ClassVar[str] = ""
    groups: ClassVar[tuple[Group, ...]] = ()
    wait: int = 0
    signal: int = 0

    def __init_subclass__(cls, mnemonic: str, opcode: int, queue: str = "") -> None:
        super().__init_subclass__()
        cls.mnemonic, cls.opcode, cls.queue = mnemonic, opcode, queue
        cls.groups = tuple(
            Group(each.name, **each.metadata["group"]) for each in fields(cls) if "group" in each.metadata
        )
        cls.layout = Layout((*(each.count for each in cls.groups), *cls.operands), HEADER_BITS)

    @classmethod
    def of(cls, source: object, **fields: Any) -> Self:
        """One whose fields are those of `source` by the same names, but for those that are given."""
        names = [each.name for each in cls.operands if each.name not in fields and hasattr(source, each.name)]
        return cls(**{name: getattr(source, name) for name in names}, **fields)

    def effect(self, entry: Any) -> "Prepared | None":
        """What it does to the memories, its fields worked out, in an entry of `device.py`; None: nothing."""
        return None

    def accesses(self, context: Any = None) -> tuple[Access, ...]:
        """What it reads and writes. `context` is what instructions before it have set up; see the chip's module."""
        return ()


def advancing(kind: type[Instruction]) -> tuple[tuple[Operand, ...], dict[str, tuple[Operand, ...]]]:
    """The fixed fields of a class to which loops add, and those of the items of each of its groups."""
    items = {
        group.name: tuple(each for each in group.item.operands if each.advance)
        if group.item is not None
        else ()
        for group in kind.groups
    }
    return tuple(each for each in kind.operands if each.advance), items


def spelled(operand: Operand, value: int) -> str:
    """A value as listings show it."""
    if operand.choices:
        return operand.choices[value]
    return hex(value) if operand.unit == "byte address" else str(value)


# What every chip of the kit has; opcodes 0 to 2. They carry no semaphores.


class Halt(Instruction, mnemonic="halt", opcode=0):
    """Ends the entry point: it is complete when all queues have drained."""


class Loop(Instruction, mnemonic="loop", opcode=1):
    """Runs the instructions that follow several times, adding its steps to each after every iteration. Loops do not
    nest, and no control instruction lies inside one."""

    count: int = operand(20, "iterations", least=1)
    length: int = operand(8, "instructions in the body", unit="instructions", least=1)


class Barrier(Instruction, mnemonic="barrier", opcode=2):
    """Fetches nothing further until every queue has drained."""


CONTROL: tuple[type[Instruction], ...] = (Halt, Loop, Barrier)
