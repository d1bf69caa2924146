"""A quantised model on a system some of whose devices compute in floats: which nodes stay in floats, decided by cost.

The model is quantised whole and partitioned, with the costs of floats on the devices that want them. What is best in
floats there is then left in floats, and casts stand at the borders; if that is no faster, the model stays quantised.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from isthmus.compiler.diagnostics import UnsupportedError
from isthmus.compiler.partition.system import System
from isthmus.compiler.pipeline import Options, optimise
from isthmus.compiler.system_build import SystemBuilt, Wishes, build_system, floats_worth, passes_for
from isthmus.model import Model
from isthmus.precision import Precision
from isthmus.systems import find_wishes


def build_for_system(
    model: Model,
    system: System,
    how: Options,
    precision: Precision,
    options: Mapping[str, Any],
    details: dict[str, Any],
) -> SystemBuilt:
    """What is built of a model for a system under the options that its user gave; see `systems.find_wishes`."""
    wishes = find_wishes(options)
    if wants_floats(system, precision):
        return build_mixed(model, system, how, precision, wishes, details)
    return build_system(model.graph, system, how, wishes, **details)


def wants_floats(system: System, precision: Precision) -> bool:
    """Whether precisions differ between devices."""
    return precision.name == "int8" and any(device.precision == "f32" for device in system.devices)


def build_mixed(
    model: Model, system: System, how: Options, precision: Precision, wishes: Wishes, details: dict[str, Any]
) -> SystemBuilt:
    """The fastest of: quantised whole, in floats whole where the host computes in floats, and what lies between; pins
    may rule out all but the first."""
    quantised = build_system(model.graph, system, how, wishes, **details)
    graph, _ = optimise(model.graph, passes=passes_for(system, ()))
    names, alone = floats_worth(quantised.graph, graph, system, wishes)
    found = [quantised]
    others = []
    if names:
        floats = tuple(dict.fromkeys([*precision.choices.floats, *sorted(names & _products(graph))]))
        between = replace(precision, choices=replace(precision.choices, floats=floats))
        others.append(replace(how, precision=between.passes(model), precision_record=between.record))
    if alone < value(quantised):
        others.append(replace(how, precision=(), precision_record=Precision().record))
    for other in others:
        with suppress(UnsupportedError):
            found.append(build_system(model.graph, system, other, wishes, **details))
    return min(found, key=value)


def value(built: SystemBuilt) -> float:
    """What is to be small: latency, or the period of a stream."""
    latency = built.partition.objective == "latency"
    return built.chosen.latency if latency else built.chosen.period


def _products(graph: Any) -> set[str]:
    """Names that a float graph's nodes come from, inputs left out."""
    nodes = (node for node in graph.nodes if node.op not in ("input", "constant"))
    return {name for node in nodes for name in node.location.names}
