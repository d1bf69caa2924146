"""Where arrays lie in the arena: lifetimes over steps, largest first, each at the lowest place that is free.

Greedy by size comes within a few percent of the optimum on real networks (Pisarchyk and Lee, "Efficient memory
management for deep neural net inference", 2020).
"""

from collections.abc import Hashable, Iterable

from ...runtime.records import dataclass
from .plan import ALIGNMENT


@dataclass(frozen=True, slots=True)
class Block:
    """Memory that is needed from step `first` to step `last`, both included.

    A block with a `key` shares its bytes with blocks of the same key only: what the others leave untouched in it, the
    zeros of a halo, stays as it is from run to run.
    """

    name: str
    bytes: int
    first: int
    last: int
    key: Hashable = None


def arrange(blocks: Iterable[Block]) -> tuple[dict[str, int], int]:
    """The offset of each block, a multiple of ALIGNMENT, and the size of the arena, all in bytes."""
    offsets: dict[str, int] = {}
    placed: list[tuple[int, int, Block]] = []
    regions: dict[Hashable, list[tuple[int, list[Block]]]] = {}
    top = 0
    for block in sorted(blocks, key=lambda block: (-block.bytes, block.first, block.name)):
        if block.key is not None:
            known = regions.setdefault(block.key, [])
            found = next((r for r in known if not any(_meet(block, other) for other in r[1])), None)
            if found is not None:
                found[1].append(block)
                offsets[block.name] = found[0]
                continue
        begin = 0
        forever = block.key is not None
        for start, end, other in placed:
            if begin + block.bytes <= start:
                break
            if forever or other.key is not None or _meet(block, other):
                begin = max(begin, end)
        offsets[block.name] = begin
        end = begin + -(-block.bytes // ALIGNMENT) * ALIGNMENT
        placed.append((begin, end, block))
        placed.sort(key=lambda entry: entry[:2])
        if forever:
            regions[block.key].append((begin, [block]))
        top = max(top, end)
    return offsets, top


def _meet(a: Block, b: Block) -> bool:
    return a.first <= b.last and b.first <= a.last
