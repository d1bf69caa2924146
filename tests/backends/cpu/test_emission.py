"""Emitted code: the same whatever things are called and whoever asks; packing; threads."""

import gc
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import isthmus
from isthmus.backends.cpu import codegen
from isthmus.backends.cpu.constants import Blob, pack, packed_size
from isthmus.backends.cpu.entry import Job, Step, entry_text
from isthmus.backends.cpu.holds import Packing
from isthmus.backends.cpu.kernel import KernelEmitter
from isthmus.backends.cpu.machine import LEVELS, select
from isthmus.backends.cpu.target import describe
from isthmus.compiler.ir import Graph, graph_input
from isthmus.compiler.ops import get
from isthmus.compiler.ops.engine import parse_type
from isthmus.compiler.target.backend import Constant
from isthmus.compiler.tile.canonical import canonical
from isthmus.compiler.tile.draw import draw_arrays
from isthmus.compiler.tile.schedule import segments
from isthmus.compiler.tile.stage import Kernel
from isthmus.compiler.tile.text import parse_kernel, parse_schedule
from isthmus.compiler.tile.tiler import tile

from .forms import ATTENTION, BYTES, CONV, ELEMENTWISE, LAYER_NORM, MATMUL, POOL, SOFTMAX, UNWEAVE, WEAVE
from .running import Image, Work, emit

TEXTS = {
    "matmul": MATMUL.format(m=37, n=53, k=19),
    "conv": CONV.format(h=9, w=7, c=5, f=37),
    "softmax": SOFTMAX.format(m=40, n=37),
    "layer_norm": LAYER_NORM.format(m=40, n=37, inverse=1 / 37),
    "attention": ATTENTION.format(m=33, n=21, d=19),
    "elementwise": ELEMENTWISE.format(m=137, n=41),
    "pool": POOL.format(h=19, w=7, c=21),
    "bytes": BYTES.format(a="i8", b="i8", t="i32", m=13, n=21, k=19),
    "functions": """kernel "functions" {
      input x: f32[3, 40]  output y: f32[3, 40]
      stage s (i: 3, j: 40): y[i, j] = add(sin(x[i, j]), pow(abs(x[i, j]), fmod(x[i, j], tan(x[i, j]))))
    }""",
}


def renamed(text: str) -> str:
    """Every dim, stage and buffer under another name; the new names sort the other way round."""
    kernel = parse_kernel(text)
    names = [*kernel.dims, *(s.name for s in kernel.stages), *(b.name for b in kernel.buffers)]
    new = {name: f"z{99 - n}" for n, name in enumerate(dict.fromkeys(names))}
    out, word = [], ""
    for char in text + " ":
        if char.isalnum() or char in "_.":
            word += char
        else:
            out += [new.get(word, word), char]
            word = ""
    return "".join(out)


def emitted(kernel: Kernel, level: str | None = None) -> str:
    """The kernel's IR as the compiler has it: of its normal form, under the tiler's schedule."""
    machine = select(level, None)
    normal, _, _ = canonical(kernel)
    declarations: set[str] = set()
    schedule = tile(normal, describe(machine))[0].schedule
    code = KernelEmitter(normal, schedule, machine, "kernel", declarations).emit()
    return "\n".join([code.text, repr(code), *sorted(declarations)])


@pytest.mark.parametrize("name", TEXTS)
def test_names_leave_no_trace(name: str) -> None:
    other = renamed(TEXTS[name]).replace('kernel "', 'kernel "other_')
    assert parse_kernel(other) != parse_kernel(TEXTS[name])
    assert emitted(parse_kernel(other)) == emitted(parse_kernel(TEXTS[name]))


@pytest.mark.parametrize("name", ["conv", "attention", "elementwise"])
def test_nothing_is_left_for_the_collector(name: str) -> None:
    emitted(parse_kernel(TEXTS[name]))  # whatever is kept for good is there
    gc.collect()
    gc.disable()
    try:
        emitted(parse_kernel(TEXTS[name]))
        assert gc.collect() == 0
    finally:
        gc.enable()


def fingerprint() -> str:
    """Of all kernels' IR on two levels, and of the object code of one."""
    digest = hashlib.sha256()
    for level in ("avx512", "x86-64"):
        for text in TEXTS.values():
            digest.update(emitted(parse_kernel(text), level).encode())
    random = np.random.default_rng(0)
    works = [Work(kernel, draw_arrays(kernel, random)) for kernel in map(parse_kernel, TEXTS.values())]
    module = emit(works, "avx2")
    digest.update(codegen.object_code(select("avx2", None), module.text))
    digest.update(module.constants.finish().tobytes())
    return digest.hexdigest()


def test_two_emissions_are_equal_whatever_the_hash_seed() -> None:
    here = fingerprint()
    assert fingerprint() == here
    folder = str(Path(__file__).parent)
    program = (
        "import sys, types; package = types.ModuleType('cpu'); package.__path__ = [sys.argv[1]]; "
        "sys.modules['cpu'] = package; from cpu.test_emission import fingerprint; print(fingerprint())"
    )
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", program, folder],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.strip() == here, done.stderr


@pytest.mark.parametrize("level", ["avx512", "avx2", "x86-64"])
@pytest.mark.parametrize("name", TEXTS)
def test_only_functions_of_the_machine_are_called(name: str, level: str) -> None:
    """No library: everything that is called is an intrinsic or defined in the module."""
    kernel = parse_kernel(TEXTS[name])
    text = emit([Work(kernel, draw_arrays(kernel, np.random.default_rng(0)))], level).text
    declared = {line.split("@")[1].split("(")[0] for line in text.splitlines() if line.startswith("declare")}
    assert all(symbol.startswith("llvm.") for symbol in declared), declared
    assert level in LEVELS


def test_packed_panels_hold_every_element_once() -> None:
    random = np.random.default_rng(1)
    for shape, outer, order, step in (
        ((19, 53), (), (0, 1), 32),
        ((53, 19), (), (1, 0), 16),
        ((3, 3, 5, 40), (), (0, 1, 2, 3), 48),
        ((4, 7, 37), (0,), (1, 2), 16),
        ((4, 37, 7), (0,), (2, 1), 64),
    ):
        array = random.integers(1, 1 << 30, shape).astype(np.int32)
        extent = shape[order[-1]]
        panels, start = [], 0
        for cut in segments(extent, step, 16):
            for _ in range(cut.count):
                panels.append((start, cut.size))
                start += cut.size
        packing = Packing("w", outer, order, tuple(panels), 16)
        flat = np.zeros(packed_size(shape, packing), array.dtype)
        pack(array, packing, flat)
        lead = int(np.prod([shape[a] for a in outer], initial=1))
        moved = np.transpose(array, (*outer, *order)).reshape(lead, -1, extent)
        rows = moved.shape[1]
        whole = sum(-(-size // 16) * 16 for _, size in panels)
        assert flat.size == lead * rows * whole
        for n in range(lead):
            at = n * rows * whole
            for begin, size in panels:
                width = -(-size // 16) * 16
                panel = flat[at : at + rows * width].reshape(rows, width)
                assert np.array_equal(panel[:, :size], moved[n, :, begin : begin + size])
                assert not panel[:, size:].any()
                at += rows * width


def test_equal_constants_are_stored_once() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    blob = Blob()
    plain, again = (blob.place(Constant(each, "a", (3, 4)), None) for each in (array, array.copy()))
    packing = Packing("w", (), (0, 1), ((0, 4),), 16)
    other = blob.place(Constant(array + 1, "b", (3, 4)), None)
    packed = blob.place(Constant(array, "a", (3, 4)), packing)
    assert plain == again
    assert len({plain, other, packed}) == 3
    data = blob.finish()
    assert np.array_equal(data[other : other + 48].view(np.float32), (array + 1).ravel())
    assert np.array_equal(data[packed : packed + 192].view(np.float32).reshape(3, 16)[:, :4], array)


def test_threads_give_equal_bits() -> None:
    random = np.random.default_rng(2)
    image = Image([Work(kernel, draw_arrays(kernel, random)) for kernel in map(parse_kernel, TEXTS.values())])
    assert image.refused == {}
    for number, work in enumerate(image.works):
        one = image.run(number)
        for _ in range(3):
            two = image.run(number, threads=2)
            assert all(two[name].tobytes() == one[name].tobytes() for name in one), work.kernel.name


PADDED = """kernel "padded" {
  input x: f32[54]  output y: f32[56]
  stage s (i: 56): y[i] = x[i - 1] else 0
}"""


@pytest.mark.parametrize("level", ["avx2", "avx512"])
def test_masks_that_are_known_are_not_computed(level: str) -> None:
    """LLVM 22.1 aborts where it finds, too late, that a mask has all lanes (two blocks of it, AVX2)."""
    kernel = parse_kernel(PADDED)
    text = emitted(kernel, level)
    assert not re.search(r"icmp ult <\d+ x i64>", text)
    codegen.object_code(select(level, None), emit([Work(kernel, {})], level).text)


@pytest.mark.parametrize(
    ("loop", "panel", "below", "message"),
    [
        ("step 64 unit 8", 12, "", "panels of 12 columns of 'b' are not whole vectors"),
        ("step 40 unit 8", 16, "", "'b' is not cut at multiples of 16"),
        ("step 64 unit 16", 16, "for n step 8", "stage mm reads 'b' across its panels"),
    ],
)
def test_panels_that_no_block_reads_side_by_side_are_refused(
    loop: str, panel: int, below: str, message: str
) -> None:
    kernel = parse_kernel(MATMUL.format(m=1, n=160, k=8))
    schedule = parse_schedule(
        f"for n {loop}  hold b in l2 layout (0, 1) panel {panel}  {below}"
        "  hold t in reg  place mm on fma n=(n)  place epilogue on fma n=(n)"
    )
    refused = emit([Work(kernel, draw_arrays(kernel, np.random.default_rng(0)), schedule)], "avx2").refused
    assert message in refused[0]


@pytest.mark.parametrize("form", [WEAVE, UNWEAVE], ids=["stored", "loaded"])
def test_what_is_two_or_four_apart_is_moved_in_whole_vectors(form: str) -> None:
    texts = {gaps: emitted(parse_kernel(form.format(s=gaps, n=43, type="f32")), "avx2") for gaps in (2, 3, 4)}
    by_lane = {gaps for gaps, text in texts.items() if "insertelement" in text or "extractelement" in text}
    assert by_lane == {3}
    assert all("shufflevector" in texts[gaps] for gaps in (2, 4))


def test_chunks_of_a_step_are_numbered_through_its_functions() -> None:
    text = entry_text("all", [Step((Job("one", (), 2), Job("two", (), 1), Job("three", (), 4)), 0)])
    assert re.findall(r"call void @(one|two|three)\(i64 (\S+)\)", text) == [
        ("one", "%c0"),
        ("two", "%chunk0.1"),
        ("three", "%chunk0.2"),
    ]
    assert re.findall(r"icmp slt i64 %c0, (\d+)", text) == ["2", "3"]
    assert re.findall(r"sub i64 %c0, (\d+)", text) == ["2", "3"]
    assert "i64 7, ptr %owner" in text


@pytest.mark.parametrize(("name", "gates"), [("nn.lstm", 4), ("nn.gru", 3), ("nn.rnn", 1)])
def test_directions_of_a_recurrence_give_the_same_on_threads_of_their_own(name: str, gates: int) -> None:
    types = ("f32[7, 1, 5]", f"f32[2, {gates * 8}, 5]", f"f32[2, {gates * 8}, 8]")
    inputs = [graph_input(f"x{n}", parse_type(text)) for n, text in enumerate(types)]
    results = get(name).build(inputs, {"direction": "bidirectional"}).results
    model = isthmus.Model(Graph(inputs, results, [f"y{n}" for n in range(len(results))]))
    rng = np.random.default_rng(gates)
    shapes = [x.type.static_shape for x in inputs]
    data = {f"x{n}": rng.standard_normal(shape).astype(np.float32) for n, shape in enumerate(shapes)}
    wanted, package = model.evaluate(data), isthmus.compile(model)
    assert package.manifest.fallbacks == ()
    for threads in (1, 2):
        got = package.run(data, threads=threads)
        for output, want in wanted.items():
            np.testing.assert_allclose(got[output], want, rtol=1e-4, atol=1e-5)
