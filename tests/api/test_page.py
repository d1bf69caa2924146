"""The page of a profile: its numbers are those of the run, and it is whole, safe and needs nothing else."""

import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from isthmus.page import page
from isthmus.pictures import bars, roofline, timeline
from isthmus.runtime.profile import ChipRun, Profile, Span, StepTime

SVG = "{http://www.w3.org/2000/svg}"


def kernel(
    name: str, begin: float, end: float, macs: float = 0.0, dram_bytes: float = 1000.0
) -> dict[str, Any]:
    return {
        "name": name,
        "sources": [f"{name}_source"],
        "begin": begin,
        "end": end,
        "cycles": end - begin,
        "instructions": 3,
        "busy": {"load": 10.0, "work": (end - begin) / 2},
        "macs": macs,
        "dram_bytes": dram_bytes,
        "joules": 1e-6,
    }


def chip_run() -> ChipRun:
    spans = [Span("mul", "work", 10.0 * n, 10.0 * n + 5, 0 if n < 50 else 1) for n in range(100)]
    spans.append(Span("ld", "load", 0, 10, 0))
    summary = {
        "cycles": 1000,
        "seconds": 1e-6,
        "macs": 64000.0,
        "peak_macs_per_cycle": 256,
        "bytes_per_cycle": 16,
        "compulsory_bytes": 4000,
        "bound": 250.0,
        "serial": 4000.0,
        "overlap": 0.625,
        "engines": {
            "load": {"busy": 10.0, "stalls": {"end": 990.0}},
            "work": {"busy": 500.0, "stalls": {"load": 400.0, "fetch": 100.0}},
        },
        "counts": {"mac": 64000.0, "dram_byte": 2000.0},
        "energy": {"mac": 1e-6, "dram_byte": 3e-6, "static": 0.0},
        "kernels": [kernel("first<&>", 0, 500, 60000.0), kernel("second", 500, 1000, 4000.0)],
    }
    return ChipRun("chip", "chip-8", 500.0, 1000, tuple(spans), summary)


def profile(*runs: ChipRun) -> Profile:
    return Profile({}, 0.25, {"chip": 1000}, (StepTime("segment", "chip", 0.0, 0.2, ("a",)),), runs)


def test_bars_join_what_no_screen_can_show_apart():
    spans = [Span("x", "work", 10.0 * n, 10.0 * n + 9, n // 500) for n in range(1000)]
    joined = bars(spans, 10_000_000)
    assert [(bar.kernel, bar.begin, bar.end, bar.busy) for bar in joined] == [
        (0, 0.0, 4999.0, 4500.0),
        (1, 5000.0, 9999.0, 4500.0),
    ]
    assert len(bars(spans, 1000)) == 1000


def test_the_timeline_has_a_bar_for_all_work():
    root = ET.fromstring(timeline(chip_run()))
    shown = [rect for rect in root.iter(f"{SVG}rect") if rect.get("class") != "lane"]
    assert len(shown) == 101
    width = sum(float(rect.get("width", 0)) for rect in shown)
    assert width == pytest.approx((500 + 10) * (1200 - 70) / 1000, rel=0.01)
    titles = {title.text for title in root.iter(f"{SVG}title")}
    assert "first<&>: load, cycles 0 to 10, busy 10" in titles


def test_kernels_lie_under_the_roof():
    root = ET.fromstring(roofline(chip_run()))
    polyline = next(root.iter(f"{SVG}polyline"))
    roof = [tuple(map(float, point.split(","))) for point in polyline.get("points", "").split()]
    circles = list(root.iter(f"{SVG}circle"))
    assert len(circles) == 2
    assert all(float(circle.get("cy", 0)) >= roof[1][1] for circle in circles)


def test_the_page_tells_the_figures_and_needs_nothing_else():
    text = page(profile(chip_run()), "net <1>.isth")
    assert "<title>net &lt;1&gt;.isth: profile</title>" in text
    for figure in ("1,000</b> cycles, 0.001 ms at 500 MHz", "25.0% of its peak", "25.0%</b> of the roofline"):
        assert figure in text
    assert "<th>idle: waits for load</th>" in text
    assert "<td>400<br>40.0%</td>" in text
    assert "first&lt;&amp;&gt;" in text
    assert "<first" not in text
    addresses = re.findall(r'(?:src|href)=|url\(|https?://[^"]*', text)
    assert set(addresses) <= {"http://www.w3.org/2000/svg"}
    assert "<script" not in text


def test_pages_of_several_segments_and_of_none():
    several = page(profile(chip_run(), chip_run()), "net")
    assert "segment 1 of 2" in several
    assert "segment 2 of 2" in several
    assert "Steps on this machine" in page(profile(), "net")


def test_a_trace_has_a_process_a_chip_and_a_thread_an_engine():
    events = profile(chip_run(), chip_run()).trace()["traceEvents"]
    named = {
        (each["pid"], each["tid"]): each["args"]["name"] for each in events if each["name"] == "thread_name"
    }
    assert named == {(1, 0): "chip", (2, 0): "load", (2, 1): "work"}
    work = [each for each in events if each["ph"] == "X" and (each["pid"], each["tid"]) == (2, 1)]
    assert sum(each["dur"] for each in work) == pytest.approx(2 * 500 / 500)
    assert work[100]["ts"] == pytest.approx(1000 / 500)
    assert work[0]["args"] == {"instruction": "mul", "sources": ["first<&>_source"]}
