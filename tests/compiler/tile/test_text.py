"""Kernels and schedules print and parse back; what is wrong is refused at its place."""

from pathlib import Path

import pytest

from isthmus.compiler.diagnostics import ModelError
from isthmus.compiler.ir import TensorType, dtype_of, graph_input
from isthmus.compiler.ir.location import Location
from isthmus.compiler.ops import REGISTRY
from isthmus.compiler.ops.engine import sample_arrays
from isthmus.compiler.tile.schedule import Hold, Loop, Place, Schedule
from isthmus.compiler.tile.stage import Access, Affine, Const, Index, Kernel, Load, Stage, apply, dim
from isthmus.compiler.tile.text import (
    parse_kernel,
    parse_schedule,
    print_access,
    print_affine,
    print_kernel,
    print_schedule,
)

KERNELS = sorted((Path(__file__).parent / "kernels").glob("*.kernel"))

ODD = """
kernel "odd \\"name\\"" {
  input "for": f32[N, 2*M + 3]
  input ids: i32[4]
  local "a b": f32[4, 3]
  constant c: c64[]
  output y.0: c64[4, 3]
  stage "lo op" ("step": 4, j: 3): "a b"["step", j] = "for"[ids["step"] else -1, -2*j + 4] else -inf
  stage out ("step": 4, j: 3): %0 = exp("a b"["step", j]); %1 = mul(%0, %0); y.0["step", j] =
    where(and(lt(%1, nan:f32), gt(<"step" - j + 1>, 0:i64)), add(cast(%1):c64, complex<1.0, -2.5>:c64), c[])
    loc("model.onnx", "node 1", "node 2")
}
"""


@pytest.mark.parametrize("path", KERNELS, ids=lambda path: path.stem)
def test_kernels_round_trip(path: Path) -> None:
    kernel = parse_kernel(path.read_text())
    text = print_kernel(kernel)
    assert parse_kernel(text) == kernel
    assert print_kernel(parse_kernel(text)) == text


def test_names_numbers_and_locations_round_trip() -> None:
    kernel = parse_kernel(ODD)
    assert kernel.name == 'odd "name"'
    assert [stage.name for stage in kernel.stages] == ["lo op", "out"]
    assert kernel.stages[1].location == Location("model.onnx", ("node 1", "node 2"))
    assert parse_kernel(print_kernel(kernel)) == kernel
    plain = parse_kernel(print_kernel(kernel, locations=False))
    assert plain.stages[1].location == Location()


def test_every_op_sample_round_trips() -> None:
    for op in REGISTRY.values():
        for sample in op.samples if op.stages is not None else ():
            operands = [
                None
                if array is None
                else graph_input(f"x{n}", TensorType(dtype_of(array.dtype), array.shape))
                for n, array in enumerate(sample_arrays(sample))
            ]
            kernel = op.kernel(op.build(operands, sample.attributes))
            if kernel is not None:
                assert parse_kernel(print_kernel(kernel)) == kernel, op.name


def test_shared_operations_are_named_once() -> None:
    kernel = parse_kernel(ODD)
    assert print_kernel(kernel).count("exp(") == 1


def test_what_is_printed() -> None:
    assert print_affine(2 * dim("oh") - dim("k") + -3) == "-k + 2*oh - 3"
    assert print_affine(Affine()) == "0"
    assert print_access(Access("x", (dim("i") + 1,), fill=0.0)) == "x[i + 1] else 0.0"
    assert print_access(Access("x", (), fill=False)) == "x[] else false"


SCHEDULE = """
for b step 1 parallel
  for i step 64 unit 4
    hold q in spa slots 2 layout (2, 0, 1)
    hold y in spa layout (1, 0) panel 16
    place dv on vec lag 3
    for j step 8
      hold s in acc slots 2 roll j
      place qk on mxu i/16:4 d/8 m=(i) n=(j) k=(d)
      place "a b" on vec lag 1 scalar=()
"""


def test_schedules_round_trip() -> None:
    schedule = parse_schedule(SCHEDULE)
    assert print_schedule(schedule) == SCHEDULE.lstrip("\n")
    assert schedule == Schedule(
        (Loop("b", 1, "parallel"), Loop("i", 64, unit=4), Loop("j", 8)),
        (
            Hold("q", "spa", 2, 2, (2, 0, 1)),
            Hold("y", "spa", 2, layout=(1, 0), panel=16),
            Hold("s", "acc", 3, 2, None, "j"),
        ),
        (
            Place("dv", 2, "vec", lag=3),
            Place(
                "qk",
                3,
                "mxu",
                (Loop("i", 16, unit=4), Loop("d", 8)),
                (("m", ("i",)), ("n", ("j",)), ("k", ("d",))),
            ),
            Place("a b", 3, "vec", bind=(("scalar", ()),), lag=1),
        ),
    )


def test_places_may_share_a_line() -> None:
    assert parse_schedule("place a, b on vec lag 1") == parse_schedule(
        "place a on vec lag 1 place b on vec lag 1"
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{", "(", "line 2, column 12: unexpected text: ("),
        ("}\n", "", "end of text: the text breaks off"),
        ("max x", "max z", "no buffer 'z'"),
        ("max x[i]", "max larger(x[i], x[i])", "line 5, column 37: no scalar operation 'larger'"),
        ("max x[i]", "max cast(x[i])", "line 5, column 37: 'cast' needs a dtype"),
        ("max x[i]", "max %3", "line 5, column 37: %3 is used before it is defined"),
        ("max x[i]", "max one:f32", "line 5, column 37: expected a number, got one"),
        ("f32[4]", "f33[4]", "line 3, column 12: no such dtype: f33"),
        ("f32[4]", "f32[mod(N, 2)]", "no function of dimensions: mod"),
        (
            "input",
            "inputs",
            "line 3, column 3: a buffer is one of input, constant, output, local, not inputs",
        ),
    ],
)
def test_what_is_wrong_is_refused_at_its_place(old: str, new: str, message: str) -> None:
    text = (
        '\nkernel "k" {\n  input x: f32[4]\n  output y: f32[]\n  stage mx (reduce i: 4): y[] = max x[i]\n}\n'
    )
    with pytest.raises(ModelError) as error:
        parse_kernel(text.replace(old, new, 1))
    assert message in str(error.value)


def test_built_and_parsed_kernels_are_equal() -> None:
    kernel = parse_kernel(KERNELS[0].read_text())
    stage = kernel.stages[0]
    loads = [load.access for load in stage.loads]
    body = apply("mul", *(Load(access, stage.body.dtype) for access in loads))
    assert stage == Stage(stage.name, stage.dims, body, stage.write, "sum", None, stage.location)
    assert Kernel(kernel.name, kernel.buffers, kernel.stages) == kernel
    assert Const(1.0, stage.body.dtype) != Const(1, stage.body.dtype)
    assert Index(dim("i")) == Index(Affine.of([("i", 1)]))
