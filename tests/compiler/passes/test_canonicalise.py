"""What canonical form is, before and after, and above all what must stay because its bits would change."""

import numpy as np
import pytest

from isthmus.compiler.ir import DTYPES
from isthmus.compiler.ir.text import parse_graph, print_graph
from isthmus.compiler.ops.interpret import run_graph
from isthmus.compiler.passes import CANONICALISE, SIMPLIFY
from isthmus.compiler.passes.algebra import holds_all


def canonical(body: str, inputs: str = "%x: f32[4], %y: f32[4]") -> list[str]:
    result = CANONICALISE.run(parse_graph(f'graph "g"({inputs}) {{ {body} }}'))
    return [line.strip() for line in print_graph(result.graph, locations=False).text.splitlines()[1:-1]]


@pytest.mark.parametrize(
    "body",
    [
        "%0 = math.sub(%x, %x) : f32[4]",  # NaN, infinities
        "%c = constant f32[](0.0) %0 = math.mul(%x, %c) : f32[4]",
        "%c = constant f32[](0.0) %0 = math.add(%x, %c) : f32[4]",  # -0.0 + 0.0 is 0.0
        "%c = constant f32[](3.0) %0 = math.div(%x, %c) : f32[4]",  # 1 / 3 is not exact
        "%c = constant f32[](1e-40) %0 = math.div(%x, %c) : f32[4]",
        "%c = constant f32[](0.5) %0 = math.pow(%x, %c) : f32[4]",  # sqrt(-inf) is NaN
        "%0 = math.div(%x, %x) : f32[4]",
        "%0 = math.exp(%x) : f32[4] %1 = math.log(%0) : f32[4] %0b = math.neg(%1) : f32[4]",
    ],
)
def test_what_would_change_bits_stays(body: str) -> None:
    kept = body.count(" = ")
    last = body.rsplit(" = ", 1)[0].split()[-1]
    assert len(canonical(f"{body} return {last} as y")) == kept + 1


def test_a_constant_that_broadcasts_is_not_neutral() -> None:
    lines = canonical("%c = constant f32[2, 1](1.0, 1.0) %0 = math.mul(%x, %c) : f32[2, 4] return %0 as y")
    assert lines[1] == "%3 = math.mul(%x, %2) : f32[2, 4]"


def test_division_by_powers_of_two_is_a_product() -> None:
    assert canonical("%c = constant f32[](8.0) %0 = math.div(%x, %c) : f32[4] return %0 as y") == [
        "%2 = constant f32[](0.125)",
        "%3 = math.mul(%x, %2) : f32[4]",
        "return %3 as y",
    ]


def test_relu6_in_three_spellings_is_one_clip() -> None:
    zero, six = "%z = constant f32[](0.0)", "%s = constant f32[](6.0)"
    spellings = (
        f"{zero} {six} %0 = math.max(%x, %z) : f32[4] %1 = math.min(%0, %s) : f32[4]",
        f"{six} %0 = math.relu(%x) : f32[4] %1 = math.min(%0, %s) : f32[4]",
        f"{zero} {six} %1 = math.clip(%x, %z, %s) : f32[4]",
    )
    results = {
        tuple(line.split(" = ")[-1] for line in canonical(f"{body} return %1 as y")) for body in spellings
    }
    assert len({frozenset(lines) for lines in results}) == 1


def test_transposes_meet_and_cancel() -> None:
    assert canonical(
        "%0 = shape.transpose(%x) {perm = (0, 2, 1, 3)} : f32[1, 4, 3, 5]"
        "%1 = shape.transpose(%0) {perm = (0, 1, 3, 2)} : f32[1, 4, 5, 3]"
        "%2 = shape.transpose(%1) {perm = (0, 3, 1, 2)} : f32[1, 3, 4, 5] return %2 as y",
        "%x: f32[1, 3, 4, 5]",
    ) == ["return %x as y"]


def test_products_of_flattened_rows_keep_their_rank() -> None:
    assert canonical(
        "%0 = shape.reshape(%x) {shape = (6, 4)} : f32[6, 4]"
        "%1 = nn.matmul(%0, %w) : f32[6, 5] %2 = math.add(%1, %b) : f32[6, 5]"
        "%3 = shape.reshape(%2) {shape = (2, 3, 5)} : f32[2, 3, 5] return %3 as y",
        "%x: f32[2, 3, 4], %w: f32[4, 5], %b: f32[5]",
    ) == [
        "%3 = nn.matmul(%x, %w) : f32[2, 3, 5]",
        "%4 = math.add(%3, %b) : f32[2, 3, 5]",
        "return %4 as y",
    ]


def test_symbolic_shapes_are_kept() -> None:
    assert canonical(
        "%0 = shape.reshape(%x) {shape = (<2*N>, 2)} : f32[2*N, 2]"
        "%1 = shape.reshape(%0) {shape = (<N>, 4)} : f32[N, 4] return %1 as y",
        "%x: f32[N, 4]",
    ) == ["return %x as y"]


def test_a_slice_across_a_seam_stays() -> None:
    body = (
        "%0 = shape.concat(%x, %y) {axis = 0} : f32[8]"
        "%1 = shape.slice(%0) {starts = (3), sizes = (2), steps = (1)} : f32[2] return %1 as y"
    )
    assert len(canonical(body)) == 3


def test_masks_are_not_spread_out_before_attention() -> None:
    graph = parse_graph(
        'graph "g"(%q: f32[1, 2, 4, 8], %k: f32[1, 2, 4, 8], %v: f32[1, 2, 4, 8], %m: bool[1, 1, 1, 4]) {'
        "%t = constant bool[4, 1](true, true, true, true) %0 = math.logical_and(%m, %t) : bool[1, 1, 4, 4]"
        "%zero = constant f32[](0.0) %low = constant f32[](-3e38)"
        "%1 = math.where(%0, %zero, %low) : f32[1, 1, 4, 4]"
        "%2 = nn.attention(%q, %k, %v, %1) {scale = 0.5, causal = false, offset = 0, softcap = 0.0} : f32[1, 2, 4, 8]"
        "return %2 as y }"
    )
    from isthmus.compiler.passes import RECOGNISE

    after = RECOGNISE.run(SIMPLIFY.run(graph).graph).graph
    assert after.outputs[0].node.operands[3].shape == (1, 1, 1, 4)


def test_neutral_operations_keep_every_bit() -> None:
    body = (
        "%c = constant f32[](1.0) %n = constant f32[](-0.0) %two = constant f32[](2.0) %m = constant f32[](-1.0)"
        "%0 = math.mul(%x, %c) : f32[8] %1 = math.add(%0, %n) : f32[8] %2 = math.div(%1, %two) : f32[8]"
        "%3 = math.mul(%2, %m) : f32[8] %4 = math.sub(%3, %two) : f32[8] %5 = math.pow(%2, %two) : f32[8]"
        "return %3 as a, %4 as b, %5 as c"
    )
    before = parse_graph(f'graph "g"(%x: f32[8]) {{ {body} }}')
    after = CANONICALISE.run(before).graph
    values = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, 3e38, -1.5], np.float32)
    for want, got in zip(run_graph(before, [values]), run_graph(after, [values]), strict=True):
        np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(np.signbit(got[:4]), np.signbit(want[:4]))


@pytest.mark.parametrize(
    ("wide", "narrow", "holds"),
    [
        ("f32", "f16", True),
        ("f32", "bf16", True),
        ("f16", "bf16", False),
        ("i32", "u16", True),
        ("i16", "u16", False),
        ("u16", "i8", False),
        ("i64", "i32", True),
        ("f32", "i32", False),
        ("u8", "bool", True),
    ],
)
def test_which_dtype_holds_all_of_another(wide: str, narrow: str, holds: bool) -> None:
    assert holds_all(DTYPES[wide], DTYPES[narrow]) is holds


def test_what_doubles_again_and_again_stays_small() -> None:
    doublings = " ".join(
        f"%{n + 1} = shape.concat(%{n}, %{n}) {{axis = 0}} : f32[{2 ** (n + 1)}]" for n in range(1, 31)
    )
    first = "%1 = shape.concat(%x, %x) {axis = 0} : f32[2]"
    lines = canonical(f"{first} {doublings} return %31 as y", inputs="%x: f32[1]")
    assert len(lines) < 31
    assert max(line.count("%") for line in lines) <= 257
