"""Two kernels as one: the same values, whatever shapes they see the array between them under."""

import numpy as np
import pytest

from isthmus.compiler.tile.join import common_shape, join, split_dim
from isthmus.compiler.tile.stage import LOCAL
from isthmus.compiler.tile.text import parse_kernel
from isthmus.compiler.tile.untiled import run_untiled

EXPAND = """kernel "expand" {
  input x: i32[24, 5]  constant w: i32[5, 6]  output y: i32[24, 6]
  stage s (p: 24, c: 6, reduce k: 5): y[p, c] = sum mul(x[p, k], w[k, c])
}"""
WINDOW = """kernel "window" {
  input x: i32[4, 6, 6]  constant w: i32[3, 3, 6]  output y: i32[4, 6, 6]
  stage s (h: 4, v: 6, c: 6, reduce a: 3, reduce b: 3):
    y[h, v, c] = sum mul(x[h + a - 1, v + b - 1, c] else 7, w[a, b, c])
}"""
FLAT = """kernel "flat" {
  input x: i32[144]  output y: i32[144]
  stage s (i: 144): y[i] = add(x[i], <i>)
}"""


def drawn(kernel, name):
    buffer = kernel.buffer(name)
    return np.random.default_rng(len(name)).integers(-9, 9, buffer.static_shape).astype(buffer.dtype.numpy)


@pytest.mark.parametrize(("one", "other", "shape"), [(EXPAND, WINDOW, (4, 6, 6)), (EXPAND, FLAT, (24, 6)),
                                                     (WINDOW, FLAT, (4, 6, 6))])  # fmt: skip
def test_joint_kernels_compute_what_both_do_in_turn(one, other, shape):
    first, second = parse_kernel(one), parse_kernel(other)
    arrays = {b.name: drawn(first, b.name) for b in first.buffers if b.role in ("input", "constant")}
    between = run_untiled(first, arrays)["y"]
    others = {b.name: drawn(second, b.name) for b in second.role("constant")}
    read = second.buffer("x").static_shape
    wanted = run_untiled(second, {**others, "x": between.reshape(read)})["y"]
    joint = join(first, second, "y", "x")
    assert joint is not None
    assert [b.static_shape for b in joint.role(LOCAL)] == [shape]
    given = {
        b.name: ({**arrays} | {f"{k}_": v for k, v in others.items()})[b.name].reshape(b.static_shape)
        for b in joint.buffers
        if b.role in ("input", "constant")
    }
    assert np.array_equal(run_untiled(joint, given)["y_"].reshape(wanted.shape), wanted)


def test_dims_that_walk_along_one_axis_take_one_name():
    joint = join(parse_kernel(EXPAND), parse_kernel(FLAT), "y", "x")
    assert joint is not None
    assert [d.name for d in joint.stages[0].dims if d.kind == "parallel"] == [
        d.name for d in joint.stages[1].dims
    ]


@pytest.mark.parametrize(
    ("one", "other", "common"),
    [
        ((24, 6), (4, 6, 6), (4, 6, 6)),
        ((1, 24), (24,), (24,)),
        ((6, 4), (4, 6), None),
        ((24,), (6, 5), None),
        ((2, 12), (24,), (2, 12)),
    ],
)
def test_a_common_shape_cuts_both(one, other, common):
    assert common_shape(one, other) == common


def test_arrays_that_are_read_in_part_are_not_joined():
    part = parse_kernel(
        'kernel "part" { input x: i32[4, 6, 6] output y: i32[2, 6, 6] '
        "stage s (h: 2, v: 6, c: 6): y[h, v, c] = x[2*h, v, c] }"
    )
    assert join(parse_kernel(WINDOW), part, "y", "x") is not None  # strides are the local's reader's affair
    positions = parse_kernel(
        'kernel "p" { input x: i32[24, 6] output y: i32[12, 6] stage s (p: 12, c: 6): y[p, c] = x[2*p, c] }'
    )
    assert join(parse_kernel(WINDOW), positions, "y", "x") is None


def test_results_written_in_steps_are_not_joined():
    """A local takes one plain dim an axis: what two dims write goes home."""
    spread = parse_kernel(
        'kernel "spread" { input x: i32[2, 3] output y: i32[6] stage s (j: 2, m: 3): y[3*j + m] = x[j, m] }'
    )
    whole = parse_kernel('kernel "whole" { input x: i32[6] output y: i32[6] stage s (i: 6): y[i] = x[i] }')
    assert join(spread, whole, "y", "x") is None


def test_a_dim_that_a_local_mixes_with_others_is_not_split():
    kernel = parse_kernel(
        'kernel "k" { input x: i32[4] local t: i32[4] output y: i32[3] '
        "stage a (i: 4): t[i] = x[i]  stage b (j: 2, m: 2): y[j + m] = t[j + m] }"
    )
    assert split_dim(kernel, "j", (2, 1)) is None
