"""Memory that holds machine code, and the C library's functions that the device needs. Linux; no compiler, no llvmlite.

Pages are written first and made executable afterwards, never both at once.
"""

import ctypes
import mmap
import os
import weakref
from functools import cache

import numpy as np

from ...runtime.errors import DeviceError

_PROT_READ, _PROT_WRITE, _PROT_EXEC = 1, 2, 4
_MAP_PRIVATE, _MAP_ANONYMOUS = 2, 0x20
_FAILED = ctypes.c_void_p(-1).value


@cache
def libc() -> ctypes.CDLL:
    """The C library of this process, with the signatures that are used here."""
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    library.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    library.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    library.sem_init.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint]
    library.pthread_create.argtypes = [ctypes.c_void_p] * 4
    library.syscall.argtypes = [ctypes.c_long] * 3
    library.syscall.restype = ctypes.c_long
    return library


def function_address(name: str) -> int:
    """Where a function of the C library lies."""
    return ctypes.cast(getattr(libc(), name), ctypes.c_void_p).value or 0


def allocate(size: int) -> int:
    """Address of `size` zero bytes on pages of their own, readable and writable, that live until `munmap`."""
    address = libc().mmap(None, size, _PROT_READ | _PROT_WRITE, _MAP_PRIVATE | _MAP_ANONYMOUS, -1, 0)
    if address in (None, _FAILED):
        raise DeviceError(
            f"no memory for {size} bytes: {os.strerror(ctypes.get_errno())}",
            location="cpu",
            hint="free some memory",
        )
    return address


class Mapping:
    """An image in executable memory; unmapped with the object. `base` is its address."""

    def __init__(
        self, code: np.ndarray, size: int, writable: int, fixups: tuple[tuple[int, int], ...], location: str
    ):
        """Map `code` (u8[n], n <= size) and protect it. Arguments as in `link.Image`; DeviceError when refused."""
        if writable < size and writable % mmap.PAGESIZE:
            raise DeviceError(
                f"the image wants pages of {writable & -writable} bytes, this machine's have {mmap.PAGESIZE}",
                location=location,
                hint="recompile the model on this machine",
            )
        self.base = allocate(max(size, 1))
        self._release = weakref.finalize(self, libc().munmap, self.base, max(size, 1))
        self._release.atexit = False  # a daemon thread may still be in it, and the process ends anyway
        ctypes.memmove(self.base, code.ctypes.data, code.size)
        for place, target in fixups:
            ctypes.c_uint64.from_address(self.base + place).value = self.base + target
        if writable and libc().mprotect(self.base, writable, _PROT_READ | _PROT_EXEC):
            raise DeviceError(
                f"the system refuses executable memory: {os.strerror(ctypes.get_errno())}",
                location=location,
                hint="allow it (SELinux: deny_execmem=0; systemd: MemoryDenyWriteExecute=no)",
            )
