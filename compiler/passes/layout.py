"""In which order the axes of each value lie in memory, which values get a halo, and which are only other views."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..ir.graph import Value
from .draft import Draft, Drafting
from .plan import HostStep, Layout, Preferences


@dataclass(frozen=True)
class Layouts:
    """Entries, copies at borders among them; the layout of each value in memory; what a view is a view of.

    `values` names also those that exist only because a value lies in memory twice.
    """

    entries: tuple[Draft | HostStep, ...]
    values: Mapping[str, Value]
    layouts: Mapping[str, Layout]
    roots: Mapping[str, str] = field(default_factory=dict)


def choose(
    entries: Sequence[Draft | HostStep],
    values: Mapping[str, Value],
    outputs: Sequence[str],
    drafting: Drafting,
    preferences: Preferences,
) -> Layouts:
    """Layouts for all values that entries read or write."""
    layouts = {name: Layout.plain(value.type.rank) for name, value in values.items()}
    return Layouts(tuple(entries), values, layouts)
