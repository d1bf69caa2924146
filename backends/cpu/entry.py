"""The entry of a segment: all its kernels in one native function that every thread runs (SPMD).

Threads take a step's chunks, each from its own part of them first (`pool_ir.take_ir`); a barrier stands between steps.
See `abi.py` for the context.
"""

from collections.abc import Sequence
from functools import lru_cache

from ...runtime.records import dataclass
from . import abi, codegen
from .machine import Machine
from .pool_ir import barrier_ir, machine_of, pool_ir, take_ir


@dataclass(frozen=True, slots=True)
class Job:
    """A kernel function: its arguments as (buffer table index, byte offset), and its chunks."""

    function: str
    arguments: tuple[tuple[int, int], ...]
    chunks: int


@dataclass(frozen=True, slots=True)
class Step:
    """What runs between two barriers: functions that need nothing of each other, and the number of their counter."""

    jobs: tuple[Job, ...]
    counter: int


def entry_text(name: str, steps: Sequence[Step]) -> str:
    """The IR of one segment function."""
    lines = [
        f"%buffers.at = getelementptr i8, ptr %context, i64 {abi.BUFFERS}",
        "%buffers = load ptr, ptr %buffers.at, align 8",
        "%owner = alloca i64, align 8",
        f"%clock.at = getelementptr i8, ptr %context, i64 {abi.CLOCK}",
        "%clock = load ptr, ptr %clock.at, align 8",
        "%first = icmp eq i64 %thread, 0",
        "%clocked = icmp ne ptr %clock, null",
        "%ticks = and i1 %first, %clocked",
    ]
    tables = sorted({index for step in steps for job in step.jobs for index, _ in job.arguments})
    for index in tables:
        lines.append(f"%t{index}.at = getelementptr i8, ptr %buffers, i64 {8 * index}")
        lines.append(f"%t{index} = load ptr, ptr %t{index}.at, align 8")
    lines += _tick(0, "start")
    for n, step in enumerate(steps):
        lines += _step(n, step)
        lines += _tick(n + 1, f"tick{n}")
    body = "\n  ".join(lines)
    return f"define hidden void @{name}(ptr %context, i64 %thread) #0 {{\nentry:\n  {body}\n  ret void\n}}\n"


def _step(n: int, step: Step) -> list[str]:
    """Chunks are numbered through the step's functions, one after the other."""
    chunks = sum(job.chunks for job in step.jobs)
    lines = [
        "store i64 0, ptr %owner, align 8",
        f"br label %take{n}",
        f"take{n}:",
        f"%c{n} = call i64 @isthmus_take(ptr %context, i64 %thread, i64 {step.counter}, i64 {chunks}, ptr %owner)",
        f"%more{n} = icmp sge i64 %c{n}, 0",
        f"br i1 %more{n}, label %run{n}.0, label %done{n}",
    ]
    first = 0
    for number, job in enumerate(step.jobs):
        here = f"{n}.{number}"
        lines.append(f"run{here}:")
        if number < len(step.jobs) - 1:
            lines.append(f"%own{here} = icmp slt i64 %c{n}, {first + job.chunks}")
            lines.append(f"br i1 %own{here}, label %call{here}, label %run{n}.{number + 1}")
            lines.append(f"call{here}:")
        lines += [*_call(here, job, f"%c{n}", first), f"br label %take{n}"]
        first += job.chunks
    return [*lines, f"done{n}:", "call void @isthmus_barrier(ptr %context)"]


def _call(here: str, job: Job, chunk: str, first: int) -> list[str]:
    lines, pointers = [], []
    for k, (index, offset) in enumerate(job.arguments):
        if offset:
            lines.append(f"%s{here}.{k} = getelementptr i8, ptr %t{index}, i64 {offset}")
            pointers.append(f"ptr %s{here}.{k}")
        else:
            pointers.append(f"ptr %t{index}")
    if first:
        lines.append(f"%chunk{here} = sub i64 {chunk}, {first}")
        chunk = f"%chunk{here}"
    return [*lines, f"call void @{job.function}({', '.join([*pointers, f'i64 {chunk}'])})"]


def _tick(cell: int, label: str) -> list[str]:
    """Thread 0 notes its cycle counter, if a profile is taken."""
    return [
        f"br i1 %ticks, label %{label}.on, label %{label}.off",
        f"{label}.on:",
        f"%{label}.now = call i64 @llvm.readcyclecounter()",
        f"%{label}.cell = getelementptr i8, ptr %clock, i64 {8 * cell}",
        f"store i64 %{label}.now, ptr %{label}.cell, align 8",
        f"br label %{label}.off",
        f"{label}.off:",
    ]


DECLARATIONS = (
    "declare void @isthmus_barrier(ptr)",
    "declare i64 @isthmus_take(ptr, i64, i64, i64, ptr)",
    "declare i64 @llvm.readcyclecounter()",
)
"""What entries call besides their kernels."""


def support_text(machine: Machine) -> str:
    """How chunks are taken, barrier and thread pool, which every image holds."""
    name = machine_of(machine.triple)
    return take_ir() + barrier_ir(name) + pool_ir(name)


@lru_cache(maxsize=4)
def support_object(machine: Machine) -> bytes:
    """The object file of `support_text`: it never changes, so a process compiles it once."""
    return codegen.object_code(machine, codegen.module_text(machine, [support_text(machine)], ()))
