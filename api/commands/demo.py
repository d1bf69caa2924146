"""The verb demo: a small network on real data, from its file to its answers, stage by stage."""

import click

from isthmus.commands import options
from isthmus.commands.options import Settings, common


@click.command(short_help="Follow a small network through every stage.")
@options.target
@options.threads
@common
def demo(settings: Settings, target: str, threads: int | None) -> None:
    """Compile a small digit reader, show every stage of it, and run it on images that it has not seen."""
    from isthmus.demonstration import demonstrate

    result = demonstrate(target, threads, say=lambda text: None if settings.json else click.echo(text))
    if settings.json:
        settings.show(result.to_json(), "")
