"""The ONNX standard's node tests: one op or two each, judged against the outputs that the standard gives."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from isthmus.compiling import compile
from isthmus.frontends.onnx.conformance import Outcome, cases, judge
from isthmus.model import read

VERDICTS = ("passed", "refused", "failed", "wrong")
"""Refused: this build has no such op or form. Failed: an error. Wrong: other values than expected."""


@dataclass(frozen=True)
class Tally:
    """What became of every case, in the suite's order. `target` is "" where the reference meaning was judged."""

    target: str
    outcomes: tuple[Outcome, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many cases had each verdict."""
        found = Counter(outcome.verdict for outcome in self.outcomes)
        return {verdict: found[verdict] for verdict in VERDICTS}

    @property
    def ok(self) -> bool:
        """Whether all that was accepted was right."""
        return not (self.counts["failed"] or self.counts["wrong"])

    def to_json(self) -> dict[str, Any]:
        """The tally as JSON values."""
        others = [outcome for outcome in self.outcomes if outcome.verdict != "passed"]
        listed = [{"case": o.case.name, "verdict": o.verdict, "reason": o.reason} for o in others]
        return {"target": self.target or "reference", **self.counts, "others": listed}

    def __str__(self) -> str:
        lines = [
            f"{outcome.verdict:<8} {outcome.case.name}: {' '.join(outcome.reason.split())}"
            for outcome in self.outcomes
            if outcome.verdict != "passed"
        ]
        counts = ", ".join(f"{count} {verdict}" for verdict, count in self.counts.items())
        return "\n".join(
            [*lines, f"{len(self.outcomes)} node tests on {self.target or 'the reference'}: {counts}"]
        )


def run_nodes(
    pattern: str = "", target: str = "cpu", advance: Callable[[str], None] = lambda done: None
) -> Tally:
    """Run every node test whose name contains `pattern`.

    Args:
        pattern: part of the names; "" takes all, which are close to two thousand.
        target: what to compile for; "" judges the reference meaning, which is far quicker.
        advance: called with each case's name once it is judged.
    """

    def run(model: Any, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        found = read(model)
        return compile(found, target).run(inputs) if target else found.evaluate(inputs)

    outcomes = []
    for case in cases(pattern):
        outcomes.append(judge(case, run))
        advance(case.name)
    return Tally(target, tuple(outcomes))
