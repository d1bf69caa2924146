"""Arrays that stay in a scratchpad, from the kernel that writes them to the last one that reads them.

Otherwise a result goes home and comes back, and its reader waits for both. It stays where its readers are kernels of
the same segment and there is room beside their tiles, which lie at alternating ends of the memory: as one tile of the
whole array, with the padding that readers want around it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from math import prod

from ...runtime.records import dataclass
from ..target.backend import Arena, Call, Placed
from ..target.description import Memory
from ..tile.stage import INPUT, OUTPUT, Affine, Lookup, Number, Stage
from .emit import ALIGNMENT, Emission, Ints, Tile


@dataclass(frozen=True)
class Part:
    """A kernel that is about to be written, and where its operands lie at home."""

    emission: Emission
    operands: Mapping[str, Placed]

    def arena(self, role: str) -> Iterator[tuple[str, Arena, tuple[int, int]]]:
        """The buffers of a role that lie in the arena: name, place, and the bytes there."""
        for buffer in self.emission.kernel.role(role):
            placed = self.operands[buffer.name]
            if isinstance(placed, Arena):
                size = prod(buffer.static_shape) * buffer.dtype.bytes
                yield buffer.name, placed, (placed.offset, placed.offset + size)


@dataclass(frozen=True)
class Step:
    """Kernels that are written together, their independent parts in turn, and the calls that they stand for."""

    parts: Sequence[Part]
    calls: Sequence[Call]


@dataclass(frozen=True)
class Use:
    """A buffer of a part of a step."""

    step: int
    part: int
    buffer: str


@dataclass(frozen=True)
class _Life:
    """An array while it is needed: its uses in the order of steps, and the box that all of them see, which reaches
    past the edges where elements are filled in there; without a fill each use sees its own shape."""

    uses: Sequence[Use]
    box: tuple[Ints, Ints]
    fill: Number | None
    bytes: int

    @property
    def steps(self) -> range:
        return range(self.uses[0].step, self.uses[-1].step + 1)


def residents(steps: Sequence[Step], memory: Memory) -> dict[Use, Tile]:
    """The tiles of all buffers that stay in a memory."""
    tiles: dict[Use, Tile] = {}
    taken: list[tuple[range, int, int]] = []
    for life in _lives(steps, memory.name):
        begin = _room(steps, memory, life, tiles, taken)
        if begin is None:
            continue
        taken.append((life.steps, begin, begin + life.bytes))
        for use in life.uses:
            buffer = steps[use.step].parts[use.part].emission.buffers[use.buffer]
            low, size = life.box if life.fill is not None else ((0,) * len(buffer.shape), buffer.static_shape)
            tiles[use] = Tile(buffer, memory.name, begin, low, size, life.fill)
    return tiles


def _room(
    steps: Sequence[Step],
    memory: Memory,
    life: _Life,
    tiles: Mapping[Use, Tile],
    taken: Sequence[tuple[range, int, int]],
) -> int | None:
    """The lowest address where an array is out of the way of all tiles during its life."""
    ends = [0, 0]
    for number in life.steps:
        need = _need(steps, number, memory.name, (*tiles, *life.uses))
        ends[number % 2] = max(ends[number % 2], need)
    begin = ends[0]
    for others, first, last in sorted(taken, key=lambda each: each[1]):
        if others.start < life.steps.stop and life.steps.start < others.stop and begin + life.bytes > first:
            begin = max(begin, last)
    return begin if begin + life.bytes <= memory.bytes // ALIGNMENT * ALIGNMENT - ends[1] else None


def begins(
    steps: Sequence[Step], memories: Sequence[Memory], near: str, kept: Collection[Use]
) -> list[dict[str, int]]:
    """For each step the address in each memory from which its tiles lie, those of `kept` left out: at alternating ends
    of `near`, so that arrays may stay between them; elsewhere behind the step before, round and round, so that loads
    run ahead as far as there is room."""
    found = []
    behind = {memory.name: 0 for memory in memories}
    for number in range(len(steps)):
        here = {}
        for memory in memories:
            if memory.name == near:
                need, room = _need(steps, number, near, kept), memory.bytes // ALIGNMENT * ALIGNMENT
                here[near] = (room - need) * (number % 2)
            else:
                begin = behind[memory.name]
                reach = _reach(steps, number, memory.name, begin, kept)
                if reach > memory.bytes:
                    begin, reach = 0, _reach(steps, number, memory.name, 0, kept)
                here[memory.name], behind[memory.name] = begin, (begin + reach) % memory.bytes
        found.append(here)
    return found


def _need(steps: Sequence[Step], number: int, memory: str, kept: Collection[Use]) -> int:
    """Bytes of a memory that the tiles of a step take: of its parts, which follow one another, the most."""
    return max(part.emission.need(memory, names) for part, names in _parts(steps, number, kept))


def _reach(steps: Sequence[Step], number: int, memory: str, begin: int, kept: Collection[Use]) -> int:
    """Over how many bytes the tiles of a step reach from an address on."""
    return max(part.emission.placed(memory, begin, names)[1] for part, names in _parts(steps, number, kept))


def _parts(steps: Sequence[Step], number: int, kept: Collection[Use]) -> Iterator[tuple[Part, set[str]]]:
    """The parts of a step, and which of their buffers are kept."""
    for place, part in enumerate(steps[number].parts):
        yield part, {use.buffer for use in kept if (use.step, use.part) == (number, place)}


def _lives(steps: Sequence[Step], memory: str) -> Iterator[_Life]:
    for number, step in enumerate(steps):
        for place, part in enumerate(step.parts):
            for name, placed, span in part.arena(OUTPUT):
                uses = _uses(steps, Use(number, place, name), placed, span)
                if uses is not None and all(_may_stay(steps, use, memory) for use in uses):
                    life = _life(steps, uses)
                    if life is not None:
                        yield life


def _uses(steps: Sequence[Step], first: Use, placed: Arena, span: tuple[int, int]) -> list[Use] | None:
    """The buffer that writes an array and those that read it; None where others may, or see other bytes."""
    uses, readers = [first], 0
    for number in range(first.step, len(steps)):
        step = steps[number]
        if number > first.step:
            readers += sum(_reads(call, placed) for call in step.calls)
            for place, part in enumerate(step.parts):
                for name, other, bytes_ in part.arena(INPUT):
                    if _meet(bytes_, span):
                        if other != placed or bytes_ != span:
                            return None
                        uses.append(Use(number, place, name))
        written = [
            Use(number, place, name)
            for place, part in enumerate(step.parts)
            for name, _, bytes_ in part.arena(OUTPUT)
            if _meet(bytes_, span)
        ]
        if number == first.step and written != [first]:
            return None
        if number > first.step and written:
            break
    return uses if len(uses) > 1 and readers == placed.readers else None


def _reads(call: Call, placed: Arena) -> bool:
    return any(call.operands[buffer.name] == placed for buffer in call.kernel.role(INPUT))


def _meet(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return a[0] < b[1] and b[0] < a[1]


def _may_stay(steps: Sequence[Step], use: Use, memory: str) -> bool:
    """Whether a buffer is held in the memory and may lie there in a larger tile than its own."""
    emission = steps[use.step].parts[use.part].emission
    held = [hold.memory for hold in emission.schedule.holds if hold.buffer == use.buffer]
    return held == [memory] and all(
        _is_strided(emission, stage, use.buffer) for stage in emission.kernel.stages
    )


def _is_strided(emission: Emission, stage: Stage, name: str) -> bool:
    """Whether a stage reads a buffer at any strides: no table, and no operand of a product whose sum runs over axes
    that it does not read as wholes."""
    for access in stage.reads:
        looked_up = [part.access.buffer for part in access.index if isinstance(part, Lookup)]
        if name in looked_up or (access.buffer == name and looked_up):
            return False
    found = emission.products[stage.name]
    if found is None:
        return True
    if found.columns.buffer == name:
        return False
    shape = emission.buffers[found.rows.buffer].static_shape
    singles = [part.single if isinstance(part, Affine) else None for part in found.rows.index]
    return found.rows.buffer != name or all(
        each not in found.k or emission.extents[each] == extent for each, extent in zip(singles, shape)
    )


def _life(steps: Sequence[Step], uses: Sequence[Use]) -> _Life | None:
    """The box that all uses see; None where they fill in different elements, see different shapes of a padded array, or
    none reads all of it: what nobody reads would look like a value that is lost."""
    emissions = [steps[use.step].parts[use.part].emission for use in uses]
    buffers = [each.buffers[use.buffer] for each, use in zip(emissions, uses)]
    if not any(_sees_all(each, use.buffer) for each, use in zip(emissions[1:], uses[1:])):
        return None
    fills = {each.fills[use.buffer] for each, use in zip(emissions, uses) if use.buffer in each.fills}
    shape = buffers[0].static_shape
    low, high = (0,) * len(shape), shape
    if fills:
        if len(fills) > 1 or any(buffer.static_shape != shape for buffer in buffers):
            return None
        for each, use in zip(emissions, uses):
            if use.buffer in each.fills:
                first, size = each.whole(use.buffer)
                low = tuple(map(min, low, first))
                high = tuple(max(h, a + n) for h, a, n in zip(high, first, size))
    size = tuple(h - a for h, a in zip(high, low))
    bytes_ = -(-prod(size) * buffers[0].dtype.bytes // ALIGNMENT) * ALIGNMENT
    return _Life(uses, (low, size), next(iter(fills), None), bytes_)


def _sees_all(emission: Emission, name: str) -> bool:
    """Whether what a kernel reads of a buffer reaches from end to end."""
    low, size = emission.whole(name)
    shape = emission.buffers[name].static_shape
    return all(a <= 0 and a + n >= extent for a, n, extent in zip(low, size, shape))
