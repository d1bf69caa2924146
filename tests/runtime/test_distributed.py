"""Several devices by one clock: values go over links, checked; times overlap; what is missing or faulty is named."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from isthmus.runtime import (
    Artefact,
    DeviceProgram,
    Executable,
    ExecutionError,
    HostStep,
    Manifest,
    PackageError,
    Port,
    Program,
    Segment,
    Slot,
)
from isthmus.runtime.distributed import stages, timeline
from isthmus.runtime.program import Transfer
from isthmus.runtime.system import Clock, Link, System

UP, DOWN = Link("a>b", "a", "b", 1e6, 1e-6), Link("b>a", "b", "a", 1e6, 1e-6)
SYSTEM = System("a+b", "a", ("a", "b"), (UP, DOWN), {}, {"a": "modelled", "b": "simulated"})


def double(buffers, arena, constants, call):
    """y = 2 x."""
    buffers[1][...] = 2 * buffers[0]


@pytest.fixture
def program() -> Program:
    """x -> b: u = 2 x; a: v = 2 x; u comes back, y = u + v."""
    slots = tuple(
        Slot(name, "f32", (6,), place) for name, place in (("x", "input"), ("u", "host"), ("v", "host"))
    )
    return Program(
        slots=(*slots, Slot("y", "f32", (6,), "output")),
        steps=(
            Transfer("x", "a>b", 24, ("Input",)),
            Segment("b", 0, ("x", "u"), ("u",), "on b", ("Mul_1",), 5e-5),
            Segment("a", 0, ("x", "v"), ("v",), "on a", ("Mul_2",), 8e-5),
            Transfer("u", "b>a", 24, ("Mul_1",)),
            HostStep("test.add", "", ("u", "v"), ("y",), "sum", ("Add_3",), 1e-5),
        ),
        devices=(
            DeviceProgram("a", "", "", {"arena": 0}, "toy"),
            DeviceProgram("b", "", "", {"arena": 0}, "toy"),
        ),
        inputs=(Port("x", "x", "f32", (6,)),),
        outputs=(Port("y", "y", "f32", (6,)),),
        system=SYSTEM,
    )


def executable(program: Program, toy, resolve, **more) -> Executable:
    toy.functions = [double]
    return Executable(Artefact(Manifest("0"), program, {}), {"toy": toy}, resolve=resolve, **more)


def test_values_are_right_and_devices_overlap(program, toy, resolve):
    profile = executable(program, toy, resolve).profile([np.arange(6, dtype=np.float32)])
    assert profile.outputs["y"].tolist() == [0, 4, 8, 12, 16, 20]
    found = {(event.resource, event.name): (event.begin, event.end) for event in profile.system.events}
    assert found["a>b", "x"] == pytest.approx((0, 25e-6))
    assert found["b", "on b"] == pytest.approx((25e-6, 75e-6))
    assert found["a", "on a"] == pytest.approx((0, 80e-6))
    assert found["b>a", "u"] == pytest.approx((75e-6, 100e-6))
    assert found["a", "sum"] == pytest.approx((100e-6, 110e-6))
    assert profile.system.seconds == profile.system.period == pytest.approx(110e-6)


def test_the_trace_has_a_thread_for_each_device_and_link(program, toy, resolve):
    events = executable(program, toy, resolve).profile([np.zeros(6, np.float32)]).trace()["traceEvents"]
    named = {e["args"]["name"] for e in events if e["ph"] == "M" and e["pid"] == 1000}
    assert named == {"all devices, one clock", "a, modelled", "b, simulated", "a>b", "b>a"}
    (on_b,) = [e for e in events if e["pid"] == 1000 and e["name"] == "on b"]
    assert (on_b["ts"], on_b["dur"], on_b["args"]["sources"]) == (25, 50, ["Mul_1"])


def test_a_stream_has_several_inputs_under_way(program, toy, resolve):
    arrays = [np.full(6, n, np.float32) for n in range(16)]
    outputs, run = executable(program, toy, resolve).stream([[array] for array in arrays])
    assert [each["y"][0] for each in outputs] == [4.0 * n for n in range(16)]
    assert stages(program) == [0, 1, 0, 1, 2]
    assert run.period == pytest.approx(90e-6)  # a is busy all the time
    assert len(run.finished) == 16
    assert run.seconds < 16 * 110e-6
    busy = sorted((e.begin, e.end) for e in run.events if e.resource == "a")
    assert all(end <= begin + 1e-12 for (_, end), (begin, _) in itertools.pairwise(busy))


def test_a_stream_needs_a_system(program, toy, resolve):
    single = replace(program, system=None, steps=program.steps[2:3], outputs=(Port("v", "v", "f32", (6,)),))
    with pytest.raises(ExecutionError, match="packages of several devices"):
        executable(single, toy, resolve).stream([[np.zeros(6, np.float32)]])


def test_a_transfer_needs_a_system_too(program, toy, resolve):
    lost = executable(replace(program, system=None), toy, resolve)
    with pytest.raises(ExecutionError, match="there is no system"):
        lost.run([np.zeros(6, np.float32)])


def test_a_link_that_changes_bits_stops_the_run_and_names_the_source(program, toy, resolve):
    def flip(link, array):
        sent = array.copy()
        if link == "b>a":
            sent.reshape(-1).view(np.uint8)[3] ^= 1
        return sent

    faulty = executable(program, toy, resolve, carry=flip)
    with pytest.raises(ExecutionError, match="Mul_1: its checksum has changed on the way from b to a"):
        faulty.run([np.ones(6, np.float32)])


@pytest.mark.parametrize(
    ("steps", "complaint"),
    [
        (lambda steps: steps[1:], "reads 'x', which is not in the memory of 'b'"),
        (lambda steps: (steps[3], *steps), "'u' goes over 'b>a' before it is there"),
        (lambda steps: (*steps[:3], *steps[4:]), "step sum reads 'u', which is not in the memory of 'a'"),
        (lambda steps: steps[:4], "output 'y' never comes back to 'a'"),
        (lambda steps: (replace(steps[0], link="c"), *steps[1:]), "'x' goes over 'c' before it is there"),
    ],
)
def test_a_program_that_forgets_a_transfer_is_refused(program, steps, complaint):
    with pytest.raises(PackageError, match=complaint):
        replace(program, steps=steps(program.steps)).check()


def test_the_program_survives_its_file(program):
    assert Program.from_json(program.to_json()) == program
    assert "seconds" in program.to_json()


def test_devices_that_share_a_memory_need_no_transfer(program):
    system = replace(SYSTEM, memories={"a": "ram", "b": "ram"})
    steps = tuple(step for step in program.steps if not isinstance(step, Transfer))
    shared = replace(program, system=system, steps=steps)
    shared.check()
    run = timeline(shared, [[step.seconds for step in steps]])
    assert run.seconds == pytest.approx(90e-6)


def test_links_go_both_ways_at_once_and_each_way_one_after_the_other():
    clock = Clock(SYSTEM)
    first, second = clock.move(UP, "x", 100), clock.move(UP, "y", 100)
    back = clock.move(DOWN, "z", 100)
    assert (first.begin, second.begin, back.begin) == pytest.approx((0, 1e-4, 0))
    assert clock.ready("b", "y") == second.end == pytest.approx(2e-4 + 1e-6)
