"""Programs as data: they survive JSON, and what is inconsistent is refused."""

import json
from dataclasses import replace

import pytest

from isthmus.runtime import HostStep, PackageError, Port, Program, Segment, Slot


def test_json_round_trip(make_program):
    program = make_program(
        slots=(
            Slot("h", "i64", None, "host"),
            Slot("c", "f32", (2, "2*N + -1"), "constant", 64, "toy"),
            Slot("t", "string", (1,), "constant", entry="texts"),
        ),
        steps=(HostStep("test.add", '{"a": [1, 2]}', ("x", ""), ("h",), "node", ("m.onnx:Add",)),),
        outputs=(Port("h", "h", "i64", None),),
        shape=("N", 3),
        symbols=("N",),
    )
    assert Program.from_json(program.to_json()) == program
    assert Program.from_json(program.to_json()).to_json() == program.to_json()


def test_unknown_keys_are_ignored(make_program):
    record = json.loads(make_program().to_json())
    record["slots"][0]["comment"] = "of a later version"
    record["later"] = 1
    assert Program.from_json(json.dumps(record)) == make_program()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"slots": 3}', '{"slots": []}', b"\xff\xfe"])
def test_other_text_is_refused(text):
    with pytest.raises(PackageError, match=r"p.json: not a program: .*; recompile the model"):
        Program.from_json(text, "p.json")


def test_every_inconsistency_is_named(make_program):
    program = make_program(
        slots=(
            Slot("x", "f32", (1,), "host"),
            Slot("a", "f32", (1,), "arena", 0, "npu"),
            Slot("b", "f32", (1,), "attic"),  # type: ignore[arg-type]
        ),
        steps=(
            Segment("gpu", 0, ("x",), ("y",), "s"),
            HostStep("test.add", "", ("nothing", ""), ("nowhere",)),
        ),
    )
    with pytest.raises(PackageError) as caught:
        program.check("p.json")
    text = str(caught.value)
    for part in (
        "a slot is declared twice",
        "a step runs on 'gpu', which has no device program",
        "step s writes a slot that it is not given",
        "slot 'nothing' is not declared",
        "slot 'nowhere' is not declared",
        "slot 'a' lies on 'npu', which has no device program",
        "slot 'b' lies in 'attic', expected one of constant, arena, input, output, host",
    ):
        assert part in text
    assert "\n" not in text


def test_host_steps_are_listed(make_program):
    step = HostStep("test.negate", "", ("y",), ("y",))
    assert make_program().host_steps == ()
    assert make_program(steps=(step,)).host_steps == (step,)
    assert replace(make_program(), steps=(step, step)).host_steps == (step, step)
