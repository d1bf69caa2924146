"""A malformed kernel is refused, each defect with its sentence."""

from pathlib import Path

import pytest

from isthmus.compiler.diagnostics import VerifyError
from isthmus.compiler.ir import TensorType, dtype_of, graph_input
from isthmus.compiler.ops import REGISTRY
from isthmus.compiler.ops.engine import sample_arrays
from isthmus.compiler.tile.text import parse_kernel
from isthmus.compiler.tile.verify import require_kernel, verify_kernel

KERNELS = sorted((Path(__file__).parent / "kernels").glob("*.kernel"))

GOOD = """
kernel "k" {
  input x: f32[8, 4]
  input ids: i64[4]
  local m: f32[4]
  local l: f32[4]
  output y: f32[4, 8]
  stage mx (i: 4, reduce j: 8): m[i] = max x[j, i]
  stage sm (i: 4, reduce j: 8): l[i] = sum sub(x[j, i], m[i]) repair m by exp(sub(old:f32, new:f32))
  stage out (i: 4, j: 8): y[i, j] = add(l[i], x[ids[i], i])
}
"""


@pytest.mark.parametrize("path", KERNELS, ids=lambda path: path.stem)
def test_kernels_are_well_formed(path: Path) -> None:
    require_kernel(parse_kernel(path.read_text()))


def test_every_op_sample_is_well_formed() -> None:
    for op in REGISTRY.values():
        for sample in op.samples if op.stages is not None else ():
            operands = [
                None
                if array is None
                else graph_input(f"x{n}", TensorType(dtype_of(array.dtype), array.shape))
                for n, array in enumerate(sample_arrays(sample))
            ]
            kernel = op.kernel(op.build(operands, sample.attributes))
            assert kernel is None or not verify_kernel(kernel), op.name


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("local l", "local m: f32[4]\n  local l", "buffer 'm' is defined twice"),
        ("stage sm", "stage mx", "stage 'mx' is defined twice"),
        ("m[i] = max x[j, i]", "q[i] = max x[j, i]", "stage 'mx' accesses 'q'; there is no such buffer"),
        ("m[i] = max x[j, i]", "m[i] = max x[j]", "indexes 'x' with 1 coordinates; its rank is 2"),
        ("m[i] = max x[j, i]", "m[i] = max x[j, n]", "stage 'mx' uses dim 'n', which it lacks"),
        (
            "m[i] = max x[j, i]",
            "m[i] = max mul(x[j, i], cast(<n>):f32)",
            "stage 'mx' uses dim 'n', which it lacks",
        ),
        ("out (i: 4, j: 8)", "out (i: 4, j: 7)", "dim 'j' has extent 8 in stage 'mx', 7 in another"),
        ("repair m", "repair q", "stage 'sm' is repaired by 'q'; there is no such buffer"),
        ("ids: i64", "ids: f32", "'ids' of f32 is used as an index; cast it to i64"),
        (
            "mx (i: 4, reduce j: 8)",
            "mx (reduce i: 4, reduce j: 8)",
            "stage 'mx' writes at its reduce dim 'i'",
        ),
        ("mx (i: 4, reduce j: 8)", "mx (i: 4, j: 8)", "stage 'mx' has dim 'j', which its write lacks"),
        ("max x[j, i]", "x[j, i]", "stage 'mx' has no combine over 1 reduce dims"),
        ("max x[j, i]", "mean x[j, i]", "stage 'mx' combines by 'mean'"),
        ("local m: f32", "local m: f16", "stage 'mx' computes f32 for 'm' of f16; cast it"),
        ("max x[j, i]", "max new:f32", "stage 'mx' uses 'old' or 'new' outside a repair factor"),
        ("m[i] = max x[j, i]", "x[i, 0] = max x[j, i]", "stage 'mx' writes the input 'x'"),
        ("m[i] = max", "m[2*i - i - i + 3 - 3] = max", "stage 'mx' has dim 'i', which its write lacks"),
        ("y[i, j] = add", "y[i + j, 0] = add", "may write an element of 'y' more than once"),
        ("max x[j, i]", "max x[j + 1, i]", "accesses 'x' from 1 to 8 along axis 0 of 8 elements"),
        ("y[i, j] = add", "y[i - 1, j] = add", "accesses 'y' from -1 to 2 along axis 0 of 4 elements"),
        ("max x[j, i]", "max m[i]", "stage 'mx' reads 'm' before stage 'mx' writes it"),
        ("max x[j, i]", "max l[i]", "stage 'mx' reads 'l' before stage 'sm' writes it"),
        ("= sum sub", "= max sub", "stage 'sm' is repaired, but combines by max; only sums scale"),
        ("repair m by", "repair x by", "repaired by 'x', which has no single value for each accumulator"),
        ("old:f32", "old:f16", "the repair factor of stage 'sm' has a dtype that does not fit"),
    ],
)
def test_defects_are_named(old: str, new: str, message: str) -> None:
    assert not verify_kernel(parse_kernel(GOOD))
    with pytest.raises(VerifyError) as error:
        require_kernel(parse_kernel(GOOD.replace(old, new, 1)))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("write", "legal"),
    [
        ("y[4*i + j, 0]", True),  # j < 4: mixed radix
        ("y[3*i + 2*j, 0]", False),
        ("y[3*i + j, 0]", False),
        ("y[-4*i - j + 15, 0]", True),
        ("y[i, i + j]", True),  # i is known from the first axis
        ("y[i + j, i - j + 3]", False),  # injective, but not seen to be
    ],
)
def test_writes_of_outputs_reach_each_element_once(write: str, legal: bool) -> None:
    kernel = parse_kernel(
        'kernel "k" { input x: f32[4, 4] output y: f32[16, 8] stage s (i: 4, j: 4): ' + write + " = x[i, j] }"
    )
    assert bool(verify_kernel(kernel)) != legal


def test_interleaved_writes_are_told_apart_by_residues() -> None:
    kernel = parse_kernel(
        'kernel "k" { input x: f32[9, 3] output y: f32[29] stage s (q: 9, r: 3): y[3*q + 2*r] = x[q, r] }'
    )
    assert not verify_kernel(kernel)


@pytest.mark.parametrize(("step", "legal"), [(2, True), (3, True), (1, False)])
def test_writers_of_one_buffer_may_take_turns(step: int, legal: bool) -> None:
    kernel = parse_kernel(
        'kernel "k" { input x: f32[4] output y: f32[13] '
        f"stage a (i: 4): y[{step}*i] = x[i] stage b (i: 4): y[{step}*i + 1] = x[i] }}"
    )
    assert bool(verify_kernel(kernel)) != legal


def test_writers_of_one_buffer_stay_apart() -> None:
    text = (KERNELS[0].parent / "concat.kernel").read_text()
    assert not verify_kernel(parse_kernel(text))
    (problem,) = verify_kernel(parse_kernel(text.replace("t[j + 4, n]", "t[j + 3, n]")))
    assert "stages 'first' and 'second' may write the same elements of 't'" in str(problem)


@pytest.mark.parametrize(
    ("read", "legal"), [("t - 1", True), ("t - 3", True), ("t", False), ("t + 1", False)]
)
def test_scans_read_earlier_steps_only(read: str, legal: bool) -> None:
    kernel = parse_kernel(
        f'kernel "k" {{ input x: f32[5] output y: f32[5] stage s (scan t: 5): y[t] = add(x[t], y[{read}] else 0.0) }}'
    )
    assert bool(verify_kernel(kernel)) != legal


def test_symbolic_extents_are_refused_only_when_certainly_out_of_range() -> None:
    text = 'kernel "k" { input x: f32[N] output y: f32[N] stage s (i: N): y[i] = x[i + AHEAD] }'
    assert not verify_kernel(parse_kernel(text.replace("AHEAD", "0")))
    assert verify_kernel(parse_kernel(text.replace("AHEAD", "1")))
