"""Dims that step through every buffer as one counter become one dim, and the axes that they walk along one axis.

A 1x1 convolution over rows and columns is a matrix product over positions; an elementwise kernel has one loop; the
columns of a window and the channels under them are one reduction, even where windows overlap.
"""

from math import prod

from ..tile.stage import LOCAL, SCAN, Access, Affine, Index, Lookup, Stage, dim, walk
from .accesses import Coordinates, reach
from .shaping import Reshape, Shaping, accesses

Span = tuple[int, int]


def merge_dims(form: Shaping) -> None:
    """Merge dims until no two are left that always go together."""
    while any(_merge(form, outer, inner) for outer, inner in form.neighbours()):
        pass


def _merge(form: Shaping, outer: str, inner: str) -> bool:
    """Make two dims one, the inner one counting faster; False where some access forbids it."""
    spans: dict[str, Span] = {}
    for stage in form.stages:
        kinds = {each.name: each.kind for each in stage.dims if each.name in (outer, inner)}
        if not kinds:
            continue
        if len(kinds) == 1 or kinds[outer] != kinds[inner] or kinds[outer] == SCAN:
            return False
        if not _counts_as_one(form, stage, outer, inner):
            return False
        for access in accesses(stage):
            span = _span(form, access, outer, inner)
            if span is None:
                return False
            if span and spans.setdefault(access.buffer, span) != span:
                return False
    joined = {name: span for name, span in spans.items() if span[0] != span[1]}
    if not all(_can_join(form, name, span, (dim(outer), dim(inner))) for name, span in joined.items()):
        return False
    form.reshape({name: _joined(form.shape(name), span) for name, span in joined.items()})
    form.join(outer, inner)
    return True


def _counts_as_one(form: Shaping, stage: Stage, outer: str, inner: str) -> bool:
    """Whether the stage uses the two dims' values, if at all, as those of one counter."""
    radix = form.extents[inner]
    positions = (node.affine for node in walk(stage.body) if isinstance(node, Index))
    return all(part.coefficient(outer) == part.coefficient(inner) * radix for part in positions)


def _span(form: Shaping, access: Access, outer: str, inner: str) -> Span | tuple[()] | None:
    """The axes from the outer to the inner dim; () where neither occurs, None where they can't be merged."""
    axes: dict[str, list[int]] = {outer: [], inner: []}
    for n, part in enumerate(access.index):
        if isinstance(part, Affine):
            for name in axes:
                if name in part.dims:
                    axes[name].append(n)
    if not axes[outer] and not axes[inner]:
        return ()
    if len(axes[outer]) != 1 or len(axes[inner]) != 1:
        return None
    first, last = axes[outer][0], axes[inner][0]
    if first > last:
        return None
    steps = [
        part.coefficient(name)
        for part, name in ((access.index[first], outer), (access.index[last], inner))
        if isinstance(part, Affine)
    ]
    stride = prod(form.shape(access.buffer)[first + 1 : last + 1])
    return (first, last) if steps[0] * stride == steps[1] * form.extents[inner] else None


def _can_join(form: Shaping, name: str, span: Span, plain: Coordinates) -> bool:
    """Whether axes of a buffer may become one: never left, never looked up, and in a local walked along plainly."""
    first, last = span
    for access in form.on(name):
        parts = access.index[first : last + 1]
        if form.buffers[name].role == LOCAL and parts != plain:
            return False
        for part, extent in zip(parts, form.shape(name)[first:], strict=False):
            if isinstance(part, Lookup):
                return False
            low, high = reach(part, form.extents)
            if access.fill is not None and (low < 0 or high >= extent):
                return False
    return True


def _joined(shape: tuple[int, ...], span: Span) -> Reshape:
    first, last = span

    def index(parts: Coordinates) -> Coordinates:
        total = Affine()
        for part, extent in zip(parts[first : last + 1], shape[first : last + 1], strict=True):
            assert isinstance(part, Affine)
            total = total * extent + part
        return (*parts[:first], total, *parts[last + 1 :])

    return Reshape((*shape[:first], prod(shape[first : last + 1]), *shape[last + 1 :]), index)
