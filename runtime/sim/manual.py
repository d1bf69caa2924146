"""The manual of an instruction set, derived from its declarations: markdown, a section an instruction."""

import inspect
from collections.abc import Iterator

from .fields import HEADER, HEADER_SHIFTS, Instruction, Item, Layout, Operand
from .isa import Isa

_HEADER_MEANING = {
    "opcode": "which instruction",
    "words": "words of 128 bits that it has, less one",
    "stepped": "steps follow: it stands in a loop",
    "wait": "semaphores of which it takes a token before it starts",
    "signal": "semaphores to which it gives a token when it is complete",
}


def manual(isa: Isa) -> str:
    """Header, then for each instruction its text, its fields with place, limits, unit and meaning, and its items."""
    parts = ["## The header of every instruction\n", *_header()]
    for kind in isa.kinds:
        parts += _instruction(kind)
    return "\n".join(parts).rstrip() + "\n"


def _header() -> Iterator[str]:
    yield "| field | bits | meaning |"
    yield "|---|---|---|"
    for name, bits in HEADER.items():
        shift = HEADER_SHIFTS[name]
        yield f"| {name} | {shift + bits - 1}:{shift} | {_HEADER_MEANING[name]} |"
    yield ""


def _instruction(kind: type[Instruction]) -> Iterator[str]:
    queue = f"queue `{kind.queue}`" if kind.queue else "executed by the fetch unit"
    yield f"## `{kind.mnemonic}`\n"
    yield f"*Opcode {kind.opcode}, {queue}, {_length(kind)}.*\n"
    yield f"{inspect.cleandoc(kind.__doc__ or '')}\n"
    if kind.layout.places:
        yield from _fields(kind.layout)
    for group in kind.groups:
        item = "signed 32-bit numbers" if group.item is None else f"items of {group.item.size} bits"
        yield f"`{group.name}`: up to {group.most} {item}. {group.meaning[0].upper()}{group.meaning[1:]}.\n"
        if group.item is not None:
            yield from _item(group.item)


def _length(kind: type[Instruction]) -> str:
    words = kind.layout.words
    if kind.groups:
        return f"{words} word{'s' if words > 1 else ''} and what its lists take"
    return f"1 to {words} words" if words > 1 else "1 word"


def _item(kind: type[Item]) -> Iterator[str]:
    yield f"{inspect.cleandoc(kind.__doc__ or '')}\n"
    yield from _fields(kind.layout)


def _fields(layout: Layout) -> Iterator[str]:
    yield "| field | bits | values | unit | default | meaning |"
    yield "|---|---|---|---|---|---|"
    for place in sorted(layout.places, key=lambda each: (each.lane, each.shift)):
        each = place.operand
        low = 64 * place.lane + place.shift
        default = (
            "" if each.default is None else each.choices[each.default] if each.choices else str(each.default)
        )
        meaning = f"{each.meaning}; advances in loops" if each.advance else each.meaning
        yield f"| {each.name} | {low + each.bits - 1}:{low} | {_values(each)} | {each.unit} | {default} | {meaning} |"
    yield ""


def _values(operand: Operand) -> str:
    if operand.choices:
        return ", ".join(f"{number} {name}" for number, name in enumerate(operand.choices))
    low, high = operand.limits
    return f"{low} to {high}"
