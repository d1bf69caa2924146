"""Python's collector of cyclic garbage, at rest while a model is compiled."""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_compiling = 0


@contextmanager
def resting() -> Iterator[None]:
    """A context without collections, for the whole process, where they are on; contexts may overlap in any threads.

    Compiling makes a million objects of which nearly all live until it ends: looking through them again and again
    takes a fifth of its time.
    """
    global _compiling
    with _lock:
        paused = gc.isenabled() or _compiling > 0
        if paused:
            _compiling += 1
            gc.disable()
    try:
        yield
    finally:
        with _lock:
            if paused:
                _compiling -= 1
                if not _compiling:
                    gc.enable()
