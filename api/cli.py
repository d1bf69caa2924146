"""The command line: the verbs, and what becomes of errors. Exit status 0, 1 for a user's error, 2 for an internal one.

Verbs live in `commands/`, and import what they need when they run: help must not wait for a compiler.
"""

import json
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import click

from isthmus.commands import VERBS
from isthmus.commands.options import Settings

SUCCESS, USER_ERROR, INTERNAL_ERROR, INTERRUPTED = 0, 1, 2, 130


@click.group(
    commands=VERBS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Every verb takes --json, --quiet and --debug; ISTHMUS VERB --help tells the rest.",
)
@click.option("--version", is_flag=True, help="Print the version and leave.")
@click.pass_context
def isthmus(context: click.Context, version: bool) -> None:
    """A compiler between AI frameworks and AI chips: a model in, one package file out, run anywhere."""
    if version:
        import isthmus as package

        click.echo(f"isthmus {package.__version__}")
    elif context.invoked_subcommand is None:
        click.echo(context.get_help())


def main() -> NoReturn:
    """The command `isthmus`."""
    signal.signal(signal.SIGTERM, _leave)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # what a library warns of is for whoever develops, with python -W
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit status; errors are told on stderr, with --json on stdout."""
    settings = Settings()
    try:
        status = isthmus.main(list(arguments), "isthmus", standalone_mode=False, obj=settings)
        sys.stdout.flush()
        return status if isinstance(status, int) else SUCCESS
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else USER_ERROR
    except BaseException as error:  # whatever it is, a user gets a sentence and a status
        if settings.debug:
            import traceback

            traceback.print_exc()
        try:
            return _tell(error, settings)
        except BrokenPipeError:
            return _silenced()


def _leave(number: int, frame: FrameType | None) -> None:
    """End as Python does on an exception, so that half-written files are removed on the way."""
    sys.exit(128 + number)


def _tell(error: BaseException, settings: Settings) -> int:
    """Print what went wrong, one line a problem; the exit status."""
    if isinstance(error, BrokenPipeError):
        return _silenced()
    if isinstance(error, click.Abort | KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    records, status = _problems(error)
    if settings.json:
        click.echo(json.dumps({"ok": False, "problems": records}, indent=1))
        return status
    prefix = "internal error" if status == INTERNAL_ERROR else "error"
    for record in records:
        parts = [record["location"], record["message"]]
        text = ": ".join(filter(None, parts)) + (f"; {record['hint']}" if record["hint"] else "")
        click.echo(f"{prefix}: {text}", err=True)
        if "detail" in record:
            click.echo(record["detail"], err=True)
    return status


def _problems(error: BaseException) -> tuple[list[dict[str, str]], int]:
    """Location, message and hint of each problem, each on one line, the lines of its detail, and the exit status."""
    report = "a defect of isthmus: run again with --debug and report it"
    if isinstance(error, click.UsageError):
        verb = error.ctx.command_path if error.ctx is not None else "isthmus"
        return [_record("", error.format_message().rstrip("."), f"see {verb} --help")], USER_ERROR
    if isinstance(error, click.ClickException):
        return [_record("", error.format_message())], USER_ERROR
    if isinstance(error, MemoryError):
        return [_record("", "out of memory", "use a machine with more memory, or smaller shapes")], USER_ERROR
    if isinstance(error, OSError):
        return [_record(str(error.filename or ""), error.strerror or str(error))], USER_ERROR
    from isthmus.runtime.errors import IsthmusError

    if isinstance(error, IsthmusError):
        status = INTERNAL_ERROR if error.defect else USER_ERROR
        return [
            _record(each.location, each.message, each.hint or (report if error.defect else ""), each.detail)
            for each in error.problems
        ], status
    return [_record("", f"{type(error).__name__}: {error}", report)], INTERNAL_ERROR


def _record(location: str, message: str, hint: str = "", detail: str = "") -> dict[str, str]:
    """A problem whose parts hold no line breaks, whatever was put into them; but for its detail."""
    parts = {"location": location, "message": message, "hint": hint}
    return {name: " ".join(text.split()) for name, text in parts.items()} | (
        {"detail": detail} if detail else {}
    )


def _silenced() -> int:
    """Nobody reads any more: nothing can be said, not even by the interpreter's last flush."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return USER_ERROR
