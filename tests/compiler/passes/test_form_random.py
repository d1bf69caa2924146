"""Random graphs of contractions, windows, rows, views and elementwise nodes: whatever is fused, no value changes."""

from math import prod

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from isthmus.compiler.ir import Value
from isthmus.compiler.ir.text import print_graph
from isthmus.compiler.passes.plan import Preferences

from .plans import Build, check

SHAPES = ("f32[1, 4, 5, 6]", "f32[2, 6, 4]", "f32[3, 8]", "f32[2, 4, 3, 3]", "f32[1, 6, 1, 4]")
UNARY = ("math.relu", "math.neg", "math.tanh", "math.sigmoid", "math.abs")
LIMIT = 2000  # elements of one value


def elementwise(draw: st.DrawFn, b: Build, x: Value, values: list[Value]) -> Value:
    if draw(st.booleans()):
        return b(draw(st.sampled_from(UNARY)), x)
    others = [v for v in values if v.shape == x.shape]
    if others and draw(st.booleans()):
        return b(
            draw(st.sampled_from(["math.add", "math.mul", "math.max"])), x, draw(st.sampled_from(others))
        )
    extents = [extent if draw(st.booleans()) else 1 for extent in x.type.static_shape]
    return b("math.add", x, b.weight(*extents[draw(st.integers(0, len(extents))) :]))


def contraction(draw: st.DrawFn, b: Build, x: Value, values: list[Value]) -> Value:
    if x.type.rank >= 3 and draw(st.booleans()):
        channels = x.type.static_shape[1]
        groups = draw(st.sampled_from([n for n in (1, 2, channels) if channels % n == 0]))
        outputs = groups * draw(st.integers(1, 3))
        stride = draw(st.integers(1, 2))
        return b.conv(x, outputs, draw(st.sampled_from([1, 3])), groups=groups, stride=stride)
    others = [v for v in values if v.type.rank == x.type.rank and v.shape[:-2] == x.shape[:-2]]
    fitting = [v for v in others if v.shape[-2] == x.shape[-1]]
    if fitting and draw(st.booleans()):
        return b("nn.matmul", x, draw(st.sampled_from(fitting)))
    return b.linear(x, draw(st.integers(1, 6)))


def rows(draw: st.DrawFn, b: Build, x: Value, values: list[Value]) -> Value:
    rank = x.type.rank
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return b("nn.softmax", x, axis=draw(st.integers(0, rank - 1)))
    if kind == 1:
        axis = draw(st.integers(1, rank - 1))
        inner = x.type.static_shape[axis:]
        return b("nn.layer_norm", x, b.weight(*inner), b.weight(*inner), axis=axis, epsilon=1e-3)
    if kind == 2 and rank >= 3:
        spatial = rank - 2
        window = {"strides": (1,) * spatial, "pads": (1,) * 2 * spatial, "dilations": (1,) * spatial}
        return b(draw(st.sampled_from(["nn.max_pool", "nn.avg_pool"])), x, kernel=(3,) * spatial, **window)
    axes = tuple(n for n in range(rank) if draw(st.booleans()))
    return b(draw(st.sampled_from(["reduce.mean", "reduce.max"])), x, axes=axes, keepdims=True)


def factorised(draw: st.DrawFn, count: int) -> tuple[int, ...]:
    """A random shape of so many elements."""
    shape = []
    while count > 1 and len(shape) < 4:
        part = draw(st.sampled_from([n for n in range(2, count + 1) if count % n == 0]))
        shape.append(part)
        count //= part
    shape.append(count)
    return tuple(draw(st.permutations(shape)))


def view(draw: st.DrawFn, b: Build, x: Value, values: list[Value]) -> Value:
    rank, shape = x.type.rank, x.type.static_shape
    kind = draw(st.integers(0, 5))
    if kind == 0:
        return b("shape.transpose", x, perm=tuple(draw(st.permutations(range(rank)))))
    if kind == 1:
        return b("shape.reshape", x, shape=factorised(draw, prod(shape)))
    if kind == 2:
        sizes = tuple(draw(st.integers(1, extent)) for extent in shape)
        starts = tuple(draw(st.integers(0, extent - size)) for extent, size in zip(shape, sizes, strict=True))
        return b("shape.slice", x, starts=starts, sizes=sizes, steps=(1,) * rank)
    if kind == 3:
        pads = tuple(draw(st.integers(0, 1)) for _ in range(2 * rank))
        return b("shape.pad", x, pads=pads, mode=draw(st.sampled_from(["constant", "edge"])))
    if kind == 4:
        axis = draw(st.integers(0, rank - 1))
        alike = [v for v in values if v.type.rank == rank]
        fitting = [v for v in alike if all(n == axis or v.shape[n] == shape[n] for n in range(rank))]
        return b("shape.concat", x, draw(st.sampled_from(fitting)), axis=axis)
    return b("shape.expand", x, shape=tuple(2 if extent == 1 else extent for extent in shape))


@st.composite
def graphs(draw: st.DrawFn):
    b = Build(*draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=2)))
    values = list(b.inputs)
    for _ in range(draw(st.integers(1, 9))):
        make = draw(st.sampled_from([elementwise, elementwise, contraction, rows, view, view]))
        x = draw(st.sampled_from(values[-3:]))
        if x.type.rank >= 2 or make in (elementwise, view):
            made = make(draw, b, x, values)
            if 0 < prod(made.type.static_shape) <= LIMIT and made.type.rank <= 5:
                values.append(made)
    outputs = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3))
    refused = draw(st.sets(st.sampled_from(["nn.softmax", "math.tanh", "shape.transpose", "nn.matmul"])))
    preferences = Preferences(
        channels_last=draw(st.booleans()),
        halo=draw(st.booleans()),
        inline_cost=draw(st.sampled_from([0, 4, 99])),
    )
    return b.graph(*outputs, values[-1]), refused, preferences


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graphs())
def test_random_graphs_keep_their_values(case):
    graph, refused, preferences = case
    note(print_graph(graph))
    check(graph, lambda node: node.op not in refused, preferences)
