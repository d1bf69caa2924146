"""How the chips write what random programs are made of: fields by name, as their own instructions."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from isthmus.backends.fpga import isa as f1
from isthmus.backends.npu import isa as n1
from isthmus.runtime.sim.fields import Instruction
from isthmus.runtime.sim.microcode import Micro

Drawn = Mapping[str, Any] | dict[str, Any]
"""Fields of an instruction; `near` is its place in a scratchpad, sums are addressed in words."""
Body = tuple[Micro, ...]


class Dialect(Protocol):
    """A chip's way to write each of the five kinds of work."""

    gathers: bool

    def operation(self, name: str, dst: int, *sources: Any, type: str = "i32", to: str = "i32") -> Micro: ...
    def definitions(self, immediates: tuple[int, ...], bodies: Sequence[Body]) -> list[Instruction]: ...
    def load(self, drawn: Drawn) -> Instruction: ...
    def weights(self, drawn: Drawn) -> Instruction: ...
    def product(self, drawn: Drawn) -> Instruction: ...
    def vector(self, number: int, body: Body, immediates: tuple[int, ...], drawn: Drawn) -> Instruction: ...
    def store(self, drawn: Drawn) -> Instruction: ...


class N1:
    """n1: programs are defined first, vector instructions name them."""

    gathers = True
    operation = staticmethod(n1.MICROCODE.operation)

    def definitions(self, immediates: tuple[int, ...], bodies: Sequence[Body]) -> list[Instruction]:
        return [
            n1.Program(number=number, immediates=immediates, micros=body)
            for number, body in enumerate(bodies)
        ]

    def load(self, drawn: Drawn) -> Instruction:
        if "index" in drawn:
            return n1.Gather(**_renamed(drawn, dram="table", near="spa"))
        return n1.Lda(**_renamed(drawn, near="spa"))

    def weights(self, drawn: Drawn) -> Instruction:
        return n1.Ldw(**_renamed(drawn, near="spw"))

    def product(self, drawn: Drawn) -> Instruction:
        return n1.Mxu(**drawn)

    def vector(self, number: int, body: Body, immediates: tuple[int, ...], drawn: Drawn) -> Instruction:
        return n1.Vec(**{**drawn, "number": number, "streams": tuple(n1.View(**v) for v in drawn["streams"])})

    def store(self, drawn: Drawn) -> Instruction:
        return n1.Sto(**_renamed(drawn, near="spa"))


class F1:
    """f1: elementwise instructions bring their program, two programs are instructions of their own."""

    gathers = False
    operation = staticmethod(f1.MICROCODE.operation)

    def definitions(self, immediates: tuple[int, ...], bodies: Sequence[Body]) -> list[Instruction]:
        return []

    def load(self, drawn: Drawn) -> Instruction:
        return f1.Load(**drawn)

    def weights(self, drawn: Drawn) -> Instruction:
        return f1.Weights(**drawn)

    def product(self, drawn: Drawn) -> Instruction:
        fields = {name: value for name, value in drawn.items() if name != "mapping"}
        return f1.Conv(**(fields | {"c": 4 * drawn["c"], "pitch": 4 * drawn["pitch"]}))

    def vector(self, number: int, body: Body, immediates: tuple[int, ...], drawn: Drawn) -> Instruction:
        streams = tuple(f1.View(**{**view, "base": _bytes(view)}) for view in drawn["streams"])
        fields = {**drawn, "streams": streams}
        name = [*f1.MICRO_OPS][body[0].op]
        if len(body) == 1 and name == "mul" and drawn["combine"] == 1:
            del fields["combine"]
            return f1.Depthwise(**fields)
        if len(body) == 1 and name == "copy" and drawn["combine"]:
            return f1.Pool(**fields)
        return f1.Elementwise(**fields, immediates=immediates, micros=body)

    def store(self, drawn: Drawn) -> Instruction:
        return f1.Save(**drawn)


DIALECTS: Mapping[str, Dialect] = {"n1": N1(), "f1": F1()}
"""By family."""


def _renamed(drawn: Drawn, **names: str) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in drawn.items()}


def _bytes(view: Drawn) -> int:
    """The base of a view in bytes."""
    return int(view["base"]) * (4 if f1.MEMORIES[view["memory"]] == "psum" else 1)
