"""Random small graphs on random systems: `python -m benchmarks.placements --graphs 100`.

For each: values are what the graph means, `explain` has a reason for every node that is on no accelerator, and by the
common clock the placement is no slower than everything on the host or greedy placement by priority. The graphs are
those of `isthmus conformance --graphs`.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from isthmus.compilation import build_model
from isthmus.compiler.diagnostics import UnsupportedError
from isthmus.compiler.system_build import SystemBuilt
from isthmus.model import Model
from isthmus.package import Package
from isthmus.system_explanation import explain_system
from isthmus.testing.comparison import differences
from isthmus.testing.random_graphs import Case, draw

from .clock import ALONE, GREEDY, CommonClock, ways

CHIPS = ("n1-8", "n1-16", "n1-32", "f1-b4096")
DEVICE = """[device.{name}]
target = "{name}"
launch_us = {launch}
"""
LINK = """[link."{a}-{b}"]
between = ["{a}", "{b}"]
bytes_per_cycle = {bytes}
clock_mhz = 1000
latency_us = {latency}
"""
SLACK = 1 + 1e-9
"""Sums in another order end in other bits."""


def system(seed: int) -> str:
    """A system file: the CPU, one or two chips, links of a speed at which small kernels are worth sending, or not."""
    rng = np.random.default_rng(seed)
    chips = [str(each) for each in rng.choice(CHIPS, int(rng.integers(1, 3)), replace=False)]
    names = ["cpu", *chips]
    launch, latency = (float(rng.choice([0.0, 0.02, 0.2])) for _ in range(2))
    width = int(rng.choice([4, 16, 64]))
    tables = ['[system]\nname = "drawn"\n', '[device.cpu]\ntarget = "cpu"\n']
    tables += [DEVICE.format(name=name, launch=launch) for name in chips]
    if len(chips) > 1 and rng.random() < 0.25:
        tables.insert(0, f'shared = [["{chips[0]}", "{chips[1]}"]]\n')
    pairs = [(a, b) for n, a in enumerate(names) for b in names[n + 1 :]]
    return "".join(tables + [LINK.format(a=a, b=b, bytes=width, latency=latency) for a, b in pairs])


def judged(case: Case, path: Path) -> tuple[int, list[str]]:
    """How many devices have something to do, and what is wrong."""
    built = build_model(Model(case.graph, "drawn"), str(path))
    assert isinstance(built, SystemBuilt)
    profile = Package(built.artefact).profile(list(case.inputs))
    found = differences(case.graph, case.inputs, list(profile.outputs.values()))
    found += _untold(built)
    assert profile.system is not None
    seconds = profile.system.seconds
    plain = ways(built.partition)
    for name in (ALONE, GREEDY):
        least = CommonClock().of(built.partition, plain[name])[1].seconds
        if seconds > least * SLACK:
            found.append(f"takes {seconds * 1e6:.3f} us by the clock, {name} {least * 1e6:.3f}")
    return len(built.chosen.layout.parts), found


def _untold(built: SystemBuilt) -> Iterator[str]:
    told = explain_system(built, "", "").placements
    nodes = [node for node in built.graph.nodes if node.op not in ("input", "constant")]
    if len(told) != len(nodes):
        yield f"{len(told)} of {len(nodes)} nodes are told of"
    for each in told:
        if each.device not in each.seconds or not (each.reason or each.device != built.system.host):
            yield f"{each.node} on {each.device} has no {'reason' if each.device in each.seconds else 'cost'}"


def main() -> int:
    """Judge what the command line asks for; 1 where something is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.placements", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--graphs", type=int, default=100, help="random graphs")
    parser.add_argument("--first", type=int, default=0, help="seed of the first")
    options = parser.parse_args()
    devices: Counter[int] = Counter()
    wrong = 0
    with TemporaryDirectory() as folder:
        for seed in range(options.first, options.first + options.graphs):
            path = Path(folder, f"{seed}.toml")
            path.write_text(system(seed))
            try:
                count, problems = judged(draw(seed), path)
            except UnsupportedError:
                continue  # open shapes
            devices[count] += 1
            wrong += bool(problems)
            for problem in problems:
                print(f"seed {seed}: {problem}", flush=True)
    by_count = ", ".join(f"{graphs} on {count}" for count, graphs in sorted(devices.items()))
    print(
        f"{devices.total()} graphs, of which so many are placed on so many devices: {by_count}; {wrong} are wrong"
    )
    return int(wrong > 0 or not devices.total())


if __name__ == "__main__":
    sys.exit(main())
