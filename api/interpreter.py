"""Python's interpreter while a model is compiled: no search for cyclic garbage, and quick turns between threads."""

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

TURN = 5e-4
"""Seconds after which a thread that computes gives way to one that waits: Python's own 5 ms are far longer than what
code generation, hashing and copying need of the interpreter between two calls that do without it."""

_lock = threading.Lock()
_compiling = 0
_paused = False
_turn = 0.0


@contextmanager
def resting() -> Iterator[None]:
    """A context without collections, where they are on, and with turns of at most `TURN`; contexts may overlap in any
    threads, and both are the whole process's.

    Compiling makes a million objects of which nearly all live until it ends: looking through them again and again
    takes a fifth of its time.
    """
    _enter()
    try:
        yield
    finally:
        _leave()


def settle() -> None:
    """Let what exists be old at once, unlooked at: modules that were just imported are most of what the first
    collection after a compilation would look through, and no garbage.

    Not where somebody has objects of his own put aside, which would come back.
    """
    if not gc.get_freeze_count():
        gc.freeze()
        gc.unfreeze()


def _enter() -> None:
    global _compiling, _paused, _turn
    with _lock:
        if not _compiling:
            _paused, _turn = gc.isenabled(), sys.getswitchinterval()
            gc.disable()
            sys.setswitchinterval(min(TURN, _turn))
        _compiling += 1


def _leave() -> None:
    global _compiling
    with _lock:
        _compiling -= 1
        if not _compiling:
            sys.setswitchinterval(_turn)
            if _paused:
                gc.enable()
