"""A system as the partitioner sees it: devices with their backends, and the ways from memory to memory."""

from collections.abc import Mapping
from functools import cached_property
from itertools import pairwise, permutations
from typing import Any

from ...runtime.records import dataclass
from ...runtime.system import Link
from ..rewrite import Rule
from ..target.backend import Backend
from ..target.description import Target
from ..target.system import SystemDescription


@dataclass(frozen=True)
class Device:
    """A device of a system. `name` is the system's name for it, `memory` that of the memory it works in."""

    name: str
    backend: Backend
    options: Mapping[str, Any]
    target: Target
    memory: str
    precision: str = ""
    memory_bytes: int = 0
    launch: float = 0.0

    @property
    def has_clock(self) -> bool:
        """Whether its device counts cycles: a chip whose memories software fills is simulated."""
        return self.target.is_explicit

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """The rewrites of its backend: what makes a chip run ops is for the whole graph, what makes others faster, that
        run all ops as they are, is for their own part."""
        return tuple(self.backend.rules(self.options))


@dataclass(frozen=True)
class System:
    """Devices in order of preference, host included; links of all memories, each one way."""

    name: str
    host: str
    devices: tuple[Device, ...]
    links: tuple[Link, ...]

    def device(self, name: str) -> Device:
        """The device of that name."""
        return next(device for device in self.devices if device.name == name)

    @cached_property
    def routes(self) -> Mapping[tuple[str, str], tuple[Link, ...]]:
        """For each two memories the links of the quickest way for a block of 64 KiB; none where there is no way."""
        import networkx  # takes longer to import than a small model to compile, and most targets are one device

        graph = networkx.DiGraph()
        graph.add_nodes_from(device.memory for device in self.devices)
        for link in self.links:
            seconds = link.latency + link.busy(1 << 16)
            if seconds < graph.get_edge_data(link.source, link.target, {}).get("seconds", float("inf")):
                graph.add_edge(link.source, link.target, seconds=seconds, link=link)
        found = {}
        for source, target in permutations(graph.nodes, 2):
            if networkx.has_path(graph, source, target):
                path = networkx.shortest_path(graph, source, target, weight="seconds")
                found[source, target] = tuple(graph.edges[pair]["link"] for pair in pairwise(path))
        return found


def resolve(description: SystemDescription, backends: Mapping[str, Backend]) -> System:
    """The system of a description, whose targets' backends are given by the devices' names."""
    memories = {member.name: member.name for member in description.members}
    for group in description.shared:
        memories.update(dict.fromkeys(group, "+".join(group)))
    devices = tuple(
        Device(
            member.name,
            backends[member.name],
            member.options,
            backends[member.name].target(member.options),
            memories[member.name],
            member.precision,
            member.memory_bytes,
            member.launch_us * 1e-6,
        )
        for member in description.members
    )
    links = []
    for each in description.connections:
        for source, target in (each.between, each.between[::-1]):
            ends = memories[source], memories[target]
            if ends[0] != ends[1]:
                links.append(Link(f"{source}>{target}", *ends, each.bytes_per_second, each.latency_us * 1e-6))
    return System(description.name, description.host, devices, tuple(links))
