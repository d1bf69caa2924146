"""The arena: nothing that lives at the same time overlaps, and borders of zeros are left alone."""

from hypothesis import given
from hypothesis import strategies as st

from isthmus.compiler.passes.memory import Block, arrange
from isthmus.compiler.passes.plan import ALIGNMENT, KernelStep

from .plans import Build, check, planned


@st.composite
def some_blocks(draw: st.DrawFn) -> list[Block]:
    blocks = []
    for n in range(draw(st.integers(0, 12))):
        first = draw(st.integers(0, 9))
        key = draw(st.sampled_from([None, None, "a", "b"]))
        size = {"a": 100, "b": 257}.get(key) or draw(st.integers(1, 600))
        blocks.append(Block(f"v{n}", size, first, first + draw(st.integers(0, 4)), key))
    return blocks


@given(some_blocks())
def test_blocks_share_bytes_only_where_they_may(blocks):
    offsets, size = arrange(blocks)
    for block in blocks:
        assert offsets[block.name] % ALIGNMENT == 0
        assert offsets[block.name] + block.bytes <= size
    for n, a in enumerate(blocks):
        for b in blocks[n + 1 :]:
            apart = (
                offsets[a.name] + a.bytes <= offsets[b.name] or offsets[b.name] + b.bytes <= offsets[a.name]
            )
            at_once = a.first <= b.last and b.first <= a.last
            assert apart or (not at_once and a.key == b.key)


def test_memory_is_used_again():
    blocks = [Block(f"v{n}", 640, n, n + 1) for n in range(20)]
    assert arrange(blocks)[1] == 2 * 640


def test_a_chain_of_padded_convolutions_uses_two_regions():
    b = Build("f32[1, 8, 9, 9]")
    x = b("math.relu", b.conv(b.inputs[0], 8))
    for _ in range(6):
        x = b("math.relu", b.conv(x, 8, 3))
    plan = check(b.graph(b("reduce.mean", x, axes=(2, 3))))
    padded = [a for a in plan.arrays.values() if a.layout.has_halo and a.place == "arena"]
    assert len(padded) == 6
    assert len({a.offset for a in padded}) == 2


def test_a_view_takes_no_memory():
    b = Build("f32[4, 6]")
    y = b("shape.nonzero", b("shape.reshape", b.linear(b.linear(b.inputs[0], 8), 6), shape=(2, 12)))
    plan = planned(b.graph(y))
    root, view = (a for a in plan.arrays.values() if a.place == "arena" and a.shape in ((4, 6), (2, 12)))
    assert root.offset == view.offset
    assert plan.arena_bytes == 2 * 128
    assert all(isinstance(step, KernelStep) for step in plan.steps[:-1])
