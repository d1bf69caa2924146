"""In which order values lie in memory, and what a halo does to the kernels around it."""

import numpy as np
import pytest

from isthmus.compiler.ir import constant
from isthmus.compiler.ir.types import i8
from isthmus.compiler.passes.plan import KernelStep, Layout, Preferences

from .plans import Build, check, kernel_of, names, shapes


def test_a_layout_permutes_and_pads():
    layout = Layout((0, 2, 1), ((0, 0), (1, 0), (0, 2)))
    stored = layout.store(np.ones((2, 3, 4), np.float32))
    assert stored.shape == layout.shape((2, 3, 4)) == (2, 6, 4)
    assert stored.sum() == 24
    assert stored[:, 4:].sum() == stored[:, :, 0].sum() == 0


def test_convolutions_write_channels_last_and_weights_follow():
    b = Build("f32[1, 4, 6, 6]")
    h = b.conv(b.conv(b.inputs[0], 8), 16, 3)
    plan = check(b.graph(b("reduce.max", h, axes=(2, 3))), preferences=Preferences(halo=False))
    first, second, last = (step for step in plan.steps if isinstance(step, KernelStep))
    assert shapes(first, "output") == [(36, 8)]
    assert shapes(second, "input") == [(6, 6, 8)]
    assert shapes(second, "constant") == [(3, 3, 8, 16), (16,)]
    assert shapes(last, "input") == [(36, 16)]


def test_weights_for_each_channel_lie_channels_last_too():
    b = Build("f32[1, 6, 8, 8]")
    h = b.conv(b.conv(b.inputs[0], 12), 12, 3, groups=12)
    plan = check(b.graph(b.conv(h, 4)), preferences=Preferences(halo=False))
    depthwise = [step for step in plan.steps if isinstance(step, KernelStep)][1]
    assert (3, 3, 12) in shapes(depthwise, "constant")


@pytest.mark.parametrize("kernel", [2, 3])
def test_transposed_convolutions_write_channels_last_without_guards(kernel):
    b = Build("f32[1, 8, 6, 6]")
    geometry = {"strides": (2, 2), "pads": (1,) * 4, "dilations": (1, 1), "output_padding": (0, 0)}
    h = b("nn.conv_transpose", b("math.relu", b.inputs[0]), b.weight(8, 5, kernel, kernel), **geometry)
    plan = check(b.graph(b("reduce.max", h, axes=(2, 3))))
    step = kernel_of(plan, "nn.conv_transpose")
    assert shapes(step, "output")[0][-1] == 5
    assert all(access.fill is None for stage in step.kernel.stages for access in stage.reads)
    (weights,) = (array for array in plan.arrays.values() if array.place == "constant")
    extent = kernel + kernel % 2  # a phase has a tap less than the other: it gets one of zeros
    assert sorted(weights.shape) == sorted((8, 5, extent, extent))


def test_without_the_preference_all_is_row_major():
    b = Build("f32[1, 4, 6, 6]")
    plan = check(b.graph(b.conv(b.conv(b.inputs[0], 8), 16)), preferences=Preferences(channels_last=False))
    assert names(plan) == ["conv", "conv"]
    assert all(array.layout.is_plain for array in plan.arrays.values() if array.place != "constant")


def test_what_follows_a_convolution_follows_its_layout():
    b = Build("f32[1, 4, 6, 6]")
    h = b.conv(b.inputs[0], 8, 3)
    pooled = b("nn.max_pool", h, kernel=(2, 2), strides=(2, 2), pads=(0,) * 4, dilations=(1, 1))
    scaled = b("math.mul", h, b("math.sigmoid", b("reduce.mean", h, axes=(2, 3))))
    plan = check(b.graph(b.conv(pooled, 4), b("reduce.max", scaled, axes=(2, 3))))
    assert shapes(kernel_of(plan, "nn.max_pool"), "output") == [(3, 3, 8)]


def test_what_a_table_gives_lies_as_what_it_is_asked_for():
    b = Build("f32[1, 4, 6, 6]")
    table = constant(np.arange(256, dtype=np.int8))
    h = b("quant.lookup", b("math.cast", b.conv(b.inputs[0], 8), dtype=i8), table)
    pooled = b("nn.max_pool", h, kernel=(2, 2), strides=(2, 2), pads=(0,) * 4, dilations=(1, 1))
    plan = check(b.graph(b("reduce.max", pooled, axes=(2, 3)), b("reduce.max", h, axes=(1,))))
    assert shapes(kernel_of(plan, "nn.max_pool"), "output") == [(3, 3, 8)]


def test_outputs_are_row_major_by_one_copy():
    b = Build("f32[1, 4, 6, 6]")
    plan = check(b.graph(b("math.relu", b.conv(b.inputs[0], 8, 1))))
    assert names(plan) == ["conv+relu", "copy"]
    assert shapes(plan.steps[1], "input", "output") == [(36, 8), (8, 36)]


def test_an_output_that_is_transposed_by_the_model_is_written_at_once():
    b = Build("f32[1, 4, 6, 6]")
    y = b("shape.transpose", b.conv(b.inputs[0], 8, 1), perm=(0, 2, 3, 1))
    assert names(check(b.graph(y))) == ["conv+transpose"]


def test_a_halo_takes_the_guards_out_of_a_convolution():
    b = Build("f32[1, 4, 6, 6]")
    h = b.conv(b("math.relu", b.conv(b.inputs[0], 8)), 8, 3)
    y = b("reduce.mean", h, axes=(2, 3))
    plan = check(b.graph(y))
    assert shapes(plan.steps[0], "output") == [(8, 8, 8)]
    assert all(access.fill is None for s in plan.steps[1].kernel.stages for access in s.reads)
    guarded = check(b.graph(y), preferences=Preferences(halo=False))
    assert shapes(guarded.steps[0], "output") == [(36, 8)]
    assert any(access.fill == 0 for s in guarded.steps[1].kernel.stages for access in s.reads)


def test_rows_of_a_window_and_channels_become_one_reduction():
    b = Build("f32[1, 4, 6, 6]")
    h = b.conv(b("math.relu", b.conv(b.inputs[0], 8)), 8, 3)
    plan = check(b.graph(b("reduce.mean", h, axes=(2, 3))))
    reduced = [dim.extent for dim in plan.steps[1].kernel.stages[0].kind("reduce")]
    assert reduced == [3, 3 * 8]


def test_a_value_is_not_padded_for_a_reader_that_needs_another_value():
    b = Build("f32[1, 4, 6, 6]")
    h = b("math.neg", b.conv(b.inputs[0], 8))
    window = {"kernel": (3, 3), "strides": (1, 1), "pads": (1, 1, 1, 1), "dilations": (1, 1)}
    y = b("math.add", b("nn.max_pool", h, **window), b.conv(h, 8, 3))
    plan = check(b.graph(b("reduce.mean", y, axes=(2, 3))))
    assert not any(array.layout.has_halo for array in plan.arrays.values())


def test_a_value_is_not_padded_for_a_reader_that_looks_it_up():
    b = Build("f32[1, 4, 6, 6]")
    h = b("math.neg", b.conv(b.inputs[0], 8))
    rows = constant(np.array([5, 0, 3], np.int64))
    y = b("math.add", b("shape.gather", b.conv(h, 8, 3), rows, axis=2), b("shape.gather", h, rows, axis=2))
    plan = check(b.graph(b("reduce.mean", y, axes=(2, 3))))
    assert not any(array.layout.has_halo for array in plan.arrays.values())


def test_a_halo_is_as_wide_as_its_widest_reader():
    b = Build("f32[1, 4, 12, 12]")
    h = b.conv(b.inputs[0], 8)
    y = b("math.add", b.conv(h, 8, 3), b.conv(h, 8, 5))
    plan = check(b.graph(b("reduce.mean", y, axes=(2, 3))), preferences=Preferences())
    (padded,) = (array for array in plan.arrays.values() if array.layout.has_halo)
    assert padded.shape == (1, 16, 16, 8)


@pytest.mark.parametrize("batch", [1, 3])
def test_dims_that_always_go_together_become_one(batch):
    b = Build(f"f32[{batch}, 4, 5, 6]")
    (x,) = b.inputs
    plan = check(b.graph(b("math.add", b("math.exp", x), x), b("nn.softmax", b("math.neg", x), axis=3)))
    first, second = plan.steps
    assert [dim.extent for dim in first.kernel.dims.values()] == [batch * 120]
    assert [dim.extent for dim in second.kernel.dims.values()] == [batch * 20, 6]


def test_the_same_constant_may_lie_in_memory_in_two_orders():
    b = Build("i64[5]", "f32[5, 8]")
    ids, x = b.inputs
    table = b.weight(11, 8)
    h = b("math.add", b("shape.gather", table, ids, axis=0), x)
    y = b("nn.matmul", h, b("shape.transpose", table, perm=(1, 0)))
    plan = check(b.graph(y))
    stored = [array for array in plan.arrays.values() if array.place == "constant"]
    assert sorted(array.shape for array in stored) == [(8, 11), (11, 8)]
