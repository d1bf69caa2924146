"""What memories take to feed a kernel under a schedule, in cycles, for many candidates of one loop order at once.

For every cache the loops that fit in it are found, and what is fetched through them again and again is charged at the
bandwidth of the next memory outwards. Sizes and bandwidths are data of the target.
"""

from collections.abc import Collection, Mapping, Sequence
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np

from ..target.description import Target
from .infer import Range, infer
from .schedule import Hold
from .stage import CONSTANT, INPUT, LOCAL, Access, Affine, Buffer, Kernel, Lookup, dim


def memory_cycles(
    kernel: Kernel,
    target: Target,
    loops: Sequence[str],
    steps: np.ndarray,
    holds: Sequence[Hold],
    beside: Collection[str] = (),
    with_locals: bool = False,
    planes: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, np.ndarray]:
    """Cycles each memory spends feeding the next one inwards, for many candidates of one loop order at once.

    `loops` names the dims of the spine, `steps[depth, candidate]` their tile sizes. A cache keeps the tiles under the
    first loops at which everything fits in it (double-buffered tiles twice); tiles that never fit are fetched again by
    every inner loop. Of short runs of contiguous bytes whole lines are charged. Weights come from home; of all else
    only what the last cache has no room for. Buffers `beside` the loops, touched by no stage inside, are fetched once.
    `with_locals`: their tiles are in caches too. `planes`: how many times its bytes a packed buffer takes, if not once.
    """
    touched = {access.buffer for stage in kernel.stages for access in (*stage.reads, stage.write)}
    tiles = {h.buffer: h.at for h in holds if with_locals and kernel.buffer(h.buffer).role == LOCAL}
    arrays = one_array(kernel)
    used = [
        b
        for b in kernel.buffers
        if b.name in touched and (b.role != LOCAL or b.name in tiles) and arrays.get(b.name, b.name) == b.name
    ]
    buffers = [b for b in used if b.name not in beside or b.name in tiles]
    once = sum(prod(b.static_shape) * b.dtype.bytes for b in used if b not in buffers)
    env: dict[str, Range] = {}
    sparse = _sparse(kernel, buffers, arrays)
    count = steps.shape[1]
    candidates, trips = np.arange(count), np.empty((len(loops), count))
    boxes = [_box_sizes(kernel, buffers, sparse, env)]
    for depth, name in enumerate(loops):
        outer = env.get(name, Range(Affine(), kernel.dims[name].size))
        size = np.minimum(steps[depth], outer.size)
        trips[depth] = -(-outer.size // size)
        env[name] = Range(outer.low + dim(f"L{depth}"), size)
        boxes.append(_box_sizes(kernel, buffers, sparse, env))
    slots = {hold.buffer: hold.slots for hold in holds}
    packed = {hold.buffer for hold in holds if hold.layout is not None}
    # of each buffer, under each number of loops, for each candidate: bytes, those that lie in a row, how often fetched
    bytes = np.empty((len(buffers), len(boxes), count))
    runs = np.full(bytes.shape, np.inf)
    for n, buffer in enumerate(buffers):
        axes = _axes([box[buffer.name] for box in boxes], count)
        bytes[n] = axes.prod(0) * (buffer.dtype.bytes * planes.get(buffer.name, 1))
        if buffer.name in tiles:  # no more of a local exists than its tile
            bytes[n, : tiles[buffer.name]] = bytes[n, tiles[buffer.name]]
        elif buffer.name not in packed:
            runs[n] = _run_bytes(buffer, axes)
    fetches = _fetches(bytes, trips)
    held = bytes * np.array([slots.get(b.name, 1) for b in buffers]).reshape(-1, 1, 1)
    total, every = held.sum(0), trips.prod(0)
    constant = np.array([b.role == CONSTANT for b in buffers])
    left = once + float(bytes[~constant, 0].max(1).sum())
    out = {}
    for cache, source in zip(target.caches, [*target.caches[1:], target.home], strict=True):
        capacity = cache.bytes * cache.usable
        found = min(1.0, max(0.0, left / capacity - 1)) if source.home else 1.0
        fits = total <= capacity
        fits[-1] = True
        at = (
            slice(None),
            fits.argmax(0),
            candidates,
        )  # the first depth at which everything fits, else the innermost
        turns = np.where(held[at] > capacity, every, fetches[at])
        run = runs[at]
        waste = np.maximum(1.0, source.line / run) + source.run_overhead / run
        traffic = np.full(count, float(once))
        for each in bytes[at] * turns * (np.where(constant, 1.0, found)[:, None] * waste):
            traffic += each
        out[source.name] = traffic / source.bandwidth
    return out


def _axes(boxes: Sequence[Sequence[Any]], count: int) -> np.ndarray:
    """The extents of a buffer's boxes, [axis, depth, candidate]."""
    axes = np.empty((len(boxes[0]), len(boxes), count))
    for depth, box in enumerate(boxes):
        for axis, size in enumerate(box):
            axes[axis, depth] = size
    return axes


def _fetches(bytes: np.ndarray, trips: np.ndarray) -> np.ndarray:
    """How often tiles of so many bytes are fetched: loops inside the last one that moves them are free."""
    fetches = np.ones(bytes.shape)
    moves = bytes[:, 1:] < bytes[:, :-1]
    around = trips.cumprod(0)
    for depth in range(len(trips)):
        fetches[:, depth + 1] = np.where(moves[:, depth], around[depth], fetches[:, depth])
    return fetches


def _run_bytes(buffer: Buffer, axes: np.ndarray) -> np.ndarray:
    """Contiguous bytes of boxes in a row-major buffer."""
    run, whole = np.full(axes.shape[1:], float(buffer.dtype.bytes)), np.ones(axes.shape[1:], bool)
    for sizes, extent in zip(axes[::-1], reversed(buffer.static_shape), strict=True):
        run *= np.where(whole, sizes, 1)
        whole &= sizes == extent
    return run


def one_array(kernel: Kernel) -> dict[str, str]:
    """Inputs that are taken to be one array read in several ways, each with the first of them: they have one shape, and
    are read with the same steps at other places. What is read at the same place is another array."""
    groups: dict[object, list[tuple[str, object]]] = {}
    out: dict[str, str] = {}
    shapes = [(b.shape, b.dtype) for b in kernel.role(INPUT)]
    if len(set(shapes)) == len(shapes):
        return out
    reads: dict[str, set[Access]] = {b.name: set() for b in kernel.role(INPUT)}
    for stage in kernel.stages:
        for access in stage.reads:
            if access.buffer in reads:
                reads[access.buffer].add(access)
    for buffer in kernel.role(INPUT):
        found = reads[buffer.name]
        if len(found) != 1 or not all(isinstance(part, Affine) for each in found for part in each.index):
            continue
        parts = [part for each in found for part in each.index if isinstance(part, Affine)]
        group = groups.setdefault((buffer.shape, buffer.dtype, tuple(part.terms for part in parts)), [])
        place = tuple(part.const for part in parts)
        if all(place != other for _, other in group):
            group.append((buffer.name, place))
            out[buffer.name] = group[0][0]
    return out


_Reads = dict[tuple[str, int], dict[Affine | Access, str]]


def _sparse(kernel: Kernel, buffers: Sequence[Buffer], arrays: Mapping[str, str]) -> _Reads:
    """For each axis, but the last one, of which not all between the first and the last element that is read may be: the
    indices that read it, each with a stage that does. All elements that are looked up are such."""
    names = {b.name for b in buffers}
    found: _Reads = {}
    for stage in kernel.stages:
        for access in stage.reads:
            name = arrays.get(access.buffer, access.buffer)
            for axis, part in enumerate(access.index):
                inner = part.access if isinstance(part, Lookup) else part
                if name in names and (isinstance(part, Lookup) or axis < len(access.index) - 1):
                    found.setdefault((name, axis), {})[inner] = stage.name
    return {
        key: reads
        for key, reads in found.items()
        if len(reads) > 1 or any(isinstance(r, Access) or any(abs(c) > 1 for _, c in r.terms) for r in reads)
    }


def _box_sizes(
    kernel: Kernel, buffers: Sequence[Buffer], sparse: _Reads, env: Mapping[str, Range]
) -> dict[str, list[Any]]:
    """The part of each buffer that is touched under the given loops, in elements along each axis; along one that is
    `sparse` no more than are read."""
    found = infer(kernel, env)
    boxes = found.buffers(kernel, {b.name for b in buffers})
    sizes: dict[str, list[Any]] = {name: [range_.size for range_ in box] for name, box in boxes.items()}
    for (name, axis), reads in sparse.items():
        each = [prod(found.stages[stage][d].size for d in index.dims) for index, stage in reads.items()]
        size, extent = sizes[name][axis], kernel.buffer(name).static_shape[axis]
        places = [index.const for index in reads if isinstance(index, Affine)]
        spread = max(places) - min(places) if places else 0
        sizes[name][axis] = np.minimum(np.minimum(size + spread, extent), sum(each))
    return sizes
