"""A device made of Python functions, so that the runtime is tested without any code generator."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from isthmus.runtime import (
    Artefact,
    DeviceProgram,
    HostStep,
    Manifest,
    Port,
    Program,
    Segment,
    Slot,
)
from isthmus.runtime.device import Call

Function = Callable[[list[np.ndarray], np.ndarray, np.ndarray, Call], None]


class ToyContext:
    def __init__(self, functions: Sequence[Function], constants: np.ndarray, arena: int):
        self.functions, self.constants = functions, constants
        self.arena = np.zeros(arena, np.uint8)

    def run(self, call: Call) -> None:
        self.functions[call.entry](list(call.buffers), self.arena, self.constants, call)


class ToyCode:
    def __init__(self, functions: Sequence[Function], constants: np.ndarray, arena: int):
        self.made: list[ToyContext] = []
        self.arguments = functions, constants, arena

    def context(self) -> ToyContext:
        self.made.append(ToyContext(*self.arguments))
        return self.made[-1]


class Toy:
    """`functions` are the entry points; the code's bytes are not looked at."""

    name = "toy"

    def __init__(self, functions: Sequence[Function], limit: int = 4):
        self.functions, self.limit = functions, limit

    def threads(self) -> int:
        return self.limit

    def load(self, program: DeviceProgram, code: np.ndarray, constants: np.ndarray, location: str) -> ToyCode:
        return ToyCode(self.functions, constants, program.meta["arena"])


def scale(buffers: list[np.ndarray], arena: np.ndarray, constants: np.ndarray, call: Call) -> None:
    """y = x * c, and x is left in the arena."""
    x, y = buffers
    arena[: x.nbytes] = x.reshape(-1).view(np.uint8)
    y[...] = x * constants.view(np.float32)[: x.size].reshape(x.shape)
    call.cycles = 10
    if call.timed:
        call.steps.append(("multiply", 0.0, 1e-6))


def fill(buffers: list[np.ndarray], arena: np.ndarray, constants: np.ndarray, call: Call) -> None:
    """z = the first symbol's extent."""
    buffers[0][...] = call.symbols[0]


def negate(op: str, attributes: str) -> Callable[[Sequence[Any], Mapping[str, int]], tuple[Any, ...]]:
    """Resolver of a few ops that stand for the compiler's."""
    meanings: dict[str, Callable[..., tuple[Any, ...]]] = {
        "test.negate": lambda x: (-x,),
        "test.same": lambda x: (x,),
        "test.add": lambda x, y: (x + (0 if y is None else y),),
        "test.nonzero": lambda x: (np.flatnonzero(x),),
        "test.half": lambda x: (x.astype(np.float16),),
        "test.fail": lambda x: (x[99],),
        "test.two": lambda x: (x, x),
        "test.power": lambda x: (x ** int(attributes),),
        "test.extent": lambda symbols: (np.int64(symbols[attributes]),),
    }
    meaning = meanings[op]
    if op == "test.extent":
        return lambda operands, symbols: meaning(symbols)
    return lambda operands, symbols: meaning(*operands)


@pytest.fixture
def resolve():
    return negate


@pytest.fixture
def toy():
    return Toy([scale, fill])


@pytest.fixture
def make_program() -> Callable[..., Program]:
    """x f32[2, 3] -> y = x * c on the toy; more slots and steps as given."""

    def make(
        slots: Sequence[Slot] = (),
        steps: Sequence[Segment | HostStep] = (),
        outputs: Sequence[Port] = (),
        shape: tuple[int | str, ...] = (2, 3),
        symbols: tuple[str, ...] = (),
    ) -> Program:
        return Program(
            slots=(Slot("x", "f32", shape, "input"), Slot("y", "f32", shape, "output"), *slots),
            steps=(Segment("toy", 0, ("x", "y"), ("y",), "scale", ("m.onnx:Mul_0",)), *steps),
            devices=(DeviceProgram("toy", "toy/code", "toy/constants", {"arena": 64}),),
            inputs=(Port("x", "x", "f32", shape),),
            outputs=(Port("y", "y", "f32", shape), *outputs),
            symbols=symbols,
        )

    return make


@pytest.fixture
def make_artefact(make_program) -> Callable[..., Artefact]:
    """The toy's package for a program (default: `make_program()`)."""

    def make(program: Program | None = None, **entries: Any) -> Artefact:
        weights = np.arange(1, 2049, dtype=np.float32)
        parts = {"toy/code": b"code of the toy", "toy/constants": weights, **entries}
        manifest = Manifest(
            "0.1.0",
            model="m.onnx",
            model_sha256="00" * 32,
            target="toy",
            options={"precision": "f32"},
            passes=("canonicalise", "fuse"),
            features={"toy": ["one"]},
        )
        return Artefact(manifest, program or make_program(), parts)

    return make
