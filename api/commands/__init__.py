"""The verbs of the command line by name, in the order in which help lists them."""

import click

from isthmus.commands.bench import bench
from isthmus.commands.building import check, compile, explain, show
from isthmus.commands.conformance import conformance
from isthmus.commands.demo import demo
from isthmus.commands.exploring import explore
from isthmus.commands.listing import disasm, formats, ops, targets
from isthmus.commands.running import profile, run

VERBS: dict[str, click.Command] = {
    command.name or "": command
    for command in (
        check,
        compile,
        run,
        explain,
        bench,
        profile,
        explore,
        show,
        disasm,
        targets,
        ops,
        formats,
        demo,
        conformance,
    )
}
