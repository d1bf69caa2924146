"""The multiply-add peak of one core: a loop of fused multiply-adds on registers alone, written in LLVM IR."""

import ctypes
import time

import llvmlite.binding as llvm
import numpy as np

from isthmus.backends.cpu import codegen, machine

CHAINS = 20  # independent accumulators: more than latency times issue width, fewer than there are registers
TURNS = 4000


class Peak:
    """Call it for GFLOP/s, the best of a few measurements of some 20 microseconds each."""

    def __init__(self) -> None:
        host = machine.host()
        self.lanes = host.lanes
        chains = min(CHAINS, host.registers - 4)
        self.flops = 2 * self.lanes * chains * TURNS
        codegen.target_machine(host)
        module = llvm.parse_assembly(_text(self.lanes, chains))
        self._engine = llvm.create_mcjit_compiler(module, codegen.target_machine(host))
        self._engine.finalize_object()
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
        self._run = kind(self._engine.get_function_address("peak"))
        self._out = np.zeros(chains * self.lanes + 16, np.float32)

    def __call__(self, repeats: int = 20) -> float:
        best = float("inf")
        for _ in range(repeats):
            start = time.perf_counter()
            self._run(self._out.ctypes.data, TURNS)
            best = min(best, time.perf_counter() - start)
        return self.flops / best / 1e9


def _text(lanes: int, chains: int) -> str:
    vector = f"<{lanes} x float>"
    fma = f"@llvm.fma.v{lanes}f32"
    factor, addend = "splat (float 0x3FEFFFFFE0000000)", "splat (float 1.0)"
    phis = "\n".join(
        f"%a{n} = phi {vector} [ zeroinitializer, %entry ], [ %b{n}, %loop ]" for n in range(chains)
    )
    body = "\n".join(
        f"%b{n} = call {vector} {fma}({vector} %a{n}, {vector} {factor}, {vector} {addend})"
        for n in range(chains)
    )
    stores = "\n".join(
        f"%s{n} = getelementptr i8, ptr %out, i64 {n * lanes * 4}\nstore {vector} %b{n}, ptr %s{n}, align 4"
        for n in range(chains)
    )
    return f"""
define void @peak(ptr %out, i64 %n) {{
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
declare {vector} {fma}({vector}, {vector}, {vector})
"""
