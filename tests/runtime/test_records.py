"""Records are what the standard decorator makes of the same class, seen from outside."""

import copy
import dataclasses
import pickle
from dataclasses import FrozenInstanceError, field
from typing import Any, ClassVar

import pytest

from isthmus.runtime import records

FLAGS = [
    {"frozen": frozen, "slots": slots, "eq": eq}
    for frozen in (False, True)
    for slots in (False, True)
    for eq in (False, True)
]


def _made(decorator: Any, **flags: bool) -> Any:
    @decorator(**flags)
    class Base:
        kind: ClassVar[str] = "base"
        x: int
        y: tuple[int, ...] = ()

    @decorator(**flags)
    class Derived(Base):
        z: list[int] = field(default_factory=list, compare=False)
        hidden: int = field(default=7, repr=False)

        def __post_init__(self) -> None:
            assert self.x >= 0

    return Base, Derived


@pytest.mark.parametrize("flags", FLAGS, ids=str)
def test_records_are_what_the_standard_decorator_makes(flags: dict[str, bool]) -> None:
    ours, standard = _made(records.dataclass, **flags), _made(dataclasses.dataclass, **flags)
    for mine, theirs in zip(ours, standard, strict=True):
        a, b, other = mine(1, y=(2,)), mine(1, (2,)), mine(3)
        like, same, unlike = theirs(1, y=(2,)), theirs(1, (2,)), theirs(3)
        assert repr(a) == repr(like)
        assert [a == b, a == other, a == like] == [like == same, like == unlike, False]
        assert dataclasses.asdict(a) == dataclasses.asdict(like)
        assert repr(dataclasses.replace(a, x=5)) == repr(dataclasses.replace(like, x=5))
        assert records.replace(a, x=5) == dataclasses.replace(a, x=5) or not flags["eq"]
        assert repr(records.replace(a, x=5)) == repr(dataclasses.replace(like, x=5))
        assert [f.name for f in dataclasses.fields(mine)] == [f.name for f in dataclasses.fields(theirs)]
        assert hasattr(a, "__dict__") == hasattr(like, "__dict__")
        assert mine.__match_args__ == theirs.__match_args__
        assert (mine.__hash__ is None) == (theirs.__hash__ is None)
        if flags["frozen"] and flags["eq"]:
            assert len({a, b, other}) == 2
        if flags["frozen"]:
            for one in (a, like):
                with pytest.raises(FrozenInstanceError, match="cannot assign to field 'x'"):
                    one.x = 1
        with pytest.raises(TypeError):
            mine()


@records.dataclass(frozen=True, slots=True)
class Point:
    """At the top of a module, where pickle finds it."""

    x: int
    parts: dict[str, int] = field(default_factory=dict)


def test_records_are_copied_and_pickled() -> None:
    point = Point(1, {"a": 2})
    assert pickle.loads(pickle.dumps(point)) == copy.deepcopy(point) == point
    with pytest.raises(FrozenInstanceError, match="cannot delete field 'x'"):
        del point.x


def test_methods_are_written_when_they_are_called() -> None:
    @records.dataclass(frozen=True)
    class Late:
        x: int

    first = Late.__init__
    assert Late(1).x == 1
    assert Late.__init__ is not first
