"""What is computed together: kernels of typical blocks, each run against the reference."""

import numpy as np
import pytest

from isthmus.compiler.ir import constant
from isthmus.compiler.ir.types import i8, i32
from isthmus.compiler.passes.form import form
from isthmus.compiler.passes.plan import HostStep, KernelStep, Preferences
from isthmus.compiler.tile.stage import INPUT

from .plans import Build, check, kernel_of, names, shapes


def test_bias_activation_and_residual_go_into_the_contraction():
    b = Build("f32[1, 8, 6, 6]")
    (x,) = b.inputs
    y = b("math.relu", b("math.add", b.conv(b("math.relu", b.conv(x, 8, 3)), 8, 3), x))
    assert names(check(b.graph(y))) == ["copy", "conv+relu", "conv+add+relu", "copy"]


def test_a_residual_between_two_convolutions_goes_into_the_later_one():
    b = Build("f32[1, 8, 6, 6]")
    (x,) = b.inputs
    y = b("reduce.mean", b("math.relu", b("math.add", b.conv(x, 16), b.conv(x, 16))), axes=(2, 3))
    assert names(check(b.graph(y))) == ["conv", "conv+add+relu", "mean"]


def test_memory_holds_what_is_cast_to_a_wider_type_as_it_was():
    b = Build("f32[1, 8, 6, 6]")
    (x,) = b.inputs
    narrow = b("math.cast", b.conv(x, 16, 3), dtype=i8)
    plan = check(b.graph(b("reduce.sum", b("math.cast", narrow, dtype=i32), axes=(2, 3))))
    assert names(plan) == ["copy", "conv+cast", "cast+sum"]
    assert kernel_of(plan, "reduce.sum").kernel.role(INPUT)[0].dtype == i8


def test_a_value_with_two_readers_is_stored_once():
    b = Build("f32[4, 8]")
    (x,) = b.inputs
    h = b.linear(x, 8)
    y = b("math.add", b("nn.softmax", h, axis=1), b("math.tanh", h))
    assert names(check(b.graph(y))) == ["matmul+add", "softmax+tanh+add"]


def test_a_diamond_of_elementwise_nodes_becomes_one_epilogue():
    b = Build("f32[4, 8]")
    (x,) = b.inputs
    h = b.linear(x, 8)
    assert names(check(b.graph(b("math.mul", h, b("math.sigmoid", h))))) == ["matmul+add+sigmoid+mul"]


def test_an_inverted_residual_block_is_three_kernels():
    b = Build("f32[1, 3, 9, 9]")
    (x,) = b.inputs
    x = b.conv(x, 8, 3, stride=2)
    h = b("math.clip", b.conv(x, 16), 0.0, 6.0)
    h = b("math.clip", b.conv(h, 16, 3, groups=16), 0.0, 6.0)
    y = b("reduce.mean", b("math.add", b.conv(h, 8), x), axes=(2, 3))
    plan = check(b.graph(y))
    assert names(plan) == ["copy", "conv", "conv+clip", "conv+clip", "conv+add", "mean"]


def heads(b: Build, x, sequence: int, count: int):
    """[1, S, H * D] as [1, H, S, D]."""
    split = b("shape.reshape", x, shape=(1, sequence, count, x.shape[-1] // count))
    return b("shape.transpose", split, perm=(0, 2, 1, 3))


def attention_layer(b: Build, x, hidden: int = 16, sequence: int = 5, count: int = 4):
    q, k, v = (heads(b, b.linear(x, hidden), sequence, count) for _ in range(3))
    mixed = b("nn.attention", q, k, v, scale=0.5)
    merged = b("shape.reshape", b("shape.transpose", mixed, perm=(0, 2, 1, 3)), shape=(1, sequence, hidden))
    x = b("math.add", b.linear(merged, hidden), x)
    x = b("nn.layer_norm", x, b.weight(hidden), b.weight(hidden), axis=2, epsilon=1e-5)
    h = b("math.gelu", b.linear(x, 4 * hidden))
    x = b("math.add", b.linear(h, hidden), x)
    return b("nn.layer_norm", x, b.weight(hidden), b.weight(hidden), axis=2, epsilon=1e-5)


def test_a_transformer_layer_has_no_kernel_that_only_moves():
    b = Build("f32[1, 5, 16]")
    plan = check(b.graph(attention_layer(b, b.inputs[0])))
    assert [name.split("+")[-1] if name.endswith("add") else name for name in names(plan)] == [
        "add",
        "add",
        "add",
        "reshape+transpose+attention",
        "add",
        "layer_norm",
        "matmul+add+gelu",
        "add",
        "layer_norm",
    ]
    # the heads are merged where they were split: one reduced dim of all 16, not 4 times 4
    projection = kernel_of_output_projection(plan)
    assert [dim.extent for dim in projection.kernel.stages[0].kind("reduce")] == [16]


def kernel_of_output_projection(plan):
    return next(
        step
        for step in plan.steps
        if isinstance(step, KernelStep) and step.kernel.name.startswith("transpose+reshape+matmul")
    )


def test_attention_reads_slices_of_one_projection():
    b = Build("f32[1, 5, 16]")
    (x,) = b.inputs
    h = b.linear(x, 48)
    q, k, v = (
        heads(b, b("shape.slice", h, starts=(0, 0, 16 * n), sizes=(1, 5, 16), steps=(1, 1, 1)), 5, 4)
        for n in range(3)
    )
    y = b("nn.attention", q, k, v, scale=0.5, causal=True)
    y = b("shape.reshape", b("shape.transpose", y, perm=(0, 2, 1, 3)), shape=(1, 5, 16))
    assert len(check(b.graph(b.linear(y, 16))).steps) == 3


def test_an_embedding_sum_is_one_kernel_with_its_norm_apart():
    b = Build("i64[1, 6]", "i64[1, 6]")
    words, kinds = b.inputs
    h = b(
        "math.add",
        b("shape.gather", b.weight(11, 8), words, axis=0),
        b("shape.gather", b.weight(2, 8), kinds, axis=0),
    )
    y = b("nn.layer_norm", h, b.weight(8), b.weight(8), axis=2, epsilon=1e-5)
    assert names(check(b.graph(y))) == ["gather+add+layer_norm"]


@pytest.mark.parametrize(
    "view",
    [
        lambda b, x: b("shape.slice", x, starts=(0, 1, 5), sizes=(4, 3, 3), steps=(1, 1, -2)),
        lambda b, x: b("shape.transpose", x, perm=(2, 0, 1)),
        lambda b, x: b("shape.reshape", x, shape=(20, 6)),
        lambda b, x: b("shape.reshape", x, shape=(2, 2, 5, 3, 2)),
        lambda b, x: b("shape.reshape", x, shape=(8, 15)),
        lambda b, x: b("shape.expand", x, shape=(2, 4, 5, 6)),
        lambda b, x: b("shape.pad", x, pads=(0, 1, 0, 2, 0, 1), mode="constant"),
        lambda b, x: b("shape.pad", x, pads=(0, 1, 0, 2, 0, 1), mode="reflect"),
        lambda b, x: b("shape.concat", x, x, axis=1),
        lambda b, x: b("shape.tile", x, repeats=(1, 2, 1)),
    ],
)
@pytest.mark.parametrize("place", ["first", "last", "between", "twice", "output"])
def test_views_keep_their_meaning_wherever_they_stand(view, place):
    b = Build("f32[4, 5, 6]")
    (x,) = b.inputs
    if place == "first":
        outputs = [b("math.exp", view(b, x))]
    elif place == "last":
        outputs = [view(b, b("math.exp", x))]
    elif place == "between":
        outputs = [b("nn.softmax", view(b, b("math.exp", x)), axis=1)]
    elif place == "twice":
        seen = view(b, b("math.exp", x))
        outputs = [b("nn.softmax", seen, axis=1), b("math.sin", seen)]
    else:
        seen = view(b, b.linear(x, 6))
        outputs = [seen, b("math.sin", seen)]
    check(b.graph(*outputs))


def test_views_between_contractions_leave_no_kernel():
    b = Build("f32[4, 6, 8]")
    (x,) = b.inputs
    h = b("shape.transpose", b.linear(x, 12), perm=(1, 0, 2))
    h = b("shape.reshape", h, shape=(6, 48))
    assert names(check(b.graph(b.linear(h, 5)))) == ["matmul+add", "transpose+reshape+matmul+add"]


def test_padding_goes_into_the_convolution():
    b = Build("f32[1, 4, 6, 6]")
    (x,) = b.inputs
    padded = b("shape.pad", b.conv(x, 4), pads=(0, 0, 2, 1, 0, 0, 1, 2), mode="constant")
    y = b("reduce.max", b.conv(padded, 4, 3), axes=(2, 3))
    assert names(check(b.graph(y))) == ["conv", "pad+conv", "max"]


def test_a_padded_read_stays_apart_from_what_changes_zero():
    b = Build("f32[1, 4, 6, 6]")
    (x,) = b.inputs
    y = b.conv(b("math.exp", x), 4, 3)
    assert names(check(b.graph(y)))[0] == "exp"


def test_pooling_pads_with_its_own_value():
    b = Build("f32[1, 4, 7, 7]")
    h = b("math.relu", b.conv(b.inputs[0], 8, 3))
    window = {"kernel": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1), "dilations": (1, 1)}
    y = b("nn.max_pool", b("math.neg", h), **window)
    z = b("nn.avg_pool", h, **window)
    plan = check(b.graph(y, z))
    pool = kernel_of(plan, "nn.max_pool")
    assert -np.inf in [access.fill for stage in pool.kernel.stages for access in stage.reads]


def test_transposed_convolution_takes_its_activation():
    b = Build("f32[1, 3, 5, 4]")
    (x,) = b.inputs
    y = b(
        "nn.conv_transpose",
        x,
        b.weight(3, 4, 3, 3),
        b.weight(4),
        strides=(2, 2),
        pads=(1, 1, 0, 1),
        dilations=(1, 1),
        output_padding=(0, 1),
    )
    y = b("math.mul", b("math.exp", y), b.weight(4, 1, 1))
    assert [n for n in names(check(b.graph(y))) if n != "copy"] == ["conv_transpose+exp+mul"]


def test_pixel_shuffle_leaves_the_channels_of_the_convolution_whole():
    b = Build("f32[1, 4, 5, 5]")
    h = b("shape.reshape", b.conv(b.inputs[0], 8, 3), shape=(1, 2, 2, 2, 5, 5))
    h = b("shape.reshape", b("shape.transpose", h, perm=(0, 1, 4, 2, 5, 3)), shape=(1, 2, 10, 10))
    plan = check(b.graph(h))
    (conv,) = (step for step in plan.steps if "conv" in step.kernel.name)
    assert shapes(conv, "output") == [(5, 5, 8)]


def test_outputs_may_be_inputs_constants_and_each_other():
    b = Build("f32[2, 6]")
    (x,) = b.inputs
    h = b("math.exp", x)
    check(
        b.graph(
            x,
            h,
            h,
            b("shape.reshape", h, shape=(3, 4)),
            b("shape.reshape", h, shape=(4, 3)),
            b("shape.reshape", x, shape=(12,)),
            constant(np.ones(3, np.float32)),
            b("math.sin", h),
        )
    )


def test_nodes_without_code_run_by_their_meaning():
    b = Build("f32[1, 4, 5, 5]")
    h = b.conv(b.inputs[0], 8, 3)
    y = b("math.add", b("nn.det", b("math.relu", h)), 1.0)
    plan = check(b.graph(y))
    (host,) = (step for step in plan.steps if isinstance(step, HostStep))
    assert host.node.op == "nn.det"
    assert "no stages" in host.reason
    assert all(plan.arrays[n].layout.is_plain for n in (*host.operands, *host.results) if n is not None)


def test_what_the_target_does_not_support_runs_by_its_meaning():
    b = Build("f32[3, 4]")
    y = b("math.sin", b("nn.softmax", b("math.exp", b.inputs[0]), axis=1))
    plan = check(b.graph(y), supports=lambda node: node.op != "nn.softmax")
    assert names(plan) == ["exp", "NN.SOFTMAX", "sin"]
    assert "nn.softmax" in plan.steps[1].reason


def test_results_of_unknown_shape_stay_on_the_host():
    b = Build("f32[6]")
    (x,) = b.inputs
    y = b("shape.nonzero", b("math.relu", x))
    plan = check(b.graph(y))
    assert names(plan) == ["relu", "SHAPE.NONZERO"]
    assert not plan.arrays[plan.outputs[0]].is_static


def test_nothing_is_left_of_an_empty_tensor_but_its_meaning():
    b = Build("f32[0, 4]")
    assert names(check(b.graph(b("math.exp", b.inputs[0])))) == ["MATH.EXP"]


def test_equal_blocks_give_equal_kernels():
    from isthmus.compiler.tile.canonical import canonical

    b = Build("f32[1, 5, 16]")
    x = b.inputs[0]
    for _ in range(3):
        x = attention_layer(b, x)
    plan = check(b.graph(x))
    keys = {canonical(step.kernel)[2] for step in plan.steps if isinstance(step, KernelStep)}
    assert (len(plan.steps), len(keys)) == (27, 6)


@pytest.mark.parametrize("halo", [True, False])
@pytest.mark.parametrize("channels_last", [True, False])
def test_preferences_change_no_value(halo, channels_last):
    b = Build("f32[2, 4, 7, 6]")
    h = b("math.relu", b.conv(b.inputs[0], 8, 3, stride=2))
    y = b("math.add", b.conv(h, 8, 3, groups=2), h)
    check(b.graph(y), preferences=Preferences(channels_last=channels_last, halo=halo))


def test_rows_that_are_read_back_stay_with_their_reduction():
    b = Build("f32[3, 4, 8]")
    h = b.linear(b.inputs[0], 8)
    norm = b("math.sqrt", b("reduce.sum", b("math.mul", h, h), axes=(2,)))
    plan = check(b.graph(b("math.div", h, norm)))
    assert names(plan) == ["matmul+add", "mul+sum+sqrt+div"]
    assert [dim.extent for dim in plan.steps[1].kernel.dims.values()] == [12, 8]


def test_a_softmax_in_parts_is_two_kernels():
    b = Build("f32[6, 8]")
    x = b.linear(b.inputs[0], 8)
    raised = b("math.exp", b("math.sub", x, b("reduce.max", x, axes=(1,))))
    y = b("math.div", raised, b("reduce.sum", raised, axes=(1,)))
    assert names(check(b.graph(y))) == ["matmul+add", "max+sub+exp", "sum+div"]


def test_long_rows_are_read_twice():
    b = Build("f32[2, 300]")
    h = b("math.exp", b.inputs[0])
    y = b("math.div", h, b("reduce.sum", h, axes=(1,)))
    assert len(check(b.graph(y), preferences=Preferences(row_bytes=1200)).steps) == 2
    assert len(check(b.graph(y), preferences=Preferences(row_bytes=1199)).steps) == 3


def test_nodes_apart_are_fused_with_nothing():
    b = Build("f32[4, 8]")
    product = b("nn.matmul", b.inputs[0], b.weight(8, 8))
    y = b("math.exp", b("math.relu", b("math.add", product, b.weight(8))))
    plan = form(b.graph(y), lambda node: True, apart={y.node.operands[0].node})
    assert names(plan) == ["matmul+add", "relu", "exp"]


def test_a_table_that_no_access_needs_any_more_is_not_made():
    b = Build("f32[4, 1]")
    wide = b("shape.expand", b("math.neg", b.inputs[0]), shape=(4, 2))
    y = b("shape.pad", wide, pads=(0, 0, 0, 1), mode="edge")
    (step,) = check(b.graph(y)).steps
    assert [buffer.role for buffer in step.kernel.buffers] == ["input", "output"]


def test_a_window_of_one_element_is_elementwise():
    b = Build("f32[1, 4, 6, 6]")
    y = b.conv(b("math.neg", b.conv(b.inputs[0], 4, groups=4)), 4, groups=4, stride=2)
    (step,) = check(b.graph(y)).steps
    assert len(step.kernel.stages) == 1
