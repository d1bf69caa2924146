"""The instructions of a package as text, with the kernels and source nodes that they come from."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ...runtime.program import DeviceProgram
from ...runtime.sim.fields import Loop
from ...runtime.sim.isa import Isa
from ...runtime.sim.stream import Stream
from ..target.assembler import disassemble


def listing(isa: Isa, program: DeviceProgram, code: np.ndarray, location: str) -> str:
    """All entry points, each with a head, kernels as comments."""
    meta = program.meta
    return "\n".join(_entries(isa, meta, code, location))


def _entries(isa: Isa, meta: Mapping[str, Any], code: np.ndarray, location: str) -> Iterator[str]:
    for number, entry in enumerate(meta["entries"]):
        data = code[entry["start"] : entry["end"]].tobytes()
        where = f"{location}: entry {number}"
        stored = isa.decode_stored(data, where)
        yield f"# entry {number} of {meta['chip']['name']}: {len(data)} bytes, {stored.size} instructions"
        yield disassemble(isa, data, _notes(stored, entry["spans"], meta["kernels"]), where)


def _notes(stored: Stream, spans: list[list[int]], kernels: list[Mapping[str, Any]]) -> dict[int, str]:
    """The kernel that begins at an instruction, by its number in the stored code; spans count with loops run out."""
    first = {begin: kernels[kernel] for begin, count, kernel in spans if count}
    notes, fetched, left = {}, 0, 0
    for number, record in enumerate(stored.records):
        if fetched in first and not left:
            kernel = first[fetched]
            notes[number] = f"{kernel['name']}: {', '.join(kernel['sources'])}"
        if isinstance(record, Loop):
            left = record.length
            fetched += record.length * (record.count - 1)
            continue
        fetched += 1
        left = max(0, left - 1)
    return notes
