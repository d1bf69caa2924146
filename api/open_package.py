"""Packages with open dimensions as files: the graph in place of code, compiled where it is run.

Such a file needs the compiler to run. What needs none has fixed shapes.
"""

from collections.abc import Mapping
from typing import Any

import isthmus
from isthmus import batches
from isthmus.batches import Batch
from isthmus.compilation import build_package
from isthmus.compiler import stored_graph
from isthmus.dynamic import DynamicPackage, ports_of
from isthmus.model import Model
from isthmus.runtime.artefact import Artefact
from isthmus.runtime.manifest import OPEN, Manifest
from isthmus.runtime.program import Program, Slot


def to_artefact(model: Model, target: str, options: Mapping[str, Any] | None) -> Artefact:
    """The graph of a model with symbolic dimensions, for a target."""
    inputs, outputs = ports_of(model.inputs), ports_of(model.outputs)
    slots = {port.slot: Slot(port.slot, port.dtype, port.shape, "output") for port in outputs}
    slots |= {port.slot: Slot(port.slot, port.dtype, port.shape, "input") for port in inputs}
    program = Program(tuple(slots.values()), (), (), inputs, outputs, model.symbols)
    manifest = Manifest(
        tool_version=isthmus.__version__,
        model=model.location,
        model_sha256=model.sha256,
        target=target,
        options=dict(options or {}),
        extra={OPEN: list(model.symbols)},
    )
    return Artefact(manifest, program, stored_graph.to_entries(model.graph))


def from_artefact(artefact: Artefact, threads: int | None = None) -> DynamicPackage:
    """The package of such a file, which compiles for each shape that it meets."""
    graph = stored_graph.from_entries(artefact.entry, artefact.names, artefact.location)
    target, options = artefact.manifest.target, artefact.manifest.options

    def build(model: Model, batch: Batch | None) -> isthmus.Package:
        return build_package(model, batch, target, options=options, threads=threads)

    model = Model(graph, artefact.manifest.model, lambda: artefact.manifest.model_sha256)
    in_blocks = batches.serves(target)
    return DynamicPackage(
        model, build, threads, lambda found: to_artefact(found, target, options), in_blocks=in_blocks
    )
