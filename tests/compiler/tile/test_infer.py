"""Boxes: halos, readers that move differently, scans, candidates; and where `lower` puts loads, stores and repairs."""

from pathlib import Path

import numpy as np

from isthmus.compiler.tile.infer import Range, affine_range, infer
from isthmus.compiler.tile.lower import Compute, Fix, For, Scope, Tree, lower, waits
from isthmus.compiler.tile.spine import clip, largest_tiles, loop_ranges, slide
from isthmus.compiler.tile.stage import Affine, Kernel, dim
from isthmus.compiler.tile.text import parse_kernel, parse_schedule

KERNELS = Path(__file__).parent / "kernels"


def kernel_of(name: str) -> Kernel:
    return parse_kernel((KERNELS / f"{name}.kernel").read_text())


def test_ranges_of_affine_expressions() -> None:
    ranges = {"i": Range(dim("0"), 4), "k": Range(Affine(), 3)}
    assert affine_range(dim("i") * 2 + dim("k") - 1, ranges) == Range(dim("0") * 2 - 1, 9)
    assert affine_range(dim("i") * -1 + 5, ranges) == Range(-dim("0") + 2, 4)
    assert affine_range(Affine((), 7), ranges) == Range(Affine((), 7), 1)


def test_halos_grow_backwards() -> None:
    boxes = infer(kernel_of("cascade"), {"t": Range(dim("0"), 2)})
    assert boxes.locals["c"][0] == Range(dim("0") * 2, 5)
    assert boxes.locals["a"][0] == Range(dim("0") * 2 - 1, 7)
    assert boxes.buffer(kernel_of("cascade"), "x")[0] == Range(dim("0") * 2 - 2, 9)
    assert boxes.stages["conv1"]["r"] == boxes.locals["a"][0]


def test_sizes_may_be_candidates() -> None:
    sizes = np.array([1, 2, 3])
    boxes = infer(kernel_of("cascade"), {"t": Range(Affine(), sizes)})
    assert boxes.locals["a"][0].size.tolist() == [5, 7, 9]


def test_readers_that_move_differently_get_all_that_the_loop_reaches() -> None:
    kernel = kernel_of("strided")
    # half reads a[2*h] with h from b, which out reads at h and at 4; all reads a[i]
    boxes = infer(kernel, {"h": Range(dim("0"), 2), "c": Range(dim("1"), 1)})
    assert boxes.locals["b"] == (Range(Affine(), 5), Range(dim("1"), 1))
    assert boxes.locals["a"] == (Range(Affine(), 9), Range(dim("1"), 1))
    boxes = infer(kernel, {"i": Range(dim("0"), 2)})
    assert boxes.locals["a"][0] == Range(Affine(), 9)


def test_scans_take_their_steps_and_look_back() -> None:
    kernel = kernel_of("rnn")
    boxes = infer(kernel, {"t": Range(dim("0"), 1)})
    assert boxes.stages["cell"]["t"] == boxes.stages["gates"]["t"] == Range(dim("0"), 1)
    assert boxes.stages["cell"]["i"] == Range(Affine(), 4)
    assert boxes.stages["feed"]["p"] == Range(dim("0"), 1)
    assert infer(kernel, {}).buffer(kernel, "h")[0] == Range(Affine((), -1), 6)


def test_what_a_scan_carries_is_made_even_if_only_later_steps_read_it() -> None:
    text = (KERNELS / "rnn.kernel").read_text()
    for old, new in (
        ("output y: f32[5, 2, 4]", "output y: f32[5, 2, 2]"),
        ("i: 4): y[t, b, i] = h[t, b, i]", "n: 2): y[t, b, n] = h[t, b, n]"),
        ("output last: f32[2, 4]", "output last: f32[2]"),
        ("i: 4): last[b, i] = h[4, b, i]", "n: 1): last[b] = h[4, b, 0]"),
    ):
        assert old in text
        text = text.replace(old, new)
    kernel = parse_kernel(text.replace("final (b: 2, n: 1)", "final (b: 2)"))
    assert infer(kernel, {"t": Range(dim("0"), 1)}).stages["cell"]["i"] == Range(Affine(), 4)


def test_loops_of_one_tile_confine_nothing() -> None:
    loops = parse_schedule("for i step 9 for j step 4 for j step 2").loops
    ranges = loop_ranges({"i": 9, "j": 10}, loops, (9, 4, 2))
    assert ranges == {"j": Range(dim("2"), 2)}


def test_largest_tiles_bound_all_tiles() -> None:
    kernel = kernel_of("matmul")  # m 7, n 9, k 11
    sizes = largest_tiles(
        kernel, parse_schedule("for m step 4 for n step 8 unit 4 for k step 20 for k step 3")
    )
    assert sizes == (4, 8, 11, 3)
    assert clip(-2, 5, 10) == (0, 3)
    assert clip(8, 5, 10) == (8, 2)
    assert clip(12, 5, 10)[1] == 0


def test_rings_have_room_for_a_tile_and_what_runs_ahead() -> None:
    schedule = parse_schedule(
        "for t step 2 hold a in m slots 3 roll t hold c in m place conv1, conv2, pool on e"
    )
    sliding = slide(kernel_of("cascade"), schedule, schedule.holds[0])
    assert (sliding.depth, sliding.axis, sliding.rows) == (0, 0, 7 + 2 * 4)


def outline(nodes: tuple[Tree, ...]) -> list[object]:
    """The tree as nested lists of words."""
    out: list[object] = []
    for node in nodes:
        match node:
            case Compute():
                out.append(node.stage.name + ("" if node.initialise else "+"))
            case Fix():
                out.append(f"fix {node.stage.name}")
            case For():
                out.append([f"for {node.loop.dim}", *outline(node.body)])
            case Scope():
                flags = "".join(f" {word}" for word, on in (("load", node.load), ("store", node.store)) if on)
                begin = f" {node.initialise}" if node.initialise else ""
                out.append([f"hold {node.hold.buffer}{flags}{begin}", *outline(node.body)])
    return out


def test_the_tree_of_a_flash_attention() -> None:
    schedule = parse_schedule(
        "for i step 3 hold m in s hold l in s hold o in s place dv on e "
        "for j step 4 hold k in s hold s in s hold e in s place qk, mx, ex, sm, pv on e"
    )
    body = ["qk", "mx+", "fix sm", "fix pv", "ex", "sm+", "pv+"]
    inner = ["for j", ["hold k load", ["hold s", ["hold e", *body]]]]
    kernel = kernel_of("attention")
    assert outline(lower(kernel, schedule)) == [
        ["for i", ["hold m max", ["hold l sum", ["hold o sum", inner, "dv"]]]]
    ]
    assert waits(kernel, schedule) == {
        "qk": False,
        "mx": False,
        "ex": False,
        "sm": False,
        "pv": False,
        "dv": True,
    }


def test_inner_holds_are_read_modified_and_written() -> None:
    schedule = parse_schedule("hold y in far for k step 4 for m step 2 hold y in near place mm on e")
    assert outline(lower(kernel_of("matmul"), schedule)) == [
        ["hold y store sum", ["for k", ["for m", ["hold y load store", "mm+"]]]]
    ]


def test_a_complete_maximum_repairs_nothing() -> None:
    schedule = parse_schedule(
        "for i step 3 hold m in s hold l in s hold e in s place mx, ex, dv on e for j step 4 place sm on e"
    )
    text = outline(lower(kernel_of("softmax"), schedule))
    assert "fix" not in str(text)
