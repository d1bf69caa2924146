"""Instructions as text, and back. One grammar serves all instruction sets: mnemonic, then `name=value` of the fields.

    vec number=2 n0=64 streams=[{memory=spa dtype=i8 base=0x0 s0=1}, {memory=acc dtype=i32 base=0x40 s0=1}] wait=[0]

Fields with their default are left out. `wait` and `signal` list semaphores; `steps` what a loop adds to the fields that
advance. What follows # up to the end of a line is a comment.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import lark

from ...runtime.errors import Problem
from ...runtime.records import dataclass
from ...runtime.sim.errors import EncodingError
from ...runtime.sim.fields import SEMAPHORES, Group, Instruction, Item, Operand
from ...runtime.sim.isa import Isa
from ...runtime.sim.stream import Stream

_Tree = Any
"""A tree of lark, whose children are trees and tokens by turns."""

_MASKS = ("wait", "signal")
_STEPS = "steps"


def disassemble(isa: Isa, code: bytes, notes: Mapping[int, str] | None = None, location: str = "code") -> str:
    """The listing of stored code, a line an instruction; `notes` are comments before instructions, by their number.

    EncodingError, with `location`, for bytes that are no instructions.
    """
    stream = isa.decode_stored(code, location)
    return "".join(
        f"{_comment(notes.get(number) if notes else None)}{line}\n"
        for number, line in enumerate(_lines(stream))
    )


def assemble(isa: Isa, text: str, location: str = "assembly") -> bytes:
    """The bytes of a listing; EncodingError with line numbers for all that is wrong in it."""
    try:
        tree: _Tree = _parser().parse(text if text.endswith("\n") else text + "\n")
    except lark.exceptions.UnexpectedInput as error:
        raise EncodingError(
            "not an instruction, expected a mnemonic and then name=value of its fields",
            location=f"{location}:{error.line}",
        ) from None
    records: list[Instruction] = []
    steps: dict[int, tuple[int, ...]] = {}
    problems: list[Problem] = []
    for line in tree.children:
        if line.children[0] is None:
            continue
        builder = _Line(isa, line.children[0], f"{location}:{line.meta.line}", problems)
        record = builder.record()
        if record is not None:
            if builder.steps is not None:
                steps[len(records)] = builder.steps
            records.append(record)
    if problems:
        raise EncodingError("not assembled", problems=problems)
    return isa.encode(records, steps)


def _lines(stream: Stream) -> list[str]:
    steps = stream.steps
    return [_line(record, steps.get(number)) for number, record in enumerate(stream.records)]


def _line(record: Instruction, steps: Sequence[int] | None) -> str:
    parts = [type(record).mnemonic, record.text()]
    for group in record.groups:
        items = getattr(record, group.name)
        if items:
            parts.append(f"{group.name}=[{', '.join(map(_element, items))}]")
    for mask in _MASKS:
        value = getattr(record, mask)
        if value:
            numbers = (str(number) for number in range(SEMAPHORES) if value >> number & 1)
            parts.append(f"{mask}=[{', '.join(numbers)}]")
    if steps is not None:
        parts.append(f"{_STEPS}=[{', '.join(map(str, steps))}]")
    return " ".join(filter(None, parts))


def _element(item: Item | int) -> str:
    return str(item) if isinstance(item, int) else "{" + item.text() + "}"


def _comment(note: str | None) -> str:
    return "" if note is None else "".join(f"# {line}\n" for line in note.splitlines())


@cache
def _parser() -> lark.Lark:
    grammar = resources.files(__package__).joinpath("assembler.lark").read_text()
    return lark.Lark(grammar, start="code", parser="lalr", propagate_positions=True, maybe_placeholders=True)


@dataclass(slots=True)
class _Line:
    """One line as it is parsed; what is wrong with it goes to `problems`."""

    isa: Isa
    tree: _Tree
    location: str
    problems: list[Problem]
    steps: tuple[int, ...] | None = None

    def record(self) -> Instruction | None:
        """The instruction; None when something is wrong."""
        mnemonic, *fields = self.tree.children
        kind = self.isa.by_mnemonic.get(str(mnemonic))
        if kind is None:
            known = ", ".join(self.isa.by_mnemonic)
            self._refuse(f"there is no instruction '{mnemonic}'; {self.isa.name} has {known}")
            return None
        before = len(self.problems)
        groups = {group.name: group for group in kind.groups}
        operands = {operand.name: operand for operand in kind.operands}
        values: dict[str, Any] = {}
        for name, value in self._pairs(fields, [*operands, *groups, *_MASKS, _STEPS], kind.mnemonic):
            if name in operands:
                values[name] = self._number(operands[name], value)
            elif name in groups:
                values[name] = self._items(groups[name], value)
            elif name == _STEPS:
                self.steps = tuple(self._numbers(name, value))
            else:
                values[name] = self._mask(name, value)
        self._complete(kind.operands, values, kind.mnemonic)
        return kind(**values) if len(self.problems) == before else None

    def _pairs(self, fields: Sequence[Any], known: Sequence[str], owner: str) -> list[tuple[str, _Tree]]:
        found: dict[str, _Tree] = {}
        for field in fields:
            name, value = str(field.children[0]), field.children[1]
            if name not in known:
                self._refuse(f"{owner} has no field '{name}'; it has {', '.join(known)}")
            elif name in found:
                self._refuse(f"{owner} has '{name}' twice")
            else:
                found[name] = value
        return list(found.items())

    def _complete(self, operands: Sequence[Operand], values: Mapping[str, Any], owner: str) -> None:
        missing = [each.name for each in operands if each.default is None and each.name not in values]
        if missing:
            self._refuse(f"{owner} lacks {', '.join(missing)}")

    def _number(self, operand: Operand, value: _Tree) -> int:
        if operand.choices:
            text = str(value.children[0]) if value.data in ("name", "number") else ""
            if text in operand.choices:
                return operand.choices.index(text)
            self._refuse(
                f"{operand.name} is {text or 'a list'}, expected one of {', '.join(operand.choices)}"
            )
            return 0
        if value.data != "number":
            self._refuse(f"{operand.name} is no number")
            return 0
        return int(value.children[0], 0)

    def _numbers(self, name: str, value: _Tree) -> list[int]:
        elements = value.children if value.data == "list" else [None]
        if value.data == "list" and all(each is None or each.data == "number" for each in elements):
            return [int(each.children[0], 0) for each in elements if each is not None]
        self._refuse(f"{name} is no list of numbers")
        return []

    def _mask(self, name: str, value: _Tree) -> int:
        mask = 0
        for semaphore in self._numbers(name, value):
            if 0 <= semaphore < SEMAPHORES:
                mask |= 1 << semaphore
            else:
                self._refuse(f"{name} names semaphore {semaphore}, expected 0 to {SEMAPHORES - 1}")
        return mask

    def _items(self, group: Group, value: _Tree) -> tuple[Any, ...]:
        if group.item is None:
            return tuple(self._numbers(group.name, value))
        elements = [each for each in value.children if each is not None] if value.data == "list" else []
        if value.data != "list" or any(each.data != "item" for each in elements):
            self._refuse(f"{group.name} is no list of {{...}}")
            return ()
        return tuple(self._item(group.item, each, group.name) for each in elements)

    def _item(self, kind: type[Item], tree: _Tree, owner: str) -> Item | None:
        before = len(self.problems)
        operands = {operand.name: operand for operand in kind.operands}
        pairs = self._pairs(tree.children, list(operands), owner)
        values = {name: self._number(operands[name], value) for name, value in pairs}
        self._complete(kind.operands, values, owner)
        return kind(**values) if len(self.problems) == before else None

    def _refuse(self, message: str) -> None:
        self.problems.append(Problem(self.location, message))
