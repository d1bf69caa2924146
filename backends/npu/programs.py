"""Vector programs in words: what code generation and tests write, and what a decoded program is."""

import numpy as np

from ...runtime.sim.vectors import Source, Step
from .isa import Micro, Program, Vec
from .micro import MICRO_OPS, SOURCES, TYPES, VALUE_TYPES

_OPS = tuple(MICRO_OPS)
MOST_STREAMS = Vec.groups[0].most


def register(number: int) -> Source:
    """What an earlier operation left in a register."""
    return Source("register", number)


def stream(number: int) -> Source:
    """The current element of a source stream, from 1 on."""
    return Source("stream", number)


def immediate(number: int) -> Source:
    """One of the program's immediates."""
    return Source("immediate", number)


def operation(name: str, dst: int, *sources: Source, type: str = "i32", to: str = "i32") -> Micro:
    """register `dst` = name(sources...), computed in `type`; ValueError for a wrong number of sources or type."""
    op = MICRO_OPS[name]
    if len(sources) != op.arity or type not in op.types:
        raise ValueError(
            f"{name} takes {op.arity} sources of {' or '.join(op.types)}, got {len(sources)} of {type}"
        )
    fields: dict[str, int] = {}
    for letter, source in zip("abcde", sources):
        fields |= {f"{letter}_from": SOURCES.index(source.kind), letter: source.number}
    return Micro(op=_OPS.index(name), type=VALUE_TYPES.index(type), to=TYPES.index(to), dst=dst, **fields)


def bits(value: float | int) -> int:
    """An immediate's 32 bits: a float as f32, an int as i32."""
    return int(np.float32(value).view(np.int32)) if isinstance(value, float) else int(value)


def steps(program: Program) -> tuple[Step, ...]:
    """A program's operations, sources in order."""
    found = []
    for micro in program.micros:
        name = _OPS[micro.op]
        kinds = (micro.a_from, micro.b_from, micro.c_from, micro.d_from, micro.e_from)
        numbers = (micro.a, micro.b, micro.c, micro.d, micro.e)
        sources = tuple(Source(SOURCES[kind], number) for kind, number in zip(kinds, numbers))
        found.append(
            Step(name, VALUE_TYPES[micro.type], TYPES[micro.to], micro.dst, sources[: MICRO_OPS[name].arity])
        )
    return tuple(found)


def faults(program: Program) -> list[str]:
    """What is wrong with a program: sources that are not there, registers that are read before they are written or
    hold another type than the operation's."""
    found = []
    held: dict[int, str] = {}
    if not program.micros:
        found.append("it has no operations")
    for number, step in enumerate(steps(program)):
        where = f"operation {number}, {step.name}"
        op = MICRO_OPS[step.name]
        if step.type not in op.types:
            found.append(f"{where}, computes in {step.type}, expected {' or '.join(op.types)}")
        for position, source in enumerate(step.sources):
            found += [f"{where}, {fault}" for fault in _source_faults(program, step, position, source, held)]
        held[step.dst] = result_type(step)
    return found


def result_type(step: Step) -> str:
    """i32, f32 or i64; of a lookup "", since the table says."""
    if step.name == "lookup":
        return ""
    result = MICRO_OPS[step.name].result
    if result == "to":
        return {"f32": "f32", "bf16": "f32", "i64": "i64"}.get(step.to, "i32")
    return result or step.type


def _source_faults(
    program: Program, step: Step, position: int, source: Source, held: dict[int, str]
) -> list[str]:
    wanted = "i32" if position == 0 and step.name in ("where", "lookup") else step.type
    if source.kind == "immediate" and source.number >= len(program.immediates):
        return [f"reads immediate {source.number} of {len(program.immediates)}"]
    if source.kind == "stream" and not 1 <= source.number < MOST_STREAMS:
        return [f"reads stream {source.number}, expected 1 to {MOST_STREAMS - 1}"]
    if source.kind == "none":
        return [f"lacks operand {'abcde'[position]}"]
    if source.kind == "register" and source.number not in held:
        return [f"reads register {source.number} before anything is written to it"]
    if source.kind == "register" and held[source.number] not in (wanted, ""):
        return [f"reads register {source.number} as {wanted}, which holds {held[source.number]}"]
    return []
