"""The suite that any backend must pass: what it takes equals its meaning, what it does not take it refuses.

Families of cases, each judged through the whole pipeline on a package that runs: ops' samples, extreme elements, sizes,
random graphs; then, where the device is one of the kit, that what was compiled can be proved free of hazards, and has
the properties of `properties.py`; and that the same model gives the same bytes in a process of another hash seed.
Asked for hazards, runs are watched for reads of scratchpads that nothing has written.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import field
from pathlib import Path
from tempfile import TemporaryDirectory

from isthmus.compiler.diagnostics import IsthmusError, UnsupportedError
from isthmus.compiling import compile
from isthmus.package import Package
from isthmus.runtime.records import dataclass
from isthmus.runtime.sim.device import SimulatedCode
from isthmus.targets import find_backend
from isthmus.testing.badge import FAILED, PASSED, REFUSED, Badge, Outcome
from isthmus.testing.comparison import differences
from isthmus.testing.properties import broken, codes
from isthmus.testing.random_graphs import draw
from isthmus.testing.samples import Trial, capacities, extremes, joined, op_samples

FAMILIES = (
    "op samples",
    "op samples with weights",
    "extreme values",
    "sizes",
    "random graphs",
    "hazards",
    "properties",
    "bytes",
)
_TOGETHER = 40  # trials that are compiled as one graph
_TRIALS: dict[str, Callable[[], Iterable[Trial]]] = {
    "op samples": lambda: op_samples(False),
    "op samples with weights": lambda: op_samples(True),
    "extreme values": extremes,
    "sizes": capacities,
}


@dataclass
class Proofs:
    """What is proved of packages for the kit's devices, one outcome an entry point and family."""

    hazards: bool
    properties: bool
    outcomes: list[Outcome] = field(default_factory=list)

    def prepare(self, package: Package) -> None:
        """Before a package runs."""
        for code in codes(package):
            code.checked = self.hazards

    def add(self, package: Package, name: str) -> None:
        """After it has run."""
        if self.hazards:
            for code in codes(package):
                for number in range(len(code.meta["entries"])):
                    self._note("hazards", f"{name}, entry {number}", _hazard(code, number))
        if self.properties and codes(package):
            self._note("properties", name, "; ".join(broken(package)))

    def _note(self, family: str, case: str, wrong: str) -> None:
        self.outcomes.append(Outcome(family, case, FAILED if wrong else PASSED, wrong))


def _hazard(code: SimulatedCode, number: int) -> str:
    try:
        code.entry(number).check()
    except IsthmusError as error:
        return str(error)
    return ""


def run_suite(
    backend: str,
    target: str = "",
    families: Sequence[str] = FAMILIES,
    pattern: str = "",
    graphs: int = 30,
    advance: Callable[[str], None] = lambda done: None,
) -> Badge:
    """Run families of cases on a chip.

    Args:
        backend: the kind of chip.
        target: one of its chips, or a chip file; the kind's default one by "".
        families: of `FAMILIES`; "hazards" and "properties" are about what the others compile.
        pattern: part of the names of trials; "" takes all.
        graphs: how many random graphs.
        advance: called with each case's name once it is judged.
    """
    for family in families:
        if family not in FAMILIES:
            raise UnsupportedError(
                "there is no such family", location=family, hint=f"families are: {', '.join(FAMILIES)}"
            )
    chip = target or backend
    proofs = Proofs("hazards" in families, "properties" in families)
    outcomes: list[Outcome] = []

    def note(found: Iterable[Outcome]) -> None:
        for outcome in found:
            outcomes.append(outcome)
            advance(outcome.case)

    for family, trials in _TRIALS.items():
        chosen = [trial for trial in trials() if pattern in trial.name] if family in families else []
        for begin in range(0, len(chosen), _TOGETHER):
            note(_judged(family, chosen[begin : begin + _TOGETHER], chip, proofs))
    if "random graphs" in families:
        note(_random(seed, chip, proofs) for seed in range(graphs))
    note(proofs.outcomes)
    if "bytes" in families:
        note([_repeated(chip)])
    return Badge(backend, find_backend(chip).target({}).name, tuple(outcomes))


def _judged(family: str, trials: Sequence[Trial], chip: str, proofs: Proofs) -> Iterator[Outcome]:
    """Trials compiled as one graph; halves are tried apart where that fails as a whole."""
    graph, arrays = joined(trials)
    try:
        package = compile(graph, chip, threads=1)
        assert isinstance(package, Package)
        proofs.prepare(package)
        got = list(package.run(arrays, threads=1).values())
    except Exception as error:  # whatever a backend raises is what the search is for
        if len(trials) == 1:
            verdict = REFUSED if isinstance(error, IsthmusError) and _names(error, trials[0]) else FAILED
            yield Outcome(family, trials[0].name, verdict, f"{type(error).__name__}: {error}")
            return
        half = len(trials) // 2
        yield from _judged(family, trials[:half], chip, proofs)
        yield from _judged(family, trials[half:], chip, proofs)
        return
    proofs.add(package, f"{family}, {trials[0].name} to {trials[-1].name}")
    refused = _refused(package)
    begin, first = 0, 0
    for trial in trials:
        end, last = begin + len(trial.outputs), first + len(trial.arrays)
        one, inputs = joined([trial])
        wrong = differences(one, inputs, got[begin:end])
        if wrong:
            yield Outcome(family, trial.name, FAILED, "; ".join(wrong))
        elif trial.name in refused:
            yield Outcome(family, trial.name, REFUSED, refused[trial.name])
        else:
            yield Outcome(family, trial.name, PASSED)
        begin, first = end, last


def _names(error: IsthmusError, trial: Trial) -> bool:
    """Whether an error says where it is: then it is a refusal that a user can act on."""
    return trial.name in str(error)


def _refused(package: Package) -> dict[str, str]:
    """By trial, why a part of it runs by its reference meaning."""
    found = {}
    for text in package.manifest.fallbacks:
        where, _, reason = text.partition(": ")
        for name in where.removeprefix("trial:").split(","):
            found[name.strip()] = reason.partition(": ")[2]
    return found


def _random(seed: int, chip: str, proofs: Proofs) -> Outcome:
    name, case = f"seed {seed}", draw(seed)
    try:
        package = compile(case.graph, chip, threads=1)
        assert isinstance(package, Package)
        proofs.prepare(package)
        outputs = list(package.run(list(case.inputs), threads=1).values())
    except Exception as error:
        return Outcome("random graphs", name, FAILED, f"{type(error).__name__}: {error}")
    proofs.add(package, f"random graph {seed}")
    wrong = differences(case.graph, case.inputs, outputs)
    if wrong:
        return Outcome("random graphs", name, FAILED, "; ".join(wrong))
    nodes = sum(node.op not in ("input", "constant") for node in case.graph.nodes)
    left = len(package.manifest.fallbacks)
    if left >= nodes:
        return Outcome("random graphs", name, REFUSED, "no node of the graph runs on the chip")
    return Outcome("random graphs", name, PASSED)


_DIGEST = "import sys; from isthmus.testing.suite import digest; print(digest(sys.argv[1]))"


def _repeated(chip: str) -> Outcome:
    """The same package from this process and from one of another hash seed."""
    seed = "1" if os.environ.get("PYTHONHASHSEED") == "2" else "2"
    environment = {
        **os.environ,
        "PYTHONHASHSEED": seed,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    done = subprocess.run(
        [sys.executable, "-c", _DIGEST, chip], capture_output=True, text=True, env=environment
    )
    mine, other = digest(chip), done.stdout.strip()
    if mine == other:
        return Outcome("bytes", "another hash seed", PASSED)
    return Outcome("bytes", "another hash seed", FAILED, f"{mine} here, {other or done.stderr.strip()} there")


def digest(chip: str) -> str:
    """SHA-256 of a package of some sizes of kernels."""
    graph, _ = joined(
        [trial for trial in capacities() if "product" in trial.name or "convolution" in trial.name]
    )
    package = compile(graph, chip, threads=1)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.isth"
        package.save(path)
        return hashlib.sha256(path.read_bytes()).hexdigest()
