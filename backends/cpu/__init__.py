"""The CPU backend: machine code through LLVM. Importing it is cheap; llvmlite is loaded with the first compilation."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...compiler.ir.graph import Node
    from ...compiler.rewrite import Rule
    from ...compiler.target.backend import Call, Compiled
    from ...compiler.target.description import Target
    from .machine import Machine


class CpuBackend:
    """Compiles for this machine, or for a feature level of its architecture (options: level, triple)."""

    name = "cpu"

    def machine(self, options: Mapping[str, Any]) -> "Machine":
        """The machine that the options ask for."""
        from .machine import select

        return select(options.get("level"), options.get("triple"))

    def target(self, options: Mapping[str, Any]) -> "Target":
        """The machine as the tiler sees it."""
        from .target import describe

        return describe(self.machine(options))

    def rules(self) -> "Sequence[Rule]":
        """None: the CPU runs the ops as they are."""
        return ()

    def refusals(self, node: "Node", options: Mapping[str, Any]) -> list[str]:
        """Why a node has no machine code; see `constraints.py`."""
        from .constraints import refusals

        return refusals(node, self.machine(options))

    def compile(
        self, segments: "Sequence[Sequence[Call]]", arena: int, options: Mapping[str, Any]
    ) -> "Compiled":
        """One image for all segments; see `compile.py`."""
        from .compile import compile_segments

        machine = self.machine(options)
        return compile_segments(segments, arena, machine, self.target(options), options.get("listings", ()))


backend = CpuBackend()
