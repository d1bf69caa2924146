"""What a backend can do, by family of tests: passed, refused with a reason, or failed; as a table and as JSON."""

from collections import Counter
from typing import Any

from isthmus.runtime.records import dataclass

PASSED, REFUSED, FAILED = VERDICTS = ("passed", "refused", "failed")


@dataclass(frozen=True)
class Outcome:
    """What became of one case. Refused: it ran by its reference meaning, for the chip's reason in words, and was right.
    Failed: an error, or other values than meant."""

    family: str
    case: str
    verdict: str
    reason: str = ""


@dataclass(frozen=True)
class Badge:
    """The outcomes of a suite on a chip."""

    backend: str
    target: str
    outcomes: tuple[Outcome, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not any(outcome.verdict == FAILED for outcome in self.outcomes)

    def counts(self) -> dict[str, dict[str, int]]:
        """By family, how many cases had each verdict."""
        found: dict[str, Counter[str]] = {}
        for outcome in self.outcomes:
            found.setdefault(outcome.family, Counter())[outcome.verdict] += 1
        return {
            family: {verdict: counted[verdict] for verdict in VERDICTS} for family, counted in found.items()
        }

    def reasons(self) -> dict[str, int]:
        """How often each reason was given for refusing a case; the most frequent first. Without what fails in it."""
        found = Counter(o.reason.partition(" (here: ")[0] for o in self.outcomes if o.verdict == REFUSED)
        return dict(found.most_common())

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values; of the cases those that did not pass."""
        others = [o for o in self.outcomes if o.verdict != PASSED]
        return {
            "backend": self.backend,
            "target": self.target,
            "ok": self.ok,
            "families": self.counts(),
            "reasons": self.reasons(),
            "others": [
                {"family": o.family, "case": o.case, "verdict": o.verdict, "reason": o.reason} for o in others
            ],
        }

    def __str__(self) -> str:
        """A page of markdown."""
        rows = [
            f"| {family} | {' | '.join(map(str, counts.values()))} |"
            for family, counts in self.counts().items()
        ]
        table = [f"| {self.target} | {' | '.join(VERDICTS)} |", "|---|--:|--:|--:|", *rows]
        why = [f"| {count} | {' '.join(reason.split())} |" for reason, count in self.reasons().items()]
        if why:
            table += ["", "| refused | because |", "|--:|---|", *why]
        failed = [
            f"- {o.family}, {o.case}: {' '.join(o.reason.split())}"
            for o in self.outcomes
            if o.verdict == FAILED
        ]
        return "\n".join(table + ([f"\n{len(failed)} failed:\n", *failed] if failed else []))
