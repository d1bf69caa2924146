"""How a model runs on a system as one HTML page that needs nothing else: graph by device, timeline, costs, reasons."""

from collections.abc import Iterator
from html import escape

from isthmus.page import STYLE, table
from isthmus.pictures import opened, ticks
from isthmus.system_explanation import Placement, SystemExplanation, time_text

_BOX, _STEP, _LEVEL = 220, 236, 46
_WIDTH, _LEFT, _ROW = 1200, 130, 34
_EXTRA = """
.graph { max-height: 640px; overflow: auto; border: 1px solid var(--line); } .graph svg { width: auto; }
.edge { fill: none; stroke: var(--ink); stroke-opacity: 0.4; } .box { stroke: var(--line); }
.on { fill: #fff; font: 12px system-ui, sans-serif; } .critical { stroke: var(--ink); stroke-width: 3; }
.key { display: inline-block; width: 0.9em; height: 0.9em; margin: 0 0.3em 0 1em; }
.costs td, .costs th { white-space: nowrap; }
.costs td:last-child, .costs th:last-child { text-align: left; white-space: normal; min-width: 24em; }
""" + "".join(
    f".d{n} {{ fill: hsl({hue} 55% 45%); background: hsl({hue} 55% 45%); }}\n"
    for n, hue in enumerate((210, 25, 140, 280, 340, 180))
)


def system_page(told: SystemExplanation) -> str:
    """The page's text."""
    chosen = told.ways[0]
    keys = "".join(
        f'<span class="key d{n % 6}"></span>{escape(name)} ({escape(told.run.clocks.get(name, ""))})'
        for n, name in enumerate(told.devices)
    )
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(told.model)} on {escape(told.target)}</title>',
        f"<style>{STYLE}{_EXTRA}</style></head><body>",
        f"<h1>{escape(told.model)} on {escape(told.target)}</h1>",
        '<ul class="facts">',
        f"<li><b>{time_text(chosen.latency)}</b> from input to output</li>",
        f"<li><b>{time_text(chosen.period)}</b> from output to output of a stream</li>",
        f"<li><b>{len(told.placements)}</b> nodes in {len({p.unit for p in told.placements})} units</li>",
        "</ul>",
        f"<p>{keys}</p>",
        "<h2>What runs where</h2>",
        f'<div class="graph">{graph(told)}</div>',
        "<h2>When</h2>",
        timeline(told),
        "<h2>Other ways</h2>",
        *table(
            ["way", "latency", "period"],
            [[escape(w.name), time_text(w.latency), time_text(w.period)] for w in told.ways],
        ),
        '<h2>Costs and reasons</h2><div class="costs">',
        *_costs(told),
        "</div>",
    ]
    return "\n".join([*parts, "</body></html>\n"])


def graph(told: SystemExplanation) -> str:
    """Units as boxes in the colour of their device, each below all that it reads."""
    units: dict[int, list[Placement]] = {}
    for placement in told.placements:
        units.setdefault(placement.unit, []).append(placement)
    level: dict[int, int] = dict.fromkeys(units, 0)
    for source, target in sorted(told.edges, key=lambda edge: edge[1]):
        level[target] = max(level[target], level[source] + 1)
    count: dict[int, int] = {}
    at = {}
    for unit in sorted(units):
        column = count.get(level[unit], 0)
        count[level[unit]] = column + 1
        at[unit] = (10 + column * _STEP, 10 + level[unit] * _LEVEL)
    width = 20 + _STEP * max(count.values(), default=1)
    height = 20 + _LEVEL * (1 + max(level.values(), default=0))
    picture = opened(width, height, "what runs where").replace(
        "<svg ", f'<svg width="{width}" height="{height}" ', 1
    )
    return "\n".join([picture, *_edges(told, at), *_boxes(told, units, at), "</svg>"])


def _edges(told: SystemExplanation, at: dict[int, tuple[int, int]]) -> Iterator[str]:
    for source, target in told.edges:
        (x, y), (u, v) = at[source], at[target]
        x, y, u = x + _BOX // 2, y + 28, u + _BOX // 2
        bend = x + _BOX * 0.62 if x == u and v - y > _LEVEL else (x + u) / 2
        yield f'<path class="edge" d="M{x} {y} C{bend:.0f} {y + 20} {bend:.0f} {v - 20} {u} {v}"/>'


def _boxes(
    told: SystemExplanation, units: dict[int, list[Placement]], at: dict[int, tuple[int, int]]
) -> Iterator[str]:
    devices = list(told.devices)
    for unit, nodes in units.items():
        (x, y), first = at[unit], nodes[0]
        names = list(dict.fromkeys(name for each in nodes for name in each.node.split(", ")))
        title = "; ".join(
            [
                ", ".join(names),
                *(f"{device} {time_text(cost)}" for device, cost in first.seconds.items()),
                first.reason,
            ]
        )
        text = f"{names[0][:20]}{' ...' if len(names) > 1 else ''} {time_text(first.seconds[first.device])}"
        yield (
            f'<g><rect class="box d{devices.index(first.device) % 6}" x="{x}" y="{y}" width="{_BOX}" height="28"/>'
            f'<text class="on" x="{x + 8}" y="{y + 18}">{escape(text)}</text><title>{escape(title)}</title></g>'
        )


def timeline(told: SystemExplanation) -> str:
    """A row for each device and each link that is used; what the latency is made of has a border."""
    devices = list(told.devices)
    links = [r for r in dict.fromkeys(event.resource for event in told.run.events) if r not in devices]
    rows = [*devices, *links]
    total = told.run.seconds * 1e6 or 1.0
    scale = (_WIDTH - _LEFT - 20) / total
    height = _ROW * len(rows) + 30
    parts = [opened(_WIDTH, height, f"one run on {told.target}, in microseconds")]
    for n, name in enumerate(rows):
        top = _ROW * n
        parts.append(
            f'<text class="label" x="{_LEFT - 8}" y="{top + 20}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="lane" x="{_LEFT}" y="{top + 4}" width="{_WIDTH - _LEFT - 20}" height="24"/>'
        )
    critical = set(map(id, told.critical))
    for event in told.run.events:
        row = rows.index(event.resource)
        colour = f"d{row % 6}" if row < len(devices) else "k11"
        border = " critical" if id(event) in critical else ""
        begin, end = event.begin * 1e6, event.end * 1e6
        title = f"{', '.join(event.sources) or event.name}: {begin:,.2f} to {end:,.2f} us"
        parts.append(
            f'<rect class="{colour}{border}" x="{_LEFT + begin * scale:.2f}" y="{_ROW * row + 4}" '
            f'width="{max((end - begin) * scale, 0.5):.2f}" height="24"><title>{escape(title)}</title></rect>'
        )
    for place, text in ticks(total):
        x = _LEFT + place * scale
        parts.append(f'<text class="tick" x="{x:.1f}" y="{height - 8}" text-anchor="middle">{text} us</text>')
    return "\n".join([*parts, "</svg>"])


def _costs(told: SystemExplanation) -> Iterator[str]:
    devices = list(told.devices)
    rows = []
    for each in told.placements:
        costs = [
            time_text(each.seconds[name])
            if name in each.seconds
            else f'<span title="{escape(each.refused.get(name, ""))}">no</span>'
            for name in devices
        ]
        rows.append([escape(each.node), escape(each.op), escape(each.device), *costs, escape(each.reason)])
    yield from table(["node", "op", "on", *map(escape, devices), "why on no accelerator"], rows)
