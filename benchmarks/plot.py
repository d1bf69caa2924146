"""The plot of a benchmark document: each engine's time on each model, relative to the judge's."""

from pathlib import Path
from typing import Any

from .engines import ENGINES, JUDGE
from .models import ALL


def draw(document: dict[str, Any], file: Path) -> None:
    """Write a PNG: a panel for each number of threads, minima as bars, medians as marks."""
    import matplotlib

    matplotlib.use("Agg")  # no display is needed
    from matplotlib import pyplot

    counts = list(document["means"])
    figure, panels = pyplot.subplots(len(counts), 1, figsize=(10, 3.4 * len(counts)), squeeze=False)
    width = 0.8 / len(ENGINES)
    for panel, threads in zip(panels[:, 0], counts, strict=True):
        for order, (name, engine) in enumerate(ENGINES.items()):
            bars = []
            for place, result in enumerate(document["models"]):
                engines = result["threads"][threads].get("engines", {})
                base, own = engines.get(JUDGE, {}).get("minimum"), engines.get(name, {})
                if base and "minimum" in own:
                    bars.append((place + (order - 1) * width, own["minimum"] / base, own["median"] / base))
            if bars:
                places, minima, medians = zip(*bars, strict=True)
                panel.bar(places, minima, width * 0.92, label=engine.title)
                panel.scatter(places, medians, s=14, marker="_", color="black")
        panel.axhline(1.0, color="grey", linewidth=0.8)
        panel.set_xticks(range(len(document["models"])))
        panel.set_xticklabels([ALL[result["name"]].title for result in document["models"]])
        panel.set_ylabel(f"time, {ENGINES[JUDGE].title} = 1")
        panel.set_title(f"threads: {threads} (bars: minima, lines: medians; lower is faster)")
    panels[0, 0].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.tight_layout()
    figure.savefig(file, dpi=120)
    pyplot.close(figure)
