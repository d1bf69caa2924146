"""The search of a design space: what it evaluates, compares, keeps and refuses."""

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isthmus import compile
from isthmus.backends.fpga.space import Point
from isthmus.backends.fpga.space import space as f1
from isthmus.compiler.diagnostics import CompileError, UnsupportedError
from isthmus.compiler.ir.graph import Graph, constant, graph_input
from isthmus.compiler.ir.types import TensorType, i8
from isthmus.compiler.ops import get
from isthmus.exploration import Evaluated, evaluate, executor_of, explore, find_space, front
from isthmus.scatter import scatter
from isthmus.targets import find_backend


class Here(Executor):
    """Runs what is submitted at once, and counts it."""

    def __init__(self) -> None:
        self.ran = 0

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future:
        self.ran += 1
        future: Future = Future()
        future.set_result(work(*arguments, **named))
        return future


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A convolution of 40 by 24 channels over 12 x 12 pixels."""
    weights = np.random.default_rng(0).integers(-128, 128, (24, 40, 3, 3)).astype(np.int8)
    x = graph_input("x", TensorType(i8, (1, 40, 12, 12)))
    conv = get("quant.conv")(
        x, constant(weights), strides=(1, 1), pads=(1, 1, 1, 1), dilations=(1, 1), fill=0
    )
    path = tmp_path_factory.mktemp("explored") / "model.isth"
    compile(Graph([x], [conv], ["y"]), "cpu").save(str(path))
    return path.read_bytes()


@pytest.fixture(scope="module")
def points() -> list[Point]:
    """Every configuration of f1 for the smallest device."""
    return list(f1.points("XC7Z020"))


@pytest.fixture
def few(points: list[Point], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A space of twenty points, and an empty cache."""

    def some(self: object, part: str) -> Iterator[Point]:
        yield from points[::27]

    monkeypatch.setattr(type(f1), "points", some)
    monkeypatch.setenv("ISTHMUS_CACHE", str(tmp_path / "cache"))


def test_every_point_that_fits_is_a_chip_file_that_its_device_holds(points, tmp_path) -> None:
    fit = [point for point in points if not point.lacks]
    assert 0 < len(fit) < len(points)
    for number, point in enumerate(points[::60]):
        path = tmp_path / f"{number}.toml"
        path.write_text(point.text)
        if point.lacks:
            with pytest.raises(CompileError, match="does not fit XC7Z020"):
                find_backend(str(path)).target({})
        else:
            assert find_backend(str(path)).target({}).name == point.name


def test_exploring_compiles_simulates_and_keeps(package, few) -> None:
    first, again = Here(), Here()
    found = explore(package, "f1", "XC7Z020", 2, first)
    assert first.ran == 2
    assert found.kept == 0
    assert all(each.images_per_second > 0 and not each.refused for each in found.points)
    assert {each.name for each in found.front} <= {each.name for each in found.points}
    assert explore(package, "f1", "XC7Z020", 2, again).points == found.points
    assert again.ran == 0
    assert "2 configurations compiled and simulated" in str(found)
    assert json.loads(json.dumps(found.to_json()))["part"] == "XC7Z020"
    picture = scatter(found, f1.measures())
    assert picture.count("<circle") == 2 * len(f1.measures())


def test_points_are_spread_over_what_they_take(package, few, points) -> None:
    names: list[str] = []
    found = explore(package, "f1", "XC7Z020", 3, Here(), names.append)
    dsp = [each.use["dsp"] for each in found.points]
    assert len(set(dsp)) > 1
    assert sorted(names) == sorted(each.name for each in found.points)
    assert found.unfit + found.left + len(found.points) == len(points[::27])


def test_a_chip_without_room_is_refused(package, points) -> None:
    text = next(point.text for point in points if not point.lacks)
    tiny = re.sub(r"memory.wgt = { bytes = [0-9]+", "memory.wgt = { bytes = 64", text)
    assert "no node of the model runs on it" in evaluate(package, tiny)["refused"]


def test_a_chip_that_leaves_more_to_the_host_than_others_is_refused(package, few, monkeypatch) -> None:
    hosts = iter([3, 1])
    record = {"images_per_second": 5.0, "cycles": 7, "latency": 0.1}
    monkeypatch.setattr("isthmus.exploration.evaluate", lambda data, text: {**record, "host": next(hosts)})
    found = explore(package, "f1", "XC7Z020", 2, Here())
    assert sorted(each.refused for each in found.points) == [
        "",
        "2 nodes more than elsewhere run on the host",
    ]
    assert len(found.front) == 1


def test_the_front_has_what_nothing_beats() -> None:
    def point(name: str, speed: float, dsp: float, refused: str = "") -> Evaluated:
        return Evaluated(name, {"dsp": dsp}, speed, refused=refused)

    given = [
        point("a", 10, 5),
        point("b", 10, 6),
        point("c", 12, 6),
        point("d", 3, 1),
        point("e", 99, 0, "no"),
    ]
    assert {each.name for each in front(given, [lambda use: use["dsp"]])} == {"a", "c", "d"}


def test_what_can_not_be_explored_is_refused(package) -> None:
    with pytest.raises(UnsupportedError, match="no family of chips of that name"):
        find_space("g1")
    with pytest.raises(CompileError, match="the part is 'XC1'"):
        explore(package, "f1", "XC1", 1, Here())


def test_a_cluster_needs_its_library(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(UnsupportedError, match="a cluster needs dask"), executor_of(1, "tcp://127.0.0.1:1"):
        pass


def test_a_cluster_evaluates_what_processes_do(package, few, monkeypatch, tmp_path) -> None:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        executor_of(1, cluster.scheduler_address) as executor,
    ):
        found = explore(package, "f1", "XC7Z020", 2, executor)
    monkeypatch.setenv("ISTHMUS_CACHE", str(tmp_path / "other"))
    assert explore(package, "f1", "XC7Z020", 2, Here()).points == found.points
