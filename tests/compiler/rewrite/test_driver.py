"""The driver: fixpoints, what may be matched, locations, types, and rules that never come to rest."""

import pytest

from isthmus.compiler.diagnostics import VerifyError
from isthmus.compiler.ir import Graph, Location
from isthmus.compiler.ir.text import parse_graph, print_graph
from isthmus.compiler.ops import activation, math, reduce, shape
from isthmus.compiler.rewrite import Attr, Operation, Rule, Trace, Var, apply

X, Y = Var("x"), Var("y")
RELU = Rule("relu(relu(x)) => relu(x)", activation.relu(activation.relu(X)), lambda x: activation.relu(x))
EXP_LOG = Rule("exp(log(x)) => x", math.exp(math.log(X)), lambda x: x)


def graph(body: str) -> Graph:
    return parse_graph(f'graph "g"(%x: f32[2], %y: f32[2]) {{ {body} }}')


def rewritten(body: str, *rules: Rule) -> tuple[list[str], dict[str, int]]:
    """The lines between header and end, without types (all are f32[2]), and the hits."""
    result, hits = apply(graph(body), rules)
    lines = print_graph(result, locations=False).text.replace(" : f32[2]", "").splitlines()
    return [line.strip() for line in lines[1:-1]], dict(hits)


def test_a_graph_without_a_match_is_the_same_object() -> None:
    before = graph("%0 = math.exp(%x) : f32[2] return %0 as y")
    after, hits = apply(before, [RELU])
    assert after is before
    assert not hits


def test_chains_collapse_and_hits_are_counted() -> None:
    body = (
        "%0 = math.relu(%x) : f32[2] %1 = math.relu(%0) : f32[2] %2 = math.relu(%1) : f32[2] return %2 as y"
    )
    assert rewritten(body, RELU) == (["%2 = math.relu(%x)", "return %2 as y"], {RELU.name: 2})


def test_what_one_rule_builds_another_may_match() -> None:
    sub = Rule("x - y => x + -y", math.sub(X, Y), lambda x, y: math.add(x, math.neg(y)))
    neg = Rule("-(-x) => x", math.neg(math.neg(X)), lambda x: x)
    lines, hits = rewritten(
        "%0 = math.neg(%y) : f32[2] %1 = math.sub(%x, %0) : f32[2] return %1 as y", sub, neg
    )
    assert lines == ["%2 = math.add(%x, %y)", "return %2 as y"]
    assert hits == {sub.name: 1, neg.name: 1}


def test_untouched_nodes_stay_the_same_objects() -> None:
    before = graph(
        "%0 = math.exp(%x) : f32[2] %1 = math.relu(%y) : f32[2] %2 = math.relu(%1) : f32[2] return %0 as a, %2 as b"
    )
    after, _ = apply(before, [RELU])
    assert after.outputs[0] is before.outputs[0]
    assert after.inputs == before.inputs


def test_an_inner_node_with_another_user_is_not_matched_unless_the_rule_says_so() -> None:
    body = (
        "%0 = math.log(%x) : f32[2] %1 = math.exp(%0) : f32[2] %2 = math.add(%1, %0) : f32[2] return %2 as y"
    )
    assert rewritten(body, EXP_LOG)[1] == {}
    shared = Rule(EXP_LOG.name, EXP_LOG.pattern, EXP_LOG.build, shared=True)
    lines, hits = rewritten(body, shared)
    assert lines == ["%2 = math.log(%x)", "%3 = math.add(%x, %2)", "return %3 as y"]
    assert hits == {shared.name: 1}


def test_an_inner_node_that_is_an_output_is_not_matched() -> None:
    assert (
        rewritten("%0 = math.log(%x) : f32[2] %1 = math.exp(%0) : f32[2] return %1 as a, %0 as b", EXP_LOG)[1]
        == {}
    )


def test_users_within_the_match_do_not_count() -> None:
    square = Rule(
        "exp(x) * exp(x) => exp(x + x)",
        math.mul(math.exp(X), math.exp(X)),
        lambda x: math.exp(math.add(x, x)),
    )
    lines, _ = rewritten("%0 = math.exp(%x) : f32[2] %1 = math.mul(%0, %0) : f32[2] return %1 as y", square)
    assert lines == ["%2 = math.add(%x, %x)", "%3 = math.exp(%2)", "return %3 as y"]


def test_a_user_that_goes_away_frees_the_inner_node() -> None:
    drop = Rule("x * y => x", math.mul(X, Y), lambda x, y: x)
    body = (
        "%0 = math.log(%x) : f32[2] %1 = math.mul(%x, %0) : f32[2] %2 = math.exp(%0) : f32[2]"
        " %3 = math.add(%1, %2) : f32[2] return %3 as y"
    )
    lines, hits = rewritten(body, drop, EXP_LOG)
    assert lines == ["%2 = math.add(%x, %x)", "return %2 as y"]
    assert hits == {drop.name: 1, EXP_LOG.name: 1}


def test_guards_and_builders_may_decline() -> None:
    body = "%0 = math.log(%x) : f32[2] %1 = math.exp(%0) : f32[2] return %1 as y"
    assert rewritten(body, Rule("a", EXP_LOG.pattern, EXP_LOG.build, guard=lambda x: False))[1] == {}
    assert rewritten(body, Rule("a", EXP_LOG.pattern, lambda x: None))[1] == {}


def test_earlier_rules_come_first() -> None:
    body = "%0 = math.log(%x) : f32[2] %1 = math.exp(%0) : f32[2] return %1 as y"
    other = Rule("exp(x) => relu(x)", math.exp(X), lambda x: activation.relu(x))
    assert rewritten(body, EXP_LOG, other)[1] == {EXP_LOG.name: 1}
    assert rewritten(body, other, EXP_LOG)[1] == {other.name: 1}


def test_new_nodes_carry_the_locations_of_all_that_they_replace() -> None:
    before = graph(
        '%0 = math.relu(%x) : f32[2] loc("m.onnx", "first") %1 = math.relu(%0) : f32[2] loc("m.onnx", "second")'
        " return %1 as y"
    )
    after, _ = apply(before, [RELU])
    assert after.outputs[0].node.location == Location("m.onnx", ("first", "second"))


def test_regions_are_rewritten_too() -> None:
    body = (
        '%0 = test.do(%x) : f32[2] { graph "body"(%x: f32[2]) {'
        " %0 = math.relu(%x) : f32[2] %1 = math.relu(%0) : f32[2] return %1 as y } } return %0 as y"
    )
    lines, hits = rewritten(body, RELU)
    assert lines[2:4] == ["%1 = math.relu(%x)", "return %1 as y"]
    assert hits == {RELU.name: 1}


def test_rules_that_undo_each_other_are_named() -> None:
    there = Rule("there", math.sub(X, Y), lambda x, y: math.add(x, math.neg(y)))
    back = Rule("back", math.add(X, math.neg(Y)), lambda x, y: math.sub(x, y))
    idle = Rule("idle", math.log(X), lambda x: x)
    with pytest.raises(VerifyError, match="still at work: 'back', 'there'") as caught:
        rewritten("%0 = math.sub(%x, %y) : f32[2] return %0 as y", there, back, idle)
    assert "one of these rules undoes another" in str(caught.value)


def test_rules_that_grow_a_graph_from_within_are_named() -> None:
    grow = Rule("grow", math.exp(X), lambda x: math.neg(math.exp(math.neg(x))))
    with pytest.raises(VerifyError, match=r"after 7 sweeps over graph 'g'; still at work: 'grow'"):
        apply(graph("%0 = math.exp(%x) : f32[2] return %0 as y"), [grow], sweeps=7)


def test_a_rule_must_keep_types() -> None:
    wrong = Rule("sum => x", reduce.sum_of(X, axes=Attr("axes")), lambda x, axes: x)
    with pytest.raises(
        VerifyError,
        match=r"m.onnx:s: rule 'sum => x' changes the type of reduce.sum from f32\[1\] to f32\[2\]",
    ):
        apply(
            graph(
                '%0 = reduce.sum(%x) {axes = (0), keepdims = true} : f32[1] loc("m.onnx", "s") return %0 as y'
            ),
            [wrong],
        )


def test_a_rule_must_give_all_results() -> None:
    pair = Rule("pair", math.exp(X), lambda x: (x, x))
    with pytest.raises(VerifyError, match=r"gives 2 values for the 1 of math.exp"):
        rewritten("%0 = math.exp(%x) : f32[2] return %0 as y", pair)


def test_types_that_become_known_spread_to_the_users() -> None:
    before = parse_graph(
        'graph "g"(%x: f32[6]) {'
        " %0 = test.unknown(%x) : f32[u$0, 2]"
        " %1 = math.exp(%0) : f32[u$0, 2]"
        " %2 = shape.reshape(%1) {shape = (<2*u$0>)} : f32[2*u$0]"
        " return %2 as y }"
    )
    known = Rule(
        "unknown => reshape",
        Operation("test.unknown", "value"),
        lambda value: shape.reshape(value.node.operands[0], shape=(3, 2)),
    )
    after, _ = apply(before, [known])
    assert print_graph(after).text == (
        'graph "g"(%x: f32[6]) {\n'
        "  %1 = shape.reshape(%x) {shape = (3, 2)} : f32[3, 2]\n"
        "  %2 = math.exp(%1) : f32[3, 2]\n"
        "  %3 = shape.reshape(%2) {shape = (6)} : f32[6]\n"
        "  return %3 as y\n"
        "}\n"
    )


def test_a_trace_tells_of_which_nodes_new_ones_were_made() -> None:
    negated = Rule("x - y => x + -y", math.sub(X, Y), lambda x, y: math.add(x, math.neg(y)))
    before = graph(
        "%0 = math.relu(%x) : f32[2] %1 = math.relu(%0) : f32[2] %2 = math.sub(%1, %y) : f32[2]"
        " %3 = math.exp(%2) : f32[2] return %3 as y"
    )
    first, second, sub, exp = (node for node in before.nodes if node.op != "input")
    trace = Trace()
    after, _ = apply(before, [RELU, negated], trace=trace)
    found = {node.op: trace.sources(node) for node in after.nodes if node.op != "input"}
    assert found == {"math.relu": (first, second), "math.neg": (sub,), "math.add": (sub,), "math.exp": (exp,)}
    assert trace.values[after.outputs[0]] is before.outputs[0]
    assert all(trace.values.get(value, value) is value for value in after.inputs)
