"""The chip of examples/add_a_chip, installed outside the tree: it compiles, runs, is proved, and passes the suite."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

CHIP = Path(__file__).resolve().parents[2] / "examples" / "add_a_chip"
NETWORK = """
import numpy as np
from isthmus import compile, read
from isthmus.compiler.ir.graph import Graph, constant, graph_input
from isthmus.compiler.ir.location import Location, at
from isthmus.compiler.ir.types import TensorType, i8
from isthmus.compiler.ops import get

rng = np.random.default_rng(0)

def weights(*shape):
    return constant(rng.integers(-128, 128, shape).astype(np.int8))

def narrow(acc, channels):
    multiplier = constant(rng.integers(1 << 30, (1 << 31) - 1, channels).astype(np.int32))
    shift, zero = constant(np.full(channels, 40, np.int32)), constant(np.int8(-3))
    return get("quant.requantize_fixed")(acc, multiplier, shift, zero, axis=1, dtype=i8, rounding="half_up")

def conv(x, outputs, inputs, strides):
    how = dict(strides=strides, pads=(1,) * 4, dilations=(1, 1), fill=-3)
    return narrow(get("quant.conv")(x, weights(outputs, inputs, 3, 3), **how), outputs)

x = graph_input("x", TensorType(i8, (1, 3, 20, 18)))
first = conv(x, 12, 3, (2, 2))
with at(Location("network", ("second",))):
    second = conv(first, 12, 12, (1, 1))
added = get("math.max")(first, second)
pooled = get("nn.max_pool")(added, kernel=(2, 2), strides=(2, 2), pads=(0,) * 4, dilations=(1, 1))
flat = get("shape.reshape")(pooled, shape=(1, 240))
graph = Graph([x], [get("quant.matmul")(flat, weights(240, 10))], ["y"])
package = compile(graph, "tarn")
assert not package.manifest.fallbacks, package.manifest.fallbacks
array = rng.integers(-128, 128, (1, 3, 20, 18)).astype(np.int8)
profile = package.profile([array])
assert np.array_equal(profile.outputs["y"], read(graph).evaluate({"x": array})["y"])
(code,) = package.loaded.executable.code.values()
code.entry(0).check()
macs, cycles = 12 * 90 * 27 + 12 * 90 * 108 + 2400, profile.chips[0].cycles
assert cycles > macs / 60, cycles
print("cycles", cycles)
system = compile(graph, "cpu+tarn-6x10", options={"pins": {"second": "tarn-6x10"}}).profile([array])
assert np.array_equal(system.outputs["y"], profile.outputs["y"])
assert {event.resource for event in system.system.events} >= {"cpu", "tarn-6x10", "cpu>tarn-6x10"}
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Where the chip's distribution is installed too, as pip would lay it down."""
    site = tmp_path_factory.mktemp("site")
    project = tomllib.loads((CHIP / "pyproject.toml").read_text())["project"]
    shutil.copytree(CHIP / "tarn", site / "tarn")
    info = site / f"tarn-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tarn\nVersion: {project['version']}\n")
    groups = (
        "\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())])
        for group, entries in project["entry-points"].items()
    )
    (info / "entry_points.txt").write_text("\n".join(groups))
    return {**os.environ, "PYTHONPATH": str(site)}


def ran(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment)


def test_it_is_small_and_one_file() -> None:
    (module,) = CHIP.rglob("*.py")
    assert len(module.read_text().splitlines()) <= 150
    (chip,) = CHIP.rglob("*-*.toml")
    assert len(chip.read_text().splitlines()) <= 45


def test_a_network_runs_bit_for_bit_alone_and_beside_a_cpu(environment: dict[str, str]) -> None:
    done = ran(environment, "-c", NETWORK)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("cycles ")


def test_it_passes_the_suite(environment: dict[str, str], tmp_path: Path) -> None:
    badge = tmp_path / "tarn.md"
    arguments = [
        "-m",
        "isthmus",
        "conformance",
        "quant.",
        "--backend",
        "tarn",
        "--quiet",
        "--badge",
        str(badge),
    ]
    for family in ("op samples", "op samples with weights", "extreme values", "hazards"):
        arguments += ["--family", family]
    done = ran(environment, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads(badge.with_suffix(".json").read_text())
    assert record["target"] == "tarn-6x10"
    assert all(counts["passed"] > 10 for name, counts in record["families"].items() if name != "hazards")
    assert record["families"]["hazards"]["passed"] > 3
    assert "| op samples | " in badge.read_text()
