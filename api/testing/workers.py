"""Work shared out to processes that may die of it: a crash costs one item and not the run."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

Result = TypeVar("Result")


def run_each(
    count: int, work: Callable[[int], Result], died: Callable[[int, str], Result], jobs: int
) -> Iterator[tuple[int, Result]]:
    """Index and `work(index)` for each index below `count`, in the order in which they are done.

    Args:
        work: called in forks of this process, so it may use all that is in memory here; its results are pickled.
        died: makes the result of an index at which a process ended, from the index and what ended it.
        jobs: processes; 1 works in a process of its own as well.
    """
    if "fork" not in multiprocessing.get_all_start_methods():
        yield from ((index, work(index)) for index in range(count))
        return
    waiting = iter(range(count))
    busy: dict[Connection, _Worker] = {}
    try:
        for _ in range(min(jobs, count)):
            _hand_out(_Worker(work), waiting, busy)
        while busy:
            for pipe in wait(list(busy)):
                assert isinstance(pipe, Connection)
                worker = busy.pop(pipe)
                try:
                    result = pipe.recv()
                except EOFError:
                    yield worker.index, died(worker.index, worker.end())
                    worker = _Worker(work)
                else:
                    yield worker.index, result
                _hand_out(worker, waiting, busy)
    finally:
        for worker in busy.values():
            worker.process.kill()


class _Worker:
    """A forked process that answers one index at a time."""

    def __init__(self, work: Callable[[int], Any]):
        self.index = -1
        self.pipe, far = multiprocessing.Pipe()
        context = multiprocessing.get_context("fork")
        self.process = context.Process(target=_serve, args=(far, work), daemon=True)
        self.process.start()
        far.close()

    def end(self) -> str:
        """What ended the process."""
        self.process.join()
        code = self.process.exitcode or 0
        return f"the process ended with {signal.Signals(-code).name if code < 0 else f'status {code}'}"


def _hand_out(worker: _Worker, waiting: Iterator[int], busy: dict[Connection, _Worker]) -> None:
    index = next(waiting, None)
    worker.pipe.send(index)  # None ends it; closing the pipe would not, as forks that are younger hold it too
    if index is None:
        worker.process.join()
        return
    worker.index = index
    busy[worker.pipe] = worker


def _serve(pipe: Connection, work: Callable[[int], Any]) -> None:
    while (index := pipe.recv()) is not None:
        pipe.send(work(index))
