"""C text around a model's machine code: a header, the function that lays out buffers and calls the segments, a main.

The text is C11 for gcc and clang on ELF systems. It does what `device` and the executor do, with one thread: one block
of memory a call (barrier, counters, arrays, arena), kept for the next call.
"""

import math
import re
from collections.abc import Iterable, Sequence

from ...runtime.program import Port, Program, Segment, Slot
from ...runtime.records import dataclass
from . import abi
from .abi import CodeFacts

C_TYPES = {
    "f64": "double",
    "f32": "float",
    "f16": "uint16_t",
    "bf16": "uint16_t",
    "bool": "uint8_t",
    **{f"i{bits}": f"int{bits}_t" for bits in (8, 16, 32, 64)},
    **{f"u{bits}": f"uint{bits}_t" for bits in (8, 16, 32, 64)},
}
_SIZES = {"double": 8, "float": 4}
_KEYWORDS = frozenset({
    "auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else", "enum",
    "extern", "float", "for", "goto", "if", "inline", "int", "long", "register", "restrict", "return",
    "short", "signed", "sizeof", "static", "struct", "switch", "typedef", "union", "unsigned", "void",
    "volatile", "while", "main",
})  # fmt: skip
# Names that every gcc and clang in use knows in __builtin_cpu_supports.
_CHECKABLE = (
    "sse3", "ssse3", "sse4.1", "sse4.2", "popcnt", "avx", "avx2", "bmi", "bmi2", "fma", "avx512f",
    "avx512cd", "avx512bw", "avx512dq", "avx512vl",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Unit:
    """What the text is made from: identifier, program, code facts, symbols of the segments, file of each constants
    entry (as the assembler finds it)."""

    name: str
    program: Program
    facts: CodeFacts
    segments: Sequence[str]
    constants: dict[str, str]

    @property
    def slots(self) -> dict[str, Slot]:
        return {slot.name: slot for slot in self.program.slots}


def identifier(text: str, taken: Iterable[str] = ()) -> str:
    """`text` as a C identifier that differs from `taken`."""
    name = re.sub(r"\W", "_", text, flags=re.ASCII) or "_"
    if name[0].isdigit() or name in _KEYWORDS:
        name = f"_{name}"
    number, unique = 2, name
    while unique in taken:
        unique, number = f"{name}_{number}", number + 1
    return unique


def parameters(unit: Unit) -> list[tuple[Port, str, str]]:
    """Port, C type and parameter name, inputs first."""
    names: list[str] = []
    found = []
    for port in (*unit.program.inputs, *unit.program.outputs):
        names.append(identifier(port.name, names))
        constant = "const " if len(names) <= len(unit.program.inputs) else ""
        found.append((port, f"{constant}{C_TYPES[port.dtype]} *", names[-1]))
    return found


def header(unit: Unit) -> str:
    """The public header."""
    lines = [f"   {name}: {_type(port)}" for port, _, name in parameters(unit)]
    inputs, outputs = lines[: len(unit.program.inputs)], lines[len(unit.program.inputs) :]
    listing = "\n".join(["   Inputs:", *inputs, "   Outputs:", *outputs])
    guard = f"{unit.name.upper()}_H"
    return f"""#ifndef {guard}
#define {guard}

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

/* Runs the model on the calling thread; calls may overlap. Arrays are dense and row-major, at any address that suits
   their type; an output must not overlap another array.

{listing}

   Returns 0, 1 when memory is short, 2 when this CPU lacks a feature that the code needs. */
{_prototype(unit)};

#ifdef __cplusplus
}}
#endif
#endif
"""


def wrapper(unit: Unit) -> str:
    """The definition of NAME_run, with the constants."""
    layout = _Layout(unit)
    symbols = "".join(f"void {name}(void *context, int64_t thread);\n" for name in unit.segments)
    blobs = "".join(_blob(layout.blobs[entry], file) for entry, file in unit.constants.items())
    calls = "".join(_call(unit, layout, step) for step in unit.program.steps if isinstance(step, Segment))
    copies = "".join(_copy(unit, layout, port) for port in unit.program.outputs)
    tiles = any(feature.startswith("amx") for feature in unit.facts.features)
    return f"""#define _GNU_SOURCE
#include "{unit.name}.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
{"#include <sys/syscall.h>" if tiles else ""}
{"#include <unistd.h>" if tiles else ""}

{symbols}
{blobs}
enum {{ COUNTERS = {abi.BARRIER_BYTES}, SIZE = {layout.size} }};

/* The block of the last call that ended, all zero when it was new: the code relies on parts of the arena to stay so. */
static _Atomic(unsigned char *) idle;

static int can_run(void) {{
{_feature_test(unit.facts)}
{"  if (syscall(SYS_arch_prctl, 0x1023, 18)) return 0; /* leave to use the tile registers */" if tiles else ""}
  return 1;
}}

__attribute__((visibility("default"))) {_prototype(unit)} {{
  unsigned char *block = atomic_exchange(&idle, NULL);
  if (!block) {{
    if (!can_run()) return 2;
    block = aligned_alloc({abi.ALIGNMENT}, SIZE);
    if (!block) return 1;
    memset(block, 0, SIZE);
  }}
{calls}{copies}  free(atomic_exchange(&idle, block));
  return 0;
}}
"""


def main(unit: Unit) -> str:
    """A program that reads each input from a raw file and writes each output to one."""
    ports = parameters(unit)
    count = len(unit.program.inputs)
    usage = " ".join(f"{name}.{'in' if i < count else 'out'}" for i, (_, _, name) in enumerate(ports))
    table = "".join(f'  {{"{name}", {_bytes(port)}u}}, /* {_type(port)} */\n' for port, _, name in ports)
    arguments = ", ".join(f"arrays[{i}]" for i in range(len(ports)))
    return f"""#include "{unit.name}.h"

#include <stdio.h>
#include <stdlib.h>

static const struct {{ const char *name; size_t size; }} ports[] = {{
{table}}};
enum {{ INPUTS = {count}, PORTS = {len(ports)} }};

int main(int argc, char **argv) {{
  void *arrays[PORTS];
  if (argc != PORTS + 1) {{
    fprintf(stderr, "usage: %s {usage}\\n", argv[0]);
    return 1;
  }}
  for (int i = 0; i < PORTS; i++) {{
    arrays[i] = aligned_alloc({abi.ALIGNMENT}, ports[i].size / {abi.ALIGNMENT} * {abi.ALIGNMENT} + {abi.ALIGNMENT});
    if (!arrays[i]) {{
      fprintf(stderr, "%s: no memory for %zu bytes\\n", ports[i].name, ports[i].size);
      return 1;
    }}
    if (i >= INPUTS) continue;
    FILE *file = fopen(argv[i + 1], "rb");
    if (!file || fread(arrays[i], 1, ports[i].size, file) != ports[i].size || fgetc(file) != EOF) {{
      fprintf(stderr, "%s: expected %zu bytes for input '%s'\\n", argv[i + 1], ports[i].size, ports[i].name);
      return 1;
    }}
    fclose(file);
  }}
  int status = {unit.name}_run({arguments});
  if (status) {{
    fprintf(stderr, status == 1 ? "out of memory\\n" : "this CPU lacks features that the model was compiled for\\n");
    return 1;
  }}
  for (int i = INPUTS; i < PORTS; i++) {{
    FILE *file = fopen(argv[i + 1], "wb");
    size_t written = file ? fwrite(arrays[i], 1, ports[i].size, file) : 0;
    if (!file || fclose(file) || written != ports[i].size) {{
      fprintf(stderr, "%s: can't be written\\n", argv[i + 1]);
      return 1;
    }}
  }}
  return 0;
}}
"""


class _Layout:
    """Offsets in the block: barrier, counters, arrays between segments, arena; and the C expression of each slot."""

    def __init__(self, unit: Unit):
        self.blobs = {entry: f"{unit.name}_constants_{i}" for i, entry in enumerate(unit.constants)}
        end = abi.BARRIER_BYTES + _align(abi.COUNTER_BYTES * unit.facts.counters)
        given = {port.slot: name for port, _, name in parameters(unit)[: len(unit.program.inputs)]}
        results = parameters(unit)[len(unit.program.inputs) :]
        written = {name for step in unit.program.steps if isinstance(step, Segment) for name in step.writes}
        self.own: dict[str, str] = {}  # slot -> the output parameter that it is computed into
        for port, _, name in results:
            if port.slot in written and unit.slots[port.slot].place in ("output", "host"):
                self.own.setdefault(port.slot, name)
        expressions: dict[str, str] = {slot: f"(void *){name}" for slot, name in given.items()} | self.own
        for slot in unit.program.slots:
            if slot.name in expressions or slot.place not in ("output", "host"):
                continue
            expressions[slot.name] = f"block + {end}"
            end += _align(_bytes(slot))
        self.arena = f"block + {end}"
        self.size = end + _align(unit.facts.arena)
        device = unit.program.devices[0]
        self.constants = f"(void *){self.blobs[device.constants]}" if device.constants else "0"
        for slot in unit.program.slots:
            if slot.place == "constant":
                expressions[slot.name] = (
                    f"(void *)({self.blobs[slot.entry or device.constants]} + {slot.offset})"
                )
            elif slot.place == "arena":
                expressions[slot.name] = f"{self.arena} + {slot.offset}"
        self.expressions = expressions


def _call(unit: Unit, layout: _Layout, step: Segment) -> str:
    table = [layout.constants, layout.arena, *(layout.expressions[name] for name in step.buffers)]
    fields = ["0"] * (abi.CONTEXT_BYTES // 8)
    fields[abi.BUFFERS // 8] = "(int64_t)table"
    fields[abi.COUNTERS // 8] = "(int64_t)(block + COUNTERS)"
    fields[abi.BARRIER // 8] = "(int64_t)block"
    fields[abi.THREADS // 8] = "1"
    fields[abi.YIELD // 8] = "(int64_t)sched_yield"
    return f"""  {{
    void *table[] = {{{", ".join(table)}}};
    int64_t context[] = {{{", ".join(fields)}}};
    memset(block + COUNTERS, 0, {abi.COUNTER_BYTES * unit.facts.counters});
    {unit.segments[step.entry]}(context, 0);
  }}
"""


def _copy(unit: Unit, layout: _Layout, port: Port) -> str:
    name = next(name for other, _, name in parameters(unit)[len(unit.program.inputs) :] if other is port)
    if layout.own.get(port.slot) == name:
        return ""
    return f"  memcpy({name}, {layout.expressions[port.slot]}, {_bytes(port)});\n"


def _blob(symbol: str, file: str) -> str:
    """Constants as read-only data, by the assembler: a compiler would need minutes and gigabytes for an array."""
    return f"""__asm__(".pushsection .rodata\\n.balign {abi.ALIGNMENT}\\n.local {symbol}\\n{symbol}:\\n"
        ".incbin \\"{file}\\"\\n.byte 0\\n.popsection\\n");
extern const unsigned char {symbol}[] __attribute__((visibility("hidden")));
"""


def _feature_test(facts: CodeFacts) -> str:
    if facts.machine != "x86-64":
        return ""
    return "\n".join(
        f'  if (!__builtin_cpu_supports("{name}")) return 0;' for name in _CHECKABLE if name in facts.features
    )


def _prototype(unit: Unit) -> str:
    arguments = ", ".join(f"{kind}{name}" for _, kind, name in parameters(unit))
    return f"int {unit.name}_run({arguments or 'void'})"


def _type(port: Port) -> str:
    return f"{port.dtype}[{', '.join(map(str, port.shape or ()))}]"


def _bytes(item: Port | Slot) -> int:
    kind = C_TYPES[item.dtype]
    size = _SIZES.get(kind) or int(re.findall(r"\d+", kind)[0]) // 8
    return math.prod(int(dim) for dim in item.shape or ()) * size


def _align(size: int) -> int:
    return -(-size // abi.ALIGNMENT) * abi.ALIGNMENT
