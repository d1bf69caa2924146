"""A hand-written program for the CPU: two dependent parallel steps with a barrier between them, as the emitter has it.

h = relu(x + c) goes to the arena; y[i] = 2 * h[n - 1 - i] reads what other threads wrote, so a missing barrier or a
missing chunk shows in the values.
"""

from collections.abc import Callable

import llvmlite.binding as llvm
import numpy as np
import pytest

from isthmus.backends.cpu import link, pool_ir
from isthmus.runtime import Artefact, DeviceProgram, Manifest, Port, Program, Segment, Slot

N, CHUNK = 4096, 64
TRIPLE = "x86_64-unknown-linux-gnu"


def object_code(text: str, triple: str = TRIPLE) -> bytes:
    """An ELF object from IR text, as the emitter makes it."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    module = llvm.parse_assembly(text)
    module.verify()
    machine = llvm.Target.from_triple(triple).create_target_machine(
        cpu="", features="", opt=2, reloc="pic", codemodel="small"
    )
    return machine.emit_object(module)


def _step(name: str, counter: int, body: str) -> str:
    """Threads take chunks of CHUNK elements until none is left."""
    return f"""
define internal void @{name}(ptr %context) nounwind {{
entry:
  %table.at = load ptr, ptr %context
  %constants = load ptr, ptr %table.at
  %arena.at = getelementptr ptr, ptr %table.at, i64 1
  %arena = load ptr, ptr %arena.at
  %x.at = getelementptr ptr, ptr %table.at, i64 2
  %x = load ptr, ptr %x.at
  %y.at = getelementptr ptr, ptr %table.at, i64 3
  %y = load ptr, ptr %y.at
  %counters.at = getelementptr i8, ptr %context, i64 8
  %counters = load ptr, ptr %counters.at
  %counter = getelementptr i64, ptr %counters, i64 {counter}
  br label %take
take:
  %chunk = atomicrmw add ptr %counter, i64 1 monotonic
  %some = icmp slt i64 %chunk, {N // CHUNK}
  br i1 %some, label %begin, label %done
begin:
  %first = mul i64 %chunk, {CHUNK}
  %end = add i64 %first, {CHUNK}
  br label %loop
loop:
  %i = phi i64 [ %first, %begin ], [ %next, %loop ]
{body}
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %end
  br i1 %more, label %loop, label %take
done:
  ret void
}}
"""


_RELU = """
  %x.i = getelementptr float, ptr %x, i64 %i
  %c.i = getelementptr float, ptr %constants, i64 %i
  %h.i = getelementptr float, ptr %arena, i64 %i
  %a = load float, ptr %x.i, align 4
  %b = load float, ptr %c.i, align 4
  %s = fadd float %a, %b
  %positive = fcmp ogt float %s, 0.0
  %r = select i1 %positive, float %s, float 0.0
  store float %r, ptr %h.i, align 4
"""
_MIRROR = f"""
  %j = sub i64 {N - 1}, %i
  %h.j = getelementptr float, ptr %arena, i64 %j
  %y.i = getelementptr float, ptr %y, i64 %i
  %h = load float, ptr %h.j, align 4
  %t = fmul float %h, 2.0
  store float %t, ptr %y.i, align 4
"""


def sample_ir(machine: str = "x86-64") -> str:
    """The module: `segment_0` runs both steps and keeps the clock, `pool_ir` and a barrier come with it."""
    clocked = "\n".join(
        f"""
{"call void @isthmus_barrier(ptr %context)" if number else ""}
  {f"call void @{name}(ptr %context)" if name else ""}
  call void @tick(ptr %context, i64 %thread, i64 {number})
"""
        for number, name in enumerate(["", "relu", "mirror"])
    )
    return f"""
{pool_ir.barrier_ir(machine)}
{pool_ir.pool_ir(machine)}
declare i64 @llvm.readcyclecounter()
{_step("relu", 0, _RELU)}
{_step("mirror", 1, _MIRROR)}
define internal void @tick(ptr %context, i64 %thread, i64 %cell) nounwind {{
entry:
  %clock.at = getelementptr i8, ptr %context, i64 40
  %clock = load ptr, ptr %clock.at
  %off = icmp eq ptr %clock, null
  %other = icmp ne i64 %thread, 0
  %skip = or i1 %off, %other
  br i1 %skip, label %done, label %store
store:
  %now = call i64 @llvm.readcyclecounter()
  %at = getelementptr i64, ptr %clock, i64 %cell
  store i64 %now, ptr %at
  br label %done
done:
  ret void
}}
define hidden void @segment_0(ptr %context, i64 %thread) nounwind {{
{clocked}
  ret void
}}
"""


@pytest.fixture(scope="session")
def compile_ir() -> Callable[..., bytes]:
    """`object_code`, for the tests."""
    return object_code


@pytest.fixture(scope="session")
def sample_object() -> bytes:
    """The sample as an object file."""
    return object_code(sample_ir())


@pytest.fixture(scope="session")
def sample_output() -> Callable[[np.ndarray], np.ndarray]:
    """What the sample computes."""

    def output(x: np.ndarray) -> np.ndarray:
        return 2 * np.maximum(x + np.linspace(-1, 1, N, dtype=np.float32), 0)[::-1]

    return output


@pytest.fixture
def x() -> np.ndarray:
    """An input of the sample."""
    return np.random.default_rng(7).standard_normal(N).astype(np.float32)


@pytest.fixture(scope="session")
def sample_artefact(sample_object: bytes) -> Callable[..., Artefact]:
    """Makes the sample's package; keywords replace facts about the code."""

    def make(**facts: object) -> Artefact:
        image = link.link([sample_object], ["segment_0", *pool_ir.POOL_EXPORTS])
        described = link.describe(
            image,
            ["segment_0"],
            triple=TRIPLE,
            cpu="x86-64",
            features=["sse2"],
            arena=4 * N,
            counters=2,
            steps=[["relu", "mirror"]],
        )
        program = Program(
            slots=(Slot("x", "f32", (N,), "input"), Slot("y", "f32", (N,), "output")),
            steps=(Segment("cpu", 0, ("x", "y"), ("y",), name="all", sources=("m.onnx:Relu_0",)),),
            devices=(DeviceProgram("cpu", "cpu/code", "cpu/constants", {**described.to_meta(), **facts}),),
            inputs=(Port("x", "x", "f32", (N,)),),
            outputs=(Port("y", "y", "f32", (N,)),),
        )
        constants = np.linspace(-1, 1, N, dtype=np.float32)
        return Artefact(
            Manifest("0.1.0", model="sample.onnx", target="cpu"),
            program,
            {"cpu/code": image.code, "cpu/constants": constants},
        )

    return make
