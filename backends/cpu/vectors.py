"""Vectors in registers: masks, single lanes, transposition, plain and masked loads and stores."""

from collections.abc import Sequence

from ...compiler.ir.types import DType, boolean
from .builder import Builder, Register
from .literals import element_type, vector_type


def load(
    builder: Builder,
    pointer: Register,
    dtype: DType,
    lanes: int,
    mask: Register | None,
    fill: Register | None,
) -> Register:
    """A plain or masked load; bools are bytes in memory."""
    element = "i8" if dtype == boolean else element_type(dtype)
    type = vector_type(element, lanes)
    align = max(1, dtype.bytes)
    if mask is None:
        value = builder.here(type, f"load {type}, ptr {pointer.text}, align {align}")
    else:
        passthrough = Register("zeroinitializer", type) if fill is None else fill
        if dtype == boolean and fill is not None:
            passthrough = builder.pure(type, f"zext {fill.type} {{0}} to {type}", [fill])
        name = f"llvm.masked.load.v{lanes}{_mangled(element)}.p0"
        callee = builder.intrinsic(name, type, ["ptr", "i32 immarg", mask.type, type])
        arguments = f"ptr {pointer.text}, i32 {align}, {mask}, {passthrough}"
        value = builder.here(type, f"call {type} {callee}({arguments})")
    if dtype != boolean:
        return value
    flag = vector_type("i1", lanes)
    zero = Register("zeroinitializer" if lanes else "0", type)
    return builder.here(flag, f"icmp ne {type} {value.text}, {zero.text}")


def store(
    builder: Builder, value: Register, pointer: Register, align: int, lanes: int, mask: Register | None
) -> None:
    """A plain or masked store of a value as it is in memory."""
    if mask is None:
        builder.line(f"store {value}, ptr {pointer.text}, align {align}")
        return
    name = f"llvm.masked.store.v{lanes}{_mangled(_element(value))}.p0"
    callee = builder.intrinsic(name, "void", [value.type, "ptr", "i32 immarg", mask.type])
    builder.line(f"call void {callee}({value}, ptr {pointer.text}, i32 {align}, {mask})")


def lane(builder: Builder, value: Register, number: int) -> Register:
    """One lane of a vector, a scalar as it is."""
    if not value.type.startswith("<"):
        return value
    return builder.here(_element(value), f"extractelement {value.type} {value.text}, i64 {number}")


def transposed(builder: Builder, square: Sequence[Register]) -> list[Register]:
    """The columns of a square of as many vectors as they have lanes, a power of two."""
    turned, lanes = list(square), len(square)
    distance = 1
    while distance < lanes:
        for n in range(lanes):
            if not n & distance:
                pair = turned[n], turned[n + distance]
                turned[n], turned[n + distance] = _exchanged(builder, *pair, distance, lanes)
        distance *= 2
    return turned


def _exchanged(
    builder: Builder, x: Register, y: Register, distance: int, lanes: int
) -> tuple[Register, Register]:
    """One step of a transposition: the blocks of `distance` lanes off the diagonal change places."""
    low = [n if not n & distance else lanes + n - distance for n in range(lanes)]
    high = [n + distance if not n & distance else lanes + n for n in range(lanes)]
    return _shuffled(builder, x, y, low), _shuffled(builder, x, y, high)


def _shuffled(builder: Builder, x: Register, y: Register, order: Sequence[int]) -> Register:
    """As many lanes of two vectors as one has, by their numbers in both."""
    mask = ", ".join(f"i32 {n}" for n in order)
    text = f"shufflevector {x.type} {{0}}, {x.type} {{1}}, <{len(order)} x i32> <{mask}>"
    return builder.pure(x.type, text, [x, y])


def woven(builder: Builder, parts: Sequence[Register]) -> list[Register]:
    """Lane 0 of all parts, lane 1 of all parts, and so on, as as many vectors; a power of two of them."""
    if len(parts) == 1:
        return list(parts)
    evens, odds = woven(builder, parts[::2]), woven(builder, parts[1::2])
    lanes = _lanes(parts[0])
    orders = [[half * lanes // 2 + n // 2 + n % 2 * lanes for n in range(lanes)] for half in (0, 1)]
    pairs = zip(evens, odds, strict=True)
    return [_shuffled(builder, x, y, order) for x, y in pairs for order in orders]


def unwoven(builder: Builder, run: Sequence[Register]) -> list[Register]:
    """The parts that `woven` makes such a run of."""
    if len(run) == 1:
        return list(run)
    lanes = _lanes(run[0])
    pairs = list(zip(run[::2], run[1::2], strict=True))
    evens, odds = (
        unwoven(builder, [_shuffled(builder, x, y, range(first, 2 * lanes, 2)) for x, y in pairs])
        for first in (0, 1)
    )
    return [part for both in zip(evens, odds, strict=True) for part in both]


def mask_of(left: int, lanes: int) -> Register:
    """A constant mask of the first lanes."""
    return flags([n < left for n in range(lanes)])


def flags(lanes: Sequence[bool]) -> Register:
    """A constant mask."""
    return Register(f"<{', '.join(f'i1 {str(flag).lower()}' for flag in lanes)}>", f"<{len(lanes)} x i1>")


def _element(vector: Register) -> str:
    return vector.type.split(" x ")[1][:-1]


def _lanes(vector: Register) -> int:
    return int(vector.type[1:].split(" x ")[0])


def _mangled(element: str) -> str:
    return {"float": "f32", "double": "f64", "half": "f16"}.get(element, element)
