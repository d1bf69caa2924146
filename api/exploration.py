"""The search of a chip family's design space: every configuration that fits a device compiled, its clock run, compared.

A family says by an entry point of `isthmus.spaces` which configurations there are and what they take of a device.
Points are evaluated by any executor of `concurrent.futures`; what was evaluated before is kept on disk.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from isthmus import cache, registry
from isthmus.compiler.diagnostics import CompileError, UnsupportedError
from isthmus.runtime.records import dataclass


class Point(Protocol):
    """A configuration: its name, its chip file, what it takes of the device, and what that lacks, "" if nothing."""

    name: str
    text: str
    use: Mapping[str, float]
    lacks: str


class Space(Protocol):
    """A family's configurations."""

    def parts(self) -> Sequence[str]:
        """Devices by name."""

    def points(self, part: str) -> Iterator[Point]:
        """All configurations for a device."""

    def measures(self) -> Mapping[str, Callable[[Mapping[str, float]], float]]:
        """What little of is good, by title."""


@dataclass(frozen=True)
class Evaluated:
    """A configuration that was compiled and simulated: images a second with all cores busy, cycles of one image on a
    core by itself, seconds of that, nodes that the host runs. `refused` says why the chip can't run what others can."""

    name: str
    use: Mapping[str, float]
    images_per_second: float = 0.0
    cycles: int = 0
    latency: float = 0.0
    host: int = 0
    refused: str = ""


@dataclass(frozen=True)
class Exploration:
    """What was found. `points` are those evaluated, the fastest first; `front` those of which no other is as fast and
    takes no more of anything that counts. `unfit` configurations exceed the device, `left` were not asked for."""

    chip: str
    part: str
    points: tuple[Evaluated, ...]
    front: tuple[Evaluated, ...]
    unfit: int
    left: int
    kept: int

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        kinds = list(self.points[0].use) if self.points else []
        head = f"{'front, simulated':<32}{'images/s':>10}{'ms':>8}" + "".join(f"{kind:>9}" for kind in kinds)
        rows = [
            f"{each.name:<32}{each.images_per_second:>10.1f}{each.latency * 1e3:>8.2f}"
            + "".join(f"{each.use[kind]:>9,.10g}" for kind in kinds)
            for each in self.front
        ]
        refused = [each for each in self.points if each.refused]
        told = [f"{each.name}: {each.refused}" for each in refused]
        counts = (
            f"{len(self.points) - len(refused)} configurations compiled and simulated, {self.kept} of them before; "
            f"{len(refused)} refused; {self.unfit} do not fit {self.part}; {self.left} that fit were left out. "
            "What is taken of the device is estimated."
        )
        return "\n".join([head, *rows, *told, counts])


def find_space(chip: str) -> Space:
    """The space of a family; UnsupportedError, with those that there are, for any other name."""
    known = registry.registered(registry.SPACES)
    if chip not in known:
        raise UnsupportedError(
            "no family of chips of that name has a space to search",
            location=chip,
            hint=f"families are: {', '.join(known) or 'none'}",
        )
    return registry.plugin(registry.SPACES, chip)


def explore(
    package: bytes,
    chip: str,
    part: str,
    count: int,
    executor: Executor,
    advance: Callable[[str], None] = lambda done: None,
) -> Exploration:
    """Evaluate up to `count` of a family's configurations that fit a device, spread evenly over what they take.

    Args:
        package: bytes of a package with the graph to compile, as the chip takes it.
        chip: the family.
        part: the device.
        count: configurations at most.
        executor: runs `evaluate`, here or elsewhere.
        advance: called with each configuration's name once it is evaluated.
    """
    space = find_space(chip)
    points = list(space.points(part))
    measures = tuple(space.measures().values())
    fit = sorted((p for p in points if not p.lacks), key=lambda p: (*(m(p.use) for m in measures), p.name))
    chosen = [fit[place * len(fit) // min(count, len(fit))] for place in range(min(count, len(fit)))]
    digest = hashlib.sha256(package).hexdigest()
    found: dict[str, dict[str, Any]] = {}
    for point in chosen:
        record = _kept(_key(digest, point))
        if record is not None:
            found[point.name] = record
            advance(point.name)
    kept = len(found)
    waiting = {executor.submit(evaluate, package, p.text): p for p in chosen if p.name not in found}
    for future in as_completed(waiting):
        point = waiting[future]
        found[point.name] = future.result()
        _keep(_key(digest, point), found[point.name])
        advance(point.name)
    evaluated = _judged([Evaluated(p.name, dict(p.use), **found[p.name]) for p in chosen])
    evaluated.sort(key=lambda each: (-each.images_per_second, each.name))
    best = tuple(front(evaluated, measures))
    unfit, left = len(points) - len(fit), len(fit) - len(chosen)
    return Exploration(chip, part, tuple(evaluated), best, unfit, left, kept)


def _judged(points: Sequence[Evaluated]) -> list[Evaluated]:
    """The points, those refused that leave nodes to the host which others run: their memories are too small."""
    least = min((each.host for each in points if not each.refused), default=0)
    return [
        replace(each, refused=f"{each.host - least} nodes more than elsewhere run on the host")
        if not each.refused and each.host > least
        else each
        for each in points
    ]


def front(
    points: Sequence[Evaluated], measures: Sequence[Callable[[Mapping[str, float]], float]]
) -> Iterator[Evaluated]:
    """The points of which no other is as fast with no more of anything, better in something; see `Exploration`."""
    sound = [each for each in points if not each.refused]
    scores = {each.name: (-each.images_per_second, *(m(each.use) for m in measures)) for each in sound}
    for each in sound:
        mine = scores[each.name]
        if not any(all(a <= b for a, b in zip(s, mine)) and s != mine for s in scores.values()):
            yield each


def evaluate(package: bytes, chip: str) -> dict[str, Any]:
    """Fields of `Evaluated` of the package's graph on a chip by the text of its file: compiled, its clock run."""
    from isthmus.compiling import compile

    graph = _graph(package)
    with TemporaryDirectory() as folder:
        path = Path(folder, "chip.toml")
        path.write_text(chip)
        try:
            compiled: Any = compile(graph, str(path))
        except (CompileError, UnsupportedError) as error:
            return {"refused": error.message or str(error)}
    entries = [
        code.entry(number)
        for code in compiled.loaded.executable.code.values()
        for number in range(len(code.meta["entries"]))
    ]
    if not entries:
        return {"refused": "no node of the model runs on it"}
    record = entries[0].chip
    clock = record["clock_mhz"] * 1e6
    cycles = sum(entry.timeline.cycles for entry in entries)
    together = sum(entry.together for entry in entries)
    return {
        "images_per_second": record["cores"] * clock / together,
        "cycles": cycles,
        "latency": cycles / clock,
        "host": len(compiled.manifest.fallbacks),
    }


@lru_cache(1)
def _graph(package: bytes) -> Any:
    """The graph of a package; a process evaluates many chips for one."""
    from isthmus.package import load

    with TemporaryDirectory() as folder:
        path = Path(folder, "model.isth")
        path.write_bytes(package)
        return load(str(path)).graph


@contextmanager
def executor_of(jobs: int, cluster: str | None) -> Iterator[Executor]:
    """`jobs` processes of this machine, or the workers of a Dask cluster at an address."""
    if cluster is None:
        with ProcessPoolExecutor(jobs) as pool:
            yield pool
        return
    try:
        from distributed import Client
    except ImportError:
        raise UnsupportedError(
            "a cluster needs dask.distributed", location="--dask", hint="pip install isthmus[cluster]"
        ) from None
    with Client(cluster) as client:
        yield client.get_executor()


def _key(digest: str, point: Point) -> str:
    return cache.key(Path("explored"), digest, {"chip": point.text})


def _kept(name: str) -> dict[str, Any] | None:
    base = cache.folder()
    try:
        return json.loads(Path(base, "explored", name).read_text()) if base is not None else None
    except (OSError, ValueError):
        return None


def _keep(name: str, record: Mapping[str, Any]) -> None:
    base = cache.folder()
    if base is None:
        return
    folder = Path(base, "explored")
    try:
        folder.mkdir(exist_ok=True)
        draft = folder / f"{name}.{os.getpid()}"
        draft.write_text(json.dumps(record))
        draft.replace(folder / name)
    except OSError:
        return  # a full disk costs the next search some time, nothing else
