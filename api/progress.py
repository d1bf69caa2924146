"""A progress bar for long work, on stderr and only where a person is watching it."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

Advance = Callable[[str], None]


@contextmanager
def progress(title: str, steps: int, shown: bool) -> Iterator[Advance]:
    """Gives a function that says which of `steps` steps has been done; it does nothing where nobody watches."""
    if not shown or not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=steps)

        def advance(done: str) -> None:
            bar.update(task, advance=1, description=f"{title}: {done}")

        yield advance


def observer(advance: Advance) -> Callable[[str, Any, Mapping[str, int]], None]:
    """What the pipeline calls after each pass, as progress."""
    return lambda name, graph, hits: advance(name)
