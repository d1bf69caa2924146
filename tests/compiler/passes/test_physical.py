"""The physical form of kernels: unit axes, merged dims, aliases, and the halos that readers ask for."""

import pytest

from isthmus.compiler.ir.location import Location, at
from isthmus.compiler.passes.alias import ordered_by, seen_as
from isthmus.compiler.passes.halo import halos
from isthmus.compiler.passes.plan import KernelStep, Preferences

from .plans import Build, check, kernel_of, planned, shapes
from .test_accesses import draft_of


def stage_of(op: str, text: str, **attributes):
    b = Build(text)
    return draft_of(b(op, b.inputs[0], **attributes)).stages[0]


@pytest.mark.parametrize(
    ("order", "perm", "expected"),
    [((0, 1, 2), (2, 0, 1), (1, 2, 0)), ((0, 2, 1), (0, 2, 1), (0, 1, 2)), ((2, 1, 0), (2, 1, 0), (0, 1, 2))],
)
def test_every_transpose_is_an_alias_in_some_order(order, perm, expected):
    stage = stage_of("shape.transpose", "f32[3, 4, 5]", perm=perm)
    target = tuple((3, 4, 5)[axis] for axis in perm)
    assert seen_as(stage, (3, 4, 5), order, target) == expected


def test_a_reshape_is_an_alias_where_no_element_moves():
    merge = stage_of("shape.reshape", "f32[3, 4, 5]", shape=(12, 5))
    assert seen_as(merge, (3, 4, 5), (0, 1, 2), (12, 5)) == (0, 1)
    assert seen_as(merge, (3, 4, 5), (2, 0, 1), (12, 5)) == (1, 0)
    assert seen_as(merge, (3, 4, 5), (1, 0, 2), (12, 5)) is None
    split = stage_of("shape.reshape", "f32[3, 20]", shape=(3, 4, 5))
    assert seen_as(split, (3, 20), (1, 0), (3, 4, 5)) == (1, 2, 0)


def test_slices_and_repeats_are_no_aliases():
    part = stage_of("shape.slice", "f32[3, 4]", starts=(0, 0), sizes=(2, 4), steps=(1, 1))
    assert seen_as(part, (3, 4), (0, 1), (2, 4)) is None
    flipped = stage_of("shape.slice", "f32[3]", starts=(2,), sizes=(3,), steps=(-1,))
    assert seen_as(flipped, (3,), (0,), (3,)) is None


def test_axes_without_elements_to_step_over_follow_the_axis_before():
    assert ordered_by({0: 1, 2: 6}, 3) == (2, 0, 1)


def test_unit_axes_vanish():
    b = Build("f32[1, 1, 6, 1]")
    plan = check(b.graph(b("math.add", b.inputs[0], b.weight(4, 1, 1))))
    assert shapes(plan.steps[0], "input", "output") == [(6,), (4, 6)]


def test_overlapping_windows_keep_rows_apart_and_merge_columns_with_channels():
    b = Build("f32[1, 4, 8, 8]")
    plan = check(b.graph(b.conv(b.conv(b.inputs[0], 8), 16, 3)), preferences=Preferences())
    kernel = kernel_of_window(plan)
    assert shapes(kernel, "input") == [(10, 80)]
    assert shapes(kernel, "constant") == [(3, 24, 16), (16,)]


@pytest.mark.parametrize(("size", "grown"), [(4, 6), (1, 1)])
def test_a_small_map_that_is_read_often_gets_a_halo_up_to_four_times_its_size(size, grown):
    b = Build(f"f32[1, 64, {size}, {size}]")
    plan = check(b.graph(b.conv(b.conv(b.inputs[0], 64), 64, 3)), preferences=Preferences())
    assert shapes(plan.steps[1], "input")[0][0] == grown


def test_weights_behind_a_shuffle_of_channels_have_an_axis_for_each_of_its_dims():
    b = Build("f32[1, 12, 5, 5]")
    groups = b("shape.reshape", b.inputs[0], shape=(1, 3, 4, 5, 5))
    mixed = b("shape.reshape", b("shape.transpose", groups, perm=(0, 2, 1, 3, 4)), shape=(1, 12, 5, 5))
    plan = check(b.graph(b.conv(mixed, 8)), preferences=Preferences())
    (kernel,) = (step for step in plan.steps if shapes(step, "constant"))
    assert shapes(kernel, "constant")[0] == (4, 3, 8)


def kernel_of_window(plan):
    return next(s for s in plan.steps if isinstance(s, KernelStep) and len(shapes(s, "constant")[0]) == 3)


def test_a_mask_by_position_keeps_its_dims():
    b = Build("f32[2, 6, 6]")
    plan = check(b.graph(b("shape.trilu", b.inputs[0], upper=True)))
    assert [dim.extent for dim in plan.steps[0].kernel.dims.values()] == [2, 6, 6]


def test_a_window_that_guards_its_reads_keeps_its_axes():
    b = Build("f32[1, 3, 6, 6]")
    window = {"kernel": (3, 3), "strides": (1, 1), "pads": (1, 1, 1, 1), "dilations": (1, 1)}
    plan = check(b.graph(b("nn.max_pool", b.inputs[0], **window)))
    assert shapes(kernel_of(plan, "nn.max_pool"), "input") == [(3, 6, 6)]


def test_halos_are_asked_for_by_zeros_that_are_read_often():
    b = Build("f32[1, 3, 6, 6]")
    convolved = b.conv(b.inputs[0], 4, 3)
    draft = draft_of(convolved)
    shape = {"v0": (1, 3, 6, 6), "v1": (4, 3, 3, 3), "v2": (4,), "v3": (1, 4, 6, 6)}
    assert halos([draft], shape) == {"v0": ((0, 0), (0, 0), (1, 1), (1, 1))}
    padded = draft_of(b("shape.pad", b.inputs[0], pads=(0, 0, 1, 1, 0, 0, 1, 1)))
    assert halos([padded], {"v0": (1, 3, 6, 6), "v1": (1, 3, 8, 8)}) == {}


def test_locations_of_all_nodes_reach_the_stages():
    from isthmus.compiler.ir import Location, at

    b = Build("f32[4, 8]")
    with at(Location("m.onnx", ("first",))):
        h = b.linear(b.inputs[0], 8)
    with at(Location("m.onnx", ("second",))):
        y = b("math.relu", h)
    (step,) = planned(b.graph(y)).steps
    assert step.location.names == ("first", "second")
    assert step.kernel.stages[-1].location.names == ("first", "second")


def test_layers_that_repeat_share_their_stages_and_keep_their_places():
    b = Build("f32[1, 8, 6, 6]")
    x = b.inputs[0]
    for n in range(4):
        with at(Location("", (f"layer{n}",))):
            x = b.conv(x, 8, 3)
    steps = [step for step in check(b.graph(x)).steps if isinstance(step, KernelStep)]
    found = {str(stage.location): stage for step in steps for stage in step.kernel.stages}
    assert found["layer1"].body is found["layer2"].body
