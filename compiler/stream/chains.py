"""Which calls of a segment are one kernel on the chip: those between which a result stays there, where that pays.

A result can stay where the next call alone reads it. Runs of such calls are tiled as one kernel; what that is predicted
to take is compared with the calls' own sum, and the best division of the whole segment is taken.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod

from ...runtime.records import dataclass
from ..diagnostics import UnsupportedError, VerifyError
from ..target.backend import Arena, Call, Constant, Placed
from ..tile.canonical import canonical
from ..tile.join import join
from ..tile.stage import INPUT, LOCAL, OUTPUT, Buffer, Kernel

MOST = 3
"""Calls that one kernel is made of."""

GAIN = 0.98
"""A joint kernel must be predicted to take at most this share of what its calls take."""

HOPE = 0.95
"""Calls of which one engine is busy for more than this share are not tried: there is little to gain."""

_KEPT = 4096
"""Joint kernels that are kept, those that there can't be with them."""
_joins: OrderedDict[object, Kernel | None] = OrderedDict()


@dataclass(frozen=True)
class Costs:
    """What one call is predicted to take: cycles, and of these each engine's own work."""

    cycles: float
    work: Mapping[str, float]


def divide(
    calls: Sequence[Call],
    cost: Callable[[Call], Costs],
    joints: dict[tuple[int, int], Call | None] | None = None,
) -> list[tuple[Call, int]]:
    """The calls of a segment, some of them as one, each with the number of calls that it stands for.

    `cost` raises UnsupportedError for what can't be tiled. `joints` are the runs of these calls that have been joined,
    by their begin and end, for the next division of the same calls.
    """
    single = [cost(call) for call in calls]
    best: list[tuple[float, int, Call | None]] = [(0.0, 0, None)]
    joints = {} if joints is None else joints

    def joint_of(begin: int, end: int) -> Call | None:
        if end - begin == 1:
            return calls[begin]
        if (begin, end) not in joints:
            first = joint_of(begin, end - 1)
            joints[begin, end] = None if first is None else joined([first, calls[end - 1]])
        return joints[begin, end]

    for end in range(1, len(calls) + 1):
        options = [(best[end - 1][0] + single[end - 1].cycles, 1, calls[end - 1])]
        for begin in range(end - 2, max(-1, end - 1 - MOST), -1):
            apart = sum(each.cycles for each in single[begin:end])
            if _least(single[begin:end]) > HOPE * apart:
                continue
            joint = joint_of(begin, end)
            if joint is None:
                break
            try:
                together = cost(joint).cycles
            except (UnsupportedError, VerifyError):
                continue
            if together <= GAIN * apart:
                options.append((best[begin][0] + together, end - begin, joint))
        best.append(min(options, key=lambda option: option[0]))
    out: list[tuple[Call, int]] = []
    end = len(calls)
    while end:
        _, count, call = best[end]
        assert call is not None
        out.append((call, count))
        end -= count
    return out[::-1]


def _least(costs: Sequence[Costs]) -> float:
    """What calls take at least however they are joined: all the work of the busiest engine."""
    names = {name for each in costs for name in each.work}
    return max((sum(each.work.get(name, 0.0) for each in costs) for name in names), default=0.0)


def joined(calls: Sequence[Call]) -> Call | None:
    """Calls as one; None where what lies between two of them is read elsewhere, or seen differently."""
    first, *others = calls
    for second in others:
        link = _link(first, second)
        if link is None:
            return None
        kernel = _join(first.kernel, second.kernel, *link)
        if kernel is None or _overwrites(first, second):
            return None
        kept = [*_placed(first, link[0]), *_placed(second, link[1])]
        outer = [buffer for buffer in kernel.buffers if buffer.role != LOCAL]
        operands = {
            b.name: placed_as(operand, b.static_shape) for b, operand in zip(outer, kept, strict=True)
        }
        first = Call(kernel, operands, first.location.merge(second.location), f"{first.name}+{second.name}")
    return first


def _join(first: Kernel, second: Kernel, result: str, operand: str) -> Kernel | None:
    """`join`, once for kernels of the same normal forms: layers repeat, and names mean nothing to a chip."""
    places = first.buffers.index(first.buffer(result)), second.buffers.index(second.buffer(operand))
    key = canonical(first)[2], canonical(second)[2], *places
    if key not in _joins:
        _joins[key] = join(first, second, result, operand)
        while len(_joins) > _KEPT:
            _joins.popitem(last=False)
    return _joins[key]


def _overwrites(first: Call, second: Call) -> bool:
    """Whether the second call's results lie at home where the first one's operands do, which would still be read."""
    read = [_range(first, b) for b in first.kernel.role(INPUT)]
    written = [_range(second, b) for b in second.kernel.role(OUTPUT)]
    return any(a[0] < b[1] and b[0] < a[1] for a in read for b in written if a and b)


def _range(call: Call, buffer: Buffer) -> tuple[int, int] | None:
    """The bytes of the arena that an operand takes."""
    placed = call.operands[buffer.name]
    if not isinstance(placed, Arena):
        return None
    return placed.offset, placed.offset + prod(buffer.static_shape) * buffer.dtype.bytes


def _placed(call: Call, without: str = "") -> list[Placed]:
    """The operands of a call in the order of its buffers, one left out."""
    return [call.operands[b.name] for b in call.kernel.buffers if b.role != LOCAL and b.name != without]


def placed_as(operand: Placed, shape: tuple[int, ...]) -> Placed:
    """An operand for a buffer of another shape of as many elements."""
    if isinstance(operand, Constant):
        return replace(operand, shape=shape)
    return operand


def _link(first: Call, second: Call) -> tuple[str, str] | None:
    """The buffer that the first call writes and the second alone reads, as each of them names it."""
    results = first.kernel.role(OUTPUT)
    if len(results) != 1 or len(first.kernel.writers(results[0].name)) != 1:
        return None
    placed = first.operands[results[0].name]
    if not isinstance(placed, Arena) or placed.readers != 1:
        return None
    found = [b.name for b in second.kernel.role(INPUT) if second.operands[b.name] == placed]
    if len(found) != 1:
        return None
    return results[0].name, found[0]
