"""The node tests of the onnx package, all of them: read, run by the ops' reference meaning, compared.

What does not pass is listed with the reason; a listed case that passes fails the test as well.
"""

import re

import pytest

from isthmus.compiler.ops.interpret import evaluate
from isthmus.frontends import registry
from isthmus.frontends.onnx import frontend
from isthmus.frontends.onnx.conformance import cases, judge

# A pattern of names, whether such a case is refused (else its values differ or it fails), and why.
NOT_PASSING = {
    r"test_resize_.*|test_upsample_nearest": (
        "refused",
        "scales and sizes are operands there, known at run time only",
    ),
    r"test_(maxunpool_export_with_output_shape|col2im.*)": (
        "refused",
        "the result's shape is known at run time only",
    ),
    r"test_(dft|dft_axis|dft_inverse|dft_rfft|dft_irfft|stft.*)": (
        "refused",
        "axis and length known at run time only",
    ),
    r"test_ai_onnx_ml_.*": ("refused", "the domain of classical models"),
    r"test_(adagrad|adam|momentum|nesterov)(_.*)?": ("refused", "training"),
    r"test_(affine_grid_2d.*|affine_grid_3d_align_corners.*)": ("refused", "ranks that the data decide"),
    r"test_if_opt": ("refused", "an optional sequence without a rank"),
    r"test_not_.d|test_scan_sum": ("refused", "opsets before 6, or the batched Scan of opset 8"),
    r"test_bernoulli.*|test_training_dropout(_default)?(_mask)?": (
        "wrong",
        "values of another random generator",
    ),
    r"test_(identity_sequence|sequence_insert_at_(back|front))": (
        "failed",
        "sequences without a rank as inputs",
    ),
    r"test_loop(13_seq|16_seq_none)": ("failed", "sequences of changing rank"),
    r"test_(image_decoder|nonmaxsuppression|roialign|.*deform_conv|det_|melweightmatrix|tfidfvectorizer|string_"
    r"|strnorm|regex_).*": ("refused", "ops without an IR op"),
}


@pytest.fixture(scope="module")
def outcomes():
    def run(model, inputs):
        return evaluate(registry.read(model, [frontend]), inputs)

    return [judge(case, run) for case in cases()]


def expected(name: str) -> str:
    for pattern, (verdict, _) in NOT_PASSING.items():
        if re.fullmatch(pattern, name):
            return verdict
    return "passed"


def test_every_case_goes_as_expected(outcomes):
    surprises = [
        f"{outcome.case.name}: {outcome.verdict}, expected {expected(outcome.case.name)}: {outcome.reason}"
        for outcome in outcomes
        if outcome.verdict != expected(outcome.case.name)
    ]
    assert not surprises, "\n" + "\n".join(surprises)


def test_every_exception_is_needed(outcomes):
    for pattern in NOT_PASSING:
        assert any(re.fullmatch(pattern, outcome.case.name) for outcome in outcomes), (
            f"{pattern} matches nothing"
        )


def test_most_cases_pass(outcomes):
    """With opset 28 there are 1,884."""
    passed = sum(outcome.verdict == "passed" for outcome in outcomes)
    assert passed / len(outcomes) > 0.91


FIXED = {
    "resize": ("scales", "sizes", "roi"),
    "upsample": ("scales",),
    "maxunpool": ("output_shape",),
    "col2im": ("image_shape", "block_shape"),
    "dft": ("axis", "dft_length"),
    "stft": ("frame_step", "frame_length"),
}


@pytest.mark.parametrize("op", FIXED)
def test_operands_that_must_be_known_can_be_fixed(op):
    """What is refused above for operands that come at run time passes once these are constants."""

    def run(model, inputs):
        fixed = {name: value for name, value in inputs.items() if name in FIXED[op]}
        rest = {name: value for name, value in inputs.items() if name not in fixed}
        return evaluate(registry.read(model, [frontend], constants=fixed), rest)

    outcomes = [judge(case, run) for case in cases(f"test_{op}")]
    assert outcomes
    assert [(o.case.name, o.reason) for o in outcomes if o.verdict != "passed"] == []
