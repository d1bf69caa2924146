"""What the compiler asks of an NPU of the n1 family; the chip file is all that differs between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from ...compiler.ir.graph import Node
    from ...compiler.rewrite import Rule
    from ...compiler.target.backend import Call, Compiled, Preferences
    from ...compiler.target.description import Target
    from ...runtime.program import DeviceProgram

DEFAULT = "n1-32"


@dataclass(frozen=True)
class NpuBackend:
    """Compiles for one chip: `chip` is the name of a file in `chips/`, or the path of a file elsewhere."""

    chip: str = DEFAULT
    name: str = "npu"

    def targets(self) -> tuple[str, ...]:
        """The chips in the tree, the default one first."""
        found = sorted(
            each.name.removesuffix(".toml")
            for each in files(__package__).joinpath("chips").iterdir()
            if each.name.endswith(".toml")
        )
        return (DEFAULT, *(name for name in found if name != DEFAULT))

    def select(self, target: str) -> "NpuBackend":
        """The backend of another chip."""
        return NpuBackend(target)

    def target(self, options: Mapping[str, Any]) -> "Target":
        """The chip as the tiler sees it. Raises CompileError for options, of which it has none, and for bad files."""
        from ...compiler.diagnostics import CompileError
        from ...compiler.target.chipfile import read_target

        for name in options:
            raise CompileError(f"the npu has no option '{name}'", hint="leave it out")
        return read_target(self._text(self.chip), Path(self.chip).name, self._text)

    def _text(self, name: str) -> str:
        from ...compiler.diagnostics import CompileError

        if name in self.targets():
            return files(__package__).joinpath("chips", f"{name}.toml").read_text()
        try:
            return Path(name).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise CompileError(
                f"the chip file can't be read: {error}",
                location=name,
                hint=f"chips are: {', '.join(self.targets())}, or a path",
            ) from None

    def preferences(self) -> "Preferences":
        """Channels last, and no halos: copies fill in padding. The array takes sums as runs of neighbours."""
        from ...compiler.target.backend import Preferences

        return Preferences(halo=False, sums_inside=True)

    def rules(self) -> "Sequence[Rule]":
        """Rewrites from ops to ones that the chip runs."""
        from .legalise import RULES

        return RULES

    def refusals(self, node: "Node", options: Mapping[str, Any]) -> list[str]:
        """Why the chip can't run a node; see `constraints.py`."""
        from .constraints import refusals

        return refusals(node, self.target(options))

    def compile(
        self, segments: "Sequence[Sequence[Call]]", arena: int, options: Mapping[str, Any]
    ) -> "Compiled":
        """Instruction streams for all segments; see `compile.py`."""
        from .compile import compile_segments

        return compile_segments(segments, arena, self.target(options))

    def listing(self, program: "DeviceProgram", code: "np.ndarray", location: str) -> str:
        """The instructions of all entry points; see `listing.py`."""
        from .listing import listing

        return listing(program, code, location)
