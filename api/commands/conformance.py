"""The verb conformance: the standard's own tests, counted; or the suite that every backend must pass."""

from pathlib import Path

import click

from isthmus.commands import options
from isthmus.commands.options import Settings, common

CASES = 2024
"""As many as there are; for the progress bar only."""


@click.command(short_help="Run the ONNX tests, or the suite for backends.")
@click.argument("pattern", default="")
@options.target
@click.option("--reference", is_flag=True, help="Judge the ops' reference meanings instead of compiled code.")
@click.option("--suite", "suites", multiple=True, help="Only this suite; may be given several times.")
@click.option("--jobs", type=click.IntRange(1), help="Processes; by default as many as there are cores.")
@click.option(
    "--expected",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A list of what is known not to pass, in place of the one that ships.",
)
@click.option(
    "--backend", help="Run the suite for backends on this kind of chip, on --target if that is given."
)
@click.option(
    "--family", "families", multiple=True, help="Of the suite for backends; may be given several times."
)
@click.option(
    "--graphs",
    type=click.IntRange(1),
    help="Instead: so many random graphs of the ops' samples, from seed 0 on, beside their meaning.",
)
@click.option(
    "--badge",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write the suite's table here as markdown, and as JSON beside it.",
)
@click.pass_context
@common
def conformance(
    settings: Settings,
    context: click.Context,
    pattern: str,
    target: str,
    reference: bool,
    suites: tuple[str, ...],
    jobs: int | None,
    expected: Path | None,
    backend: str | None,
    families: tuple[str, ...],
    graphs: int | None,
    badge: Path | None,
) -> int:
    """Run the tests of the ONNX standard whose name contains PATTERN: ops, small models, what PyTorch exported.

    Status 1 when one fails, gives wrong values, or goes another way than the list of expectations says.
    With --graphs: random graphs; what fails is made small and printed, with its seed.
    With --backend: ops' samples, extreme values, sizes, random graphs, hazards and repeated bytes on a kind of chip.
    """
    if backend is not None:
        from isthmus.commands.suite import run_backend

        given = context.get_parameter_source("target") is not click.core.ParameterSource.DEFAULT
        return run_backend(settings, backend, target if given else "", pattern, families, badge)
    if graphs is not None:
        from isthmus.commands.suite import run_random

        return run_random(settings, target, graphs, jobs or 1)
    from isthmus.frontends.onnx.conformance import SUITES
    from isthmus.progress import progress
    from isthmus.targets import find_backend
    from isthmus.testing.conformance import run_cases
    from isthmus.testing.expected import read_expected

    for suite in suites:
        if suite not in SUITES:
            raise click.UsageError(f"there is no suite '{suite}'; there are {', '.join(SUITES)}")
    find_backend(target)
    known = read_expected(expected)
    with progress("tests", CASES, not (settings.quiet or settings.json)) as advance:
        tally = run_cases(pattern, "" if reference else target, suites or SUITES, known, jobs, advance)
    if not tally.outcomes:
        raise click.UsageError(f"no test's name contains '{pattern}'")
    settings.show(tally.to_json(), tally)
    return 0 if tally.ok else 1
