"""The clock by which placements are compared: that of a run, without the run."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

import isthmus
from benchmarks.clock import ALONE, CHOSEN, GREEDY, CommonClock, ways
from isthmus.compilation import build_model
from isthmus.compiler.partition.knowledge import Knowledge
from isthmus.compiler.partition.partition import Partition
from isthmus.compiler.pipeline import optimise
from isthmus.compiler.system_build import compile_parts, passes_for
from isthmus.package import Package
from isthmus.targets import find_target

SYSTEM = Path(__file__).resolve().parents[2] / "examples" / "systems" / "cpu+n1-8.toml"


def test_a_way_takes_what_a_run_takes_and_is_simulated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    demo = files("isthmus.demo")
    images = np.load(str(demo.joinpath("digits.npz")))["images"][:4, None, None].astype("f") / 16
    model = isthmus.compile(
        Path(str(demo.joinpath("digits.onnx"))),
        shapes={"image": (1, 1, 8, 8)},
        calibration=[{"image": image} for image in images],
    ).graph
    system = find_target(str(SYSTEM))
    graph, _ = optimise(model.graph, passes=passes_for(system, ()))
    partition, compiled = Partition(graph, system, Knowledge()), []

    def counted(layout, known, devices):
        compiled.extend(device.name for device in devices)
        return compile_parts(layout, known, devices)

    monkeypatch.setattr("benchmarks.clock.compile_parts", counted)
    clock = CommonClock()
    runs = [clock.of(partition, ways(partition)[way])[1] for way in (CHOSEN, ALONE, GREEDY, GREEDY)]
    assert runs[2] == runs[3]
    assert 1 <= len(compiled) <= 2
    profile = Package(build_model(model, str(SYSTEM)).artefact).profile({"image": images[0]})
    assert profile.system.seconds == pytest.approx(runs[0].seconds)
