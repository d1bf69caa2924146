"""A program for two indices of a batch runs batches of any extent."""

from dataclasses import replace

import numpy as np
import pytest

from isthmus.runtime import LoadedPackage, PackageError, Port, Program, Slot
from isthmus.runtime.program import Block

C = np.arange(1, 7, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def program(make_program) -> Program:
    """x f32[N, 3] -> y = x * c on the toy, two rows at a time, and a copy of the input `bias`, which has no batch."""
    more = Slot("bias", "f32", (3,), "input")
    made = make_program((more,), outputs=(Port("same", "bias", "f32", (3,)),))
    return replace(
        made,
        inputs=(Port("x", "x", "f32", ("N", 3)), Port("bias", "bias", "f32", (3,))),
        outputs=(Port("y", "y", "f32", ("N", 3)), *made.outputs[1:]),
        symbols=("N",),
        block=Block("N", 2),
    )


@pytest.mark.parametrize("batch", [0, 1, 2, 5])
def test_any_batch_runs(program, make_artefact, toy, batch) -> None:
    x = np.arange(3 * batch, dtype=np.float32).reshape(batch, 3)
    bias = np.ones(3, np.float32)
    package = LoadedPackage(make_artefact(program), {"toy": toy})
    found = package.run({"x": x, "bias": bias})
    np.testing.assert_array_equal(found["y"], x * np.resize(C, (batch, 3)))
    np.testing.assert_array_equal(found["same"], bias)
    assert len([step for step in package.profile([x, bias]).steps if step.name == "scale"]) == max(
        1, -(-batch // 2)
    )


def test_the_block_survives_json_and_its_batch_must_be_known(program) -> None:
    assert Program.from_json(program.to_json()) == program
    for block in (Block("M", 2), Block("N", 0)):
        with pytest.raises(PackageError, match=r"its block is .* which no input gives"):
            replace(program, block=block).check()
