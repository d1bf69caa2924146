"""Models over several devices: split where it is asked for, saved, run by one clock, equal to the graph's meaning."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

import isthmus
from isthmus.backends.cpu import CpuBackend
from isthmus.compilation import build_model
from isthmus.compiler.diagnostics import CompileError, IsthmusError, UnsupportedError
from isthmus.compiler.ir.graph import Graph, graph_input
from isthmus.compiler.ir.location import Location, at
from isthmus.compiler.ir.types import TensorType, f32
from isthmus.compiler.ops import get
from isthmus.compiler.stream.backend import StreamBackend
from isthmus.package import Package
from isthmus.precision import find_precision
from isthmus.runtime.artefact import Artefact
from isthmus.runtime.errors import ExecutionError
from isthmus.runtime.profile import SystemRun
from isthmus.runtime.program import Segment
from isthmus.runtime.sim.errors import EncodingError, HazardError
from isthmus.runtime.sim.fields import HEADER_SHIFTS, SEMAPHORES
from isthmus.runtime.system import Event
from isthmus.system_explanation import critical_path
from isthmus.system_page import system_page
from isthmus.testing.parts import device_by_device

DIGITS = Path(str(files("isthmus.demo").joinpath("digits.onnx")))
SYSTEMS = Path(__file__).resolve().parents[2] / "examples" / "systems"
SPLIT = {"conv1": "cpu", "conv2": "n1-8", "dense1": "cpu"}


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.load(str(files("isthmus.demo").joinpath("digits.npz")))["images"][:, None].astype("f") / 16


@pytest.fixture(scope="module")
def quantised(images):
    calibration = [{"image": image[None]} for image in images[:4]]
    shapes = {"image": (1, 1, 8, 8)}
    return isthmus.compile(DIGITS, shapes=shapes, precision="int8", calibration=calibration).graph


def compiled(model, target="cpu+n1-8", **options):
    return isthmus.compile(model, target=target, options=options)


def running_sum() -> Graph:
    with at(Location("model", ("running",))):
        x = graph_input("x", TensorType(f32, (2, 3)))
        y = get("reduce.cumsum")(x, axis=1)
    return Graph([x], [y], ["y"])


def devices(package) -> list[str]:
    return [step.device for step in package.artefact.program.steps if isinstance(step, Segment)]


def test_a_forced_split_is_saved_and_runs_right(quantised, images, tmp_path):
    path = tmp_path / "split.isth"
    compiled(quantised, str(SYSTEMS / "cpu+n1-8.toml"), pins=SPLIT).save(path)
    package = isthmus.load(path)
    assert devices(package) == ["cpu", "n1-8", "cpu"]
    x = {"image": images[50:51]}
    assert np.array_equal(package.run(x)["scores"], quantised.evaluate(x)["scores"])
    assert package.manifest.target == "cpu+n1-8"
    assert package.manifest.options["pins"] == SPLIT


def test_the_same_model_gives_the_same_bytes(quantised):
    first, second = (compiled(quantised, pins=SPLIT).artefact for _ in range(2))
    assert first.manifest.to_json() == second.manifest.to_json()


def test_two_chips_of_a_kind_pass_values_to_each_other(quantised, images):
    package = compiled(quantised, "cpu+n1-8+n1-32", pins={"conv1": "n1-8", "conv2": "n1-32"})
    profile = package.profile({"image": images[60:61]})
    assert np.array_equal(profile.outputs["scores"], quantised.evaluate({"image": images[60:61]})["scores"])
    assert set(profile.cycles) == {"n1-8", "n1-32"}
    resources = {event.resource for event in profile.system.events}
    assert {"n1-8", "n1-32", "n1-8>n1-32"} <= resources
    assert profile.system.clocks == {"cpu": "modelled", "n1-8": "simulated", "n1-32": "simulated"}
    ends = [event.end for event in profile.system.events]
    assert profile.system.seconds == pytest.approx(max(ends))


def test_a_stream_is_faster_than_its_inputs_one_by_one(quantised, images):
    package = compiled(quantised, "cpu+n1-8+n1-32", pins=SPLIT)
    outputs, run = package.stream([{"image": images[n : n + 1]} for n in range(6)])
    single = package.profile({"image": images[:1]}).system.seconds
    assert run.period < single
    for n, found in enumerate(outputs):
        assert np.array_equal(found["scores"], package.run({"image": images[n : n + 1]})["scores"])


def test_nothing_is_worse_than_the_plain_ways(quantised):
    ways = {way.name: way.latency for way in isthmus.explain(quantised, "cpu+n1-8").ways}
    assert {"all on cpu", "greedy"} <= set(ways)
    assert next(iter(ways.values())) == min(ways.values())


@pytest.fixture
def near(tmp_path) -> Path:
    """A system whose link takes next to no time, but starting work on the chip does."""
    text = (SYSTEMS / "cpu+n1-8.toml").read_text().replace("latency_us = 2", "latency_us = 0")
    path = tmp_path / "near.toml"
    path.write_text(text.replace('target = "n1-8"', 'target = "n1-8"\nlaunch_us = 0.5'))
    return path


def test_what_a_small_model_is_predicted_to_take_is_what_the_clock_says(quantised, images, near):
    built = build_model(quantised, str(near), options={"pins": SPLIT})
    profile = Package(built.artefact).profile({"image": images[:1]})
    assert built.chosen.latency == pytest.approx(profile.system.seconds, rel=1e-9)
    (work,) = (event for event in profile.system.events if event.resource == "n1-8")
    clock = built.system.device("n1-8").target.clock_mhz * 1e6
    assert work.end - work.begin == pytest.approx(0.5e-6 + profile.cycles["n1-8"] / clock)


def test_a_small_model_is_placed_by_the_clock_where_predictions_are_off(quantised, near, monkeypatch):
    """The chip turns out to take a second for whatever it does."""

    def slow(self, calls, arena, options):
        found = compile_(self, calls, arena, options)
        return replace(found, cycles=(self.target(options).clock_mhz * 1e6,) * len(found.cycles))

    compile_, estimate = StreamBackend.compile, CpuBackend.estimate
    monkeypatch.setattr(CpuBackend, "estimate", lambda *given: 100 * estimate(*given))
    assert "n1-8" in devices(Package(build_model(quantised, str(near)).artefact))
    monkeypatch.setattr(StreamBackend, "compile", slow)
    monkeypatch.setattr("isthmus.compiler.system_build._MARGIN", 1e6)
    built = build_model(quantised, str(near))
    assert devices(Package(built.artefact)) == ["cpu"]
    assert built.chosen.latency == min(each.latency for each in built.candidates)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"pins": {"conv9": "cpu"}}, "pin 'conv9=cpu': fits no node"),
        ({"pins": {"conv1": "gpu"}}, "there is no device 'gpu'; devices are: cpu, n1-8"),
        ({"pins": ["conv1"]}, "'conv1' is no pin"),
        ({"objective": "beauty"}, "the objective is 'beauty'"),
        ({"level": "avx2"}, "a system has no option 'level'"),
    ],
)
def test_wishes_that_can_not_be_met_are_refused(quantised, options, complaint):
    with pytest.raises(CompileError, match=complaint):
        compiled(quantised, **options)


def test_what_a_device_does_not_run_can_not_be_pinned_to_it():
    with pytest.raises(
        UnsupportedError, match="running: is pinned to n1-8, which does not run it: no dim is seq"
    ):
        compiled(running_sum(), pins={"running": "n1-8"})


def test_a_memory_that_is_too_small_keeps_work_away(quantised, tmp_path):
    text = (SYSTEMS / "cpu+n1-8.toml").read_text()
    small = tmp_path / "small.toml"
    small.write_text(text.replace('target = "n1-8"', 'target = "n1-8"\nmemory_bytes = 64'))
    with pytest.raises(
        UnsupportedError, match=r"does not fit its memory: n1-8 has 64 bytes, [\d,]+ are needed"
    ):
        compiled(quantised, str(small), pins={"conv2": "n1-8"})


def test_a_chip_that_hangs_is_stopped_by_its_watchdog(quantised, images):
    package = compiled(quantised, pins=SPLIT)
    program = package.artefact.program
    steps = [replace(s, limit=40) if isinstance(s, Segment) and s.limit else s for s in program.steps]
    slow = package.loaded.executable
    slow.program = replace(program, steps=tuple(steps))
    with pytest.raises(ExecutionError, match=r"conv2.*on n1-8 was not complete after 40 cycles"):
        slow.run({"image": images[:1]})


def test_a_chip_that_waits_for_ever_is_stopped_and_its_node_named(quantised, images):
    artefact = compiled(quantised, pins=SPLIT).artefact
    entries = {name: artefact.entry(name) for name in artefact.names}
    code = bytearray(entries["n1-8/code.bin"])
    last = HEADER_SHIFTS["wait"] + SEMAPHORES - 1
    code[last // 8] |= 1 << last % 8  # the first instruction waits for what nobody signals
    stuck = Artefact(artefact.manifest, artefact.program, {**entries, "n1-8/code.bin": bytes(code)})
    with pytest.raises(HazardError, match=r"conv2.*on n1-8: instruction \d+ on \w+ waits for ever"):
        Package(stuck).run({"image": images[:1]})


def test_an_instruction_that_is_none_is_refused_and_its_node_named(quantised, images):
    artefact = compiled(quantised, pins=SPLIT).artefact
    entries = {name: artefact.entry(name) for name in artefact.names}
    code = bytearray(entries["n1-8/code.bin"])
    code[0] ^= 0x3F  # the opcode of the first instruction
    damaged = Artefact(artefact.manifest, artefact.program, {**entries, "n1-8/code.bin": bytes(code)})
    with pytest.raises(EncodingError, match=r"conv2.*: on n1-8: instruction 0 has opcode \d+, which is none"):
        Package(damaged).run({"image": images[:1]})


def test_explain_tells_of_every_node_where_it_runs_and_why(quantised):
    told = isthmus.explain(quantised, "cpu+n1-8+n1-32", options={"pins": {"conv2": "n1-8", "dense1": "cpu"}})
    nodes = [node for node in quantised.graph.nodes if node.op not in ("input", "constant")]
    assert len(told.placements) == len(nodes)
    for each in told.placements:
        assert each.device in each.seconds
        assert each.reason or each.device != "cpu"
        assert set(each.seconds) | set(each.refused) == {"cpu", "n1-8", "n1-32"}
    by_name = {each.node: each for each in told.placements}
    assert by_name["conv2, norm2"].device == "n1-8"
    assert by_name["conv2, norm2"].unit == by_name["relu2"].unit  # pins cut between kernels, not in them
    assert by_name["conv2, norm2"].refused == {"cpu": "pinned to n1-8", "n1-32": "pinned to n1-8"}
    assert "pinned to cpu" in by_name["dense1"].reason
    assert told.ways[0].latency == min(way.latency for way in told.ways)
    assert told.critical[0].begin == 0
    assert told.critical[-1].end == pytest.approx(told.run.seconds)
    for earlier, later in zip(told.critical, told.critical[1:]):
        assert earlier.end == pytest.approx(later.begin)
    text = str(told)
    assert "ways of placing them" in text
    assert "conv2, norm2: quant.conv" in text


def test_the_critical_path_waits_for_a_link_on_which_a_value_is_still_on_its_way():
    first, second = Event("cpu>npu", "x", 0.0, 7.0), Event("cpu>npu", "y", 4.0, 9.0)  # 3 until the first byte
    idle, last = Event("cpu", "z", 0.0, 8.5), Event("npu", "all", 9.0, 10.0)
    run = SystemRun((first, second, idle, last), (10.0,), {}, 0)
    assert critical_path(run) == [first, second, last]


def test_a_constraint_that_fails_is_the_reason():
    told = isthmus.explain(running_sum(), "cpu+n1-8")
    (each,) = (each for each in told.placements if each.op == "reduce.cumsum")
    assert each.device == "cpu"
    assert each.refused["n1-8"].startswith("no dim is sequential")
    assert "no dim is sequential" in each.reason


def test_edits_that_help_are_tried_by_compiling(quantised):
    pins = {"conv1": "n1-8", "conv2": "cpu", "dense1": "n1-8", "dense2": "cpu"}
    told = isthmus.explain(quantised, "cpu+n1-8", options={"pins": pins}, suggest=True)
    assert told.suggestions
    assert all(each.after < each.before for each in told.suggestions)
    assert any("leave out --pin" in each.edit for each in told.suggestions)
    assert "edits that would help, as compiled:" in str(told)


def test_the_page_shows_the_graph_the_timeline_and_the_costs(quantised):
    told = isthmus.explain(quantised, "cpu+n1-8", options={"pins": SPLIT})
    page = system_page(told)
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    for picture in re.findall(r"<svg.*?</svg>", page, re.S):
        ET.fromstring(picture)
    assert page.count('class="box d0"') + page.count('class="box d1"') == len(
        {p.unit for p in told.placements}
    )
    assert {"cpu (modelled)", "n1-8 (simulated)"} <= set(re.findall(r"[\w-]+ \(\w+\)", page))
    assert "cpu&gt;n1-8" in page


def test_what_runs_on_a_device_of_floats_stays_in_floats(images, monkeypatch):
    estimate = CpuBackend.estimate

    def slow_integers(self, kernel, options):
        return estimate(self, kernel, options) * (1 + 3 * any(b.dtype.bytes == 1 for b in kernel.buffers))

    monkeypatch.setattr(CpuBackend, "estimate", slow_integers)
    precision = find_precision("int8", [{"image": image[None]} for image in images[:4]])
    pins = {"conv1": "cpu", "conv2": "n1-8", "dense1": "cpu"}
    built = build_model(
        isthmus.read(DIGITS, {"image": (1, 1, 8, 8)}),
        str(SYSTEMS / "cpu+n1-8.toml"),
        precision=precision,
        options={"pins": pins},
    )
    package = Package(built.artefact)
    ops = {node.op for node in package.graph.graph.nodes}
    assert {"nn.conv", "quant.conv"} <= ops
    assert "conv1" in package.manifest.options["quantisation"]["floats"]
    assert len(set(devices(package))) == 2
    for each in device_by_device(built, {"image": images[70:71]}):
        rounds = each.device == "cpu" and each.meant.dtype == np.int8  # floats may round to the neighbour
        assert np.abs(each.got.astype("f8") - each.meant).max() <= (1 if rounds else 1e-4), each.device


def test_pins_that_floats_can_not_meet_leave_the_model_quantised(images):
    precision = find_precision("int8", [{"image": image[None]} for image in images[:4]])
    built = build_model(
        isthmus.read(DIGITS, {"image": (1, 1, 8, 8)}),
        str(SYSTEMS / "cpu+n1-32+f1-b4096.toml"),
        precision=precision,
        options={"pins": {"conv1": "cpu", "conv2": "n1-32", "dense1": "f1-b4096"}},
    )
    assert {"n1-32", "f1-b4096"} <= set(devices(Package(built.artefact)))


def test_check_asks_all_devices(quantised):
    assert isthmus.check(quantised, "cpu+n1-8").ok
    assert not isthmus.check(quantised, "cpu+n1-8").fallbacks
    report = isthmus.check(quantised, "cpu+nothing")
    assert "there is no such target" in str(report)


def test_chip_files_are_members_of_systems(quantised, tmp_path):
    chip = tmp_path / "small.toml"
    chip.write_text('inherits = "n1-8"\ntarget = { name = "small" }\n')
    told = isthmus.explain(quantised, f"cpu+{chip}")
    assert list(told.devices.values()) == ["cpu", "small"]


def test_a_system_is_no_single_target():
    with pytest.raises(IsthmusError, match="there is no such target"):
        isthmus.compile(DIGITS, target="cpu+nothing")


def test_an_input_that_nothing_reads_stays_with_the_host():
    x, y = (graph_input(name, TensorType(f32, (4,))) for name in "xy")
    with at(Location("model", ("negative",))):
        z = get("math.neg")(x)
    package = compiled(Graph([x, y], [z], ["z"]))
    ones = np.ones(4, "f")
    assert np.array_equal(package.run({"x": -ones, "y": 0 * ones})["z"], ones)
