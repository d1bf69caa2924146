"""The CPU backend: machine code through LLVM. Importing it is cheap; llvmlite is loaded with the first compilation."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from ...compiler.ir.graph import Node
    from ...compiler.rewrite import Rule
    from ...compiler.target.backend import Call, Compiled, Joint, Preferences
    from ...compiler.target.description import Target
    from ...compiler.tile.stage import Kernel
    from ...runtime.program import DeviceProgram
    from .machine import Machine


_OPTIONS = frozenset({"level", "triple", "listings", "winograd"})


class CpuBackend:
    """Compiles for this machine, or for another; the options say which.

    `level`: "host", or a feature level of x86-64 (`machine.LEVELS`). `triple`: LLVM's name of another machine.
    `listings`: what is wanted beside the image, "llvm", "asm" or "object". `winograd`: "off" takes
    all products of 3x3 convolutions; "on", the default, takes fewer where that pays, at a small error.
    """

    name = "cpu"

    def targets(self) -> tuple[str, ...]:
        """This machine, or the one that the options ask for."""
        return (self.name,)

    def select(self, target: str) -> "CpuBackend":
        """Itself; CompileError for a chip file, since a CPU is described by its features."""
        from ...compiler.diagnostics import CompileError

        if target != self.name:
            raise CompileError(
                "a CPU is no chip file", location=target, hint="target cpu, with the option level or triple"
            )
        return self

    def preferences(self) -> "Preferences":
        """Channels last, halos around what is read past its edges."""
        from ...compiler.target.backend import Preferences

        return Preferences()

    def machine(self, options: Mapping[str, Any]) -> "Machine":
        """The machine that the options ask for. Raises CompileError for options that the CPU has not."""
        from ...compiler.diagnostics import CompileError
        from .machine import select

        for name in options.keys() - _OPTIONS:
            raise CompileError(
                f"the cpu has no option '{name}'", hint=f"it has: {', '.join(sorted(_OPTIONS))}"
            )

        return select(options.get("level"), options.get("triple"))

    def target(self, options: Mapping[str, Any]) -> "Target":
        """The machine as the tiler sees it."""
        from .target import describe

        return describe(self.machine(options))

    def rules(self, options: Mapping[str, Any]) -> "Sequence[Rule]":
        """Fast convolutions, unless they are switched off, and first layers for engines that multiply neighbours: the
        CPU runs all ops as they are."""
        from . import first_layers, winograd, winograd_integers

        target = self.target(options)
        first = first_layers.rules(target)
        if not winograd.is_wanted(options.get("winograd", "on")):
            return first
        return (*first, *winograd.rules(target), *winograd_integers.rules(target))

    def refusals(self, node: "Node", options: Mapping[str, Any]) -> list[str]:
        """Why a node has no machine code; see `constraints.py`."""
        from .constraints import refusals

        return refusals(node, self.machine(options))

    def resources(self, options: Mapping[str, Any]) -> Mapping[str, Mapping[str, float]]:
        """None: a chip of its own."""
        return {}

    def estimate(self, kernel: "Kernel", options: Mapping[str, Any]) -> float:
        """The cycles of one core that the cost model predicts."""
        from .compile import estimate

        return estimate(kernel, self.target(options))

    def joints(self, calls: "Sequence[Call]", options: Mapping[str, Any]) -> "Sequence[Joint]":
        """None: each call is a kernel."""
        return ()

    def compile(
        self, segments: "Sequence[Sequence[Call]]", arena: int, options: Mapping[str, Any]
    ) -> "Compiled":
        """One image for all segments; see `compile.py`."""
        from .compile import compile_segments

        machine = self.machine(options)
        return compile_segments(segments, arena, machine, self.target(options), options.get("listings", ()))

    def listing(self, program: "DeviceProgram", code: "np.ndarray", location: str) -> str:
        """The machine code, through objdump; see `listing.py`."""
        from .listing import listing

        return listing(program, code, location)


backend = CpuBackend()
