"""What this machine's CPU can do, as the kernel tells it, in LLVM's names: checked before a package's code is run."""

import platform
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from ...runtime.errors import DeviceError
from . import native
from .pool_ir import machine_of

_CPUINFO = Path("/proc/cpuinfo")
# Where the kernel's name, freed of punctuation, differs from LLVM's; by machine.
_KERNEL_NAMES = {
    "x86-64": {
        "64bit": "lm",
        "bmi": "bmi1",
        "crc32": "sse42",
        "lzcnt": "abm",
        "pclmul": "pclmulqdq",
        "prfchw": "3dnowprefetch",
        "rdrnd": "rdrand",
        "sahf": "lahflm",
        "sha": "shani",
        "sse3": "pni",
        "x87": "fpu",
    },
    "aarch64": {
        "aes": "aes",
        "dotprod": "asimddp",
        "fp-armv8": "fp",
        "fullfp16": "asimdhp",
        "lse": "atomics",
        "neon": "asimd",
        "rdm": "asimdrdm",
    },
}
# Features of LLVM that ordinary code never comes to use by itself (system, debugging and enclave instructions,
# assembler modes; avx10.1 names old ones anew): the kernel lists not all of them, and no package depends on them.
_UNUSED = frozenset({
    "avx10.1", "cldemote", "clflushopt", "clwb", "clzero", "enqcmd", "evex512", "fsgsbase", "hreset",
    "invpcid", "kl", "lwp", "movdir64b", "movdiri", "mwaitx", "pconfig", "pku", "prefetchi", "ptwrite",
    "rdpid", "rdpru", "rdrnd", "rdseed", "rtm", "serialize", "sgx", "shstk", "tsxldtrk", "uintr", "usermsr",
    "waitpkg", "wbnoinvd", "widekl", "xsave", "xsavec", "xsaveopt", "xsaves",
})  # fmt: skip

_ARCH_REQ_XCOMP_PERM, _XFEATURE_XTILEDATA = 0x1023, 18  # Linux, Documentation/arch/x86/xstate.rst
_SYS_ARCH_PRCTL = 158


def check(triple: str, features: Iterable[str], location: str) -> None:
    """DeviceError unless this machine has the architecture of `triple` and all `features` (LLVM's names)."""
    wanted, here = machine_of(triple), machine_of(platform.machine())
    if wanted != here:
        raise DeviceError(
            f"compiled for {wanted}, this machine is {here}",
            location=location,
            hint="recompile the model for it",
        )
    needed = sorted(set(features) - _UNUSED)
    missing = [name for name in needed if not has(name)]
    if missing:
        raise DeviceError(
            f"compiled for CPU features that this machine lacks: {', '.join(missing)}",
            location=location,
            hint="recompile the model on this machine, or for fewer features",
        )
    if any(name.startswith("amx") for name in needed):
        _permit_tiles(location)


def has(feature: str) -> bool:
    """Whether every core has a feature, by LLVM's name."""
    names = _KERNEL_NAMES.get(machine_of(platform.machine()), {})
    return names.get(feature, _plain(feature)) in _flags()


@cache
def _flags() -> frozenset[str]:
    try:
        text = _CPUINFO.read_text()
    except OSError as error:
        raise DeviceError(
            f"can't tell this machine's CPU features: {error}", location="cpu", hint="mount /proc"
        ) from None
    lines = re.findall(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return frozenset.intersection(*[frozenset(map(_plain, line.split())) for line in lines] or [frozenset()])


def _plain(name: str) -> str:
    return re.sub(r"[-_.]", "", name.lower())


@cache
def _permit_tiles(location: str) -> None:
    """The kernel gives a process AMX's 8 KiB of tile registers on request only."""
    if native.libc().syscall(_SYS_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XFEATURE_XTILEDATA):
        raise DeviceError(
            "the kernel does not let this process use AMX tiles",
            location=location,
            hint="recompile without amx",
        )
