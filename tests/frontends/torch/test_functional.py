"""In-place ops become functions: what is followed through views, and what is refused."""

import pytest

from isthmus.compiler.diagnostics import UnsupportedError
from isthmus.frontends.source import SourceGraph, SourceInput
from isthmus.frontends.torch.expressions import parse_size
from isthmus.frontends.torch.functional import functionalised
from isthmus.frontends.torch.nodes import Ref, aten


def graph(*nodes, outputs=("out",)) -> SourceGraph:
    """A graph that starts with y, a clone of its input x."""
    return SourceGraph("g", (SourceInput("x"),), outputs, (aten("clone", ("y",), (Ref("x"),)), *nodes))


def ops(found: SourceGraph) -> list[str]:
    return [node.op for node in found.nodes]


def test_graph_without_writes_stays_as_it_is() -> None:
    given = graph(aten("relu", ("out",), (Ref("y"),)))
    assert functionalised(given, "net").nodes == given.nodes


def test_write_renames_later_reads() -> None:
    found = functionalised(
        graph(aten("relu_", ("r",), (Ref("y"),)), aten("neg", ("out",), (Ref("y"),))), "net"
    )
    assert ops(found) == ["clone", "relu", "neg"]
    assert found.nodes[2].inputs == found.nodes[1].outputs


def test_write_through_a_view_reaches_the_tensor_below_and_other_views() -> None:
    found = functionalised(
        graph(
            aten("select.int", ("row",), (Ref("y"), 0, 1)),
            aten("view", ("flat",), (Ref("y"), (-1,))),
            aten("mul_.Scalar", ("m",), (Ref("row"), 2)),
            aten("neg", ("out",), (Ref("flat"),)),
        ),
        "net",
    )
    assert ops(found) == ["clone", "select.int", "view", "mul.Scalar", "select_scatter", "view", "neg"]
    assert found.nodes[5].inputs == found.nodes[4].outputs
    assert found.nodes[6].inputs == found.nodes[5].outputs


def test_outputs_that_nobody_reads_lose_their_names() -> None:
    found = functionalised(graph(aten("max.dim", ("out", "places"), (Ref("y"), 0))), "net")
    assert found.nodes[1].outputs == ("out", "")


@pytest.mark.parametrize("view", ["expand", "as_strided", "movedim"])
def test_views_that_are_not_followed(view) -> None:
    given = graph(aten(view, ("v",), (Ref("y"), (2, 2))), aten("add_.Scalar", ("out",), (Ref("v"), 1)))
    with pytest.raises(UnsupportedError) as caught:
        functionalised(given, "net")
    reason = f"net:out: add_.Scalar changes a tensor through '{view}', which is not followed"
    assert str(caught.value).startswith(reason)


def test_inputs_are_not_written_to() -> None:
    given = graph(aten("view", ("v",), (Ref("x"), (-1,))), aten("add_.Scalar", ("out",), (Ref("v"), 1)))
    with pytest.raises(UnsupportedError, match="changes 'x', an input or a weight"):
        functionalised(given, "net")


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("Integer(3)", "3"),
        ("Add(Symbol('s0', positive=True, integer=True), Integer(-1))", "s0 + -1"),
        ("Mul(Integer(2), Symbol('s0', integer=True), Symbol('s1'))", "2*s0*s1"),
        ("FloorDiv(Symbol('s0'), Integer(2))", "floordiv(s0, 2)"),
        ("Max(Integer(1), Symbol('s0'))", "max(1, s0)"),
        ("Mod(Integer(7), Integer(4))", "3"),
        ("Pow(Symbol('s0'), Integer(2))", "s0*s0"),
    ],
)
def test_sizes(text, want) -> None:
    assert str(parse_size(text)) == want
