"""The verb conformance: the standard's own tests, counted; or the suite that every backend must pass."""

from pathlib import Path

import click

from isthmus.commands import options
from isthmus.commands.options import Settings, common

NODE_TESTS = 1900
"""About as many as there are; for the progress bar only."""


@click.command(short_help="Run the ONNX node tests, or the suite for backends, and count.")
@click.argument("pattern", default="")
@options.target
@click.option("--reference", is_flag=True, help="Judge the ops' reference meanings instead of compiled code.")
@click.option(
    "--backend", help="Run the suite for backends on this kind of chip, on --target if that is given."
)
@click.option(
    "--family", "families", multiple=True, help="Of the suite for backends; may be given several times."
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
    backend: str | None,
    families: tuple[str, ...],
    badge: Path | None,
) -> int:
    """Run the ONNX node tests whose name contains PATTERN; status 1 when one of them fails or gives wrong values.

    With --backend: ops' samples, extreme values, sizes, random graphs, hazards and repeated bytes on a kind of chip.
    """
    if backend is not None:
        from isthmus.commands.suite import run_backend

        given = context.get_parameter_source("target") is not click.core.ParameterSource.DEFAULT
        return run_backend(settings, backend, target if given else "", pattern, families, badge)
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
