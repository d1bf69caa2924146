"""What is known not to pass: for names of cases the verdict to expect and the reason, as data.

A case that starts to pass is a surprise, and so is an entry that no case has.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path

from isthmus.compiler.diagnostics import ModelError
from isthmus.frontends.onnx.conformance import Outcome
from isthmus.runtime.records import dataclass


@dataclass(frozen=True, slots=True)
class Expectation:
    """Cases, as a pattern that their whole name matches, the verdict that they have, and why."""

    cases: str
    verdict: str
    reason: str

    def covers(self, name: str) -> bool:
        """Whether a case is meant."""
        return re.fullmatch(self.cases, name) is not None


def read_expected(path: Path | None = None) -> tuple[Expectation, ...]:
    """The entries of a file; by default the ones that ship, which hold for the CPU.

    Raises:
        ModelError: the file is no list of entries of cases, verdict and reason.
    """
    text = (files(__package__) / "expected.toml" if path is None else path).read_text()
    try:
        entries = [Expectation(**entry) for entry in tomllib.loads(text)["expected"]]
        for entry in entries:
            re.compile(entry.cases)
    except (KeyError, TypeError, re.error, tomllib.TOMLDecodeError) as error:
        raise ModelError(
            f"not a list of expectations: {error}",
            location=str(path or "expected.toml"),
            hint="each [[expected]] has cases, verdict and reason",
        ) from None
    return tuple(entries)


def reason_of(outcome: Outcome, expected: Iterable[Expectation]) -> str:
    """Why a case does not pass, as far as it is known."""
    return next((entry.reason for entry in expected if entry.covers(outcome.name)), "not expected")


def surprises(outcomes: Iterable[Outcome], expected: Iterable[Expectation], complete: bool) -> Iterator[str]:
    """What went another way than expected, a sentence each; `complete` says that all cases were run."""
    expected = tuple(expected)
    used = set()
    for outcome in outcomes:
        entry = next((entry for entry in expected if entry.covers(outcome.name)), None)
        used.add(entry)
        want = "passed" if entry is None else entry.verdict
        if outcome.verdict != want:
            reason = f": {' '.join(outcome.reason.split())}" if outcome.reason else ""
            yield f"{outcome.name} {outcome.verdict}, expected {want}{reason}"
    if complete:
        for entry in expected:
            if entry not in used:
                yield f"no case is called '{entry.cases}', of which '{entry.verdict}' is expected"
