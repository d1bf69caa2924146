"""What holds of every package for a simulated chip, whatever the model: of its times, its trace and its code."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from isthmus.compiler.ir.graph import Graph
from isthmus.compiler.target.assembler import assemble, disassemble
from isthmus.compiling import compile
from isthmus.package import Package
from isthmus.runtime.sim.device import Entry, SimulatedCode
from isthmus.runtime.sim.isa import Isa
from isthmus.targets import find_backend


def codes(package: Package) -> list[SimulatedCode]:
    """The package's code on simulated chips."""
    return [code for code in package.loaded.executable.code.values() if isinstance(code, SimulatedCode)]


def cycles(package: Package) -> int:
    """Cycles of all entry points. Time does not depend on values, so nothing is computed."""
    return sum(
        code.entry(number).timeline.cycles
        for code in codes(package)
        for number in range(len(code.meta["entries"]))
    )


def broken(package: Package) -> list[str]:
    """The properties that a package lacks, in words: bound <= cycles <= serial sum; the spans of an engine follow one
    another and add up, with its idle time, to the cycles; every instruction has a source; text and bytes of the code
    are one another's."""
    found: list[str] = []
    for code in codes(package):
        for number, meta in enumerate(code.meta["entries"]):
            entry, stored = code.entry(number), code.code[meta["start"] : meta["end"]].tobytes()
            problems = (*_times(entry), *_spans(entry), *_sources(entry), *_text(entry.model.isa, stored))
            found += (f"{entry.location}: {problem}" for problem in problems)
    return found


def _times(entry: Entry) -> Iterator[str]:
    summary = entry.run.summary
    bound, total, serial = summary["bound"], summary["cycles"], summary["serial"]
    if not bound <= total <= serial:
        yield f"{total:,} cycles, expected from the bound, {bound:,.0f}, to the serial sum, {serial:,.0f}"
    if total != entry.timeline.cycles or total != entry.run.cycles:
        yield f"the summary says {total:,} cycles, the clock {entry.timeline.cycles:,}"


def _spans(entry: Entry) -> Iterator[str]:
    run = entry.run
    for engine, figures in run.summary["engines"].items():
        spans = sorted((s.begin, s.end) for s in run.spans if s.engine == engine)
        if any(after[0] < before[1] for before, after in pairwise(spans)):
            yield f"spans of {engine} overlap"
        busy = sum(end - begin for begin, end in spans)
        idle = sum(figures["stalls"].values())
        if abs(busy - figures["busy"]) > 0.5 or abs(busy + idle - run.cycles) > 0.5:
            yield f"{engine}: spans of {busy:,.0f} and {idle:,.0f} idle cycles, expected {run.cycles:,} in all"


def _sources(entry: Entry) -> Iterator[str]:
    bare = [n for n in range(entry.stream.size) if not any(entry.kernel(n)["sources"])]
    if bare:
        name = type(entry.stream.records[bare[0]]).mnemonic
        yield f"{len(bare)} instructions without a source node, the first is {bare[0]}, {name}"


def _text(isa: Isa, code: bytes) -> Iterator[str]:
    if assemble(isa, disassemble(isa, code)) != code:
        yield "its listing assembles to other bytes"


def widened(chip: str) -> dict[str, str]:
    """Chip files by what there is more of: variants of a chip with twice the bandwidth, and with twice the capacity."""
    target = find_backend(chip).target({})
    home = target.home
    near = [memory for memory in target.memories.values() if not memory.home]
    more = {
        "bandwidth": f"memory.{home.name}.bandwidth = {2 * home.bandwidth}\n",
        "capacity": "".join(f"memory.{each.name}.bytes = {2 * each.bytes}\n" for each in near),
    }
    head = f'inherits = "{chip}"\ntarget.name = "{target.name} with more '
    return {name: f'{head}{name}"\n{change}' for name, change in more.items()}


SLACK = 1.01
"""How much slower a chip with more of something may be."""


def cycles_with_more(graph: Graph, chip: str) -> dict[str, int]:
    """Cycles of a graph on variants of a chip, by what these have more of; see `widened`."""
    found = {}
    with TemporaryDirectory() as folder:
        for what, text in widened(chip).items():
            file = Path(folder) / f"{what}.toml"
            file.write_text(text)
            package = compile(graph, str(file), cache=False)
            assert isinstance(package, Package)
            found[what] = cycles(package)
    return found
