"""One computation in a thread of its own, for what gives up the interpreter's lock: copies, hashes, code generation.

`concurrent.futures` does the same and more; importing it takes longer than most of what is done here.
"""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Background(Generic[T]):
    """Starts `compute` at once; `result` waits for it."""

    def __init__(self, compute: Callable[[], T]):
        self._compute = compute
        self._values: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._values.append(self._compute())
        except BaseException as error:  # whoever asks for the result gets it
            self._error = error

    def result(self) -> T:
        """What `compute` returned; what it raised is raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._values[0]
