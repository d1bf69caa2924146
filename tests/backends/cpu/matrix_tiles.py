"""Matrix tiles (AMX) on any machine: the operations as functions of this process, which code calls in their place.

Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2. What the processor would stop at is an error
here: a shape that is none, an operation on tiles that are not shaped for each other.
"""

import ctypes
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import ml_dtypes
import numpy as np

_TILES, _ROWS, _ROW_BYTES = 8, 16, 64
_I8, _POINTER, _I64 = ctypes.c_uint8, ctypes.c_void_p, ctypes.c_int64
_FACTORS = {
    "tdpbssd": (np.int8, np.int8),
    "tdpbsud": (np.int8, np.uint8),
    "tdpbusd": (np.uint8, np.int8),
    "tdpbuud": (np.uint8, np.uint8),
    "tdpbf16ps": (ml_dtypes.bfloat16, ml_dtypes.bfloat16),
}
_DECLARED = re.compile(r"^declare void @llvm\.x86\.((?:ld|st)tilecfg|tilezero|tile\w+64|tdp\w+)\(.*\)$", re.M)


@dataclass
class MatrixTiles:
    """The registers of one thread. `errors`: what was wrong, since a function that C code calls can't raise."""

    shape: bytes = bytes(_ROW_BYTES)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tiles = np.zeros((_TILES, _ROWS, _ROW_BYTES), np.uint8)
        products = {name: (self._product(name), (_I8, _I8, _I8)) for name in _FACTORS}
        operations: dict[str, tuple[Callable[..., None], tuple[type, ...]]] = {
            "ldtilecfg": (self._configure, (_POINTER,)),
            "sttilecfg": (self._configuration, (_POINTER,)),
            "tilezero": (self._zero, (_I8,)),
            "tileloadd64": (self._load, (_I8, _POINTER, _I64)),
            "tilestored64": (self._store, (_I8, _POINTER, _I64)),
            **products,
        }
        self._functions = {
            name: ctypes.CFUNCTYPE(None, *types)(call) for name, (call, types) in operations.items()
        }
        self._types = {name: types for name, (_, types) in operations.items()}

    def instead(self, text: str) -> str:
        """A module's text that calls these functions."""

        def define(found: re.Match[str]) -> str:
            name = found[1]
            address = ctypes.cast(self._functions[name], ctypes.c_void_p).value
            kinds = {_I8: "i8", _POINTER: "ptr", _I64: "i64"}
            types = [kinds[type] for type in self._types[name]]
            taken = ", ".join(f"{type} %{n}" for n, type in enumerate(types))
            call = f"call void inttoptr (i64 {address} to ptr)({taken})"
            return f"define internal void @emulated.{name}({taken}) noinline {{\n{call}\nret void\n}}"

        return re.sub(r"@llvm\.x86\.(?=ldtile|sttile|tile|tdp)", "@emulated.", _DECLARED.sub(define, text))

    def _wrong(self, text: str) -> None:
        self.errors.append(text)

    def _configure(self, address: int) -> None:
        shape = ctypes.string_at(address, _ROW_BYTES)
        widths, rows = np.frombuffer(shape, np.uint16, _TILES, 16), np.frombuffer(shape, np.uint8, _TILES, 48)
        fits = (rows <= _ROWS).all() and (widths <= _ROW_BYTES).all() and ((rows == 0) == (widths == 0)).all()
        rest = any(shape[1:16]) or any(shape[32:48]) or any(shape[56:])
        if shape[0] > 1 or not fits or rest or (shape[0] == 0 and any(shape)):
            self._wrong(f"no shape: {shape.hex()}")
        self.shape = shape
        self.tiles[:] = 0

    def _configuration(self, address: int) -> None:
        ctypes.memmove(address, self.shape, _ROW_BYTES)

    def _size(self, tile: int) -> tuple[int, int]:
        """Rows and bytes of a row."""
        size = self.shape[48 + tile], int.from_bytes(self.shape[16 + 2 * tile : 18 + 2 * tile], "little")
        if not self.shape[0] or not size[0]:
            self._wrong(f"tile {tile} is not shaped")
        return size

    def _zero(self, tile: int) -> None:
        self._size(tile)
        self.tiles[tile] = 0

    def _load(self, tile: int, address: int, step: int) -> None:
        rows, width = self._size(tile)
        self.tiles[tile] = 0
        for row in range(rows):
            line = ctypes.string_at(address + row * step, width)
            self.tiles[tile, row, :width] = np.frombuffer(line, np.uint8)

    def _store(self, tile: int, address: int, step: int) -> None:
        rows, width = self._size(tile)
        for row in range(rows):
            ctypes.memmove(address + row * step, self.tiles[tile, row].tobytes(), width)

    def _product(self, name: str) -> Callable[[int, int, int], None]:
        first, second = _FACTORS[name]
        wide = np.float32 if name == "tdpbf16ps" else np.int32

        def add(total: int, a: int, b: int) -> None:
            (m, n), (rows, k), (turns, columns) = self._size(total), self._size(a), self._size(b)
            if (m, n, k) != (rows, columns, 4 * turns):
                self._wrong(f"{name}: tiles {total}, {a}, {b} of {(m, n)}, {(rows, k)}, {(turns, columns)}")
            x = self.tiles[a].view(first).astype(wide).reshape(_ROWS, _ROWS, -1)
            y = self.tiles[b].view(second).astype(wide).reshape(_ROWS, _ROWS, -1)
            sums = self.tiles[total].view(wide)
            sums[:m, : n // 4] += np.einsum("mkg,kng->mn", x, y)[:m, : n // 4]

        return add
