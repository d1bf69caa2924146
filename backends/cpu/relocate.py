"""How a relocation is written into the bytes: one small function a kind, in a table a machine.

Sources: AMD64 ABI 1.0, table 4.9; ELF for the Arm 64-bit Architecture (IHI 0056), section 5.7.
Offsets are relative to the image's base, which is page aligned, so page-relative kinds come out right anywhere.
"""

import struct
from collections.abc import Callable

from ...runtime.errors import DeviceError
from ...runtime.records import dataclass

# (image, place, target + addend) -> None; target and place are offsets from the base
Patch = Callable[[bytearray, int, int], None]


@dataclass(frozen=True, slots=True)
class Kind:
    """`patch` writes the field; `indirect` goes through a pointer cell; `absolute` needs the base at load."""

    name: str
    patch: Patch | None = None
    indirect: bool = False
    absolute: bool = False


def _field(code: str) -> Patch:
    cell = struct.Struct("<" + code)

    def patch(image: bytearray, place: int, target: int) -> None:
        cell.pack_into(image, place, _fit(target - place, 8 * cell.size))

    return patch


def _fit(value: int, bits: int) -> int:
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise DeviceError(f"a distance of {value} bytes does not fit {bits} bits", location="link")
    return value


def _or(image: bytearray, place: int, bits: int) -> None:
    struct.pack_into("<I", image, place, struct.unpack_from("<I", image, place)[0] | bits)


def _branch(width: int, shift: int) -> Patch:
    """A word distance of `width` bits at bit `shift` of the instruction."""

    def patch(image: bytearray, place: int, target: int) -> None:
        words = _fit(target - place, width + 2) >> 2
        _or(image, place, (words & (1 << width) - 1) << shift)

    return patch


def _adr(page: bool) -> Patch:
    def patch(image: bytearray, place: int, target: int) -> None:
        value = (target >> 12) - (place >> 12) if page else target - place
        value = _fit(value, 21) & 0x1FFFFF
        _or(image, place, (value & 3) << 29 | (value >> 2) << 5)

    return patch


def _low12(shift: int) -> Patch:
    """The low 12 bits of the target, in units of 1 << shift bytes."""

    def patch(image: bytearray, place: int, target: int) -> None:
        low = target & 0xFFF
        if low & (1 << shift) - 1:
            raise DeviceError(
                f"an operand at offset {target} is not {1 << shift}-byte aligned", location="link"
            )
        _or(image, place, low >> shift << 10)

    return patch


KINDS: dict[str, dict[int, Kind]] = {
    "x86-64": {
        1: Kind("R_X86_64_64", absolute=True),
        2: Kind("R_X86_64_PC32", _field("i")),
        4: Kind("R_X86_64_PLT32", _field("i")),
        9: Kind("R_X86_64_GOTPCREL", _field("i"), indirect=True),
        24: Kind("R_X86_64_PC64", _field("q")),
        41: Kind("R_X86_64_GOTPCRELX", _field("i"), indirect=True),
        42: Kind("R_X86_64_REX_GOTPCRELX", _field("i"), indirect=True),
    },
    "aarch64": {
        257: Kind("R_AARCH64_ABS64", absolute=True),
        260: Kind("R_AARCH64_PREL64", _field("q")),
        261: Kind("R_AARCH64_PREL32", _field("i")),
        274: Kind("R_AARCH64_ADR_PREL_LO21", _adr(page=False)),
        275: Kind("R_AARCH64_ADR_PREL_PG_HI21", _adr(page=True)),
        277: Kind("R_AARCH64_ADD_ABS_LO12_NC", _low12(0)),
        278: Kind("R_AARCH64_LDST8_ABS_LO12_NC", _low12(0)),
        279: Kind("R_AARCH64_TSTBR14", _branch(14, 5)),
        280: Kind("R_AARCH64_CONDBR19", _branch(19, 5)),
        282: Kind("R_AARCH64_JUMP26", _branch(26, 0)),
        283: Kind("R_AARCH64_CALL26", _branch(26, 0)),
        284: Kind("R_AARCH64_LDST16_ABS_LO12_NC", _low12(1)),
        285: Kind("R_AARCH64_LDST32_ABS_LO12_NC", _low12(2)),
        286: Kind("R_AARCH64_LDST64_ABS_LO12_NC", _low12(3)),
        299: Kind("R_AARCH64_LDST128_ABS_LO12_NC", _low12(4)),
        311: Kind("R_AARCH64_ADR_GOT_PAGE", _adr(page=True), indirect=True),
        312: Kind("R_AARCH64_LD64_GOT_LO12_NC", _low12(3), indirect=True),
    },
}
