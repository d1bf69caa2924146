"""The runner of the standard's tests: what it counts, what surprises it, and processes that die."""

import os
import signal

import pytest

from isthmus.compiler.diagnostics import ModelError
from isthmus.frontends.onnx.conformance import Outcome, cases, judge
from isthmus.frontends.onnx.conformance import Result as Got
from isthmus.testing.conformance import Tally, run_cases
from isthmus.testing.expected import Expectation, read_expected
from isthmus.testing.workers import run_each


def outcome(name: str, verdict: str = "passed", **more: object) -> Outcome:
    return Outcome(name, "node", ("Relu",), verdict, "why" if verdict != "passed" else "", **more)  # type: ignore[arg-type]


def test_stored_cases_are_compiled_and_counted() -> None:
    tally = run_cases("test_operator_re", suites=("pytorch-operator",), jobs=1)
    assert [entry.verdict for entry in tally.outcomes] == ["passed"] * len(tally.outcomes)
    assert len(tally.outcomes) >= 3
    assert tally.ok
    assert "0 failed, 0 wrong" in str(tally)
    assert tally.to_json()["outcomes"][0]["suite"] == "pytorch-operator"


def test_a_tally_counts_by_op_cause_and_fallback() -> None:
    given = (
        outcome("a"),
        outcome("b", fallbacks=("here: text.concat: no code",)),
        outcome("c", folded=True),
        outcome("d", "refused"),
        outcome("e", decisive=("x",)),
    )
    tally = Tally("cpu", given, (Expectation("d", "refused", "too odd"),))
    assert (tally.without_fallback, tally.folded, tally.specialised) == (3, 1, 1)
    assert tally.by_cause() == {("refused", "too odd"): 1}
    assert tally.by_fallback() == {"text.concat": 1}
    assert tally.by_op()["Relu"].counts["passed"] == 4
    assert tally.ok
    text = str(tally)
    assert "too odd" in text
    assert "1 compiled for the values of inputs that decide shapes" in text


def test_whatever_goes_another_way_is_a_surprise() -> None:
    given = (outcome("now_passes"), outcome("breaks", "refused"), outcome("lies", "wrong"))
    known = (Expectation("now_.*", "refused", "once"), Expectation("gone", "refused", "once"))
    assert Tally("cpu", given, known, complete=True).surprises == (
        "now_passes passed, expected refused",
        "breaks refused, expected passed: why",
        "lies wrong, expected passed: why",
        "no case is called 'gone', of which 'refused' is expected",
    )
    assert not Tally("cpu", given).ok


def test_wrong_values_and_wrong_types_are_told() -> None:
    (case,) = cases("test_operator_mm", ["pytorch-operator"])
    _, want = case.data[0]
    assert judge(case, lambda *_: Got(want)).verdict == "passed"
    off = {name: value + 1 for name, value in want.items()}
    assert "elements differ" in judge(case, lambda *_: Got(off)).reason
    other = {name: value.astype("f8") for name, value in want.items()}
    assert "got float64" in judge(case, lambda *_: Got(other)).reason


def test_a_process_that_dies_costs_one_case() -> None:
    def work(index: int) -> str:
        if index in (1, 3):
            os.kill(os.getpid(), signal.SIGKILL) if index == 1 else os._exit(7)
        return "done"

    found = dict(run_each(5, work, lambda index, how: f"{index}: {how}", 2))
    assert found == {
        0: "done",
        1: "1: the process ended with SIGKILL",
        2: "done",
        3: "3: the process ended with status 7",
        4: "done",
    }


@pytest.mark.parametrize(
    "text", ["[[expected]]\ncases = '('\nverdict = 'refused'\nreason = ''", "x = 1", "["]
)
def test_a_list_that_is_none_is_refused(text: str, tmp_path) -> None:
    path = tmp_path / "list.toml"
    path.write_text(text)
    with pytest.raises(
        ModelError, match=r"list\.toml: not a list of expectations.*has cases, verdict and reason"
    ):
        read_expected(path)


def test_the_list_that_ships_has_reasons() -> None:
    assert all(len(entry.reason) > 10 for entry in read_expected())
