"""What patterns match, and what they bind."""

import numpy as np
import pytest

from isthmus.compiler.ir import DTYPES, TensorType, Value, constant, graph_input
from isthmus.compiler.ops import get, math, reduce
from isthmus.compiler.rewrite import (
    AnyOf,
    As,
    Attr,
    Const,
    Maybe,
    Number,
    Operation,
    Pattern,
    Rest,
    Splat,
    Var,
    uniform,
)
from isthmus.compiler.rewrite.pattern import Match, roots

F32 = DTYPES["f32"]
concat, conv, topk = get("shape.concat"), get("nn.conv"), get("shape.topk")


def tensor(name: str, *shape: int, dtype: str = "f32") -> Value:
    return graph_input(name, TensorType(DTYPES[dtype], shape))


A, B = tensor("a", 2, 3), tensor("b", 2, 3)


def match(pattern: Pattern, value: Value) -> dict[str, object] | None:
    found = next(iter(pattern.match(value, Match())), None)
    return None if found is None else dict(found.bindings)


def test_variables_bind_values_and_repeat() -> None:
    x, y = Var("x"), Var("y")
    assert match(math.sub(x, y), math.sub(A, B)) == {"x": A, "y": B}
    assert match(math.sub(x, x), math.sub(A, A)) == {"x": A}
    assert match(math.sub(x, x), math.sub(A, B)) is None
    assert match(math.sub(x, y), math.add(A, B)) is None


def test_a_repeated_variable_may_be_two_equal_constants() -> None:
    value = math.sub(constant(np.float32(2)), constant(np.float32(2)))
    assert match(math.sub(Var("x"), Var("x")), value) is not None
    assert (
        match(math.sub(Var("x"), Var("x")), math.sub(constant(np.float32(0)), constant(np.float32(-0.0))))
        is None
    )


def test_commutative_ops_match_in_both_orders_and_others_in_one() -> None:
    c = constant(np.float32(2))
    assert match(math.mul(Var("x"), Const("c")), math.mul(c, A)) == {"x": A, "c": c}
    assert match(
        math.mul(math.exp(Var("x")), math.mul(Var("x"), Var("y"))), math.mul(math.mul(B, A), math.exp(A))
    ) == {
        "x": A,
        "y": B,
    }
    assert match(math.div(Var("x"), Const("c")), math.div(c, A)) is None


def test_numbers_match_constants_of_any_shape_and_dtype() -> None:
    def matches(number: float, array: object, **options: float) -> bool:
        return match(Number(number, **options), constant(array)) is not None

    assert matches(0.1, np.full((2, 1), 0.1, np.float32))
    assert matches(2, np.int8(2))
    assert matches(1.0, np.int64(1))
    assert matches(0.1, np.array(0.1).astype(DTYPES["bf16"].numpy))
    assert not matches(0.5, np.int64(0))
    assert not matches(1, np.array([1, 2], np.float32))
    assert not matches(1, np.zeros(0, np.float32))
    assert not matches(float("nan"), np.float32("nan"))
    assert not matches(0.1, np.float32(0.100001))
    assert matches(0.1, np.float32(0.100001), relative=1e-4)
    assert match(Number(1), A) is None


def test_splat_binds_the_number() -> None:
    assert match(math.mul(Var("x"), Splat("s")), math.mul(A, 0.5)) == {"x": A, "s": 0.5}
    assert (
        match(math.mul(Var("x"), Splat("s")), math.mul(A, constant(np.array([1, 2, 3], np.float32)))) is None
    )


def test_a_number_in_an_operand_list_is_a_pattern() -> None:
    assert match(math.mul(Var("x"), 0.5), math.mul(0.5, A)) == {"x": A}
    assert match(math.mul(Var("x"), 0.5), math.mul(0.25, A)) is None


def test_attributes_are_given_captured_or_left_open() -> None:
    value = reduce.sum_of(A, axes=(1,), keepdims=True)
    assert match(reduce.sum_of(Var("x")), value) is not None
    assert match(reduce.sum_of(Var("x"), axes=[1]), value) is not None
    assert match(reduce.sum_of(Var("x"), axes=(0,)), value) is None
    assert match(reduce.sum_of(Var("x"), axes=Attr("axes")), value) == {"x": A, "axes": (1,)}
    twice = reduce.sum_of(value, axes=(1,))
    nested = reduce.sum_of(reduce.sum_of(Var("x"), axes=Attr("axes")), axes=Attr("axes"))
    assert match(nested, twice) == {"x": A, "axes": (1,)}
    assert match(nested, reduce.sum_of(value, axes=(0,))) is None


def test_what_a_pattern_leaves_out_must_be_absent() -> None:
    x, w, b = tensor("x", 1, 3, 8), tensor("w", 4, 3, 2), tensor("b", 4)
    attributes = {"strides": (1,), "pads": (0, 0), "dilations": (1,)}
    plain, biased = conv(x, w, **attributes), conv(x, w, b, **attributes)
    assert match(conv(Var("x"), Var("w")), plain) is not None
    assert match(conv(Var("x"), Var("w")), biased) is None
    assert match(conv(Var("x"), Var("w"), None), plain) is not None
    assert match(conv(Var("x"), Var("w"), Var("b")), plain) is None
    assert match(conv(Var("x"), Var("w"), Maybe("b")), plain) == {"x": x, "w": w, "b": None}
    assert match(conv(Var("x"), Var("w"), Maybe("b")), biased) == {"x": x, "w": w, "b": b}
    assert match(conv(Var("x"), Var("w"), Maybe("b", constant=True)), biased) is None
    assert match(conv(Var("x"), Var("w"), Maybe("b", constant=True)), plain) is not None


def test_the_rest_of_variadic_operands() -> None:
    assert match(concat(Var("x"), Rest("others")), concat(A, B, A, axis=0)) == {"x": A, "others": (B, A)}
    assert match(concat(Var("x")), concat(A, B, axis=0)) is None


def test_alternatives_names_and_whole_operations() -> None:
    product = math.mul(A, B)
    either = AnyOf((math.add(Var("x"), Var("y")), As("z", math.mul(Var("x"), Var("y")))))
    assert match(either, product) == {"x": A, "y": B, "z": product}
    assert match(Operation("math.mul", "node"), product) == {"node": product}
    assert match(Operation("math.add", "node"), product) is None


def test_patterns_mean_the_first_result() -> None:
    values, indices = topk(tensor("x", 9), constant(np.int64(3)), axis=0, largest=True, sorted=True)
    pattern = topk(Var("x"), Var("k"))
    assert match(pattern, values) is not None
    assert match(pattern, indices) is None
    assert match(Operation("shape.topk", "i", index=1), indices) == {"i": indices}


def test_a_match_covers_the_nodes_between_operands_and_root() -> None:
    inner = math.exp(A)
    root = math.mul(inner, inner)
    found = next(iter(math.mul(math.exp(Var("x")), Var("y")).match(root, Match())))
    assert found.nodes == (inner.node, root.node)


def test_roots_are_known_or_refused() -> None:
    assert roots(AnyOf((math.exp(Var("x")), As("y", math.log(Var("x")))))) == {"math.exp", "math.log"}
    with pytest.raises(ValueError, match="names no op"):
        roots(Var("x"))


def test_uniform_is_one_number_or_none() -> None:
    assert uniform(constant(np.full((3, 3), 7, np.int8))) == 7
    assert uniform(constant(np.array(["a", "a"]))) is None
    assert uniform(constant(np.array([np.nan, np.nan]))) is None
    assert uniform(A) is None
