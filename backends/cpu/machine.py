"""What the emitter needs to know of the machine: triple, CPU name, features, vector lanes."""

from functools import lru_cache
from pathlib import Path

import llvmlite.binding as llvm

from ...compiler.diagnostics import CompileError
from ...runtime.records import dataclass

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS = {"K": 1 << 10, "M": 1 << 20}
FUSING = frozenset({"fma", "avx512f", "neon", "fp-armv8"})
"""Features with which one instruction multiplies and adds with one rounding."""


@dataclass(frozen=True)
class Machine:
    """A CPU to emit for. `features` are LLVM feature names without sign; `lanes` counts f32 in a vector register.

    `caches`: bytes of its data caches by level, where they are known.
    """

    triple: str
    cpu: str
    features: frozenset[str]
    caches: tuple[tuple[int, int], ...] = ()

    @property
    def lanes(self) -> int:
        if "avx512f" in self.features:
            return 16
        return 8 if "avx2" in self.features else 4

    @property
    def registers(self) -> int:
        """Number of vector registers."""
        arm = self.triple.startswith(("aarch64", "arm64"))
        return 32 if arm or "avx512f" in self.features else 16

    @property
    def converts_f16(self) -> bool:
        """Whether f16 converts to f32 and back in hardware."""
        return bool(self.features & {"f16c", "avx512f"}) or self.triple.startswith(("aarch64", "arm64"))

    @property
    def fuses(self) -> bool:
        """Whether one instruction multiplies and adds with one rounding."""
        return bool(self.features & FUSING)

    @property
    def multiplies_bf16_fully(self) -> bool:
        """Whether pairs of bf16 are multiplied at the rate of single f32 values, as AMD's cores do; Intel's take twice
        as long. SSE4a tells whose a core is, whatever a hypervisor says of its name."""
        return {"avx512bf16", "sse4a"} <= self.features

    @property
    def halves(self) -> bool:
        """Whether a vector of 512 bits takes two passes through the units, as on AMD's Zen 4: no core of Zen 5, which
        has whole units, lacks VP2INTERSECT."""
        return {"avx512f", "sse4a"} <= self.features and "avx512vp2intersect" not in self.features

    @property
    def feature_string(self) -> str:
        """The features as LLVM's target machine takes them."""
        return ",".join(f"+{name}" for name in sorted(self.features))


_BASELINE = frozenset({"cx8", "fxsr", "mmx", "sse", "sse2", "x87", "64bit"})
_AVX2 = _BASELINE | {
    "sse3", "ssse3", "sse4.1", "sse4.2", "popcnt", "cx16", "sahf", "avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt",
    "movbe", "xsave",
}  # fmt: skip
_AVX512 = _AVX2 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "evex512"}
_AMX = _AVX512 | {
    "avx512vnni", "avx512bf16", "avx512fp16", "avx512vbmi", "avxvnni", "amx-tile", "amx-int8", "amx-bf16",
}  # fmt: skip
LEVELS: dict[str, tuple[str, frozenset[str]]] = {
    "x86-64": ("x86-64", _BASELINE),
    "avx2": ("haswell", _AVX2),
    "avx512": ("haswell", _AVX512),
    "amx": ("sapphirerapids", _AMX),
}
"""Named feature levels that a build may be pinned to instead of the host's."""


def host() -> Machine:
    """The machine this process runs on.

    Hypervisors report wrong CPU names, and LLVM's scheduling model follows the name: with those of servers before AMX,
    of Rocket Lake and of Zen 4, tiles that use nearly all 32 registers spill half of them, with Haswell's they do not.
    So the name is derived from the features, which are all listed besides.
    """
    triple = llvm.get_default_triple()
    if not triple.startswith("x86_64"):
        features = frozenset(_enabled(llvm.get_host_cpu_features()))
        return Machine(triple, llvm.get_host_cpu_name(), features, data_caches())
    features = frozenset(_enabled(llvm.get_host_cpu_features()))
    if {"amx-tile", "avx512fp16"} <= features:
        cpu = "sapphirerapids"
    else:
        cpu = "haswell" if "avx2" in features else "x86-64"
    return Machine(triple, cpu, features, data_caches())


def data_caches(folder: Path = CACHES) -> tuple[tuple[int, int], ...]:
    """Level and bytes of each cache that Linux lists for a core's data; what isn't told so is left out."""
    found: dict[int, int] = {}
    for index in sorted(folder.glob("index*")):
        try:
            level, kind, size = (index.joinpath(n).read_text().strip() for n in ("level", "type", "size"))
        except OSError:
            continue
        if kind != "Instruction" and level.isdigit() and size[:-1].isdigit() and size[-1:] in _UNITS:
            found[int(level)] = int(size[:-1]) * _UNITS[size[-1]]
    return tuple(sorted(found.items()))


def _enabled(features: dict[str, bool]) -> list[str]:
    return [name for name, on in features.items() if on]


@lru_cache(maxsize=8)
def select(level: str | None, triple: str | None) -> Machine:
    """The host, a named level of its architecture or of another triple's, or the generic CPU of another triple.

    Raises:
        CompileError: a level or a triple that is not known, a level of another architecture.
    """
    if triple is None and level in (None, "host"):
        return host()
    triple = triple or llvm.get_default_triple()
    x86 = triple.startswith("x86_64")
    _check_triple(triple)
    if level is None:
        return Machine(triple, "x86-64" if x86 else "generic", _generic(triple))
    if level not in LEVELS or not x86:
        levels = f"host, {', '.join(LEVELS)}" if x86 else f"none for {triple}: leave it out"
        raise CompileError(f"unknown CPU level '{level}'", hint=f"the levels are: {levels}")
    cpu, features = LEVELS[level]
    return Machine(triple, cpu, features)


def _check_triple(triple: str) -> None:
    llvm.initialize_all_targets()
    try:
        llvm.Target.from_triple(triple)
    except RuntimeError:
        hint = "give one such as aarch64-unknown-linux-gnu"
        raise CompileError(f"LLVM knows no triple '{triple}'", hint=hint) from None


def _generic(triple: str) -> frozenset[str]:
    return (
        _BASELINE
        if triple.startswith("x86_64")
        else frozenset({"neon"} if triple.startswith("aarch64") else ())
    )
