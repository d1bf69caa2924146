"""Every scalar operation and cast that has machine code equals its numpy meaning on edge values of every dtype."""

import ml_dtypes
import numpy as np
import pytest

from isthmus.backends.cpu import codegen
from isthmus.backends.cpu.link import link
from isthmus.backends.cpu.narrow import is_narrow
from isthmus.backends.cpu.scalars import has_code, has_registers
from isthmus.compiler.ir.types import DTYPES, DType, boolean, f16, f32, f64, i8, i16, i32, u8
from isthmus.compiler.ops.scalar import SCALARS, apply_scalar
from isthmus.compiler.tile.stage import INPUT, OUTPUT, Access, Apply, Buffer, Dim, Kernel, Load, Stage, dim

from .running import Image, Work, distinct, emit, machine

LEVELS = distinct(None, "avx2", "x86-64")
KINDS = [dtype for dtype in DTYPES.values() if has_registers(dtype) and not is_narrow(dtype)]
INEXACT = {"exp", "log", "erf", "tanh", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh",
           "acosh", "atanh", "pow"}  # fmt: skip


def edges(dtype: DType) -> np.ndarray:
    """Extremes, neighbours of them, small and random values."""
    rng = np.random.default_rng(5)
    if dtype == boolean:
        return np.array([False, True, True])
    if dtype.is_integer:
        info = ml_dtypes.iinfo(dtype.numpy)
        few = [info.min, info.min + 1, info.max, info.max - 1, 0, 1, 2, 3, 7, 8, 31, 63, 100]
        few += [-1, -2, -7, -100] if dtype.kind == "int" else []
        if is_narrow(dtype):
            return np.arange(int(info.min), int(info.max) + 1).astype(dtype.numpy)
        return np.array([*few, *rng.integers(info.min, info.max, 16, dtype.numpy)], dtype.numpy)
    if is_narrow(dtype):
        return np.arange(2**dtype.bits, dtype=np.uint8).view(dtype.numpy)
    values = [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 1.5, 2.5, -2.5, 3.5, 0.4999, 100.0, -7.3, 1e-6, 6e4, np.inf, -np.inf,
              np.nan, 464, 240, 448, 61440, 57344, 2e-3, 1e-5, 2**-127, *rng.normal(size=16) * 5]  # fmt: skip
    return np.array(values).astype(dtype.numpy)


def kernel(op: str, operands: list[DType], result: DType, size: int) -> Kernel:
    index = (dim("i"),)
    loads = tuple(Load(Access(f"x{n}", index), dtype) for n, dtype in enumerate(operands))
    stage = Stage("s", (Dim("i", size),), Apply(op, loads, result), Access("y", index))
    buffers = [Buffer(f"x{n}", (size,), dtype, INPUT) for n, dtype in enumerate(operands)]
    return Kernel(op, (*buffers, Buffer("y", (size,), result, OUTPUT)), (stage,))


def works(level: str | None) -> list[tuple[str, Work, np.ndarray]]:
    """All operations on all pairs of edge values, and all casts, with what they should give."""
    kinds = [dtype for dtype in KINDS if dtype != f16 or machine(level).converts_f16]
    out = []
    for dtype in kinds:
        values = edges(dtype)
        pairs = [part.ravel() for part in np.meshgrid(values, values)]
        for op, scalar in SCALARS.items():
            if scalar.typed or not has_code(op, dtype) or (dtype == boolean and not _of_flags(op)):
                continue
            operands = [dtype] * scalar.arity
            arrays = pairs[: scalar.arity] if scalar.arity > 1 else [values]
            if op == "where":
                operands[0], arrays = boolean, [pairs[0] == pairs[1], *pairs]
            if op.startswith("shift"):  # numpy leaves negative places undefined
                arrays = [arrays[0], np.abs(arrays[1]) & dtype.numpy.type(127)]
            result = boolean if scalar.predicate else dtype
            out.append((f"{op} {dtype}", operands, arrays, result, op))
        for target in kinds:
            if target != dtype:
                out.append(
                    (f"cast {dtype} to {target}", [dtype], [_castable(values, dtype, target)], target, "cast")
                )
    out += requantisations()
    for narrow in filter(is_narrow, DTYPES.values()):
        for source, target in ((narrow, f32), (narrow, boolean), (f32, narrow), (f64, narrow), (i32, narrow)):
            values = _castable(edges(source), source, target)
            out.append((f"cast {source} to {target}", [source], [values], target, "cast"))
    made = []
    for label, operands, arrays, result, op in out:
        node = kernel(op, operands, result, arrays[0].size)
        want = apply_scalar(op, list(arrays), result)
        made.append(
            (label, Work(node, {f"x{n}": np.ascontiguousarray(a) for n, a in enumerate(arrays)}), want)
        )
    return made


def requantisations() -> list[tuple[str, list[DType], list[np.ndarray], DType, str]]:
    """All of some accumulators, multipliers, shifts and zero points, to each dtype that holds the results; those of
    far shifts by the operation for these, too."""
    multipliers = [0, 1, 3, 2**30, 1518500250, 2**31 - 1]
    grid = np.meshgrid(
        edges(i32), multipliers, [1, 2, 30, 31, 32, 33, 38, 61, 62], [0, -128, 128, 2**31 - 1, -(2**31)]
    )
    arrays = [part.ravel().astype(np.int32) for part in grid]
    out = [
        (f"requantize i32 to {dtype}", [i32] * 4, arrays, dtype, "requantize") for dtype in (i8, u8, i16, i32)
    ]
    for dtype in (i8, u8, i16):
        low, high = dtype.limits
        there = (arrays[2] >= 33) & (low <= arrays[3]) & (arrays[3] <= high)
        some = [part[there] for part in arrays]
        out.append((f"requantize_high i32 to {dtype}", [i32] * 4, some, dtype, "requantize_high"))
    return out


def _of_flags(op: str) -> bool:
    return op in ("where", "and", "or", "xor", "not", "eq", "ne", "bit_and", "bit_or", "bit_xor")


def _castable(values: np.ndarray, source: DType, target: DType) -> np.ndarray:
    """Floats that the integer type holds: beyond it numpy's result is the machine's."""
    if not source.is_float or not target.is_integer:
        return values
    info = ml_dtypes.iinfo(target.numpy)
    wide = values.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return values[(wide >= float(info.min)) & (wide < float(info.max))]


def _mistakes(label: str, got: np.ndarray, want: np.ndarray) -> np.ndarray:
    """Places that are not equal, or for the functions of `test_functions.py` not near."""
    same = (got == want) | ((got != got) & (want != want))
    if label.split()[0] in INEXACT:
        a, b = got.astype(np.float64), want.astype(np.float64)
        with np.errstate(invalid="ignore"):
            same |= np.abs(a - b) <= np.abs(b) * {8: 1e-15, 4: 1e-6, 2: 1e-2}[want.dtype.itemsize]
    return np.argwhere(~same).ravel()


@pytest.mark.parametrize("level", LEVELS, ids=str)
def test_operations_equal_their_meaning(level: str | None) -> None:
    made = works(level)
    assert len(made) > 300
    image = Image([work for _, work, _ in made], level)
    wrong = []
    for number, (label, work, want) in enumerate(made):
        got = image.run(number)["y"]
        for place in _mistakes(label, got, want)[:3]:
            operands = [array[place] for array in work.arrays.values()]
            wrong.append(f"{label} of {operands} is {got[place]}, not {want[place]}")
    assert not wrong, "\n".join(wrong)


def test_operations_need_no_library_on_aarch64() -> None:
    triple = "aarch64-unknown-linux-gnu"
    module = emit([work for _, work, _ in works(triple)], triple)
    assert module.refused == {}
    image = link(
        [codegen.object_code(machine(triple), module.text)], [f"segment_{n}" for n in module.entries]
    )
    assert image.machine == "aarch64"


@pytest.mark.parametrize("level", LEVELS, ids=str)
def test_vectors_of_floats_saturate_as_integers(level: str | None) -> None:
    """Where numpy leaves it open: the ends of i32, 0 for what is no number; narrower integers have its lower bits."""
    limit = np.float32(2**31)
    below = np.nextafter(limit, np.float32(0))
    values = np.array(
        [limit, below, -limit, -2 * limit, 3e38, np.inf, -np.inf, np.nan, 1.9, -1.9, 0], np.float32
    )
    most, least = 2**31 - 1, -(2**31)
    wanted = np.array([most, below, least, least, most, most, least, 0, 1, -1, 0], np.int32)
    made = [Work(kernel("cast", [f32], dtype, values.size), {"x0": values}) for dtype in (i32, i8)]
    image = Image(made, level)
    np.testing.assert_array_equal(image.run(0)["y"], wanted)
    np.testing.assert_array_equal(image.run(1)["y"], wanted.astype(np.int8))
