"""What `isthmus conformance --backend` and `--graphs` do: the suite for backends, and random graphs."""

import json
from pathlib import Path

from isthmus.commands.options import Settings
from isthmus.progress import progress

CASES = 2300
"""About as many as there are; for the progress bar only."""


def run_backend(
    settings: Settings, backend: str, target: str, pattern: str, families: tuple[str, ...], badge: Path | None
) -> int:
    """Run the suite on a chip; `badge` is written as markdown, and as JSON beside it. Status 1 when a case fails."""
    from isthmus.targets import find_backend
    from isthmus.testing.suite import FAMILIES, run_suite

    find_backend(target or backend)
    with progress("cases", CASES, not (settings.quiet or settings.json)) as advance:
        found = run_suite(backend, target, families or FAMILIES, pattern, advance=advance)
    if badge is not None:
        badge.write_text(f"{found}\n")
        badge.with_suffix(".json").write_text(json.dumps(found.to_json(), indent=1) + "\n")
    settings.show(found.to_json(), found)
    return 0 if found.ok else 1


def run_random(settings: Settings, target: str, count: int, jobs: int) -> int:
    """Compile the graphs of the seeds below `count` and hold them against their meaning; status 1 when one fails."""
    from isthmus.targets import find_target
    from isthmus.testing.random_graphs import run_graphs

    find_target(target)
    with progress("graphs", count, not (settings.quiet or settings.json)) as advance:
        failures = run_graphs(range(count), target, advance, jobs)
    record = {
        "target": target,
        "seeds": [0, count - 1],
        "failures": [{"seed": failure.seed, "text": str(failure)} for failure in failures],
    }
    total = f"{count} random graphs, seeds 0 to {count - 1}, on {target}: {len(failures)} differ from their meaning"
    settings.show(record, "\n".join([*map(str, failures), total]))
    return 1 if failures else 0
