"""What each kernel of a model for the CPU takes, beside what the core could do at best and what was predicted.

Operations and bytes are counted on the kernel's own stages: a multiply-add is two operations, every operand and result
is moved once. The machine's peaks are measured once and kept with the cached packages.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from math import prod
from typing import TYPE_CHECKING, Any

from isthmus import cache
from isthmus.compiler.tile.cost import scalar_cost
from isthmus.compiler.tile.stage import LOCAL, Apply, Kernel, Lookup, Stage
from isthmus.pictures import Point, Roof, under_roof
from isthmus.runtime.records import dataclass

if TYPE_CHECKING:
    from isthmus.backends.cpu.peaks import Peaks
    from isthmus.compiler.target.backend import KernelReport
    from isthmus.package import Package

_STYLE = (
    "<style>.roof{fill:none;stroke:#555}.tick{font:11px sans-serif}circle{fill:#36c;fill-opacity:.6}</style>"
)

LONG = 50e-6
"""Seconds from which on a kernel counts in the error of prediction."""


@dataclass(frozen=True)
class KernelTime:
    """One kernel of a run: least seconds, operations, bytes that must be moved, and the seconds that were predicted."""

    number: int
    name: str
    sources: tuple[str, ...]
    seconds: float
    operations: float
    bytes: int
    predicted: float


@dataclass(frozen=True)
class KernelProfile:
    """The kernels in order of execution, and the peaks of one core; `threads` is how many ran them."""

    kernels: tuple[KernelTime, ...]
    peaks: "Peaks"
    threads: int

    @property
    def error(self) -> float:
        """Mean relative error of prediction, weighted by time, over kernels longer than `LONG`; one thread."""
        long = [kernel for kernel in self.kernels if kernel.seconds >= LONG]
        total = sum(kernel.seconds for kernel in long)
        return sum(abs(kernel.predicted - kernel.seconds) for kernel in long) / total if total else 0.0

    def shares(self, kernel: KernelTime) -> tuple[float, float]:
        """Shares of the cores' peak of operations and of one core's bandwidth."""
        return (
            kernel.operations / kernel.seconds / (self.peaks.flops * self.threads),
            kernel.bytes / kernel.seconds / self.peaks.bytes,
        )

    def to_json(self) -> dict[str, Any]:
        """The profile as JSON values."""
        return {**asdict(self), "error": self.error}

    def picture(self, title: str) -> str:
        """The kernels under the machine's roofline, as SVG."""
        roof = Roof(
            f"{title}: kernels under the roofline",
            self.peaks.flops * self.threads / 1e9,
            self.peaks.bytes / 1e9,
            "operations a byte",
            "GFLOP/s",
        )
        total = sum(kernel.seconds for kernel in self.kernels)
        points = [
            Point(
                kernel.operations / kernel.bytes,
                kernel.operations / kernel.seconds / 1e9,
                kernel.seconds / total,
                kernel.number,
                f"{_short(kernel)}: {kernel.seconds * 1e6:.1f} us",
            )
            for kernel in self.kernels
            if kernel.operations and kernel.bytes
        ]
        return under_roof(roof, points).replace("</title>", f"</title>{_STYLE}", 1)

    def lines(self, top: int) -> list[str]:
        """The slowest kernels as a table, their sum, and the error of prediction."""
        total = sum(kernel.seconds for kernel in self.kernels)
        out = [
            f"{'#':>4} {'us':>9} {'share':>6} {'GFLOP/s':>8} {'of peak':>8} {'GB/s':>7} {'of peak':>8} {'predicted':>9}"
            "  computes"
        ]
        for kernel in sorted(self.kernels, key=lambda kernel: -kernel.seconds)[:top]:
            peak, link = self.shares(kernel)
            out.append(
                f"{kernel.number:>4} {kernel.seconds * 1e6:>9.1f} {kernel.seconds / total:>6.1%}"
                f" {kernel.operations / kernel.seconds / 1e9:>8.1f} {peak:>8.1%}"
                f" {kernel.bytes / kernel.seconds / 1e9:>7.2f} {link:>8.1%}"
                f" {kernel.predicted / kernel.seconds:>9.2f}  {_short(kernel)}"
            )
        work = sum(kernel.operations for kernel in self.kernels)
        out += [
            f"{len(self.kernels)} kernels, {total * 1e3:.3f} ms, {work / total / 1e9:.1f} GFLOP/s; a core's peaks:"
            f" {self.peaks.flops / 1e9:.1f} GFLOP/s, {self.peaks.bytes / 1e9:.1f} GB/s,"
            f" {self.peaks.hertz / 1e9:.2f} GHz",
            f"time-weighted error of prediction over kernels above {LONG * 1e6:.0f} us: {self.error:.1%}",
        ]
        return out


def _short(kernel: KernelTime) -> str:
    text = ", ".join(kernel.sources) or kernel.name
    return text if len(text) <= 60 else f"{text[:57]}..."


def profile_kernels(
    package: "Package",
    reports: "Sequence[KernelReport]",
    arrays: Any,
    *,
    runs: int,
    threads: int = 1,
    issue: float = 2.0,
    advance: Callable[[str], None] = lambda done: None,
) -> KernelProfile:
    """Profile a package of the CPU that was compiled with these `reports`; the least of `runs` for each kernel.

    The kernels of a run follow each other as in any run, so that each finds the caches as it would.
    """
    from isthmus.backends.cpu.peaks import Peak

    measured, probe = peaks(issue), Peak()
    names = {report.name for report in reports}
    best: list[float] = []
    for number in range(runs + 1):
        found = package.profile(arrays, threads=threads)
        seconds = [step.seconds for step in found.steps if step.name in names]
        if len(seconds) != len(reports):
            raise ValueError(f"a run has {len(seconds)} kernels, expected {len(reports)}")
        best = seconds if not number or not best else list(map(min, best, seconds))
        # what is fastest of all runs has the clock that was fastest
        measured = measured.faster(probe() * 1e9)
        advance(f"{number} of {runs}")
    measured = max(measured, peaks(issue), key=lambda each: each.flops)
    return KernelProfile(
        tuple(
            KernelTime(
                number,
                report.name,
                report.location.names,
                max(seconds, 1e-9),
                operations(report.kernel),
                moved_bytes(report.kernel),
                report.cycles / measured.hertz,
            )
            for number, (report, seconds) in enumerate(zip(reports, best, strict=True))
        ),
        measured,
        threads,
    )


def operations(kernel: Kernel) -> float:
    """Scalar operations of a kernel, its casts left out."""
    return sum(prod(d.size for d in stage.dims) * _each(stage) for stage in kernel.stages)


def _each(stage: Stage) -> float:
    if stage.combine == "sum" and isinstance(stage.body, Apply) and stage.body.op == "mul":
        return 2.0
    return scalar_cost(stage.body) + (stage.combine is not None)


def moved_bytes(kernel: Kernel) -> int:
    """Bytes of all operands and results; of a table that is looked up as many as are read at most."""
    total = 0
    for buffer in kernel.buffers:
        if buffer.role == LOCAL:
            continue
        looked_up = [
            prod(d.size for d in stage.dims)
            for stage in kernel.stages
            for access in stage.reads
            if access.buffer == buffer.name and any(isinstance(part, Lookup) for part in access.index)
        ]
        size = prod(buffer.static_shape)
        total += (min(size, sum(looked_up)) if looked_up else size) * buffer.dtype.bytes
    return total


def peaks(issue: float) -> "Peaks":
    """The best peaks that were measured on this machine so far; measuring takes a fraction of a second."""
    from isthmus.backends.cpu.peaks import Peaks, measure

    found = measure(issue)
    base = cache.folder()
    if base is None:
        return found
    file = base / f"peaks-{cache.machine_digest()}.json"
    try:
        known = Peaks(**json.loads(file.read_text()))
        found = Peaks(
            *(max(pair) for pair in zip(asdict(known).values(), asdict(found).values(), strict=True))
        )
    except (OSError, ValueError, TypeError):
        pass
    file.write_text(json.dumps(asdict(found)))
    return found
