"""What treats the indices of a batch each alone, and what keeps others from being computed so."""

import numpy as np
import pytest

from isthmus.compiler.ir import constant
from isthmus.compiler.ir.graph import Graph, Tensor
from isthmus.compiler.ir.text import parse_graph
from isthmus.compiler.ir.types import f32
from isthmus.compiler.ops.engine import get
from isthmus.compiler.ops.interpret import evaluate
from isthmus.compiler.passes import EXPAND, SIMPLIFY
from isthmus.compiler.passes.separate import EXTENTS, obstacle
from isthmus.compiler.pipeline import optimise
from isthmus.compiler.rewrite.renew import with_dims

TABLES = {
    name: Tensor(np.random.default_rng(0).standard_normal(shape).astype("f"))
    for name, shape in {"w": (6, 2), "v": (2, 2), "u": (1, 6), "t": (9, 2)}.items()
}
ALONE = {
    "elementwise": "%0 = math.exp(%x) : f32[N, 6] return %0 as y",
    "rows of a product": "%w = constant @w : f32[6, 2] %0 = nn.matmul(%x, %w) : f32[N, 2] return %0 as y",
    "softmax of each row": "%0 = nn.softmax(%x) {axis = 1} : f32[N, 6] return %0 as y",
    "split and joined": "%0 = shape.reshape(%x) {shape = (<N>, 2, 3)} : f32[N, 2, 3] "
    "%1 = shape.transpose(%0) {perm = (1, 0, 2)} : f32[2, N, 3] return %1 as y",
    "joined with other axes": "%0 = shape.reshape(%x) {shape = (<3*N>, 2)} : f32[3*N, 2] "
    "%w = constant @v : f32[2, 2] %1 = nn.matmul(%0, %w) : f32[3*N, 2] "
    "%2 = shape.reshape(%1) {shape = (<N>, 6)} : f32[N, 6] return %2 as y",
    "what is spread over the batch": "%w = constant @u : f32[1, 6] "
    "%0 = shape.expand(%w) {shape = (<N>, 6)} : f32[N, 6] %1 = math.add(%x, %0) : f32[N, 6] return %1 as y",
    "looked up": "%i = math.cast(%x) {dtype = i64, saturate = true} : i64[N, 6] %t = constant @t : f32[9, 2] "
    "%0 = shape.gather(%t, %i) {axis = 0} : f32[N, 6, 2] return %0 as y",
}
TOGETHER = {
    "sums": (
        "%0 = reduce.sum(%x) {axes = (0), keepdims = false} : f32[6] return %0 as y",
        "combines the batch",
    ),
    "softmax": ("%0 = nn.softmax(%x) {axis = 0} : f32[N, 6] return %0 as y", "combines the batch"),
    "largest": (
        "%k = constant i64[](1) %0, %1 = shape.topk(%x, %k) {axis = 0, largest = true, sorted = true, size = 1}"
        " : f32[1, 6], i64[1, 6] return %0 as y",
        "combines the batch",
    ),
    "part": (
        "%0 = shape.slice(%x) {starts = (0, 0), sizes = (1, 6), steps = (1, 1)} : f32[1, 6] return %0 as y",
        "reads or writes other indices",
    ),
    "backwards": (
        "%0 = shape.slice(%x) {starts = (<N + -1>, 0), sizes = (<N>, 6), steps = (-1, 1)} : f32[N, 6] return %0 as y",
        "computes with the extent",
    ),
    "twice": (
        "%0 = shape.concat(%x, %x) {axis = 0} : f32[2*N, 6] return %0 as y",
        "reads or writes other indices",
    ),
    "mixed": (
        "%0 = shape.transpose(%x) {perm = (1, 0)} : f32[6, N] "
        "%1 = shape.reshape(%0) {shape = (<N>, 6)} : f32[N, 6] return %1 as y",
        "shape.reshape: ",
    ),
    "pairs": (
        "%0 = shape.transpose(%x) {perm = (1, 0)} : f32[6, N] %1 = nn.matmul(%x, %0) : f32[N, N] return %1 as y",
        "the batch in several places",
    ),
    "looked up in": (
        "%i = constant i64[3](1, 1, 0) %0 = shape.gather(%x, %i) {axis = 0} : f32[3, 6] return %0 as y",
        "shape.gather: ",
    ),
}


def graphs(body: str) -> tuple[Graph, Graph]:
    """The graph for both extents, as they are compared."""
    parsed = parse_graph(f'graph "g"(%x: f32[N, 6]) {{ {body} }}', TABLES)
    few, more = (
        optimise(with_dims(parsed, {"N": extent}), passes=(SIMPLIFY, EXPAND, SIMPLIFY))[0]
        for extent in EXTENTS
    )
    return few, more


@pytest.mark.parametrize("name", ALONE)
def test_what_is_computed_alone_is_seen_and_is(name: str) -> None:
    few, more = graphs(ALONE[name])
    assert obstacle(few, more) == ""
    x = np.random.default_rng(0).uniform(0, 6, (3, 6)).astype("f")
    want = evaluate(more, [x])["y"]
    axis = want.shape.index(3)
    first = evaluate(few, [x[:2]])["y"]
    np.testing.assert_allclose(first, want.take([0, 1], axis), rtol=1e-6)


@pytest.mark.parametrize("name", TOGETHER)
def test_what_may_not_be_is_named(name: str) -> None:
    body, reason = TOGETHER[name]
    assert reason in obstacle(*graphs(body))


def test_constants_of_the_extent_are_seen() -> None:
    def scaled(extent: int, values: list[float]) -> Graph:
        graph = with_dims(parse_graph('graph "g"(%x: f32[N, 2]) { return %x as y }'), {"N": extent})
        return graph.replace([get("math.mul")(graph.outputs[0], constant(np.array(values, "f"), f32))])

    assert "depends on the extent" in obstacle(scaled(2, [2.0]), scaled(3, [3.0]))
    assert obstacle(scaled(2, [2.0]), scaled(3, [2.0])) == ""


def test_graphs_of_other_forms_are_seen() -> None:
    one, other = graphs(ALONE["elementwise"])[0], graphs(ALONE["split and joined"])[1]
    assert obstacle(one, other) == "its form depends on the extent"
    assert "its form depends on the extent" in obstacle(
        one, graphs(ALONE["elementwise"].replace("exp", "sin"))[1]
    )
