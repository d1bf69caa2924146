"""How far placements of small random graphs are from the best ones: `python -m benchmarks.optimum --graphs 200`.

The graphs are those of `isthmus conformance --graphs`. Every assignment of units to devices is worked out kernel by
kernel by the common clock, all transfers included, as the compiler does with the few that its search proposes. Links
are quick here, as kernels of such graphs are: else everything would be best on the host.
"""

import argparse
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from isthmus.compiler.diagnostics import UnsupportedError
from isthmus.compiler.distribution import Layout
from isthmus.compiler.ir.graph import Graph
from isthmus.compiler.partition.exact import EXACT
from isthmus.compiler.partition.knowledge import Knowledge
from isthmus.compiler.partition.partition import Choice, Partition
from isthmus.compiler.partition.system import System
from isthmus.compiler.pipeline import optimise
from isthmus.compiler.system_build import passes_for, work_out
from isthmus.targets import find_target
from isthmus.testing.random_graphs import draw

SYSTEM = """[system]
name = "small"
[device.cpu]
target = "cpu"
[device.n1-8]
target = "n1-8"
launch_us = {launch}
[link.both]
between = ["cpu", "n1-8"]
bytes_per_cycle = 16
clock_mhz = 1000
latency_us = {latency}
"""
LINKS = ((0.0, 0.0), (0.02, 0.01), (0.2, 0.05))
"""Microseconds of a link's latency and of a launch."""

SLACK = 1.05
"""How many times the optimum's latency a placement may take."""


def compared(graph: Graph, system: System, most: int) -> tuple[int, float] | None:
    """Units of a graph and how many times the optimum's latency its placement takes; None where it has no more than one
    assignment, or more than `most`."""
    graph, _ = optimise(graph, passes=passes_for(system, ()))
    partition = Partition(graph, system, Knowledge())
    candidates = work_out(partition)
    choices = [partition.model.choices(unit) for unit in range(len(partition.units))]
    assignments = list(product(*choices)) if len(choices) <= EXACT else []
    if candidates is None or not 1 < len(assignments) <= most:
        return None
    least = min(_latencies(partition, assignments))
    return len(choices), candidates[0].latency / least if least else 1.0


def _latencies(partition: Partition, assignments: list[tuple[int, ...]]) -> Iterator[float]:
    for assignment in assignments:
        placed = partition.parts(Choice("each", assignment, 0.0, 0.0))
        if placed is not None:
            yield Layout(partition.graph, *placed, partition.system).predicted().seconds


def main() -> int:
    """Compare what the command line asks for; 1 where a placement is too far from the optimum."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.optimum", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--graphs", type=int, default=200, help="random graphs")
    parser.add_argument("--first", type=int, default=0, help="seed of the first")
    parser.add_argument("--most", type=int, default=128, help="assignments of a graph at most")
    options = parser.parse_args()
    found: list[tuple[float, int, int]] = []
    with TemporaryDirectory() as folder:
        systems = []
        for number, (latency, launch) in enumerate(LINKS):
            path = Path(folder, f"{number}.toml")
            path.write_text(SYSTEM.format(latency=latency, launch=launch))
            systems.append(find_target(str(path)))
        for seed in range(options.first, options.first + options.graphs):
            system = systems[seed % len(systems)]
            assert isinstance(system, System)
            try:
                each = compared(draw(seed).graph, system, options.most)
            except UnsupportedError:
                continue  # open shapes
            if each is not None:
                found.append((each[1], each[0], seed))
    if not found:
        print("no graph has a choice")
        return 1
    worst, units, seed = max(found)
    far = sum(ratio > SLACK for ratio, _, _ in found)
    largest = max(count for _, count, _ in found)
    print(f"{len(found)} graphs of at most {largest} units that have a choice; the worst placement takes")
    print(f"{worst:.4f} times the optimum (seed {seed}, {units} units); {far} take more than {SLACK} times")
    return int(far > 0)


if __name__ == "__main__":
    sys.exit(main())
