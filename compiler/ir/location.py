"""Where a node comes from: the framework nodes that it stands for, carried down to the last instruction."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ...runtime.records import dataclass


@dataclass(frozen=True, slots=True)
class Location:
    """A file (or object) name and the framework's node names in it; merged nodes carry several names."""

    source: str = ""
    names: tuple[str, ...] = ()

    def merge(self, *others: "Location") -> "Location":
        """This location and the others as one, names in order of first appearance."""
        names = dict.fromkeys(self.names)
        source = self.source
        for other in others:
            source = source or other.source
            names.update(dict.fromkeys(other.names))
        return Location(source, tuple(names))

    def __str__(self) -> str:
        names = "+".join(self.names)
        return f"{self.source}:{names}" if self.source and names else self.source or names


NOWHERE = Location()
_current: ContextVar[Location] = ContextVar("location", default=NOWHERE)


def here() -> Location:
    """The location that nodes built now receive."""
    return _current.get()


@contextmanager
def at(location: Location) -> Iterator[None]:
    """Give nodes built inside this block `location`."""
    token = _current.set(location)
    try:
        yield
    finally:
        _current.reset(token)
