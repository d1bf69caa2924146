"""The tables of a benchmark document (the content of bench.json), and the ratios and means that they end with."""

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .engines import ENGINES, JUDGE, PEERS, SUBJECT
from .models import ALL
from .probe import QUIET
from .summary import geometric_mean

Result = dict[str, Any]
NONE = "-"
BETTER = "better"
"""In place of a peer's name: whichever of them took less time."""
COMPARED = (*PEERS, BETTER)


def show(document: Result, console: Console) -> None:
    """Print every table, and below them the models that an engine refused or got wrong."""
    machine = document["machine"]
    console.print(
        f"{machine['cpu']}, {machine['cores']} cores; batch 1, fp32 where not said otherwise", highlight=False
    )
    for threads in document["means"]:
        console.print(time_table(document, int(threads)))
    console.print(cost_table(document))
    for line in complaints(document["models"]):
        console.print(f"[red]{escape(line)}[/]", soft_wrap=True, highlight=False)


def ratio(result: Result, threads: int, peer: str, statistic: str = "minimum") -> float | None:
    """The subject's time over the peer's (below 1: the subject is faster), None where one of them has none."""
    engines = result["threads"].get(str(threads), {}).get("engines", {})
    mine = engines.get(SUBJECT, {}).get(statistic)
    peers = PEERS if peer == BETTER else (peer,)
    theirs = [seconds for name in peers if (seconds := engines.get(name, {}).get(statistic))]
    return mine / min(theirs) if mine and theirs else None


def line(result: Result, threads: int) -> str:
    """What one race came to, in a sentence."""
    name, found = ALL[result["name"]].title, ratio(result, threads, BETTER)
    if found is None:
        return f"{name}, threads {threads}: not compared"
    least = result["threads"][str(threads)]["engines"][SUBJECT]["minimum"] * 1e3
    return f"{name}, threads {threads}: {least:.2f} ms, {found:.2f} of the better peer's time"


def memory_ratio(result: Result, peer: str) -> float | None:
    """The subject's peak memory over the peer's, None where one of them has none."""
    mine, theirs = (result["footprint"].get(name, {}).get("peak_bytes") for name in (SUBJECT, peer))
    return mine / theirs if mine and theirs else None


def means(results: list[Result], threads: int) -> dict[str, dict[str, float | None]]:
    """For each peer, and the better one, the geometric mean of the ratios of minima and of medians, over the networks
    that both ran."""
    networks = [result for result in results if ALL[result["name"]].group == "networks"]

    def mean(peer: str, statistic: str) -> float | None:
        ratios = (ratio(result, threads, peer, statistic) for result in networks)
        return geometric_mean(value for value in ratios if value is not None)

    return {
        peer: {statistic: mean(peer, statistic) for statistic in ("minimum", "median")} for peer in COMPARED
    }


def is_wrong(result: Result) -> bool:
    """Whether isthmus gave an output of this model that is too far from the judge's."""
    return any("wrong" in race.get("engines", {}).get(SUBJECT, {}) for race in result["threads"].values())


def complaints(results: list[Result]) -> list[str]:
    """A line for each thing that was refused, failed or came out wrong."""
    lines = []
    for result in results:
        name = result["name"]
        if "refused" in result:
            lines.append(f"{name}: {SUBJECT} refused: {result['refused']}")
        for engine, figures in result["footprint"].items():
            if "error" in figures:
                lines.append(f"{name}: {engine}, run once: {figures['error']}")
        for threads, race in result["threads"].items():
            if "error" in race:
                lines.append(f"{name}, threads {threads}: {race['error']}")
            for engine, figures in race.get("engines", {}).items():
                for kind in ("error", "wrong"):
                    if kind in figures:
                        lines.append(f"{name}, threads {threads}: {engine} {kind}: {figures[kind]}")
    return lines


def time_table(document: Result, threads: int) -> Table:
    """Milliseconds of a run, minimum and median, of each engine, the ratios, the error and the probes."""
    table = Table(
        title=f"one run, threads: {threads} (ms, minimum / median; ratios: {ENGINES[SUBJECT].title} to the peer)",
        caption=f"error: to {ENGINES[JUDGE].title}, relative to the largest output. probe: GFLOP/s of the slowest core,"
        f" lowest to highest round; quiet: rounds at {QUIET:.0%} of the best",
    )
    table.add_column("model")
    for engine in ENGINES.values():
        table.add_column(engine.title, justify="right")
    for peer in PEERS:
        table.add_column(f"to {ENGINES[peer].title}", justify="right")
    table.add_column("to the better", justify="right")
    for heading in ("error", "probe", "quiet"):
        table.add_column(heading, justify="right")
    for result in document["models"]:
        race = result["threads"].get(str(threads), {})
        engines = race.get("engines", {})
        probes = race.get("probes")
        table.add_row(
            ALL[result["name"]].title,
            *(_pair(engines.get(engine, {}), 1e3, 2) for engine in ENGINES),
            *(
                _pair({kind: ratio(result, threads, peer, kind) for kind in ("minimum", "median")}, 1, 2)
                for peer in COMPARED
            ),
            _error(engines.get(SUBJECT, {})) if "refused" not in result else "[red]refused[/]",
            f"{min(probes):.0f}-{max(probes):.0f}" if probes else NONE,
            f"{race['quiet']}/{len(probes)}" if probes else NONE,
        )
    table.add_section()
    table.add_row(
        "geometric mean of the networks",
        *("" for _ in ENGINES),
        *(_pair(document["means"][str(threads)][peer], 1, 2) for peer in COMPARED),
    )
    return table


def cost_table(document: Result) -> Table:
    """Seconds to compile, cold; megabytes of the package; seconds to open; peak memory of a fresh process."""
    table = Table(
        title="compile, open, memory (fresh processes)",
        caption="open, s: a package, or a peer's own compilation. memory, MB: largest resident set of a process that"
        " opens the file and runs it once, imports included",
    )
    table.add_column("model")
    for heading in ("compile s", "save s", "package MB", "ONNX MB"):
        table.add_column(heading, justify="right")
    for engine in ENGINES.values():
        table.add_column(f"{engine.title}: open / memory", justify="right")
    table.add_column(f"memory to {ENGINES[JUDGE].title}", justify="right")
    for result in document["models"]:
        compiled = result.get("compile")
        shown = [NONE] * 3
        if compiled:
            shown = [f"{min(compiled[key]):.2f}" for key in ("seconds", "save_seconds")]
            shown.append(f"{compiled['package_bytes'] / 1e6:.0f}")
        table.add_row(
            ALL[result["name"]].title,
            *shown,
            f"{result['onnx_bytes'] / 1e6:.0f}",
            *(_footprint(result["footprint"].get(engine, {})) for engine in ENGINES),
            _number(memory_ratio(result, JUDGE), 1, 2),
        )
    return table


def _number(value: float | None, scale: float, digits: int) -> str:
    return NONE if value is None else f"{value * scale:.{digits}f}"


def _pair(figures: Result, scale: float, digits: int) -> str:
    shown = [_number(figures.get(kind), scale, digits) for kind in ("minimum", "median")]
    return NONE if shown == [NONE, NONE] else " / ".join(shown)


def _error(figures: Result) -> str:
    if "wrong" in figures or "error" in figures:
        return "[red]wrong[/]" if "wrong" in figures else "[red]failed[/]"
    return f"{figures['difference']:.1e}" if "difference" in figures else NONE


def _footprint(figures: Result) -> str:
    if "peak_bytes" not in figures:
        return NONE
    return f"{figures['open_seconds']:.2f} / {figures['peak_bytes'] / 1e6:.0f}"
