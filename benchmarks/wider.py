"""Whether chips with more of something are slower on small networks: `python -m benchmarks.wider`, from the repository.

Each network of `tests/backends/npu/networks.py` is compiled in int8 for each chip and for two variants of it, one with
twice the bandwidth and one with twice the capacity. None may take over 1 % longer; the exit status is 1 where one does.
"""

import argparse
import json
import sys
from pathlib import Path

import isthmus
from isthmus.package import Package
from isthmus.testing.properties import SLACK, cycles, cycles_with_more
from tests.backends.npu.networks import NETWORKS, graph_of, samples

Row = dict[str, int]


def measure(name: str, chip: str) -> Row:
    """Cycles on a chip as it is, under "", and with more of something, by what that is."""
    package = isthmus.compile(
        graph_of(name), chip, precision="int8", calibration=samples(name, 4), cache=False
    )
    assert isinstance(package, Package)
    return {"": cycles(package), **cycles_with_more(package.graph, chip)}


def slower(row: Row) -> list[str]:
    """What there is more of where that is slower."""
    return [what for what, each in row.items() if each > SLACK * row[""]]


def main() -> int:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.wider", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS), metavar="NAME"
    )
    chips = ["n1-8", "n1-16", "n1-24", "n1-32", "n1-128", "u65-512"]
    parser.add_argument("--chips", nargs="+", default=chips, metavar="NAME", help="targets or chip files")
    parser.add_argument("--json", type=Path, help="a file that gets the cycles")
    options = parser.parse_args()
    rows = {}
    for name in options.networks:
        for chip in options.chips:
            row = rows[f"{name} {chip}"] = measure(name, chip)
            more = ", ".join(f"{each:,} with more {what}" for what, each in row.items() if what)
            verdict = "; slower with more " + " and ".join(slower(row)) if slower(row) else ""
            print(f"{name} on {chip}: {row['']:,} cycles, {more}{verdict}", flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return int(any(map(slower, rows.values())))


if __name__ == "__main__":
    sys.exit(main())
