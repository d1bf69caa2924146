"""What one core of this machine can do at best, measured: multiply-adds on registers alone, and reading from memory."""

import ctypes
import time
from dataclasses import replace

import llvmlite.binding as llvm
import numpy as np

from ...runtime.records import dataclass
from . import codegen, machine

CHAINS = 20  # independent accumulators: more than latency times issue width, fewer than there are registers
TURNS = 40_000  # enough that calling from Python, a microsecond, is little beside them
STREAM = 128 << 20  # bytes that are read: more than any cache near a core holds
REPEATS = 200  # of the multiply-adds, some 100 microseconds each


@dataclass(frozen=True)
class Peaks:
    """Of one core: `flops` a second in f32 (a multiply-add is two), `bytes` a second from memory, `hertz` of its clock.

    The clock follows from the multiply-adds if the core starts as many vectors a cycle as the chip file says.
    """

    flops: float
    bytes: float
    hertz: float

    def faster(self, flops: float) -> "Peaks":
        """These peaks, with the clock raised to what `flops` operations a second need."""
        clock = max(1.0, flops / self.flops)
        return replace(self, flops=self.flops * clock, hertz=self.hertz * clock)


def measure(issue: float) -> Peaks:
    """The peaks of the core that this thread runs on; `issue` is the vectors that it starts in a cycle."""
    peak = Peak()
    flops = peak(REPEATS)
    return Peaks(flops * 1e9, peak.stream(), flops * 1e9 / (2 * peak.lanes * issue))


class Peak:
    """Call it for GFLOP/s, the best of a few measurements of some 100 microseconds each."""

    def __init__(self) -> None:
        host = machine.host()
        self.lanes = host.lanes
        chains = min(CHAINS, host.registers - 4)
        self.flops = 2 * self.lanes * chains * TURNS
        codegen.target_machine(host)
        module = llvm.parse_assembly(_products(self.lanes, chains) + _reading(self.lanes))
        self._engine = llvm.create_mcjit_compiler(module, codegen.target_machine(host))
        self._engine.finalize_object()
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
        self._run = kind(self._engine.get_function_address("peak"))
        both = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)
        self._read = both(self._engine.get_function_address("stream"))
        self._out = np.zeros(chains * self.lanes + 16, np.float32)

    def __call__(self, repeats: int = 20) -> float:
        return self.flops / _best(lambda: self._run(self._out.ctypes.data, TURNS), repeats) / 1e9

    def stream(self, repeats: int = 6) -> float:
        """Bytes a second of reading memory in order."""
        data = np.ones(STREAM // 4, np.float32)
        address, out = data.ctypes.data, self._out.ctypes.data
        return STREAM / _best(
            lambda: self._read(address, STREAM // (_STREAMS * 4 * self.lanes), out), repeats
        )


def _best(run: object, repeats: int) -> float:
    assert callable(run)
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


_STREAMS = 8  # vectors a turn, each with a sum of its own


def _loop(name: str, parameters: str, vector: str, sums: int, body: str) -> str:
    """A function that runs `body` %n times over `sums` values %a0.. => %b0.., and stores them at %out."""
    size = int(vector[1:].split()[0]) * 4
    phis = "\n".join(
        f"%a{n} = phi {vector} [ zeroinitializer, %entry ], [ %b{n}, %loop ]" for n in range(sums)
    )
    stores = "\n".join(
        f"%s{n} = getelementptr i8, ptr %out, i64 {n * size}\nstore {vector} %b{n}, ptr %s{n}, align 4"
        for n in range(sums)
    )
    return f"""
define void @{name}({parameters}) {{
entry:
br label %loop
loop:
%i = phi i64 [ 0, %entry ], [ %next, %loop ]
{phis}
{body}
%next = add i64 %i, 1
%more = icmp ult i64 %next, %n
br i1 %more, label %loop, label %done
done:
{stores}
ret void
}}
"""


def _products(lanes: int, chains: int) -> str:
    vector = f"<{lanes} x float>"
    fma = f"@llvm.fma.v{lanes}f32"
    factor, addend = "splat (float 0x3FEFFFFFE0000000)", "splat (float 1.0)"
    body = "\n".join(
        f"%b{n} = call {vector} {fma}({vector} %a{n}, {vector} {factor}, {vector} {addend})"
        for n in range(chains)
    )
    declared = f"declare {vector} {fma}({vector}, {vector}, {vector})\n"
    return _loop("peak", "ptr %out, i64 %n", vector, chains, body) + declared


def _reading(lanes: int) -> str:
    vector = f"<{lanes} x float>"
    lines = [f"%at = mul i64 %i, {_STREAMS * lanes * 4}"]
    for n in range(_STREAMS):
        lines += [
            f"%o{n} = add i64 %at, {n * lanes * 4}",
            f"%p{n} = getelementptr i8, ptr %in, i64 %o{n}",
            f"%v{n} = load {vector}, ptr %p{n}, align 4",
            f"%b{n} = fadd {vector} %a{n}, %v{n}",
        ]
    return _loop("stream", "ptr %in, i64 %n, ptr %out", vector, _STREAMS, "\n".join(lines))
