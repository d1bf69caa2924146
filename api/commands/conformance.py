"""The verb conformance: the standard's own tests, counted."""

import click

from isthmus.commands import options
from isthmus.commands.options import Settings, common

NODE_TESTS = 1900
"""About as many as there are; for the progress bar only."""


@click.command(short_help="Run the ONNX node tests and count.")
@click.argument("pattern", default="")
@options.target
@click.option("--reference", is_flag=True, help="Judge the ops' reference meanings instead of compiled code.")
@common
def conformance(settings: Settings, pattern: str, target: str, reference: bool) -> int:
    """Run the ONNX node tests whose name contains PATTERN; status 1 when one of them fails or gives wrong values."""
    from isthmus.progress import progress
    from isthmus.targets import find_backend
    from isthmus.testing.nodes import run_nodes

    find_backend(target)
    with progress("node tests", NODE_TESTS, not (settings.quiet or settings.json)) as advance:
        tally = run_nodes(pattern, "" if reference else target, advance)
    if not tally.outcomes:
        raise click.UsageError(f"no node test's name contains '{pattern}'")
    settings.show(tally.to_json(), tally)
    return 0 if tally.ok else 1
