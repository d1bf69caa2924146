"""Each op sample that the backend takes equals its meaning on two chips, and is proved; others are listed."""

from pathlib import Path

import pytest

from isthmus.backends.npu import backend
from isthmus.compiler.stream import entries
from isthmus.testing.badge import PASSED, REFUSED
from isthmus.testing.samples import op_samples
from isthmus.testing.suite import run_suite

DYNAMIC = "shapes are known when compiling"
ROUTINE = "has no stages"
SEQUENTIAL = "no dim is sequential"
NO_TYPE = "elements are"
NO_BODY = "every body fits a vector program"
COMBINES = "reductions are"
LOOKED_UP = "what is looked up"
DROPPED = "every element that is computed"
EMPTY = "no buffer is empty"
REASONS = (DYNAMIC, ROUTINE, SEQUENTIAL, NO_TYPE, NO_BODY, COMBINES, LOOKED_UP, DROPPED, EMPTY)

# Ops some of whose samples are refused, by the beginnings of the reasons. Types and bodies: f16, f64, u32, u64,
# strings, and functions such as sin or log that the vector engine has not.
_LISTED: tuple[tuple[set[str], str], ...] = (
    ({NO_TYPE, NO_BODY},
     "math.abs math.acos math.acosh math.add math.asin math.asinh math.atan math.atanh math.ceil math.celu "
     "math.cos math.cosh math.div math.elu math.eq math.erf math.exp math.floor math.floordiv math.fmod "
     "math.ge math.gelu math.gt math.hard_sigmoid math.hard_swish math.isinf math.isnan math.le "
     "math.leaky_relu math.log math.lt math.max math.min math.mish math.mod math.mul math.ne math.neg "
     "math.pow math.prelu math.reciprocal math.relu math.round math.selu math.shrink math.sigmoid "
     "math.sign math.silu math.sin math.sinh math.softplus math.softsign math.sqrt math.sub math.tan "
     "math.tanh math.thresholded_relu math.trunc nn.attention nn.avg_pool nn.batch_norm nn.conv "
     "nn.einsum nn.group_norm nn.instance_norm nn.layer_norm nn.log_softmax nn.lp_pool nn.lrn nn.matmul "
     "nn.max_pool nn.rms_norm nn.softmax nn.split_tiles reduce.argmax reduce.argmin reduce.mean reduce.sum"),
    ({DYNAMIC},
     "detection.nms shape.compress shape.nonzero shape.onehot shape.pad_dynamic shape.range "
     "shape.slice_dynamic shape.tile_dynamic shape.unique text.normalise text.split"),
    ({ROUTINE},
     "math.where nn.det nn.resize shape.expand shape.of shape.tile text.concat text.full_match "
     "text.index_of"),
    ({NO_TYPE, NO_BODY, DROPPED}, "nn.conv_transpose"),
    ({DROPPED}, "nn.join_tiles"),
    ({NO_TYPE, NO_BODY, ROUTINE}, "math.bitcast math.cast quant.dequantize quant.quantize shape.reshape"),
    ({NO_TYPE, NO_BODY, ROUTINE, LOOKED_UP}, "detection.roi_align shape.gather_elements shape.pad"),
    ({NO_TYPE, NO_BODY, COMBINES, EMPTY}, "reduce.max reduce.min"),
    ({NO_TYPE, NO_BODY, SEQUENTIAL}, "nn.gru nn.lstm nn.rnn reduce.cumprod reduce.cumsum"),
    ({NO_TYPE, NO_BODY, LOOKED_UP}, "nn.grid_sample nn.resample"),
    ({ROUTINE, EMPTY}, "shape.concat shape.slice"),
    ({DYNAMIC, ROUTINE}, "shape.expand_dynamic shape.reshape_dynamic"),
    ({NO_TYPE, NO_BODY, COMBINES}, "reduce.prod"),
    ({NO_TYPE, NO_BODY, DYNAMIC, LOOKED_UP}, "shape.topk"),
    ({NO_BODY}, "math.bit_not"),
    ({NO_BODY, ROUTINE, COMBINES, LOOKED_UP}, "shape.scatter_nd"),
    ({ROUTINE, LOOKED_UP, EMPTY}, "shape.gather"),
    ({ROUTINE, COMBINES, LOOKED_UP}, "shape.scatter_elements"),
    ({ROUTINE, LOOKED_UP}, "shape.gather_nd"),
    ({LOOKED_UP}, "shape.reverse_sequence"),
)  # fmt: skip
REFUSED_OPS = {name: reasons for reasons, names in _LISTED for name in names.split()}

ODD = """
inherits = "n1-8"
target = { name = "odd" }
memory.spa.bytes = 20480
memory.spw.bytes = 9216
memory.acc.bytes = 7168
engine.mxu = { rows = 5, cols = 7 }
engine.vec = { lanes = 3, mac_per_cycle = 6, special_per_cycle = 1 }
control.queue_depth = 3
"""


def test_refusals_are_the_ones_listed() -> None:
    found: dict[str, set[str]] = {}
    for trial in op_samples(False):
        node = trial.outputs[0].node
        for why in backend.refusals(node, {}):
            (reason,) = [text for text in REASONS if text in why]
            found.setdefault(node.op, set()).add(reason)
    assert found == REFUSED_OPS


@pytest.mark.parametrize(
    ("chip", "family", "pattern", "taken"),
    [
        ("n1-8", "op samples with weights", "", 400),
        ("odd", "op samples", "nn.", 25),
        ("odd", "op samples", "quant.", 35),
    ],
)
def test_samples_equal_their_meaning(
    chip: str, family: str, pattern: str, taken: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the odd chip with the quickest of all tiles, as networks have them; all samples with the usual ones."""
    if chip == "odd":
        path = tmp_path / "odd.toml"
        path.write_text(ODD)
        chip = str(path)
    else:
        monkeypatch.setattr(entries, "ROOM", 0)
    badge = run_suite("npu", chip, (family, "hazards"), pattern)
    assert badge.ok, str(badge)
    samples = [outcome for outcome in badge.outcomes if outcome.family == family]
    assert sum(outcome.verdict == PASSED for outcome in samples) > taken
    assert {outcome.verdict for outcome in samples} == {PASSED, REFUSED}
    assert sum(outcome.family == "hazards" for outcome in badge.outcomes) > 0
