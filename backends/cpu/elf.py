"""Reads an ELF64 little-endian relocatable object: sections, symbols, relocations. No linking happens here.

Source: System V Application Binary Interface, chapters 4 and 5 (gABI 4.1).
"""

import struct
from collections.abc import Sequence
from dataclasses import field, replace

from ...runtime.errors import DeviceError
from ...runtime.records import dataclass

SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR = 0x1, 0x2, 0x4
SHT_SYMTAB, SHT_RELA, SHT_NOBITS, SHT_REL = 2, 4, 8, 9
SHN_UNDEF, SHN_ABS, SHN_COMMON = 0, 0xFFF1, 0xFFF2
ET_REL = 1
_LOCAL = 0  # the binding of symbols that other objects do not see
MACHINES = {62: "x86-64", 183: "aarch64"}

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELA = struct.Struct("<QQq")


@dataclass(frozen=True, slots=True)
class Symbol:
    """A name for `value` bytes into `section`; section SHN_UNDEF is another object's business."""

    name: str
    section: int
    value: int
    is_global: bool = False


@dataclass(frozen=True, slots=True)
class Relocation:
    """Patch `offset` of a section with the address of `symbol` + addend, encoded as `kind` says."""

    offset: int
    kind: int
    symbol: Symbol
    addend: int


@dataclass(slots=True)
class Section:
    """`size` bytes in memory; `data` is empty where they start as zeros."""

    name: str
    flags: int
    alignment: int
    size: int
    data: bytes
    relocations: list[Relocation] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Object:
    """A relocatable object of one machine ("x86-64" or "aarch64"); sections keep their numbers."""

    machine: str
    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]


def read(data: bytes) -> Object:
    """Parse an object file; DeviceError when it is no ELF64 relocatable of a machine in MACHINES."""
    try:
        return _read(data)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise DeviceError(f"the object file is cut short or damaged ({error})", location="link") from None


def _read(data: bytes) -> Object:
    (
        ident,
        kind,
        machine,
        *_,
    ) = _HEADER.unpack_from(data)
    offset, size, count, names = (_HEADER.unpack_from(data)[i] for i in (6, 11, 12, 13))
    if ident[:6] != b"\x7fELF\x02\x01" or kind != ET_REL:
        raise DeviceError(
            "expected a 64-bit little-endian ELF relocatable object",
            location="link",
            hint="emit for a triple that ends in -linux-gnu or -none-elf",
        )
    if machine not in MACHINES:
        raise DeviceError(
            f"ELF machine {machine} can't be linked here, only {', '.join(MACHINES.values())}",
            location="link",
            hint="use --emit object and the platform's own linker",
        )
    headers = [_SECTION.unpack_from(data, offset + i * size) for i in range(count)]

    def contents(header: tuple[int, ...]) -> bytes:
        return b"" if header[1] == SHT_NOBITS else data[header[4] : header[4] + header[5]]

    text = contents(headers[names])
    sections = tuple(
        Section(_text(text, header[0]), header[2], max(1, header[8]), header[5], contents(header))
        for header in headers
    )
    symbols: tuple[Symbol, ...] = ()
    for header in headers:
        if header[1] == SHT_SYMTAB:
            strings = contents(headers[header[6]])
            symbols = tuple(
                Symbol(_text(strings, name), section, value, info >> 4 != _LOCAL)
                for name, info, _, section, value, _ in _SYMBOL.iter_unpack(contents(header))
            )
    for header in headers:
        if header[1] == SHT_REL and sections[header[7]].flags & SHF_ALLOC:
            raise DeviceError("relocations without addends are not read here", location="link")
        if header[1] == SHT_RELA:
            sections[header[7]].relocations.extend(
                Relocation(where, info & 0xFFFFFFFF, symbols[info >> 32], addend)
                for where, info, addend in _RELA.iter_unpack(contents(header))
            )
    return Object(MACHINES[machine], sections, symbols)


def merged(objects: Sequence[Object]) -> Object:
    """Several objects of one machine as one: what one leaves undefined and another defines for all is found there.

    DeviceError for a global symbol with two definitions, and for objects of different machines.
    """
    if len({each.machine for each in objects}) != 1:
        raise DeviceError("objects of different machines can't be linked", location="link")
    sections: list[Section] = []
    symbols: dict[tuple[int, Symbol], Symbol] = {}
    found: dict[str, Symbol] = {}
    for number, each in enumerate(objects):
        for symbol in each.symbols:
            moved = symbol
            if symbol.section not in (SHN_UNDEF, SHN_ABS, SHN_COMMON):
                moved = Symbol(symbol.name, symbol.section + len(sections), symbol.value, symbol.is_global)
                if symbol.is_global and symbol.name in found:
                    raise DeviceError(f"symbol '{symbol.name}' is defined twice", location="link")
                if symbol.is_global:
                    found[symbol.name] = moved
            symbols[number, symbol] = moved
        sections += each.sections
    resolved = []
    start = 0
    for number, each in enumerate(objects):
        for section in sections[start : start + len(each.sections)]:
            relocations = []
            for relocation in section.relocations:
                symbol = symbols[number, relocation.symbol]
                if symbol.section == SHN_UNDEF:
                    symbol = found.get(symbol.name, symbol)
                relocations.append(Relocation(relocation.offset, relocation.kind, symbol, relocation.addend))
            resolved.append(replace(section, relocations=relocations))
        start += len(each.sections)
    return Object(objects[0].machine, tuple(resolved), tuple(dict.fromkeys(symbols.values())))


def _text(table: bytes, offset: int) -> str:
    return table[offset : table.index(b"\0", offset)].decode() if offset < len(table) else ""
