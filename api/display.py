"""What `isthmus show` prints: a graph as read, after a pass, as kernels, or as a package holds it."""

import json
import zipfile
from collections import Counter
from typing import Any

from isthmus.compiler.diagnostics import CompileError
from isthmus.compiler.ir.graph import Graph
from isthmus.compiler.ir.text import print_graph
from isthmus.runtime.records import dataclass

KERNELS = "kernels"


@dataclass(frozen=True)
class Stage:
    """A graph after a pass. Passes that run more than once are told apart by number: "fold", "fold#2"."""

    name: str
    graph: Graph
    hits: dict[str, int]


def is_package(file: str) -> bool:
    """Whether a file is to be taken for a package: by suffix, else as a zip with a manifest."""
    if file.endswith(".isth"):
        return True
    try:
        with zipfile.ZipFile(file) as archive:
            return "manifest.json" in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def package(file: str) -> tuple[Any, str]:
    """The manifest, and the graph's text."""
    from isthmus.compiler.stored_graph import TEXT
    from isthmus.runtime.artefact import Artefact

    artefact = Artefact.open(file)
    return json.loads(artefact.manifest.to_json()), bytes(artefact.entry(TEXT)).decode()


def model(file: str, shapes: Any) -> tuple[Any, str]:
    """The graph as read."""
    from isthmus.model import read

    found = read(file, shapes)
    return _record("read", found.graph, {}), found.text


def after(file: str, shapes: Any, name: str, target: str) -> tuple[Any, str]:
    """The graph after a pass, or the kernels and schedules that all passes lead to.

    Raises:
        CompileError: there is no such pass; it names those that there are.
    """
    from isthmus.explanation import explain
    from isthmus.model import read

    if name == KERNELS:
        explanation = explain(file, target, shapes=shapes, kernel="")
        return explanation.to_json(), str(explanation)
    found = stages(read(file, shapes).graph)
    for stage in found:
        if stage.name == name:
            hits = "".join(f"// {count:5} {rule}\n" for rule, count in stage.hits.items())
            return _record(name, stage.graph, stage.hits), hits + str(print_graph(stage.graph))
    names = ", ".join([*(stage.name for stage in found), KERNELS])
    raise CompileError(f"no pass is called '{name}'", location="--after", hint=f"the passes are: {names}")


def stages(graph: Graph) -> list[Stage]:
    """The graph after every pass, in order."""
    from isthmus.compiler.pipeline import optimise

    found: list[Stage] = []
    times: Counter[str] = Counter()

    def observe(name: str, result: Graph, hits: Any) -> None:
        times[name] += 1
        found.append(Stage(name if times[name] == 1 else f"{name}#{times[name]}", result, dict(hits)))

    optimise(graph, observe)
    return found


def _record(name: str, graph: Graph, hits: dict[str, int]) -> dict[str, Any]:
    return {"after": name, "hits": hits, "nodes": len(graph.nodes), "text": str(print_graph(graph))}
