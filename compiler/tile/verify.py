"""Whether a kernel is well formed, whatever its schedule: names, kinds of dims, accesses in range, repairs.

Schedules are judged in `check.py`. With symbolic extents only what is certainly out of range is refused here.
"""

from collections.abc import Callable, Iterator
from itertools import combinations
from math import gcd

from ..diagnostics import Problem, VerifyError
from ..ir.dims import Dim as Extent
from .stage import (
    COMBINES,
    CONSTANT,
    INPUT,
    LOCAL,
    PARALLEL,
    REDUCE,
    SCAN,
    Access,
    Affine,
    Buffer,
    Expr,
    Held,
    Index,
    Kernel,
    Lookup,
    Stage,
    walk,
)

Found = Iterator[tuple[Stage | None, str, str]]


def verify_kernel(kernel: Kernel) -> list[Problem]:
    """Everything that is wrong with a kernel; later rules are not asked when names do not resolve."""
    problems = _ask(kernel, names_resolve)
    if not problems:
        for rule in KERNEL_RULES:
            problems += _ask(kernel, rule)
    return problems


def require_kernel(kernel: Kernel) -> None:
    """VerifyError with everything that is wrong with a kernel."""
    problems = verify_kernel(kernel)
    if problems:
        raise VerifyError(f"kernel {kernel.name} is malformed", problems=problems)


def _ask(kernel: Kernel, rule: Callable[[Kernel], Found]) -> list[Problem]:
    return [
        Problem(str(stage.location) if stage is not None else "", f"kernel {kernel.name}: {message}", hint)
        for stage, message, hint in rule(kernel)
    ]


def names_resolve(kernel: Kernel) -> Found:
    """Every name is defined once and every use has a definition; a dim's name has one extent in all stages."""
    defined = {"buffer": [b.name for b in kernel.buffers], "stage": [s.name for s in kernel.stages]}
    for kind, listed in defined.items():
        for name in {name for name in listed if listed.count(name) > 1}:
            yield None, f"{kind} '{name}' is defined twice", "give each a name of its own"
    buffers = {buffer.name: buffer for buffer in kernel.buffers}
    extents = {name: dim.extent for name, dim in kernel.dims.items()}
    for stage in kernel.stages:
        names = [dim.name for dim in stage.dims]
        if len(set(names)) < len(names):
            yield stage, f"stage '{stage.name}' has a dim twice", "dims of a stage have different names"
        for dim in stage.dims:
            if dim.extent != extents[dim.name]:
                yield (
                    stage,
                    f"dim '{dim.name}' has extent {dim.extent} in stage '{stage.name}', "
                    f"{extents[dim.name]} in another",
                    "rename one of them",
                )
            if dim.kind not in (PARALLEL, REDUCE, SCAN):
                yield stage, f"dim '{dim.name}' is of kind '{dim.kind}'", "kinds are parallel, reduce, scan"
        for access in (*stage.reads, *stage.write.accesses()):
            yield from _access_resolves(stage, access, buffers, set(names))
        for index in (node for node in walk(stage.body) if isinstance(node, Index)):
            for name in set(index.affine.dims) - set(names):
                yield stage, f"stage '{stage.name}' uses dim '{name}', which it lacks", "add it to its dims"
        if stage.repair is not None and stage.repair.of not in buffers:
            yield stage, f"stage '{stage.name}' is repaired by '{stage.repair.of}'", "there is no such buffer"


def _access_resolves(stage: Stage, access: Access, buffers: dict[str, Buffer], dims: set[str]) -> Found:
    buffer = buffers.get(access.buffer)
    if buffer is None:
        yield stage, f"stage '{stage.name}' accesses '{access.buffer}'", "there is no such buffer"
        return
    if len(access.index) != len(buffer.shape):
        yield (
            stage,
            f"stage '{stage.name}' indexes '{buffer.name}' with {len(access.index)} coordinates",
            f"its rank is {len(buffer.shape)}",
        )
    for name in set(access.dims) - dims:
        yield stage, f"stage '{stage.name}' uses dim '{name}', which it lacks", "add it to its dims"
    for part in access.index:
        if isinstance(part, Lookup):
            looked_up = buffers.get(part.access.buffer)
            if looked_up is not None and not looked_up.dtype.is_integer:
                yield stage, f"'{looked_up.name}' of {looked_up.dtype} is used as an index", "cast it to i64"


def reductions_are_marked(kernel: Kernel) -> Found:
    """Reduce dims do not occur in the write, all others do, and a combine is set exactly when there are some."""
    for stage in kernel.stages:
        reduced = {dim.name for dim in stage.kind(REDUCE)}
        written = set(stage.write.dims)
        for name in sorted(reduced & written):
            yield stage, f"stage '{stage.name}' writes at its reduce dim '{name}'", "make the dim parallel"
        for name in sorted({dim.name for dim in stage.dims} - reduced - written):
            yield (
                stage,
                f"stage '{stage.name}' has dim '{name}', which its write lacks",
                "reduce over it or drop it",
            )
        if (stage.combine is not None) != bool(reduced):
            has = f"combines by {stage.combine}" if stage.combine else "has no combine"
            yield stage, f"stage '{stage.name}' {has} over {len(reduced)} reduce dims", "set both or none"
        if stage.combine is not None and stage.combine not in COMBINES:
            yield (
                stage,
                f"stage '{stage.name}' combines by '{stage.combine}'",
                f"known: {', '.join(COMBINES)}",
            )


def types_agree(kernel: Kernel) -> Found:
    """A load has its buffer's dtype, a body its target's; `old` and `new` stand in repair factors only."""
    for stage in kernel.stages:
        for load in stage.loads:
            dtype = kernel.buffer(load.access.buffer).dtype
            if load.dtype != dtype:
                yield (
                    stage,
                    f"stage '{stage.name}' loads '{load.access.buffer}' as {load.dtype}",
                    f"it is {dtype}",
                )
        target = kernel.buffer(stage.write.buffer)
        if stage.body.dtype != target.dtype:
            yield (
                stage,
                f"stage '{stage.name}' computes {stage.body.dtype} for '{target.name}' of {target.dtype}",
                "cast it",
            )
        if any(isinstance(node, Held) for node in walk(stage.body)):
            yield (
                stage,
                f"stage '{stage.name}' uses 'old' or 'new' outside a repair factor",
                "load the buffer",
            )


def writes_are_legal(kernel: Kernel) -> Found:
    """Locals and outputs are written, each element by one point of one stage; a local at one plain dim an axis."""
    for stage in kernel.stages:
        target = kernel.buffer(stage.write.buffer)
        if target.role in (INPUT, CONSTANT):
            yield (
                stage,
                f"stage '{stage.name}' writes the {target.role} '{target.name}'",
                "write a local or an output",
            )
        if target.role == LOCAL and not _is_plain(stage.write):
            yield (
                stage,
                f"stage '{stage.name}' writes the local '{target.name}' at other than one plain dim an axis",
                "split the dims, or write an output",
            )
        if not _is_injective(stage):
            yield (
                stage,
                f"stage '{stage.name}' may write an element of '{target.name}' more than once",
                "every parallel dim must show in where it writes",
            )
    for buffer in kernel.buffers:
        for first, second in combinations(kernel.writers(buffer.name), 2):
            if not _are_apart(first, second):
                yield (
                    second,
                    f"stages '{first.name}' and '{second.name}' may write the same elements of '{buffer.name}'",
                    "their writes must differ along one axis, in range or in steps",
                )


def _is_plain(access: Access) -> bool:
    names: list[str] = []
    for part in access.index:
        if not isinstance(part, Affine) or len(part.terms) > 1:
            return False
        if part.terms and part.terms[0][1] != 1:
            return False
        names += part.dims
    return len(set(names)) == len(names)


def _is_injective(stage: Stage) -> bool:
    """Whether different points write different elements; taken as given where coordinates are looked up."""
    if any(isinstance(part, Lookup) for part in stage.write.index):
        return True
    extents = {dim.name: dim.extent for dim in stage.dims}
    known = {name for name, extent in extents.items() if extent == 1}
    before = -1
    while len(known) > before:
        before = len(known)
        for part in stage.write.index:
            assert isinstance(part, Affine)
            new = sorted((abs(c), name) for name, c in part.terms if name not in known)
            if _tells_apart([(coefficient, extents[name]) for coefficient, name in new]):
                known |= {name for _, name in new}
    return known >= {name for name in extents if name in stage.write.dims}


def _tells_apart(terms: list[tuple[int, Extent]]) -> bool:
    """Whether sum(coefficient * dim) differs for all values of the dims; coefficients ascend.

    The dim of the greatest coefficient is told apart from the others if they differ modulo it, or stay below it.
    """
    reach: Extent = 0
    for coefficient, extent in terms:
        if not _certainly_less(reach, coefficient):
            break
        reach = reach + (extent - 1) * coefficient
    else:
        return True
    values = [0]
    for coefficient, extent in terms[:-1]:
        if not isinstance(extent, int) or extent * len(values) > 1 << 16:
            return False
        values = [value + coefficient * n for value in values for n in range(extent)]
    return len({value % terms[-1][0] for value in values}) == len(values)


def _are_apart(first: Stage, second: Stage) -> bool:
    spans = []
    for stage in (first, second):
        extents = {dim.name: dim.extent for dim in stage.dims}
        spans.append([_span(part, extents) for part in stage.write.index])
    return any(
        _certainly_less(a[1], b[0]) or _certainly_less(b[1], a[0])
        for a, b in zip(*spans)
        if a is not None and b is not None
    ) or any(map(_interleave, first.write.index, second.write.index))


def _interleave(a: Affine | Lookup, b: Affine | Lookup) -> bool:
    """Whether two coordinates leave different rests on division by all of their steps, as 2*i and 2*i + 1 do."""
    if isinstance(a, Lookup) or isinstance(b, Lookup):
        return False
    step = gcd(*(coefficient for _, coefficient in (*a.terms, *b.terms)))
    return step > 1 and (a.const - b.const) % step != 0


def _span(part: Affine | Lookup, extents: dict[str, Extent]) -> tuple[Extent, Extent] | None:
    """Least and greatest value of a coordinate; None for one that is looked up."""
    if isinstance(part, Lookup):
        return None
    low: Extent = part.const
    high: Extent = part.const
    for name, coefficient in part.terms:
        reach = (extents[name] - 1) * coefficient
        low, high = (low, high + reach) if coefficient > 0 else (low + reach, high)
    return low, high


def _certainly_less(a: Extent, b: Extent) -> bool:
    difference = b - a
    return isinstance(difference, int) and difference > 0


def accesses_are_in_range(kernel: Kernel) -> Found:
    """Reads and writes without a fill stay inside their buffer."""
    for stage in kernel.stages:
        extents = {dim.name: dim.extent for dim in stage.dims}
        if any(extent == 0 for extent in extents.values()):
            continue
        for access in (*stage.reads, *stage.write.accesses()):
            if access.fill is not None:
                continue
            for axis, (part, extent) in enumerate(zip(access.index, kernel.buffer(access.buffer).shape)):
                span = _span(part, extents)
                if span is not None and (_certainly_less(span[0], 0) or _certainly_less(extent - 1, span[1])):
                    yield (
                        stage,
                        f"stage '{stage.name}' accesses '{access.buffer}' from {span[0]} to {span[1]} "
                        f"along axis {axis} of {extent} elements",
                        "give the access a fill",
                    )


def order_is_topological(kernel: Kernel) -> Found:
    """A stage reads what earlier stages wrote, or what an earlier step of a scan that both take part in wrote."""
    for position, stage in enumerate(kernel.stages):
        for access in stage.reads:
            if kernel.buffer(access.buffer).role in (INPUT, CONSTANT):
                continue
            writers = kernel.writers(access.buffer)
            if not writers:
                yield stage, f"stage '{stage.name}' reads '{access.buffer}'", "no stage writes it"
            for writer in writers:
                last = kernel.stages.index(writer)
                if last >= position and not _is_carried(kernel.stages[position : last + 1], access, writer):
                    yield (
                        stage,
                        f"stage '{stage.name}' reads '{access.buffer}' before stage '{writer.name}' writes it",
                        "sort the stages, or let neighbouring stages share a scan dim",
                    )


def _is_carried(between: tuple[Stage, ...], access: Access, writer: Stage) -> bool:
    """Whether all of `between` step along one scan dim, and the access reads an earlier step than is written."""
    shared = set.intersection(*({dim.name for dim in stage.kind(SCAN)} for stage in between))
    return any(carried_axis(access, writer, name) is not None for name in shared)


def carried_axis(access: Access, writer: Stage, scan: str) -> int | None:
    """The axis along which an access reads an earlier step of the scan than `writer` writes."""
    for axis, (read, written) in enumerate(zip(access.index, writer.write.index)):
        if isinstance(read, Affine) and isinstance(written, Affine):
            behind = written - read
            step = written.coefficient(scan)
            if step and not behind.terms and behind.const % step == 0 and behind.const // step > 0:
                return axis
    return None


def repairs_are_multiplicative(kernel: Kernel) -> Found:
    """A repaired stage sums, and what it follows has one value for each of its accumulators."""
    for stage in kernel.stages:
        if stage.repair is None:
            continue
        of = stage.repair.of
        writers = kernel.writers(of)
        kept = {dim.name for dim in stage.dims if dim.kind != REDUCE}
        if stage.combine != "sum":
            yield (
                stage,
                f"stage '{stage.name}' is repaired, but combines by {stage.combine}",
                "only sums scale",
            )
        if len(writers) != 1 or not _is_plain(writers[0].write) or not set(writers[0].write.dims) <= kept:
            yield (
                stage,
                f"stage '{stage.name}' is repaired by '{of}', which has no single value for each accumulator",
                "its dims must be parallel dims of the stage",
            )
        dtype = kernel.buffer(of).dtype
        if not _fits(stage.repair.factor, dtype, stage.body):
            yield stage, f"the repair factor of stage '{stage.name}' has a dtype that does not fit", "cast it"


def _fits(factor: Expr, of: object, body: Expr) -> bool:
    held = [node for node in walk(factor) if isinstance(node, Held)]
    return factor.dtype == body.dtype and all(node.dtype == of for node in held)


KERNEL_RULES: tuple[Callable[[Kernel], Found], ...] = (
    reductions_are_marked,
    types_agree,
    writes_are_legal,
    accesses_are_in_range,
    order_is_topological,
    repairs_are_multiplicative,
)
