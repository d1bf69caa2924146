"""Random graphs of the ops that canonical form is about: simplifying keeps every bit, and the text form every node."""

import numpy as np
from hypothesis import given, note, settings
from hypothesis import strategies as st

from isthmus.compiler.ir import DTYPES, Graph, TensorType, Value, constant, graph_input
from isthmus.compiler.ir.compare import same_graph
from isthmus.compiler.ir.text import parse_graph, print_graph
from isthmus.compiler.ir.verify import verify
from isthmus.compiler.ops import activation, get, math, reduce, shape
from isthmus.compiler.ops.interpret import run_graph
from isthmus.compiler.passes import SIMPLIFY

UNARY = (math.neg, math.absolute, math.sqrt, math.floor, activation.relu, math.reciprocal)
BINARY = (math.add, math.sub, math.mul, math.div, math.maximum, math.minimum)
NUMBERS = (0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 3.0, float("inf"))
EXTENTS = (1, 2, 3)


def _constant(draw: st.DrawFn, like: Value) -> Value:
    extents = draw(st.sampled_from([(), (1,), like.shape[-1:], like.shape, (1, *like.shape[1:])]))
    if draw(st.booleans()):
        return constant(np.full(extents, draw(st.sampled_from(NUMBERS)), np.float32))
    return constant(np.arange(np.prod(extents, dtype=int), dtype=np.float32).reshape(extents) - 2)


def _elementwise(draw: st.DrawFn, values: list[Value], x: Value) -> Value:
    kind = draw(st.integers(0, 5))
    if kind == 0:
        return draw(st.sampled_from(UNARY))(x)
    if kind == 1:
        y = draw(st.sampled_from([v for v in values if v.shape == x.shape]))
        return draw(st.sampled_from(BINARY))(x, y)
    if kind == 2:
        pair = [x, _constant(draw, x)]
        return draw(st.sampled_from(BINARY))(*(pair if draw(st.booleans()) else pair[::-1]))
    if kind == 3:
        condition = math.gt(x, _constant(draw, x))
        if draw(st.booleans()):
            condition = math.logical_not(condition)
        return math.where(condition, x, _constant(draw, x))
    if kind == 4:
        return math.power(x, constant(np.float32(draw(st.sampled_from([1, 2, -1, 3])))))
    wide = math.cast(x, dtype=draw(st.sampled_from([DTYPES["f64"], DTYPES["f32"]])))
    return math.cast(wide, dtype=DTYPES["f32"])


def _movement(draw: st.DrawFn, values: list[Value], x: Value) -> Value:
    kind = draw(st.integers(0, 6))
    if kind == 0:
        return shape.transpose(x, perm=tuple(draw(st.permutations(range(x.type.rank)))))
    if kind == 1:
        return shape.reshape(x, shape=tuple(draw(st.permutations(x.shape))))
    if kind == 2:
        return shape.expand(
            x, shape=tuple(draw(st.sampled_from([dim, 4 if dim == 1 else dim])) for dim in x.shape)
        )
    if kind == 3:
        starts, sizes, steps = [], [], []
        for dim in x.shape:
            step = draw(st.sampled_from([1, 1, 2, -1]))
            size = draw(st.integers(1, (dim + abs(step) - 1) // abs(step)))
            starts.append(dim - 1 if step < 0 else draw(st.integers(0, dim - 1 - (size - 1) * step)))
            sizes.append(size)
            steps.append(step)
        return shape.slice_of(x, starts=starts, sizes=sizes, steps=steps)
    axis = draw(st.integers(0, x.type.rank - 1))
    if kind == 4:
        others = [
            v
            for v in values
            if (*v.shape[:axis], *v.shape[axis + 1 :]) == (*x.shape[:axis], *x.shape[axis + 1 :])
        ]
        return shape.concat(*draw(st.lists(st.sampled_from([x, *others]), min_size=1, max_size=3)), axis=axis)
    if kind == 5:
        pads = draw(st.lists(st.integers(0, 1), min_size=2 * x.type.rank, max_size=2 * x.type.rank))
        return shape.pad(x, pads=pads)
    return draw(st.sampled_from([reduce.max_of, reduce.sum_of]))(x, axes=(axis,), keepdims=True)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    rank = draw(st.integers(1, 3))
    inputs = [
        graph_input(
            f"x{n}", TensorType(DTYPES["f32"], tuple(draw(st.sampled_from(EXTENTS)) for _ in range(rank)))
        )
        for n in range(draw(st.integers(1, 2)))
    ]
    values = list(inputs)
    for _ in range(draw(st.integers(1, 8))):
        x = draw(st.sampled_from([v for v in values if v.type.rank == rank]))
        grown = draw(st.sampled_from([_elementwise, _movement]))(draw, values, x)
        if grown.type.elements <= 200:
            values.append(grown)
    outputs = draw(st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True))
    return Graph(inputs, outputs, [f"y{n}" for n in range(len(outputs))], "random")


@settings(max_examples=400)
@given(graphs(), st.integers(0, 9))
def test_simplifying_keeps_every_bit(before: Graph, seed: int) -> None:
    after = SIMPLIFY.run(before).graph
    verify(after, get)
    assert len(after.nodes) <= 2 * len(before.nodes)
    note(str(print_graph(before)))
    # which of 0.0 and -0.0 is the larger one is nowhere defined, nor is whether a sum starts from 0.0
    undefined = {"math.max", "math.min", "math.relu", "reduce.max", "reduce.sum"}
    has_signed_zeros = undefined.isdisjoint(node.op for node in before.nodes)
    rng = np.random.default_rng(seed)
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.5, -2.0, 3e38], np.float32)
    arguments = [special[rng.integers(0, len(special), v.shape)] for v in before.inputs]
    for want, got in zip(run_graph(before, arguments), run_graph(after, arguments), strict=True):
        np.testing.assert_array_equal(got, want)
        known = ~np.isnan(want) & has_signed_zeros
        np.testing.assert_array_equal(np.signbit(got[known]), np.signbit(want[known]))
    assert not SIMPLIFY.run(after).hits


@given(graphs())
def test_every_graph_prints_and_parses_back(graph: Graph) -> None:
    verify(graph, get)
    assert same_graph(parse_graph(print_graph(graph)), graph, locations=True)
