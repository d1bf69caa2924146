"""Random legal programs: tiles that are loaded, multiplied, computed on and stored, in two slots, of any shape.

They need no compiler, so that what they cost on the RTL can be recorded once; see `tests/hardware/`. What is drawn is
the same for all chips; `dialects.py` writes it as instructions.
"""

from collections.abc import Mapping
from random import Random
from typing import Any

import numpy as np

from isthmus.backends.npu.programs import immediate, register, stream
from isthmus.runtime.sim.fields import Instruction

from .assembled import ARENA
from .dialects import DIALECTS, Body, Dialect, Drawn
from .simulation import family

SLOT = 4096
"""Bytes of a slot for activations, for weights and for sums."""
OUT, TABLE, INDICES, RESULT = 0x6000, 0x9000, 0x9400, 2048
"""Where in the scratchpad of activations results lie, 2 slots of RESULT bytes, a table, and indices for gathers."""
ARENA_BYTES = 0x8000
PAIRS = {name: 1 << n for n, name in enumerate(("am", "wm", "mv", "vs", "ma", "mw", "vm", "sv"))}
"""Semaphores, full and empty, named by the first letters of n1's lda, ldw, mxu, vec and sto."""
FEATURES, SUMS, INDEX = 0, 2, 3
I8, U8, I16, I32, I64 = 0, 1, 2, 3, 6
ROWS = 24
"""Of the table that is gathered from."""


def data(seed: int) -> np.ndarray:
    """What DRAM holds, u8[32768]; the last 256 bytes are indices."""
    drawn = np.random.default_rng(seed).integers(0, 256, 0x8000).astype(np.uint8)
    drawn[0x7F00:] = np.resize(np.arange(64, dtype="<i4") * 5 % ROWS, 64).view(np.uint8)
    return drawn


def random_program(seed: int, chip: Mapping[str, Any]) -> list[Instruction]:
    """A program for a chip of this record."""
    draw, dialect = Random(seed), DIALECTS[family(chip).name]
    tiles = draw.randint(3, 7)
    immediates, bodies = _bodies(draw, dialect)
    records = [
        dialect.load({"dram": 0x7000, "near": TABLE, "n0": 1024}),
        dialect.load({"dram": 0x7F00, "near": INDICES, "n0": 256}),
        *dialect.definitions(immediates, bodies),
    ]
    for tile in range(tiles):
        slot, again, later = tile % 2, tile >= 2, tile + 2 < tiles
        load = _load(draw, slot, dialect.gathers)
        number, vector = _vector(draw, slot)
        records += [
            dialect.load(load | {"wait": PAIRS["ma"] * again, "signal": PAIRS["am"]}),
            dialect.weights(_weights(draw, slot) | {"wait": PAIRS["mw"] * again, "signal": PAIRS["wm"]}),
            dialect.product(
                _product(draw, slot, chip["engines"][family(chip).array])
                | {
                    "wait": PAIRS["am"] | PAIRS["wm"] | PAIRS["vm"] * again,
                    "signal": PAIRS["mv"] | (PAIRS["ma"] | PAIRS["mw"]) * later,
                }
            ),
            dialect.vector(
                number,
                bodies[number],
                immediates,
                vector
                | {"wait": PAIRS["mv"] | PAIRS["sv"] * again, "signal": PAIRS["vs"] | PAIRS["vm"] * later},
            ),
            dialect.store(_store(draw, slot, tile) | {"wait": PAIRS["vs"], "signal": PAIRS["sv"] * later}),
        ]
    return records


def without_a_token(records: list[Instruction], seed: int) -> list[Instruction]:
    """The program with one signal left out that something waits for: it can't end."""
    draw = Random(seed)
    number, mask = draw.choice(
        [(n, 1 << bit) for n, each in enumerate(records) for bit in range(16) if each.signal >> bit & 1]
    )
    kind = type(records[number])
    fields = {each.name: getattr(records[number], each.name) for each in kind.operands}
    fields |= {group.name: getattr(records[number], group.name) for group in kind.groups}
    changed = kind(**fields, wait=records[number].wait, signal=records[number].signal & ~mask)
    return [*records[:number], changed, *records[number + 1 :]]


def _bodies(draw: Random, dialect: Dialect) -> tuple[tuple[int, ...], list[Body]]:
    """Immediates, and programs of one source but for 2, which has a table, and for 5 and 6, which have two."""
    shift, zero = draw.randint(1, 20), draw.randint(-20, 20)
    numbers = (draw.randint(1, 1 << 20), shift, zero, 255, draw.randint(-100, 100))
    one, first = stream(1), immediate(0)
    second, limit, addend = stream(2), immediate(3), immediate(4)
    operation = dialect.operation
    wide = (
        operation("cast", 1, one, to="i64"),
        operation("mul", 2, register(1), register(1), type="i64"),
        operation("isqrt", 3, register(2), type="i64"),
        operation("cast", 4, register(3), type="i64", to="i16"),
    )
    return numbers, [
        (operation("requantize", 0, one, first, immediate(1), immediate(2), to="i8"),),
        (
            operation("add", 1, one, addend),
            operation("rescale", 2, register(1), first, immediate(1), immediate(2), addend, to="u8"),
        ),
        (operation("bit_and", 3, one, limit), operation("lookup", 4, register(3), second)),
        (operation("copy", 0, one),),
        (
            operation("sub", 0, one, addend),
            operation("abs", 5, register(0)),
            operation("div", 6, register(5), immediate(1)),
        ),
        (operation("mul", 0, one, second),),
        (operation("lt", 1, one, second), operation("where", 0, register(1), one, second)),
        wide,
    ]


def _load(draw: Random, slot: int, gathers: bool) -> Drawn:
    if gathers and draw.random() < 0.15:
        n0, count = draw.randint(1, 80), draw.randint(1, 40)
        return {
            "pitch": n0 + draw.randint(0, 90),
            "d1": draw.choice((0, n0 + draw.randint(0, 16))),
            "dram": draw.randint(0, 0x800),
            "near": SLOT * slot,
            "n0": n0,
            "count": count,
            "index": INDICES + 4 * draw.randint(0, 20),
            "rows": ROWS,
        }
    n0 = draw.choice((1, 3, 8, 16, draw.randint(1, 64), draw.randint(64, 500)))
    before1, after1, before2, after2 = (draw.choice((0, 0, 1, 2)) for _ in range(4))
    d1 = draw.choice((0, n0 + draw.randint(0, 16)))
    fitting = max(1, SLOT // (d1 or n0))
    rows = draw.randint(1, max(1, min(20, fitting // 4 - 4)))
    planes = draw.randint(1, max(1, fitting // (rows + 4) - 4)) if draw.random() < 0.5 else 1
    if (rows + before1 + after1) * (planes + before2 + after2) > fitting:
        before1 = after1 = before2 = after2 = 0
        planes = 1
    s1 = draw.choice((n0, n0 + draw.randint(0, 80)))
    s2 = s1 * rows + draw.choice((0, draw.randint(0, 60)))
    while s2 * planes > 0x6000:
        planes = max(1, planes // 2)
        s2 = min(s2, 0x6000)
    return {
        "dram": draw.randint(0, 0x800),
        "near": SLOT * slot,
        "n0": n0,
        "n1": min(rows, fitting),
        "n2": planes,
        "s1": s1,
        "s2": s2,
        "d1": d1,
        "before1": before1,
        "after1": after1,
        "before2": before2,
        "after2": after2,
        "fill": draw.randint(0, 255),
    }


def _weights(draw: Random, slot: int) -> Drawn:
    if draw.random() < 0.5:
        return {"dram": draw.randint(0, 0x4000), "near": SLOT * slot, "n0": draw.randint(256, SLOT)}
    n0, n1 = draw.randint(8, 128), draw.randint(1, 32)
    return {
        "dram": draw.randint(0, 0x800),
        "near": SLOT * slot,
        "n0": n0,
        "n1": n1,
        "s1": n0 + draw.randint(0, 100),
    }


def _product(draw: Random, slot: int, array: Mapping[str, Any]) -> Drawn:
    """`c` and `pitch` are in words."""
    rows, cols = array["rows"], array["cols"]
    k0, k1, k2 = draw.randint(1, 40), draw.randint(1, 3), draw.randint(1, 2)
    n = draw.randint(1, 24)
    while -(-n // cols) * cols * k1 * k2 * -(-k0 // rows) * rows > SLOT:
        k0, n = max(1, k0 // 2), max(1, n // 2)
    m0, m1 = draw.randint(1, 20), draw.randint(1, 3)
    pitch = draw.choice((n, n + draw.randint(0, 8)))
    while m0 * m1 * pitch > SLOT // 4:
        m0 = max(1, m0 // 2)
    return {
        "mapping": draw.randrange(len(array["mappings"])),
        "accumulate": draw.choice((0, 0, 1)),
        "a": SLOT * slot,
        "w": SLOT * slot,
        "c": SLOT // 4 * slot,
        "m0": m0,
        "m1": m1,
        "n": n,
        "k0": k0,
        "k1": k1,
        "k2": k2,
        "pitch": pitch,
        "am0": draw.randint(0, 60),
        "am1": draw.randint(0, 200),
        "ak1": draw.randint(0, 60),
        "ak2": draw.randint(0, 200),
    }


def _vector(draw: Random, slot: int) -> tuple[int, Drawn]:
    """The program's number, and the instruction; views of sums have their base in words."""
    number = draw.randrange(8)
    n0, n1, n2 = draw.randint(1, 40), draw.randint(1, 5), draw.randint(1, 3)
    combine = draw.choice((0, 0, 1, 2, 3))
    dense = (1, n0, n0 * n1)
    dtype = draw.choice((I8, I32)) if combine else draw.choice((I8, U8, I16, I32))
    size = {I8: 1, U8: 1, I16: 2, I32: 4}[dtype]
    extents = [n0, n1, n2]
    strides = list(dense)
    if combine:
        for axis in draw.sample(range(3), draw.randint(1, 3)):
            strides[axis] = 0
    elif draw.random() < 0.2:  # the lanes across memory
        strides = [n1 * n2, 1, n1]
    while size * (1 + sum((e - 1) * s for e, s in zip(extents, strides))) > RESULT:
        dtype, size = I8, 1
    sources = [_view(SUMS, I32, SLOT // 4 * slot, *dense)]
    if number == 2:
        sources.append({"memory": FEATURES, "dtype": U8, "base": TABLE, "table": 1, "s0": 256})
    elif number in (5, 6):
        sources.append(
            draw.choice(
                (
                    _view(FEATURES, I8, TABLE, *dense),
                    _view(FEATURES, I8, TABLE, 0, 1),
                    _view(FEATURES, I8, TABLE, 3, 1),
                    _view(INDEX, I32, draw.randint(0, 50), 1, -2, 3),
                )
            )
        )
    return number, {
        "combine": combine,
        "initialise": int(draw.random() < 0.8 or not combine),
        "n0": n0,
        "n1": n1,
        "n2": n2,
        "streams": (_view(FEATURES, dtype, OUT + RESULT * slot, *strides), *sources),
    }


def _store(draw: Random, slot: int, tile: int) -> Drawn:
    n0 = draw.choice((1, 8, draw.randint(1, 64), draw.randint(64, 400)))
    n1 = draw.randint(1, max(1, min(16, RESULT // n0)))
    s1 = min(n0 + draw.choice((0, draw.randint(0, 80))), SLOT // n1)
    return {"dram": ARENA + SLOT * tile, "near": OUT + RESULT * slot, "n0": n0, "n1": n1, "s1": max(s1, n0)}


def _view(memory: int, dtype: int, base: int, *strides: int) -> Drawn:
    return {"memory": memory, "dtype": dtype, "base": base} | {f"s{n}": s for n, s in enumerate(strides)}
