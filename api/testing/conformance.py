"""The ONNX standard's own tests on compiled code, judged against the outputs that the standard gives, and counted."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

import numpy as np

from isthmus.compiling import compile
from isthmus.dynamic import DynamicPackage
from isthmus.frontends.driver import ValuesNeeded
from isthmus.frontends.onnx.conformance import SUITES, Outcome, Result, cases, judge
from isthmus.model import Model, read_open
from isthmus.runtime.records import dataclass
from isthmus.testing.expected import Expectation, reason_of, surprises
from isthmus.testing.workers import run_each

VERDICTS = ("passed", "drawn", "refused", "failed", "wrong")
"""Drawn: random numbers of the right type and shape. Refused: this build has no such op or form. Failed: an error.
Wrong: other values than expected."""


@dataclass(frozen=True)
class Tally:
    """What became of every case, in the suites' order. `target` is "" where the reference meaning was judged."""

    target: str
    outcomes: tuple[Outcome, ...]
    expected: tuple[Expectation, ...] = ()
    complete: bool = False

    @property
    def counts(self) -> dict[str, int]:
        """How many cases had each verdict."""
        found = Counter(outcome.verdict for outcome in self.outcomes)
        return {verdict: found[verdict] for verdict in VERDICTS}

    @property
    def passed(self) -> tuple[Outcome, ...]:
        """The cases that passed."""
        return tuple(outcome for outcome in self.outcomes if outcome.verdict == "passed")

    @property
    def without_fallback(self) -> int:
        """Cases that passed with no step run by an op's reference meaning."""
        return sum(not outcome.fallbacks for outcome in self.passed)

    @property
    def folded(self) -> int:
        """Cases that passed because constant folding had computed every output while compiling."""
        return sum(outcome.folded for outcome in self.passed)

    @property
    def specialised(self) -> int:
        """Cases that passed on code that was compiled for the values of inputs that decide shapes."""
        return sum(bool(outcome.decisive) for outcome in self.passed)

    @property
    def surprises(self) -> tuple[str, ...]:
        """What went another way than expected, a sentence each."""
        return tuple(surprises(self.outcomes, self.expected, self.complete))

    @property
    def ok(self) -> bool:
        """Whether everything went as expected, and nothing was wrong."""
        return not (self.surprises or self.counts["failed"] or self.counts["wrong"])

    def by_suite(self) -> dict[str, "Tally"]:
        """A tally for each suite that has cases."""
        parts = {suite: [o for o in self.outcomes if o.suite == suite] for suite in SUITES}
        return {suite: Tally(self.target, tuple(part)) for suite, part in parts.items() if part}

    def by_op(self) -> dict[str, "Tally"]:
        """A tally for each op, of the cases that have it."""
        found: dict[str, list[Outcome]] = {}
        for outcome in self.outcomes:
            for op in outcome.ops:
                found.setdefault(op, []).append(outcome)
        return {op: Tally(self.target, tuple(found[op])) for op in sorted(found)}

    def by_cause(self) -> dict[tuple[str, str], int]:
        """How many cases did not pass, by verdict and reason; the most frequent first."""
        others = (outcome for outcome in self.outcomes if outcome.verdict != "passed")
        found = Counter((outcome.verdict, reason_of(outcome, self.expected)) for outcome in others)
        return dict(found.most_common())

    def by_fallback(self) -> dict[str, int]:
        """How many cases that passed run an op by its reference meaning, and why; the most frequent first."""
        found: Counter[str] = Counter()
        for outcome in self.passed:
            found.update({text.rpartition(": ")[0].rpartition(": ")[2] for text in outcome.fallbacks})
        return dict(found.most_common())

    @property
    def seconds(self) -> float:
        """Median of the processor's seconds that a case took, from reading the model to comparing its outputs."""
        return median(outcome.seconds for outcome in self.outcomes)

    def to_json(self) -> dict[str, Any]:
        """The tally as JSON values."""
        totals = {
            "cases": len(self.outcomes),
            **self.counts,
            "without_fallback": self.without_fallback,
            "folded": self.folded,
            "specialised": self.specialised,
        }
        return {
            "target": self.target or "reference",
            **totals,
            "median_seconds": round(self.seconds, 4),
            "suites": {suite: part.counts for suite, part in self.by_suite().items()},
            "surprises": list(self.surprises),
            "outcomes": [asdict(outcome) for outcome in self.outcomes],
        }

    def __str__(self) -> str:
        return "\n".join((*self._causes(), *self._ops(), *self._totals()))

    def _causes(self) -> list[str]:
        lines = [f"  {count:5} {verdict:8} {cause}" for (verdict, cause), count in self.by_cause().items()]
        lines += [f"  {count:5} by reference meaning: {op}" for op, count in self.by_fallback().items()]
        lines += [f"  not as expected: {text}" for text in self.surprises]
        return ["by cause", *lines] if lines else []

    def _ops(self) -> list[str]:
        """Ops of which not all cases pass on the target's own code."""
        rows = [f"  {'op':<28} cases passed no-fallback folded drawn refused failed wrong"]
        for op, part in self.by_op().items():
            total, counts = len(part.outcomes), part.counts
            if part.without_fallback < total:
                others = f"{counts['drawn']:5} {counts['refused']:7} {counts['failed']:6} {counts['wrong']:5}"
                rows.append(
                    f"  {op:<28} {total:5} {counts['passed']:6} {part.without_fallback:11} {part.folded:6} {others}"
                )
        return ["ops that do not all pass on compiled code", *rows] if len(rows) > 1 else []

    def _totals(self) -> list[str]:
        lines = []
        for suite, part in {**self.by_suite(), "all": self}.items():
            counts = ", ".join(f"{count} {verdict}" for verdict, count in part.counts.items())
            lines.append(
                f"{suite}: {len(part.outcomes)} tests on {self.target or 'the reference'}: {counts}; of those passed "
                f"{part.without_fallback} without reference fallback, {part.folded} by constant folding, "
                f"{part.specialised} compiled for the values of inputs that decide shapes; "
                f"median {part.seconds * 1000:.0f} ms"
            )
        return lines


def run_cases(
    pattern: str = "",
    target: str = "cpu",
    suites: Sequence[str] = SUITES,
    expected: tuple[Expectation, ...] = (),
    jobs: int | None = None,
    advance: Callable[[str], None] = lambda done: None,
) -> Tally:
    """Run every case of the suites whose name contains `pattern`, in parallel processes.

    Args:
        pattern: part of the names; "" takes all, which are about two thousand.
        target: what to compile for; "" judges the reference meaning.
        suites: of `frontends.onnx.conformance.SUITES`.
        expected: what is known not to pass.
        jobs: processes; by default as many as there are cores.
        advance: called with each case's name once it is judged.
    """
    found = list(cases(pattern, suites))

    def run(model: Any, inputs: Mapping[str, Any]) -> Result:
        return _compiled(model, inputs, target) if target else Result(_evaluated(model, inputs))

    def died(index: int, how: str) -> Outcome:
        return Outcome(found[index].name, found[index].suite, found[index].ops, "failed", how)

    outcomes: dict[int, Outcome] = {}
    for index, outcome in run_each(
        len(found), lambda index: judge(found[index], run), died, jobs or _cores()
    ):
        outcomes[index] = outcome
        advance(outcome.name)
    complete = not pattern and tuple(suites) == SUITES
    return Tally(target, tuple(outcomes[index] for index in range(len(found))), expected, complete)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _compiled(model: Any, inputs: Mapping[str, Any], target: str) -> Result:
    package = compile(model, target, threads=1)
    outputs = package.run(inputs)
    decisive: tuple[str, ...] = ()
    if isinstance(package, DynamicPackage):
        decisive = tuple(package.decisive)
        package = package.specialised(inputs)
    folded = all(value.constant is not None for value in package.graph.graph.outputs)
    return Result(outputs, package.manifest.fallbacks, folded, decisive)


def _evaluated(model: Any, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """The outputs that the ops' meanings give, for the values that decide the model's form."""
    found = read_open(model)
    if isinstance(found, Model):
        return found.evaluate(inputs)
    shapes = {name: (None,) * np.ndim(inputs[name][0]) for name in found.ranks}
    decisive = dict.fromkeys(found.decisive)
    while True:
        values = {name: inputs[name] for name in decisive}
        try:
            bound = found.specialised(shapes, values)
        except ValuesNeeded as error:
            if not set(error.decisive) - set(decisive):
                raise
            decisive |= dict.fromkeys(error.decisive)
        else:
            return bound.evaluate({name: value for name, value in inputs.items() if name not in values})
