"""Pictures of a run as SVG text: what each engine did when, and kernels under the roofline."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from isthmus.runtime.profile import ChipRun, Span
from isthmus.runtime.records import dataclass

_WIDTH, _LEFT, _ROW, _BAR = 1200, 70, 34, 24
_FINEST = 1 / 1600
"""Work of one kernel that lies closer than this share of the run is drawn as one bar: no screen shows more."""
_COLOURS = 12


@dataclass(frozen=True, slots=True)
class Bar:
    """Work of one kernel on one engine, from `begin` to `end`, of which it was busy for `busy` cycles."""

    engine: str
    kernel: int
    begin: float
    end: float
    busy: float


def bars(spans: Iterable[Span], cycles: float) -> list[Bar]:
    """Spans of an engine that belong to one kernel and are too close to tell apart, joined."""
    last: dict[str, Bar] = {}
    found: list[Bar] = []
    for span in spans:
        before = last.get(span.engine)
        busy = span.end - span.begin
        if (
            before is not None
            and before.kernel == span.kernel
            and span.begin - before.end <= cycles * _FINEST
        ):
            last[span.engine] = Bar(span.engine, span.kernel, before.begin, span.end, before.busy + busy)
            continue
        if before is not None:
            found.append(before)
        last[span.engine] = Bar(span.engine, span.kernel, span.begin, span.end, busy)
    return found + list(last.values())


def timeline(run: ChipRun) -> str:
    """A row an engine, a colour a kernel; the pointer on a bar tells which."""
    engines, kernels = list(run.summary["engines"]), run.summary["kernels"]
    height = _ROW * len(engines) + 30
    scale = (_WIDTH - _LEFT) / max(run.cycles, 1)
    parts = [opened(_WIDTH, height, f"{run.chip}: what its engines did over {run.cycles:,} cycles")]
    for row, engine in enumerate(engines):
        top = _ROW * row
        parts.append(
            f'<text class="label" x="{_LEFT - 8}" y="{top + 20}" text-anchor="end">{escape(engine)}</text>'
        )
        parts.append(
            f'<rect class="lane" x="{_LEFT}" y="{top + 4}" width="{_WIDTH - _LEFT}" height="{_BAR}"/>'
        )
    for bar in bars(run.spans, run.cycles):
        top = _ROW * engines.index(bar.engine) + 4
        when = f"cycles {bar.begin:,.0f} to {bar.end:,.0f}, busy {bar.busy:,.0f}"
        title = escape(f"{kernels[bar.kernel]['name']}: {bar.engine}, {when}")
        parts.append(
            f'<rect class="k{bar.kernel % _COLOURS}" x="{_LEFT + bar.begin * scale:.2f}" y="{top}" '
            f'width="{max((bar.end - bar.begin) * scale, 0.2):.2f}" height="{_BAR}"><title>{title}</title></rect>'
        )
    for place, text in ticks(run.cycles):
        x = _LEFT + place * scale
        parts.append(f'<text class="tick" x="{x:.1f}" y="{height - 8}" text-anchor="middle">{text}</text>')
    return "\n".join([*parts, "</svg>"])


def roofline(run: ChipRun) -> str:
    """Kernels by MACs a byte of DRAM and MACs a cycle, on logarithmic axes, under the chip's roof; and the whole."""
    summary = run.summary
    points = list(_points(summary))
    if not points:
        return ""
    roof = Roof(
        f"{run.chip}: kernels under the roofline",
        summary["peak_macs_per_cycle"],
        summary["bytes_per_cycle"],
        "MACs a byte of DRAM",
        "MACs a cycle",
    )
    return under_roof(roof, points)


@dataclass(frozen=True, slots=True)
class Roof:
    """A machine's peak of operations and of bytes in one unit of time, and what the picture says along its axes."""

    title: str
    peak: float
    link: float
    along: str
    up: str


@dataclass(frozen=True, slots=True)
class Point:
    """A kernel under a roof: operations a byte, operations in a unit of time, its share of the time, its number."""

    intensity: float
    speed: float
    share: float
    number: int
    title: str


def under_roof(roof: Roof, points: Sequence[Point]) -> str:
    """Points under a roofline on logarithmic axes; nothing where the link has no bound or there are no points."""
    if not points or not math.isfinite(roof.link):
        return ""
    peak, link = roof.peak, roof.link
    width, height, left, bottom = 640, 400, 60, 40
    ridge = peak / link
    x_low = min(*(point.intensity for point in points), ridge) / 2
    x_high = max(*(point.intensity for point in points), ridge) * 2
    y_low, y_high = min(min(point.speed for point in points), link * x_low) / 1.5, peak * 1.5
    x_scale = (width - left - 10) / math.log(x_high / x_low)
    y_scale = (height - bottom - 10) / math.log(y_high / y_low)

    def at(x: float, y: float) -> tuple[float, float]:
        return left + math.log(x / x_low) * x_scale, height - bottom - math.log(y / y_low) * y_scale

    line = " ".join(
        f"{x:.1f},{y:.1f}" for x, y in (at(x_low, link * x_low), at(ridge, peak), at(x_high, peak))
    )
    parts = [opened(width, height, roof.title), f'<polyline class="roof" points="{line}"/>']
    for value, other, form in _grid(x_low, x_high, y_low, y_high):
        x, y = at(value, other)
        parts.append(f'<text class="tick" x="{x:.1f}" y="{y:.1f}" {form}</text>')
    for point in points:
        x, y = at(point.intensity, point.speed)
        parts.append(
            f'<circle class="k{point.number % _COLOURS}" cx="{x:.1f}" cy="{y:.1f}" '
            f'r="{3 + 9 * math.sqrt(point.share):.1f}"><title>{escape(point.title)}</title></circle>'
        )
    parts.append(
        f'<text class="tick" x="{width - 10}" y="{height - 6}" text-anchor="end">{roof.along}</text>'
    )
    parts.append(f'<text class="tick" x="6" y="14">{roof.up}</text>')
    return "\n".join([*parts, "</svg>"])


def _points(summary: Mapping[str, Any]) -> Iterator[Point]:
    """Speed counts from the first instruction of a kernel to its last: it may overlap with the kernels beside it."""
    for number, kernel in enumerate(summary["kernels"]):
        cycles = kernel["end"] - kernel["begin"]
        if kernel["macs"] and kernel["dram_bytes"] and cycles > 0:
            intensity, speed = kernel["macs"] / kernel["dram_bytes"], kernel["macs"] / cycles
            rates = f"{speed:,.1f} MACs a cycle, {intensity:,.1f} MACs a byte"
            title = f"{kernel['name']}: {rates}, {kernel['cycles']:,.0f} cycles"
            yield Point(intensity, speed, kernel["cycles"] / max(summary["cycles"], 1), number, title)


def _grid(x_low: float, x_high: float, y_low: float, y_high: float) -> Iterator[tuple[float, float, str]]:
    """Labels at the powers of ten along both axes: where, and the rest of a text element."""
    for power in _powers(x_low, x_high):
        yield power, y_low, f'dy="14" text-anchor="middle">{power:g}'
    for power in _powers(y_low, y_high):
        yield x_low, power, f'dx="-6" dy="4" text-anchor="end">{power:g}'


def _powers(low: float, high: float) -> list[float]:
    return [10.0**n for n in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]


def ticks(cycles: float) -> Sequence[tuple[float, str]]:
    """Round places along the time, about eight of them."""
    if cycles <= 0:
        return []
    step = 10.0 ** math.floor(math.log10(cycles / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if cycles / (step * factor) <= 10)
    return [(step * n, f"{round(step * n, 9):,.10g}") for n in range(int(cycles / step) + 1)]


def opened(width: int, height: int, title: str) -> str:
    """The beginning of a picture."""
    return f'<svg viewBox="0 0 {width} {height}" role="img" xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title>'
