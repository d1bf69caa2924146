"""A profile as one HTML page that needs nothing else: what each simulated chip did, and the steps of this machine."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Any

from isthmus.pictures import roofline, timeline
from isthmus.runtime.profile import ChipRun, Profile

_MOST_ROWS = 400
_HUES = (210, 25, 140, 280, 50, 330, 180, 0, 95, 250, 70, 305)
STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --line: #d0d7de; --lane: #f3f5f7; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #0d1117; --line: #30363d; --lane: #161b22; } }
body { font: 14px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 1240px;
       margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.2em; margin-top: 2em; } h3 { font-size: 1em; margin-top: 1.6em; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 2px 12px 2px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th:first-child, td:first-child { text-align: left; }
svg { width: 100%; height: auto; } svg.small { max-width: 640px; }
.lane { fill: var(--lane); } .roof { fill: none; stroke: var(--ink); stroke-width: 2; }
.label, .tick { fill: var(--ink); font: 13px system-ui, sans-serif; } .tick { font-size: 12px; opacity: 0.75; }
.facts { display: flex; flex-wrap: wrap; gap: 0 2.5em; padding: 0; list-style: none; } .facts b { font-size: 1.25em; }
""" + "".join(f".k{n} {{ fill: hsl({hue} 60% 52%); fill-opacity: 0.85; }}\n" for n, hue in enumerate(_HUES))


def page(profile: Profile, name: str) -> str:
    """The page's text. `name` says what ran."""
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(name)}: profile</title>',
        f"<style>{STYLE}</style></head><body>",
        f"<h1>{escape(name)}</h1>",
        f"<p>{profile.seconds * 1e3:,.3f} ms on this machine, simulation and measuring included.</p>",
    ]
    for number, run in enumerate(profile.chips):
        parts += _chip(run, f" {number + 1} of {len(profile.chips)}" if len(profile.chips) > 1 else "")
    parts += _steps(profile)
    return "\n".join([*parts, "</body></html>\n"])


def _chip(run: ChipRun, which: str) -> Iterator[str]:
    summary = run.summary
    yield f"<h2>{escape(run.chip)}, segment{which}</h2>" if which else f"<h2>{escape(run.chip)}</h2>"
    yield '<ul class="facts">'
    for value, meaning in _facts(run):
        yield f"<li><b>{value}</b> {meaning}</li>"
    yield "</ul>"
    yield timeline(run)
    yield "<h3>Engines</h3>"
    yield from _engines(run)
    picture = roofline(run)
    if picture:
        yield "<h3>Roofline</h3>"
        yield picture.replace("<svg ", '<svg class="small" ', 1)
    yield "<h3>Energy and traffic</h3>"
    yield from _energy(summary)
    yield "<h3>Kernels</h3>"
    yield from _kernels(summary)


def _facts(run: ChipRun) -> Iterator[tuple[str, str]]:
    summary = run.summary
    yield f"{run.cycles:,}", f"cycles, {summary['seconds'] * 1e3:,.3f} ms at {run.clock_mhz:g} MHz"
    if run.cycles:
        peak = summary["macs"] / summary["peak_macs_per_cycle"] / run.cycles
        yield f"{summary['macs'] / 1e6:,.1f} M", f"MACs on the array, {peak:.1%} of its peak"
        yield (
            f"{summary['bound'] / run.cycles:.1%}",
            f"of the roofline's bound, {summary['bound']:,.0f} cycles",
        )
        yield (
            f"{summary['overlap']:.1%}",
            "of the shorter of transfers and products at the same time as the other",
        )
    yield f"{sum(summary['energy'].values()) * 1e3:,.3f} mJ", "by the chip file's figures"


def _engines(run: ChipRun) -> Iterator[str]:
    engines = run.summary["engines"]
    causes = list(dict.fromkeys(cause for each in engines.values() for cause in each["stalls"]))
    rows = []
    for name, each in engines.items():
        stalls = [each["stalls"].get(cause, 0.0) for cause in causes]
        rows.append([escape(name), *(_share(cycles, run.cycles) for cycles in (each["busy"], *stalls))])
    heads = ["engine", "busy", *(f"idle: {_cause(cause, engines)}" for cause in causes)]
    yield from table(heads, rows)


def _cause(cause: str, engines: Iterable[str]) -> str:
    """Causes that are no engine in words."""
    words = {"fetch": "not fetched yet", "prepare": "preparing", "end": "no more work"}
    return f"waits for {escape(cause)}" if cause in engines else words.get(cause, escape(cause))


def _share(cycles: float, total: float) -> str:
    return f"{cycles:,.0f}<br>{cycles / total:.1%}" if total and cycles else "0"


def _energy(summary: dict[str, Any]) -> Iterator[str]:
    total = sum(summary["energy"].values()) or 1.0
    rows = [
        [
            escape(name),
            f"{summary['counts'].get(name, 0):,.0f}",
            f"{joules * 1e3:,.4f}",
            f"{joules / total:.1%}",
        ]
        for name, joules in summary["energy"].items()
    ]
    yield from table(["what", "how often", "mJ", "share"], rows)


def _kernels(summary: dict[str, Any]) -> Iterator[str]:
    total = summary["cycles"] or 1
    engines = list(summary["engines"])
    rows = []
    for kernel in summary["kernels"]:
        if not kernel["instructions"]:
            continue
        span = kernel["end"] - kernel["begin"] or 1
        rows.append(
            [
                f'<span title="{escape(", ".join(kernel["sources"]))}">{escape(kernel["name"])}</span>',
                f"{kernel['cycles']:,.0f}",
                f"{kernel['cycles'] / total:.1%}",
                f"{kernel['macs'] / 1e6:,.2f}",
                f"{kernel['dram_bytes']:,.0f}",
                f"{kernel['joules'] * 1e6:,.2f}",
                *(f"{kernel['busy'][engine] / span:.0%}" for engine in engines),
            ]
        )
    heads = [
        "kernel",
        "cycles",
        "share",
        "M MACs",
        "DRAM bytes",
        "uJ",
        *(f"{engine} busy" for engine in engines),
    ]
    yield from table(heads, rows[:_MOST_ROWS])
    if len(rows) > _MOST_ROWS:
        yield f"<p>{len(rows) - _MOST_ROWS} more kernels are left out.</p>"


def _steps(profile: Profile) -> Iterator[str]:
    if not profile.steps:
        return
    yield "<h2>Steps on this machine</h2>"
    rows = [
        [
            f'<span title="{escape(", ".join(step.sources))}">{escape(step.name)}</span>',
            escape(step.device),
            f"{step.start * 1e3:,.3f}",
            f"{step.seconds * 1e3:,.3f}",
        ]
        for step in profile.steps
    ]
    yield from table(["step", "device", "begins at ms", "takes ms"], rows[:_MOST_ROWS])


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table; cells are HTML."""
    yield "<table><thead><tr>" + "".join(f"<th>{head}</th>" for head in heads) + "</tr></thead><tbody>"
    for row in rows:
        yield "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>"
    yield "</tbody></table>"
