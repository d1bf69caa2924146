"""The package of SystemVerilog that is derived from the declarations of instructions."""

import re

import pytest

pytest.importorskip("hardware", reason="the tests run outside the repository")

from hardware.fields import INSTRUCTIONS, package
from hardware.simulation import FAMILIES

FAMILY = {each.name: each for each in FAMILIES}
BITS = {"dtype_e": 3, "operation_e": 6, "header_t": 44}


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_every_struct_has_all_bits_of_its_words_and_fields_where_they_lie(name: str) -> None:
    text = package(name, FAMILY[name].queues)
    structs = {title: body for body, title in re.findall(r"struct packed \{([^}]*)\} (\w+)_fields_t", text)}
    for kind in INSTRUCTIONS[name][0].kinds:
        above, lowest = 128 * kind.layout.words, {}
        for type_, high, field in re.findall(
            r"(\w+)(?: signed)?(?: \[(\d+):0\])? (\w+);", structs[kind.mnemonic]
        ):
            above -= int(high) + 1 if high else BITS[type_]
            lowest[field.rstrip("_")] = above
        assert above == 0
        for place in kind.layout.places:
            assert lowest[place.operand.name] == 64 * place.lane + place.shift


@pytest.mark.parametrize(
    ("name", "like", "others"), [("n1", "lda", ("ldw", "sto")), ("f1", "load", ("weights", "save"))]
)
def test_all_copies_have_their_fields_where_the_load_has_them(
    name: str, like: str, others: tuple[str, ...]
) -> None:
    """`copy_of` reads them all as loads."""
    kinds = INSTRUCTIONS[name][0].by_mnemonic
    order = {each.operand.name: (each.lane, each.shift) for each in kinds[like].layout.places}
    alias = {"spw": "spa"}
    for each in others:
        for place in kinds[each].layout.places:
            assert order[alias.get(place.operand.name, place.operand.name)] == (place.lane, place.shift)


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_every_queued_instruction_has_the_queue_that_it_declares(name: str) -> None:
    text = package(name, FAMILY[name].queues)
    queues = re.search(r"queue_of\(.*?endfunction", text, re.DOTALL)
    assert queues is not None
    for kind in INSTRUCTIONS[name][0].kinds:
        (found,) = re.findall(rf"OP_{kind.mnemonic.upper()}\b[^:]*: return (\d);", queues[0]) or ["5"]
        assert [*FAMILY[name].queues, ""][int(found)] == kind.queue
