"""A backend for kinds of chips that run instruction streams: chip files by name, and what the protocol asks for.

A kind of chip gives its name, the folder of its chip files and its instructions; see `docs/add-a-chip.md`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ...runtime.records import dataclass

if TYPE_CHECKING:
    import numpy as np

    from ...runtime.program import DeviceProgram
    from ..ir.graph import Node
    from ..rewrite import Rule
    from ..target.backend import Call, Compiled, Joint, Preferences
    from ..target.description import Target
    from ..tile.stage import Kernel
    from .instructions import Instructions


@dataclass(frozen=True)
class StreamBackend(ABC):
    """Compiles for one chip: `chip` is the name of a chip file in `chips`, or the path of a file elsewhere.

    A subclass states `name`, the package `chips` that holds its files, and which of them is the `default`.
    """

    chip: str = ""

    name: ClassVar[str]
    chips: ClassVar[str]
    default: ClassVar[str]

    @abstractmethod
    def instructions(self) -> "Instructions":
        """The instruction set, imported when it is asked for."""

    def targets(self) -> tuple[str, ...]:
        """The kind's chips, the default one first."""
        names = (each.name for each in files(self.chips).iterdir() if each.name.endswith(".toml"))
        found = sorted(name.removesuffix(".toml") for name in names)
        return (self.default, *(name for name in found if name != self.default))

    def select(self, target: str) -> "StreamBackend":
        """The backend of another chip."""
        return type(self)(target)

    def target(self, options: Mapping[str, Any]) -> "Target":
        """The chip as the tiler sees it. Raises CompileError for options, of which it has none, and for bad files."""
        from ..diagnostics import CompileError

        for name in options:
            raise CompileError(f"{self.name} has no option '{name}'", hint="leave it out")
        return self.chip_target

    @cached_property
    def chip_target(self) -> "Target":
        """The chip as its file describes it, which is read once."""
        chip = self.chip or self.default
        return _target(self.chip_text(chip), Path(chip).name, self.chip_text)

    def chip_text(self, name: str) -> str:
        """The text of a chip file by its name or path; CompileError for one that can't be read."""
        from ..diagnostics import CompileError

        if name in self.targets():
            return files(self.chips).joinpath(f"{name}.toml").read_text()
        try:
            return Path(name).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise CompileError(
                f"the chip file can't be read: {error}",
                location=name,
                hint=f"chips are: {', '.join(self.targets())}, or a path",
            ) from None

    def preferences(self) -> "Preferences":
        """Channels last, and no halos: copies fill in padding. An array takes sums as runs of neighbours; kernels that
        follow one another may become one, see `chains.py`."""
        from ..target.backend import Preferences
        from .chains import MOST

        return Preferences(halo=False, sums_inside=True, linger=MOST - 1)

    def resources(self, options: Mapping[str, Any]) -> Mapping[str, Mapping[str, float]]:
        """None: a chip of its own."""
        return {}

    def rules(self, options: Mapping[str, Any]) -> "Sequence[Rule]":
        """Attention in its parts: kernels of several products are not formed. One shift instead of many."""
        from ..target.attention import RULES
        from ..target.integers import ONE_SHIFT

        return (*RULES, *ONE_SHIFT)

    def refusals(self, node: "Node", options: Mapping[str, Any]) -> list[str]:
        """Why the chip can't run a node; see `constraints.py`."""
        from .constraints import refusals

        instructions = self.instructions()
        return refusals(node, self.target(options), instructions.writer.machine, instructions.further)

    def estimate(self, kernel: "Kernel", options: Mapping[str, Any]) -> float:
        """The tiler's closed form; see `compile.py`."""
        from .compile import estimate

        return estimate(kernel, self.target(options))

    def joints(self, calls: "Sequence[Call]", options: Mapping[str, Any]) -> "Sequence[Joint]":
        """Those that code is written for; see `chains.py`."""
        from .compile import joints

        return joints(calls, self.target(options))

    def compile(
        self, segments: "Sequence[Sequence[Call]]", arena: int, options: Mapping[str, Any]
    ) -> "Compiled":
        """Instruction streams for all segments; see `compile.py`."""
        from .compile import compile_segments

        return compile_segments(segments, arena, self.target(options), self.instructions())

    def listing(self, program: "DeviceProgram", code: "np.ndarray", location: str) -> str:
        """The instructions of all entry points; see `listing.py`."""
        from .listing import listing

        return listing(self.instructions().isa, program, code, location)


@cache
def _target(text: str, source: str, base: Any) -> "Target":
    from ..target.chipfile import read_target

    return read_target(text, source, base)
