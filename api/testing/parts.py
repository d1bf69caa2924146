"""A run over several devices beside the meaning of its parts: what each device gave for what it was given."""

from collections.abc import Iterator, Mapping

import numpy as np

from isthmus.compiler.ops.interpret import run_graph
from isthmus.compiler.system_build import SystemBuilt
from isthmus.package import Package
from isthmus.runtime.program import Transfer
from isthmus.runtime.records import dataclass


@dataclass(frozen=True)
class Passed:
    """An array that a device handed on: its name in the program, what came out, and what the device's part of the graph
    means for what went in."""

    device: str
    name: str
    got: np.ndarray
    meant: np.ndarray


def device_by_device(built: SystemBuilt, inputs: Mapping[str, np.ndarray]) -> Iterator[Passed]:
    """Every array that crosses a border between devices or leaves, of a run of what was built for a system.

    The package runs as it is, its links listened in on. Then numpy runs each device's part by itself.
    """
    package, layout = Package(built.artefact), built.chosen.layout
    at: dict[str, np.ndarray] = {}
    moves = iter([step.slot for step in built.artefact.program.steps if isinstance(step, Transfer)])

    def carry(link: str, array: np.ndarray) -> np.ndarray:
        return at.setdefault(next(moves), array.copy())

    package.loaded.executable.carry = carry
    outputs = package.run(inputs)
    given = zip(built.graph.input_names, built.graph.inputs, strict=True)
    at |= {layout.names[value]: np.asarray(inputs[name]) for name, value in given}
    at |= {port.slot: outputs[port.name] for port in package.outputs}
    for part in layout.parts:
        operands = [at[layout.names[part.values[name]]] for name in part.plan.inputs]
        for output, meant in zip(part.plan.outputs, run_graph(part.graph, operands), strict=True):
            if output in part.values:  # constants leave as they are
                name = layout.names[part.values[output]]
                yield Passed(part.device.name, name, at[name], np.asarray(meant))
