"""Each op sample that the backend takes runs as machine code and equals the op's meaning; the others are listed."""

import pytest

import isthmus.compiler.ops  # noqa: F401
from isthmus.backends.cpu import backend
from isthmus.backends.cpu.constraints import CONSTRAINTS
from isthmus.backends.cpu.machine import select
from isthmus.compiler.tile.text import parse_kernel

from .running import Image, differences, distinct
from .samples import cases, turns, work_of

# What runs by its reference meaning, by the beginning of the reason.
DYNAMIC = "a shape is known at run time only"
ROUTINE = "has no stages"
NO_TENSOR = "takes or gives what is no tensor"
NO_TYPE = "all dtypes have a machine type"
EMPTY = "no buffer is empty"
BORDER = "reads past the edge of what the kernel holds"
REASONS = (DYNAMIC, ROUTINE, NO_TENSOR, NO_TYPE, EMPTY)

_LISTED: tuple[tuple[set[str], str], ...] = (
    ({ROUTINE},
     "detection.roi_align math.bitcast math.cast math.where nn.det nn.resize optional.get "
     "optional.has quant.dequantize quant.quantize random.bernoulli random.multinomial random.normal random.uniform "
     "shape.expand shape.gather_elements shape.gather_nd shape.of shape.pad shape.reshape "
     "shape.scatter_elements shape.scatter_nd shape.tile text.concat text.full_match text.index_of"),
    ({DYNAMIC},
     "detection.nms shape.compress shape.nonzero shape.onehot shape.pad_dynamic shape.range "
     "shape.slice_dynamic shape.tile_dynamic shape.topk shape.unique text.normalise text.split"),
    ({NO_TENSOR}, "optional.make sequence.construct sequence.empty sequence.split"),
    ({ROUTINE, EMPTY}, "shape.concat shape.gather shape.slice"),
    ({DYNAMIC, ROUTINE}, "shape.expand_dynamic shape.reshape_dynamic"),
    ({EMPTY}, "reduce.max reduce.min"),
)  # fmt: skip
REFUSED = {name: reasons for reasons, names in _LISTED for name in names.split()}
NOT_EMITTED = {"quant.conv 0": BORDER, "quant.conv 4": BORDER}
"""What the emitter itself refuses, by sample; a zero point that is a constant folds away."""


def test_two_sequential_dims_are_refused() -> None:
    text = """kernel "two" {
      input x: f32[4]  output y: f32[4]  output z: f32[4]
      stage one (scan i: 4): y[i] = neg(x[i])
      stage other (scan j: 4): z[j] = neg(x[j])
    }"""
    failed = [c.sentence for c in CONSTRAINTS if not c.holds(parse_kernel(text), select("avx2", None))]
    assert failed == ["at most one dim is sequential"]


def test_refusals_are_the_ones_listed() -> None:
    found: dict[str, set[str]] = {}
    for case in cases(constants=False):
        for why in backend.refusals(case.node, {}):
            (reason,) = [text for text in REASONS if text in why]
            found.setdefault(case.op.name, set()).add(reason)
    assert found == REFUSED


FORMS = [(None, False), *((level, level != "avx2") for level in distinct(None, "avx2", "x86-64"))]


@pytest.mark.parametrize(("level", "constants"), FORMS, ids=str)
def test_samples_equal_their_meaning(level: str | None, constants: bool) -> None:
    options = {} if level is None else {"level": level}
    taken = [case for case in cases(constants) if not backend.refusals(case.node, options)]
    assert len(taken) > 500
    works = [work_of(case) for case in taken]
    image = Image(works, level)
    for number, why in image.refused.items():
        assert NOT_EMITTED.get(taken[number].label, "nothing") in why, f"{taken[number].label}: {why}"
    wrong = []
    for number, case in enumerate(taken):
        if number in image.refused:
            continue
        got, meaning = image.run(number), case.want()
        want = {name: meaning[int(name[1:])] for name in got}
        wrong += [
            f"{case.label}: {text}" for text in differences(got, want, turns(works[number].kernel), ulps=4)
        ]
    assert not wrong, "\n".join(wrong)
