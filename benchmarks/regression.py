"""Ratios that were recorded, and what has become slower since: `python -m benchmarks --record FILE`, `--against FILE`.

A ratio is isthmus' least time over that of the better peer. Both ran in one process, in turns, so it depends far less
on the state of the machine than times do; still it is compared on the same processor only.
"""

import json
from pathlib import Path
from typing import Any

from .report import BETTER, ratio

SLACK = 0.10
"""How much larger than the recorded one a ratio may be."""

Result = dict[str, Any]


def ratios(document: Result) -> dict[str, dict[str, float]]:
    """For each number of threads the ratio to the better peer of each model that was measured."""
    found: dict[str, dict[str, float]] = {}
    for threads in document["means"]:
        for result in document["models"]:
            if (value := ratio(result, int(threads), BETTER)) is not None:
                found.setdefault(threads, {})[result["name"]] = value
    return found


def record(document: Result, file: Path) -> None:
    """Write the ratios of a document, those of models that it lacks kept if they are of the same processor."""
    cpu = document["machine"]["cpu"]
    before = json.loads(file.read_text()) if file.exists() else {}
    kept = before.get("ratios", {}) if before.get("cpu") == cpu else {}
    merged = {
        threads: {**kept.get(threads, {}), **found.get(threads, {})}
        for found in (ratios(document),)
        for threads in sorted({*kept, *found})
    }
    rounded = {
        threads: {name: round(value, 3) for name, value in sorted(each.items())}
        for threads, each in merged.items()
    }
    file.write_text(json.dumps({"cpu": cpu, "ratios": rounded}, indent=1) + "\n")


def read(file: Path, cpu: str) -> Result:
    """A record of this processor. Raises ValueError for another one's, or for what is no record."""
    try:
        found = json.loads(file.read_text())
        recorded, of = dict(found["ratios"]), str(found["cpu"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file}: no record of ratios ({error}); make one with --record") from None
    if of != cpu:
        raise ValueError(f"{file}: recorded on {of}, this is {cpu}; make another with --record")
    return recorded


def regressions(document: Result, recorded: Result) -> list[str]:
    """A line for each model that is slower than recorded by more than `SLACK`, or that has no ratio any more."""
    found = ratios(document)
    measured = {result["name"] for result in document["models"]}
    lines = []
    for threads in document["means"]:
        for name, before in recorded.get(threads, {}).items():
            if name not in measured:
                continue
            now = found.get(threads, {}).get(name)
            if now is None:
                lines.append(f"{name}, threads {threads}: no ratio, recorded was {before:.3f}")
            elif now > before * (1 + SLACK):
                lines.append(
                    f"{name}, threads {threads}: {now:.3f} of the better peer's time, recorded was {before:.3f}"
                )
    return lines
