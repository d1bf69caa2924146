"""Loads that begin before their turn, while the work before them runs.

A fetch unit hands on instructions in their order, so a load would wait behind all work that stands before it, of its
own kernel and of the one before. Loads move up as far as nothing that they pass touches the same bytes, and as their
queue has room: a full one would stop the fetch unit, and with it all others.
"""

from collections.abc import Collection, Sequence

from ...runtime.sim.fields import Instruction
from .sync import Touched, dependences

SPARE = 2
"""Entries of a queue that loads before their turn leave free."""


def loads_ahead(
    records: Sequence[Instruction],
    loads: Collection[str],
    queues: Sequence[str],
    depth: int,
    touched: Touched,
) -> list[int]:
    """The positions of the instructions of kernels that follow one another, in their new order. `loads` are those of
    the `queues` that load, each `depth` deep."""
    after = [max(needed.values(), default=-1) for needed in dependences(records, queues, touched)]
    waiting = {name: [n for n, record in enumerate(records) if record.queue == name] for name in loads}
    begun, passed = dict.fromkeys(loads, 0), dict.fromkeys(loads, 0)
    out: list[int] = []
    for turn, record in enumerate(records):
        if record.queue in waiting:
            passed[record.queue] += 1
        for name, members in waiting.items():
            most = min(len(members), passed[name] + max(0, depth - SPARE))
            while begun[name] < most and (members[begun[name]] <= turn or after[members[begun[name]]] < turn):
                out.append(members[begun[name]])
                begun[name] += 1
        if record.queue not in waiting:
            out.append(turn)
    return out
