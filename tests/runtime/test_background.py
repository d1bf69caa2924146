"""A computation beside its caller: its value, its error, and that it starts before it is asked for."""

import threading

import pytest

from isthmus.runtime.background import Background


def test_the_result_is_what_was_computed() -> None:
    started = threading.Event()
    work = Background(lambda: started.set() or 7)
    assert started.wait(10)
    assert work.result() == 7
    assert work.result() == 7


def test_its_error_is_raised_where_the_result_is_asked_for() -> None:
    work = Background(lambda: [][1])
    with pytest.raises(IndexError):
        work.result()
