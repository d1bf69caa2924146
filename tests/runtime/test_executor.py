"""The executor on a toy device: steps in order, memory's owners, host steps, concurrency, profiles."""

import json
import threading

import numpy as np
import pytest

from isthmus.runtime import (
    DeviceError,
    ExecutionError,
    HostStep,
    InputError,
    LoadedPackage,
    Port,
    Segment,
    Slot,
)
from isthmus.runtime.errors import IsthmusError

X = np.arange(6, dtype=np.float32).reshape(2, 3) - 2
C = np.arange(1, 7, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def run(make_program, make_artefact, toy, resolve):
    """Runs a program with more slots, steps and outputs."""

    def run(slots=(), steps=(), outputs=(), x=X, entries=None, **more):
        artefact = make_artefact(make_program(slots, steps, outputs, **more), **(entries or {}))
        return LoadedPackage(artefact, {"toy": toy}, resolve=resolve).run([x])

    return run


def negated(source: str, result: str) -> HostStep:
    return HostStep("test.negate", "", (source,), (result,), f"node_{result}")


def test_segment(run):
    assert np.array_equal(run()["y"], X * C)


def test_host_steps_see_every_kind_of_slot(run):
    outputs = run(
        slots=(
            Slot("left", "f32", (2, 3), "arena", 0, "toy"),
            Slot("weights", "f32", (2, 3), "constant", 4, "toy"),
            Slot("extra", "f32", (3,), "constant", 8, entry="more"),
            *(Slot(name, "f32", None, "host") for name in "abcd"),
        ),
        steps=(
            negated("y", "a"),
            negated("left", "b"),
            HostStep("test.add", "", ("weights", "extra"), ("c",)),
            HostStep("test.add", "", ("x", ""), ("d",)),
        ),
        outputs=tuple(Port(name, name, "f32", None) for name in "abcd"),
        entries={"more": np.array([9, 9, 1, 2, 3], np.float32)},
    )
    assert np.array_equal(outputs["a"], -X * C)
    assert np.array_equal(outputs["b"], -X)
    assert np.array_equal(outputs["c"], C + 1 + [1, 2, 3])
    assert np.array_equal(outputs["d"], X)


def test_host_results_feed_segments_and_arena(run):
    outputs = run(
        slots=(
            Slot("h", "f32", (2, 3), "host"),
            Slot("z", "f32", (2, 3), "output"),
            Slot("left", "f32", (2, 3), "arena", 24, "toy"),
        ),
        steps=(
            negated("x", "h"),
            Segment("toy", 0, ("h", "z"), ("z",)),
            negated("z", "left"),
            Segment("toy", 0, ("y", "y"), ("y",)),
        ),
        outputs=(Port("z", "z", "f32", (2, 3)), Port("left", "left", "f32", (2, 3))),
    )
    assert np.array_equal(outputs["z"], -X * C)
    assert np.array_equal(outputs["left"], X * C)
    assert np.array_equal(outputs["y"], X * C * C)


def test_strings_are_constants_too(run):
    outputs = run(
        slots=(Slot("t", "string", (2,), "constant", entry="texts"),),
        outputs=(Port("t", "t", "string", (2,)),),
        entries={"texts": json.dumps(["ä", "b"]).encode()},
    )
    assert outputs["t"].tolist() == ["ä", "b"]


def test_outputs_belong_to_the_caller(make_program, make_artefact, toy, resolve):
    """Outputs that alias an input, a constant, the arena or each other are copies."""
    program = make_program(
        slots=(
            Slot("w", "f32", (2, 3), "constant", 0, "toy"),
            Slot("left", "f32", (2, 3), "arena", 0, "toy"),
            Slot("same", "f32", (2, 3), "host"),
        ),
        steps=(HostStep("test.same", "", ("x",), ("same",)),),
        outputs=tuple(
            Port(name, slot, "f32", (2, 3))
            for name, slot in (("x", "x"), ("w", "w"), ("left", "left"), ("same", "same"), ("twin", "y"))
        ),
    )
    artefact = make_artefact(program)
    package = LoadedPackage(artefact, {"toy": toy}, resolve=resolve)
    x = X.copy()
    outputs = package.run([x])
    arrays = list(outputs.values())
    for i, array in enumerate(arrays):
        assert array.flags.writeable
        assert not np.shares_memory(array, x)
        assert not any(np.shares_memory(array, other) for other in arrays[i + 1 :])
        array[...] = 77
    assert np.array_equal(x, X)
    assert np.array_equal(package.run([x])["w"], C)


def test_segments_do_not_write_what_a_host_step_shares(run):
    """`same` is the caller's array under another name until a segment writes it."""
    x = X.copy()
    run(
        slots=(Slot("same", "f32", (2, 3), "host"),),
        steps=(
            HostStep("test.same", "", ("x",), ("same",)),
            Segment("toy", 0, ("y", "same"), ("same",)),
        ),
        x=x,
    )
    assert np.array_equal(x, X)


def test_symbols_size_the_arrays(make_program, make_artefact, toy, resolve):
    program = make_program(
        slots=(Slot("z", "f32", ("2*N",), "host"),),
        steps=(),
        shape=("N",),
        symbols=("N",),
    )
    package = LoadedPackage(make_artefact(program), {"toy": toy}, resolve=resolve)
    for n in (1, 5, 3):
        assert np.array_equal(package.run([np.ones(n, np.float32)])["y"], np.arange(1, n + 1))


def test_data_dependent_extents_are_known_to_later_steps(run):
    outputs = run(
        slots=(
            Slot("n", "i64", ("found",), "host"),
            Slot("z", "f32", ("2*found",), "host"),
            Slot("e", "i64", (), "host"),
        ),
        steps=(
            HostStep("test.nonzero", "", ("x",), ("n",)),
            HostStep("test.extent", "found", (), ("e",)),
            Segment("toy", 1, ("z",), ("z",)),
        ),
        outputs=(Port("n", "n", "i64", ("found",)), Port("z", "z", "f32", None), Port("e", "e", "i64", ())),
        symbols=("found",),
    )
    assert outputs["n"].tolist() == [0, 1, 3, 4, 5]
    assert outputs["z"].tolist() == [5.0] * 10
    assert outputs["e"] == 5


def test_unknown_extents_can_not_be_allocated(run):
    with pytest.raises(ExecutionError, match="'z' can't be allocated: 'K' is not known from the inputs"):
        run(slots=(Slot("z", "f32", ("K",), "host"),), steps=(Segment("toy", 0, ("x", "z"), ("z",)),))


def test_attributes_reach_the_op(run):
    slots = (Slot("p", "f32", (2, 3), "host"),)
    outputs = run(slots, (HostStep("test.power", "2", ("x",), ("p",)),), (Port("p", "p", "f32", (2, 3)),))
    assert np.array_equal(outputs["p"], X**2)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            HostStep("test.half", "", ("x",), ("h",), "n"),
            r"n: result 'h' is float16\[2, 3\], expected f32\[2, 3\]",
        ),
        (
            HostStep("test.nonzero", "", ("x",), ("h",), "n"),
            r"n: result 'h' is int64\[5\], expected f32\[2, 3\]",
        ),
        (HostStep("test.fail", "", ("x",), ("h",), "n"), "n: test.fail failed: IndexError: index 99"),
        (HostStep("test.two", "", ("x",), ("h",), "n"), "n: test.two gave 2 results, expected 1"),
    ],
)
def test_failing_host_steps_say_where(run, step, message):
    with pytest.raises(ExecutionError, match=message):
        run((Slot("h", "f32", (2, 3), "host"),), (step,))


def test_using_a_slot_before_it_is_made(run):
    with pytest.raises(ExecutionError, match="'h' is used before any step made it; recompile the model"):
        run((Slot("h", "f32", (2, 3), "host"),), outputs=(Port("h", "h", "f32", (2, 3)),))


def test_the_reference_meaning_is_found_only_when_needed(make_program, make_artefact, toy, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "isthmus.compiler.ops.host", None)
    LoadedPackage(make_artefact(), {"toy": toy}).run([X])
    program = make_program(slots=(Slot("h", "f32", None, "host"),), steps=(negated("x", "h"),))
    with pytest.raises(
        ExecutionError, match=r"'test.negate' runs by its reference meaning, which can't be imported"
    ):
        LoadedPackage(make_artefact(program), {"toy": toy})


def test_unknown_devices_are_named(make_artefact):
    with pytest.raises(DeviceError, match=r"m.onnx: the package needs device 'toy'; there is none; install"):
        LoadedPackage(make_artefact(), {})


def test_input_errors_come_before_any_work(make_artefact, toy, resolve):
    package = LoadedPackage(make_artefact(), {"toy": toy}, resolve=resolve)
    with pytest.raises(InputError):
        package.run({})
    assert package.executable.code["toy"].made == []


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", True])
def test_bad_threads(make_artefact, toy, resolve, threads):
    package = LoadedPackage(make_artefact(), {"toy": toy}, resolve=resolve)
    with pytest.raises(InputError, match="expected a whole number of at least 1"):
        package.run([X], threads=threads)
    with pytest.raises(InputError, match="threads"):
        LoadedPackage(make_artefact(), {"toy": toy}, threads=threads, resolve=resolve)


def test_threads_at_load_at_run_and_bounded(make_artefact, toy, resolve):
    seen = []

    def record(buffers, arena, constants, call):
        seen.append(call.threads)

    toy.functions = [record]
    artefact = make_artefact()
    for at_load, at_run in ((None, None), (2, None), (2, 3), (None, 99)):
        LoadedPackage(artefact, {"toy": toy}, at_load, resolve).run([X], threads=at_run)
    assert seen == [4, 2, 3, 4]


def test_concurrent_runs_have_contexts_of_their_own(make_artefact, toy, resolve):
    meet = threading.Barrier(3, timeout=10)
    arenas = []

    def wait(buffers, arena, constants, call):
        arenas.append(arena)
        meet.wait()
        buffers[1][...] = buffers[0]

    toy.functions = [wait]
    package = LoadedPackage(make_artefact(), {"toy": toy}, resolve=resolve)
    results = {}

    def work(number: int) -> None:
        results[number] = package.run([X + number])["y"]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(arena) for arena in arenas}) == 3
    assert all(np.array_equal(results[number], X + number) for number in range(3))


def test_a_failed_run_gives_its_context_back(make_artefact, toy, resolve):
    def fail(buffers, arena, constants, call):
        raise DeviceError("broken", location="toy")

    toy.functions = [fail]
    package = LoadedPackage(make_artefact(), {"toy": toy}, resolve=resolve)
    for _ in range(3):
        with pytest.raises(IsthmusError):
            package.run([X])
    assert len(package.executable.code["toy"].made) == 1


def test_host_arrays_die_with_their_last_use(make_program, make_artefact, toy, resolve):
    program = make_program(
        slots=tuple(Slot(name, "f32", None, "host") for name in "abc"),
        steps=(negated("x", "a"), negated("a", "b"), negated("b", "c")),
        outputs=(Port("c", "c", "f32", None),),
    )
    package = LoadedPackage(make_artefact(program), {"toy": toy}, resolve=resolve)
    assert package.executable.dying == [[], ["x"], ["a"], ["b"]]
    assert np.array_equal(package.run([X])["c"], -X)


def test_profile_and_trace(make_program, make_artefact, toy, resolve, tmp_path):
    program = make_program(slots=(Slot("h", "f32", None, "host"),), steps=(negated("y", "h"),))
    package = LoadedPackage(make_artefact(program), {"toy": toy}, resolve=resolve)
    profile = package.profile([X])
    assert np.array_equal(profile.outputs["y"], X * C)
    assert profile.cycles == {"toy": 10}
    assert [(step.name, step.device) for step in profile.steps] == [
        ("scale", "toy"),
        ("multiply", "toy"),
        ("node_h", "host"),
    ]
    assert profile.steps[0].sources == ("m.onnx:Mul_0",)
    assert 0 < profile.steps[0].start < profile.steps[2].start < profile.seconds
    profile.save_trace(tmp_path / "t.json")
    events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    assert [event["name"] for event in events] == [
        "thread_name",
        "thread_name",
        "scale",
        "multiply",
        "node_h",
    ]
    assert [event["tid"] for event in events if event["ph"] == "X"] == [0, 0, 1]
    assert events[3]["dur"] == 1.0
    with pytest.raises(ExecutionError, match="can't be written"):
        profile.save_trace(tmp_path / "no" / "t.json")
