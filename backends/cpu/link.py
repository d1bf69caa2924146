"""Links relocatable objects into one position-independent image that the runtime maps without a linker.

Only the sections that the exports reach are kept, so unwind tables, notes and comments fall away. Code and read-only
data come first, what must stay writable starts on a page of its own.
"""

from collections.abc import Sequence

from ...runtime.errors import DeviceError, Problem
from ...runtime.records import dataclass
from . import elf, relocate
from .abi import CodeFacts
from .pool_ir import POOL_EXPORTS

PAGES = {"x86-64": 4096, "aarch64": 65536}  # the largest page that Linux uses on the machine


@dataclass(frozen=True, slots=True)
class Image:
    """Machine code and its data.

    `code` is mapped at a page boundary and followed by zeros up to `size` bytes. Bytes from `writable` on stay
    writable, those before become read-and-execute (`writable` == `size` when there are none). A fix-up
    (offset, target) asks the loader to store base + target as 8 bytes at base + offset.
    """

    machine: str
    code: bytes
    entries: dict[str, int]
    size: int
    writable: int
    fixups: tuple[tuple[int, int], ...]
    alignment: int


def link(objects: Sequence[bytes], exports: Sequence[str]) -> Image:
    """Lay out and relocate objects, in their order.

    Args:
        objects: ELF64 relocatable for x86-64 or AArch64, compiled position independent (llvmlite's `emit_object`).
        exports: symbols whose offsets the image must tell; hidden ones will do.

    Raises:
        DeviceError: another format or machine; an export that the objects lack; a symbol that they leave undefined
            (each by name) or define twice; a relocation that needs a fixed address.
    """
    source = elf.merged([elf.read(each) for each in objects])
    defined = {symbol.name: symbol for symbol in source.symbols if symbol.section != elf.SHN_UNDEF}
    absent = [name for name in exports if name not in defined]
    if absent:
        raise DeviceError(f"the code does not define {', '.join(absent)}", location="link")
    kept = _reachable(source, [defined[name].section for name in exports])
    layout = _Layout(source, kept)
    return layout.image({name: layout.offset(defined[name]) for name in exports})


def describe(
    image: Image,
    segments: Sequence[str],
    *,
    triple: str,
    cpu: str,
    features: Sequence[str],
    arena: int,
    counters: int,
    steps: Sequence[Sequence[str]] = (),
) -> CodeFacts:
    """What a package says about an image; `segments` are those of its entries that steps call, in order.

    The pool is described when the image exports POOL_EXPORTS. Further arguments: see `abi.CodeFacts`.
    """
    pooled = all(name in image.entries for name in POOL_EXPORTS)
    return CodeFacts(
        triple=triple,
        cpu=cpu,
        features=tuple(features),
        machine=image.machine,
        entries=tuple(image.entries[name] for name in segments),
        pool=tuple(image.entries[name] for name in POOL_EXPORTS) if pooled else (),
        arena=arena,
        counters=counters,
        size=image.size,
        writable=image.writable,
        fixups=image.fixups,
        steps=tuple(tuple(labels) for labels in steps),
    )


def _reachable(source: elf.Object, roots: list[int]) -> list[int]:
    """Sections that `roots` need, in the object's order; DeviceError naming every undefined symbol on the way."""
    found: set[int] = set()
    undefined: set[str] = set()
    while roots:
        number = roots.pop()
        if number in found:
            continue
        found.add(number)
        for relocation in source.sections[number].relocations:
            if relocation.symbol.section == elf.SHN_UNDEF:
                undefined.add(relocation.symbol.name)
            elif relocation.symbol.section in (elf.SHN_ABS, elf.SHN_COMMON):
                raise DeviceError(
                    f"symbol '{relocation.symbol.name}' has no section",
                    location="link",
                    hint="give it a definition",
                )
            else:
                roots.append(relocation.symbol.section)
    if undefined:
        raise DeviceError(
            "",
            problems=[
                Problem("link", f"undefined symbol '{name}'", "emit its code into the module")
                for name in sorted(undefined)
            ],
        )
    return sorted(found)


class _Layout:
    """Where each kept section goes, and the pointer cells that indirect references need."""

    def __init__(self, source: elf.Object, kept: list[int]):
        self.source = source
        self.offsets: dict[int, int] = {}
        self.cells: dict[elf.Symbol, int] = {}
        self.kinds = relocate.KINDS[source.machine]
        sections = source.sections
        end = 0
        for number in sorted((n for n in kept if not _is_writable(sections[n])), key=self._rank):
            end = self._place(number, end)
        end = self._place_cells(kept, end)
        self.writable = end
        writable = [n for n in kept if _is_writable(sections[n])]
        if writable:
            self.writable = end = _align(end, PAGES[source.machine])
            for number in sorted(writable, key=self._rank):
                end = self._place(number, end)
        self.size = end

    def _rank(self, number: int) -> tuple[bool, bool]:
        section = self.source.sections[number]
        return not section.flags & elf.SHF_EXECINSTR, len(section.data) < section.size

    def _place(self, number: int, end: int) -> int:
        section = self.source.sections[number]
        self.offsets[number] = _align(end, section.alignment)
        return self.offsets[number] + section.size

    def _place_cells(self, kept: list[int], end: int) -> int:
        for number in kept:
            for relocation in self.source.sections[number].relocations:
                kind = self._kind(relocation)
                if kind.indirect and relocation.symbol not in self.cells:
                    end = _align(end, 8)
                    self.cells[relocation.symbol] = end
                    end += 8
        return end

    def _kind(self, relocation: elf.Relocation) -> relocate.Kind:
        if relocation.kind not in self.kinds:
            raise DeviceError(
                f"relocation {relocation.kind} against '{relocation.symbol.name}' needs a fixed address or is unknown",
                location="link",
                hint="compile with relocation model pic and code model small",
            )
        return self.kinds[relocation.kind]

    def offset(self, symbol: elf.Symbol) -> int:
        """Bytes from the image's base to the symbol."""
        return self.offsets[symbol.section] + symbol.value

    def image(self, entries: dict[str, int]) -> Image:
        """The relocated bytes."""
        code = bytearray(self.size)
        fixups = [(cell, self.offset(symbol)) for symbol, cell in self.cells.items()]
        for number, base in self.offsets.items():
            section = self.source.sections[number]
            code[base : base + len(section.data)] = section.data
        for number, base in self.offsets.items():
            for relocation in self.source.sections[number].relocations:
                kind = self._kind(relocation)
                place = base + relocation.offset
                target = self.cells[relocation.symbol] if kind.indirect else self.offset(relocation.symbol)
                if kind.patch is not None:
                    kind.patch(code, place, target + relocation.addend)
                else:
                    fixups.append((place, target + relocation.addend))
        return Image(
            machine=self.source.machine,
            code=bytes(code).rstrip(b"\0"),
            entries=entries,
            size=self.size,
            writable=self.writable,
            fixups=tuple(sorted(fixups)),
            alignment=PAGES[self.source.machine],
        )


def _is_writable(section: elf.Section) -> bool:
    """Tables of addresses are patched once, at load, and read-only from then on."""
    return bool(section.flags & elf.SHF_WRITE) and not section.name.startswith(".data.rel.ro")


def _align(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment
