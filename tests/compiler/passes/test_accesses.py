"""Solving one index for the dims of another, and telling contractions from reductions."""

import numpy as np

from isthmus.compiler.ir import constant
from isthmus.compiler.passes.accesses import digits, factors, innermost, join, reach, solve
from isthmus.compiler.passes.draft import Draft, Drafting
from isthmus.compiler.tile.stage import Affine, dim

from .plans import Build

EXTENTS = {"a": 2, "b": 3, "c": 6, "p": 6, "q": 4}


def draft_of(value) -> Draft:
    """The draft of the node that makes a value."""
    node = value.node
    operands = [operand for operand in node.operands if operand is not None]
    names = {each: f"v{n}" for n, each in enumerate([*operands, value])}
    found = Drafting(names).draft(node)
    assert found is not None
    return found


def test_digits_of_a_mixed_radix_number():
    number = join([("a", 2), ("b", 3)])
    assert number == dim("a") * 3 + dim("b")
    assert digits(number, EXTENTS, 6) == [("a", 2), ("b", 3)]
    assert digits(number, EXTENTS, 7) is None
    assert digits(number + 1, EXTENTS, 6) is None
    assert digits(dim("a") * 2 + dim("b"), EXTENTS, 6) is None


def test_a_plain_dim_takes_what_is_read_there():
    window = dim("a") * 2 + dim("b") - 1
    solution = solve((dim("p"),), (window,), (6,), EXTENTS)
    assert solution is not None
    assert solution.values == {"p": window}


def test_no_solution_over_a_part_of_an_axis():
    assert solve((dim("q"),), (dim("c"),), (6,), EXTENTS) is None
    assert solve((Affine(),), (Affine(),), (6,), EXTENTS) is None
    assert solve((Affine(),), (dim("c"),), (6,), EXTENTS) is None


def test_common_digits_ask_for_splits():
    first = solve((join([("a", 2), ("b", 3)]),), (dim("c"),), (6,), EXTENTS)
    assert first is not None
    assert first.splits == {"c": [2, 3]}
    extents = {**EXTENTS, "c0": 2, "c1": 3}
    second = solve((join([("a", 2), ("b", 3)]),), (join([("c0", 2), ("c1", 3)]),), (6,), extents)
    assert second is not None
    assert second.splits == {}
    assert second.values == {"a": dim("c0"), "b": dim("c1")}
    assert solve((join([("a", 2), ("b", 3)]),), (join([("b", 3), ("a", 2)]),), (6,), EXTENTS) is None


def test_reach_of_an_affine_expression():
    assert reach(dim("a") * 2 - dim("b") + 1, EXTENTS) == (-1, 3)


def test_contractions_and_their_innermost_dims():
    b = Build("f32[4, 8]", "f32[1, 6, 5, 5]")
    x, image = b.inputs
    constants = {"v1"}

    def found(value):
        draft = draft_of(value)
        write = draft.stages[-1].write
        last = innermost(draft.stages, write, constants.__contains__)
        return None if last is None else last[1]

    assert found(b("nn.matmul", x, b.weight(8, 3))) == 1
    assert found(b("nn.matmul", x, b("shape.transpose", x, perm=(1, 0)))) == 1
    conv = {"strides": (1, 1), "pads": (0,) * 4, "dilations": (1, 1)}
    assert found(b("nn.conv", image, b.weight(7, 6, 3, 3), **conv)) == 1
    assert found(b("nn.conv", image, b.weight(6, 1, 3, 3), groups=6, **conv)) is None


def test_a_sum_of_squares_is_no_contraction():
    b = Build("f32[4, 8]")
    (x,) = b.inputs
    (product,) = draft_of(b("nn.matmul", x, b.weight(8, 3))).stages
    assert factors(product) is not None
    (squares,) = draft_of(b("nn.einsum", x, x, equation="ij,ij->i")).stages
    assert factors(squares) is None


def test_splitting_a_dim_splits_the_locals_that_follow_it():
    b = Build("f32[4, 6]")
    value = b("nn.softmax", b.inputs[0], axis=1)
    names = {b.inputs[0]: "v0", value: "v1"}
    drafting = Drafting(names)
    draft = drafting.draft(value.node)
    assert draft is not None
    rows, columns = (each.name for each in draft.stages[-1].dims)
    split = drafting.split(draft, columns, [2, 3])
    assert split is not None
    shapes = sorted(buffer.shape for buffer in split[0].locals.values())
    assert shapes == [(4,), (4,), (4, 2, 3)]
    assert rows in split[0].extents()
    assert columns not in split[0].extents()


def test_constants_of_one_element_become_numbers():
    b = Build("f32[4, 6]")
    value = b("math.mul", b.inputs[0], constant(np.float32(0.5)))
    (stage,) = draft_of(value).stages
    assert len(stage.reads) == 1
