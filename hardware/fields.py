"""The instructions of a family for SystemVerilog: the package `fields_pkg`, derived from their declarations as the
manual is. `python -m hardware.fields n1` prints it.

It has a struct for each instruction and each item of its lists, opcodes, the operations of vector programs, the queue
of an opcode, what words hold that are not stored, where lists begin, and what loops add.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence

from isthmus.backends.fpga.isa import F1
from isthmus.backends.fpga.isa import MICROCODE as F1_MICROCODE
from isthmus.backends.npu.isa import MICROCODE as N1_MICROCODE
from isthmus.backends.npu.isa import N1
from isthmus.runtime.sim.fields import (
    HEADER,
    HEADER_BITS,
    LANE,
    Group,
    Instruction,
    Operand,
    Place,
    advancing,
)
from isthmus.runtime.sim.isa import Isa
from isthmus.runtime.sim.microcode import COMBINES, SOURCES
from isthmus.runtime.sim.operations import OPERATIONS, TYPES, VALUE_TYPES

INSTRUCTIONS = {"n1": (N1, N1_MICROCODE), "f1": (F1, F1_MICROCODE)}
"""By family its instruction set, and what its vector programs are made of."""
WORD = 2 * LANE
_RESERVED = ("near", "table", "type", "wait", "signal")
"""Names that SystemVerilog or C++ has for itself, or the shell."""
_MOST_STEPS = 4
"""Of an instruction without lists: they are one word."""


def package(name: str, queues: Sequence[str]) -> str:
    """The package of a family; `queues` in the order of the shell's numbers."""
    isa, microcode = INSTRUCTIONS[name]
    known = list(microcode.operations)
    operations = [*known, *(each for each in OPERATIONS if each not in known)]  # the shell names all of them
    lines = [
        *_numbers("OP", HEADER["opcode"], {kind.mnemonic: kind.opcode for kind in isa.kinds}),
        *_numbers("FROM", 2, {name: number for number, name in enumerate(SOURCES)}),
        *_numbers("COMBINE", 2, {name: number for number, name in enumerate(COMBINES)}),
        *_numbers("TYPE", 2, {name: number for number, name in enumerate(VALUE_TYPES)}),
        f"localparam int LONGEST = {max(map(_words, isa.kinds))};  // words of an instruction with all its lists",
        f"typedef logic [LONGEST-1:0][{WORD - 1}:0] words_t;",
        *_enum("operation_e", HEADER["opcode"], operations),
        *_enum("dtype_e", 3, TYPES),
        *_header(),
    ]
    items = {
        group.item.__name__.lower(): group.item for kind in isa.kinds for group in kind.groups if group.item
    }
    for title, item in sorted(items.items()):
        lines += _struct(title, item.layout.places, item.size, 0)
    for kind in isa.kinds:
        lines += _struct(kind.mnemonic, kind.layout.places, WORD * kind.layout.words, HEADER_BITS)
        lines += _lanes(kind)
    special = [each.upper() for each in known if microcode.operations[each].cost == "special"]
    lines += _function("logic special(input operation_e op)", [f"return op inside {{{', '.join(special)}}};"])
    lines += [*_queue_of(isa, queues), *_has_lists(isa), *_defaults(isa), *_advanced(isa)]
    title = f"// Derived from the declarations of {name} by hardware/fields.py; docs/{name}.md says the same in words."
    return "\n".join([title, "package fields_pkg;", *("  " + line for line in lines), "endpackage", ""])


def _opcode(kind: type[Instruction]) -> str:
    return f"OP_{kind.mnemonic.upper()}"


def _numbers(prefix: str, bits: int, named: Mapping[str, int]) -> Iterator[str]:
    for name, number in named.items():
        yield f"localparam logic [{bits - 1}:0] {prefix}_{name.upper()} = {number};"


def _enum(name: str, bits: int, choices: Sequence[str]) -> Iterator[str]:
    yield f"typedef enum logic [{bits - 1}:0] {{"
    yield from (f"  {each.upper()} = {n}{',' * (n + 1 < len(choices))}" for n, each in enumerate(choices))
    yield f"}} {name};"


def _function(head: str, body: Sequence[str]) -> list[str]:
    return [f"function automatic {head};", *("  " + line for line in body), "endfunction"]


# --- fields -----------------------------------------------------------------------------------------------------------


def _header() -> Iterator[str]:
    yield "typedef struct packed {"
    for name, bits in reversed(HEADER.items()):
        yield f"  logic [{bits - 1}:0] {name}{'s' * (name in _RESERVED)};"
    yield "} header_t;"


def _struct(name: str, places: Sequence[Place], bits: int, reserved: int) -> Iterator[str]:
    """Fields from the highest bit on; in the `reserved` ones is the header."""
    yield "typedef struct packed {"
    above = bits
    for place in sorted(places, key=_lowest, reverse=True):
        low, field = _lowest(place), place.operand
        yield from _unused(low + field.bits, above)
        yield f"  {_type(field)} {field.name}{'_' * (field.name in _RESERVED)};"
        above = low
    yield from _unused(reserved, above)
    if reserved:
        yield "  header_t header;"
    yield f"}} {name}_fields_t;"


def _lowest(place: Place) -> int:
    return LANE * place.lane + place.shift


def _unused(low: int, high: int) -> Iterator[str]:
    if high > low:
        yield f"  logic [{high - low - 1}:0] unused_{low};"


def _type(field: Operand) -> str:
    if field.choices == TYPES:
        return "dtype_e"
    if field.name == "op":
        return "operation_e"
    return f"logic{' signed' * field.signed} [{field.bits - 1}:0]"


# --- lists ------------------------------------------------------------------------------------------------------------


def _words(kind: type[Instruction]) -> int:
    lanes = sum(-(-group.most * _bits(group) // LANE) for group in kind.groups)
    return kind.layout.words + (lanes + 1) // 2


def _bits(group: Group) -> int:
    """Of an item."""
    return 32 if group.item is None else group.item.size


def _lanes(kind: type[Instruction]) -> Iterator[str]:
    """The lane at which each list begins, and behind the last one the steps."""
    lane = f"6'd{2 * kind.layout.words}"
    for group in kind.groups:
        yield from _lane(kind, group.name, lane)
        count, bits = f"6'(x.{group.count.name})", _bits(group)
        taken = f"({count} + 6'd1) / 6'd2" if bits < LANE else f"6'd{bits // LANE} * {count}"
        lane = f"{kind.mnemonic}_{group.name}_at(x) + {taken}"
    if kind.groups and _steps(kind):
        yield from _lane(kind, "steps", lane)


def _lane(kind: type[Instruction], name: str, lane: str) -> list[str]:
    return _function(
        f"logic [5:0] {kind.mnemonic}_{name}_at(input {kind.mnemonic}_fields_t x)", [f"return {lane};"]
    )


# --- what fetch does --------------------------------------------------------------------------------------------------


def _cases(head: str, result: str, cases: Sequence[tuple[str, str]], otherwise: str) -> list[str]:
    """A function of an opcode."""
    body = [f"  {opcodes}: return {value};" for opcodes, value in cases if opcodes]
    return _function(
        f"{result} {head}(input logic [{HEADER['opcode'] - 1}:0] opcode)",
        ["case (opcode)", *body, f"  default: return {otherwise};", "endcase"],
    )


def _queue_of(isa: Isa, queues: Sequence[str]) -> list[str]:
    """The number of the queue; that behind the last one where the fetch unit executes it."""
    members = (", ".join(_opcode(kind) for kind in isa.kinds if kind.queue == queue) for queue in queues)
    return _cases("queue_of", "logic [2:0]", [(m, f"{n}") for n, m in enumerate(members)], f"{len(queues)}")


def _has_lists(isa: Isa) -> list[str]:
    return _cases("has_lists", "logic", [(", ".join(_opcode(k) for k in isa.kinds if k.groups), "1")], "0")


def _defaults(isa: Isa) -> list[str]:
    """What the words hold that an instruction does not store."""
    most = max(kind.layout.words for kind in isa.kinds)
    values = {
        _opcode(kind): sum(
            (each.operand.default or 0) << _lowest(each) for each in kind.layout.places if each.lane > 1
        )
        for kind in isa.kinds
        if not kind.groups
    }
    cases = [(opcode, f"{WORD * most}'h{value:x}") for opcode, value in values.items() if value]
    return _cases("defaults", f"logic [{most - 1}:0][{WORD - 1}:0]", cases, "'0")


def _steps(kind: type[Instruction]) -> int:
    """Fields to which loops add, those of an item counted once."""
    fixed, items = advancing(kind)
    return len(fixed) + sum(map(len, items.values()))


def _advanced(isa: Isa) -> list[str]:
    """An instruction after so many turns of its loop; `steps` is the last word of one without lists."""
    body = [
        "words_t x = line[LONGEST-1:0];",
        f"logic [2*LONGEST-1:0][{LANE - 1}:0] lanes = x;",
        f"logic [63:0][{LANE - 1}:0] stored = line;",
        f"logic [{_MOST_STEPS - 1}:0][31:0] by = steps;",
        "header_t header = header_t'(line[0]);",
        "logic [5:0] at;",
        "case (header.opcode)",
    ]
    for kind in isa.kinds:
        if _steps(kind):
            moves = _moves_of_items(kind) if kind.groups else _moves(kind)
            body += [f"  {_opcode(kind)}: begin", *("    " + line for line in moves), "  end"]
    arguments = "input logic [31:0][127:0] line, input logic [127:0] steps, input logic [19:0] turns"
    return _function(f"words_t advanced({arguments})", [*body, "  default: ;", "endcase", "return lanes;"])


def _moves(kind: type[Instruction]) -> Iterator[str]:
    places = {place.operand.name: place for place in kind.layout.places}
    for number, field in enumerate(advancing(kind)[0]):
        place = places[field.name]
        yield f"lanes[{place.lane}][{place.shift}+:{field.bits}] += {field.bits}'(by[{number}] * 32'(turns));"


def _moves_of_items(kind: type[Instruction]) -> Iterator[str]:
    """In what is declared one field of the items of one list advances."""
    ((group, moving),) = [
        (group, moving) for group in kind.groups if (moving := advancing(kind)[1][group.name])
    ]
    assert group is kind.groups[0]
    assert group.item is not None
    (place,) = [place for place in group.item.layout.places if place.operand in moving]
    (count,) = [each for each in kind.layout.places if each.operand.name == group.count.name]
    lane = f"{2 * kind.layout.words}+{_bits(group) // LANE}*s+{place.lane}"
    step = f"{place.operand.bits}'(stored[at+6'(s/2)][32*(s%2)+:32] * 32'(turns))"
    yield f"at = {kind.mnemonic}_steps_at({kind.mnemonic}_fields_t'(line[{kind.layout.words - 1}:0]));"
    yield f"for (int s = 0; s < {group.most}; s++)"
    yield f"  if (s < 32'(stored[{count.lane}][{count.shift}+:{count.operand.bits}]))"
    yield f"    lanes[{lane}][{place.shift}+:{place.operand.bits}] += {step};"


if __name__ == "__main__":
    from .simulation import FAMILIES

    print(package(sys.argv[1], next(each.queues for each in FAMILIES if each.name == sys.argv[1])), end="")
