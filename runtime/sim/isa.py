"""An instruction set: from records to bytes and back, many at a time.

`Isa.encode` takes the records that code generation appended to a list; `Isa.decode` gives a `Stream`. How an
instruction lies in its words stands in `fields.py`.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from .decoding import Decoder
from .encoding import collect, encode
from .expansion import expand
from .fields import CONTROL, Instruction
from .stream import Stream


class Isa:
    """An instruction set by name; the control instructions of `fields.py` belong to every one.

    `queues` are the queues' names in the order in which they are first mentioned.
    """

    def __init__(self, name: str, kinds: Sequence[type[Instruction]]):
        self.name = name
        self.kinds: tuple[type[Instruction], ...] = (*CONTROL, *kinds)
        self.by_opcode = {kind.opcode: kind for kind in self.kinds}
        self.by_mnemonic = {kind.mnemonic: kind for kind in self.kinds}
        self.queues = tuple(dict.fromkeys(kind.queue for kind in self.kinds if kind.queue))
        if not len(self.by_opcode) == len(self.by_mnemonic) == len(self.kinds):
            raise ValueError(f"two instructions of {name} share a mnemonic or an opcode")

    def encode(
        self, records: Sequence[Instruction], steps: Mapping[int, Sequence[int]] | None = None
    ) -> bytes:
        """The bytes of a sequence of instructions.

        `steps` are those of instructions in loops, by position in `records`: one number a field that advances, first
        the fixed fields, then those of each item.

        Raises EncodingError naming instruction, field, value and limits, for all that does not fit.
        """
        return encode(self.by_opcode, records, steps or {})

    def collect(self, records: Sequence[Instruction]) -> Stream:
        """A sequence of instructions without loops, as `decode` gives it of their bytes; raises what `encode` does."""
        return collect(self.by_opcode, records)

    def decode(self, code: bytes | np.ndarray, location: str = "code") -> Stream:
        """The instructions in `code` in the order in which they are fetched: loops are run out.

        Raises EncodingError, with `location` in it, for bytes that are no instructions.
        """
        return expand(self.decode_stored(code, location), location)

    def decode_stored(self, code: bytes | np.ndarray, location: str = "code") -> Stream:
        """The instructions in `code` as they are stored, loops and steps included."""
        return Decoder(self.by_opcode, code, location).decode()
