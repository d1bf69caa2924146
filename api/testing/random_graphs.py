"""Random graphs compiled and held against their meaning; what fails is made small.

`draw` gives the graph of a seed, `run_graphs` judges many. Seeds keep their graphs while ops and samples stay as
they are; a failure that is worth keeping is kept as the text of its smallest part.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from isthmus.compiler.diagnostics import IsthmusError
from isthmus.compiler.ir.graph import Graph
from isthmus.compiler.ir.text import print_graph
from isthmus.compiling import compile
from isthmus.runtime.records import dataclass
from isthmus.testing.comparison import differences
from isthmus.testing.drawing import Drawing
from isthmus.testing.shrinking import shrink
from isthmus.testing.workers import run_each


@dataclass(frozen=True)
class Case:
    """A graph and arrays for its inputs, in order."""

    graph: Graph
    inputs: tuple[Any, ...]


@dataclass(frozen=True)
class Failure:
    """A seed whose graph fails, why, and the text of the smallest part of it that fails, with why that one does."""

    seed: int
    reason: str
    smallest: str
    smallest_reason: str

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.reason}\n{self.smallest}\n{self.smallest_reason}"


def draw(seed: int) -> Case:
    """The graph of a seed: 3 to 12 ops of any kind, each fed by earlier ones as far as their types can be fitted."""
    return Case(*Drawing(np.random.default_rng(seed), f"random{seed}").graph())


def judge(case: Case, target: str = "cpu") -> str:
    """What is wrong with the compiled graph: an error, or the differences; "" where nothing is."""
    try:
        outputs = compile(case.graph, target).run(list(case.inputs), threads=1)
    except IsthmusError as error:
        return f"refused: {error}"
    except Exception as error:  # whatever it is, it is what the search is for
        return f"{type(error).__name__}: {error}"
    return "; ".join(differences(case.graph, case.inputs, list(outputs.values())))


def run_graphs(
    seeds: Iterable[int],
    target: str = "cpu",
    advance: Callable[[str], None] = lambda done: None,
    jobs: int = 1,
) -> list[Failure]:
    """Judge the graph of every seed; the failures, made small, in the order of the seeds.

    Args:
        seeds: any numbers.
        target: what to compile for.
        advance: called with each seed once its graph is judged.
        jobs: processes. With several, one that dies costs its graph alone, which is then not made small.
    """
    numbers = list(seeds)

    def died(index: int, how: str) -> Failure:
        return Failure(numbers[index], how, str(print_graph(draw(numbers[index]).graph)), how)

    found: dict[int, Failure | None] = {}
    for index, failure in run_each(len(numbers), lambda index: _failure(numbers[index], target), died, jobs):
        found[index] = failure
        advance(f"seed {numbers[index]}")
    return [failure for _, failure in sorted(found.items()) if failure is not None]


def _failure(seed: int, target: str) -> Failure | None:
    case = draw(seed)
    reason = judge(case, target)
    if not reason:
        return None
    small = Case(*shrink(case.graph, case.inputs, lambda g, a: bool(judge(Case(g, tuple(a)), target))))
    return Failure(seed, reason, str(print_graph(small.graph)), judge(small, target))
