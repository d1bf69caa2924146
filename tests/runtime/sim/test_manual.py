"""The manual says of every field where it lies, what it may be and what it means."""

from isthmus.runtime.sim.manual import manual

from .test_isa import TOY, Copy


def test_every_instruction_and_field_has_its_line():
    text = manual(TOY)
    for kind in TOY.kinds:
        assert f"## `{kind.mnemonic}`\n\n*Opcode {kind.opcode}, " in text
        for place in kind.layout.places:
            low = 64 * place.lane + place.shift
            assert f"| {place.operand.name} | {low + place.operand.bits - 1}:{low} | " in text
    assert "| source | 95:64 | 0 to 4294967295 | byte address |  | from; advances in loops |" in text
    assert "| mode | " in text
    assert "| 0 plain, 1 fast, 2 slow |  | plain | how |" in text
    assert "`parts`: up to 5 items of 32 bits. What." in text
    assert Copy.layout.words > 1
    assert "*Opcode 3, queue `move`, 1 to 2 words.*" in text
