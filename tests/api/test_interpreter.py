"""The interpreter's collector of garbage rests while something compiles, and all is found afterwards as it was."""

import gc
import sys

import pytest

from isthmus.interpreter import TURN, resting, settle


def test_it_rests_until_the_last_context_ends() -> None:
    assert gc.isenabled()
    usual = sys.getswitchinterval()
    with resting():
        with resting():
            assert not gc.isenabled()
        assert not gc.isenabled()
        assert sys.getswitchinterval() == pytest.approx(TURN) != pytest.approx(usual)
    assert gc.isenabled()
    assert sys.getswitchinterval() == usual


def test_it_is_back_after_an_error() -> None:
    with pytest.raises(ValueError), resting():
        raise ValueError
    assert gc.isenabled()


def test_a_user_without_it_stays_without() -> None:
    gc.disable()
    try:
        with resting():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_has_settled_is_old() -> None:
    young = [[]]
    with resting():
        young.append(young)
        settle()
        assert any(each is young for each in gc.get_objects(generation=2))


def test_what_a_user_has_put_aside_stays_there() -> None:
    with resting():
        gc.freeze()
        aside = gc.get_freeze_count()
        settle()
        assert gc.get_freeze_count() == aside > 0
        gc.unfreeze()
