"""What instructions do to memory, against numpy: small programs written by hand."""

import numpy as np
import pytest

from isthmus.backends.npu.isa import Gather, Lda, Ldw, Mxu, Program, Sto, Vec, View
from isthmus.backends.npu.programs import bits, immediate, operation, register, stream
from isthmus.runtime.errors import ExecutionError
from isthmus.runtime.sim.operations import TYPES

from .running import ARENA, CONSTANTS, EXTERNAL, part, run

SPA, SPW, ACC, INDEX = range(4)
I8, U8, I16, I32, BF16, F32, I64 = range(7)


def random(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def packed(w: np.ndarray, rows: int, cols: int) -> np.ndarray:
    """Weights [k2, k1, k0, n] as the array wants them; what pads them is not zero, since it may not matter."""
    k2, k1, k0, n = w.shape
    depth, tiles = -(-k0 // rows) * rows, -(-n // cols)
    out = np.full((k2, k1, depth, tiles * cols), 77, w.dtype)
    out[:, :, :k0, :n] = w
    return np.ascontiguousarray(out.reshape(k2, k1, depth, tiles, cols).transpose(3, 0, 1, 2, 4))


def loaded(x: np.ndarray, place: int, offset: int = 0, wait: int = 0, signal: int = 0) -> Lda:
    return Lda(dram=ARENA + offset, spa=place, n0=x.nbytes, wait=wait, signal=signal)


@pytest.mark.parametrize(("stride", "kernel", "pad"), [(1, 3, 1), (2, 3, 1), (1, 1, 0), (2, 7, 3), (4, 4, 0)])
def test_convolutions(stride, kernel, pad):
    source = random(kernel)
    height, width, channels, n = 9, 11, 5, 13
    x = source.integers(-128, 128, (height, width, channels)).astype(np.int8)
    w = source.integers(-128, 128, (kernel, kernel, channels, n)).astype(np.int8)
    weights = packed(w, 8, 8)
    out_height, out_width = ((extent + 2 * pad - kernel) // stride + 1 for extent in (height, width))
    row = (width + 2 * pad) * channels
    ran = run(
        [
            Lda(
                dram=ARENA, spa=0, n0=channels, n1=width, n2=height, s1=channels, s2=width * channels,
                before1=pad, after1=pad, before2=pad, after2=pad, fill=3, signal=1,
            ),
            Ldw(dram=CONSTANTS, spw=64, n0=weights.nbytes, signal=2),
            Mxu(
                a=0, w=64, c=100, m1=out_height, m0=out_width, n=n, k0=channels, k1=kernel, k2=kernel,
                am1=stride * row, am0=stride * channels, ak2=row, ak1=channels, pitch=16, wait=3,
            ),
        ],
        constants=weights,
        arena=x,
    )  # fmt: skip
    padded = np.pad(x, ((pad, pad), (pad, pad), (0, 0)), constant_values=3).astype(np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), (0, 1))[::stride, ::stride]
    expected = np.einsum("yxckl,klcn->yxn", windows, w.astype(np.int64))
    got = part(ran.context._memories.near["acc"], np.int32, (out_height, out_width, 16), 400)[..., :n]
    assert np.array_equal(got, expected)


def test_products_of_large_depth_are_exact_and_accumulate():
    source = random(1)
    x = np.full((3, 3000), -128, np.int8)
    w = np.full((1, 1, 3000, 9), -128, np.int8)
    w[..., 1:] = source.integers(-128, 128, w[..., 1:].shape)
    weights = packed(w, 8, 8)
    product = Mxu(a=0, w=0, c=0, m0=3, n=9, k0=3000, am0=3000, wait=3)
    again = Mxu(a=0, w=0, c=0, m0=3, n=9, k0=3000, am0=3000, accumulate=1)
    ran = run(
        [loaded(x, 0, signal=1), Ldw(dram=CONSTANTS, spw=0, n0=weights.nbytes, signal=2), product, again],
        constants=weights,
        arena=x,
    )
    expected = 2 * (x.astype(np.int64) @ w[0, 0].astype(np.int64))
    assert np.array_equal(part(ran.context._memories.near["acc"], np.int32, (3, 9)), expected)


def bf16(x: np.ndarray) -> np.ndarray:
    """The bits of floats that bf16 holds exactly."""
    return (np.ascontiguousarray(x, np.float32).view(np.uint32) >> 16).astype(np.uint16)


@pytest.mark.parametrize("exact", [False, True])
def test_bf16_products(exact):
    source = random(2)
    x = (source.integers(-256, 257, (6, 40)) / 16).astype(np.float32)
    w = (source.integers(-256, 257, (1, 1, 40, 11)) / 2).astype(np.float32)
    weights = packed(bf16(w), 8, 8)
    ran = run(
        [
            loaded(bf16(x), 0, signal=1),
            Ldw(dram=CONSTANTS, spw=0, n0=weights.nbytes, signal=2),
            Mxu(type=1, a=0, w=0, c=0, m0=6, n=11, k0=40, am0=80, wait=3),
        ],
        constants=weights,
        arena=bf16(x),
        exact=exact,
    )
    total = np.zeros((6, 11), np.float32)
    for step in range(40):
        total = total + x[:, step, None] * w[0, 0, step]
    got = part(ran.context._memories.near["acc"], np.float32, (6, 11))
    np.testing.assert_allclose(got, total, rtol=0 if exact else 1e-5, atol=0 if exact else 1e-3)


def view(memory: int, dtype: int, base: int, *strides: int, table: int = 0) -> View:
    return View(
        memory=memory, dtype=dtype, base=base, table=table, **{f"s{n}": s for n, s in enumerate(strides)}
    )


def requantised(acc: np.ndarray, multiplier: np.ndarray, shift: np.ndarray, zero: int) -> np.ndarray:
    wide = acc.astype(object) * multiplier.astype(object)
    wide = (wide + (1 << (shift.astype(object) - 1))) >> shift.astype(object)
    return np.clip((wide + zero).astype(np.int64), -128, 127)


def test_requantise_and_clamp_per_channel():
    source = random(3)
    acc = source.integers(-(1 << 31), 1 << 31, (7, 24)).astype(np.int32)
    multiplier = source.integers(1 << 30, 1 << 31, 24).astype(np.int32)
    shift = source.integers(38, 50, 24).astype(np.int32)
    program = Program(
        number=2,
        immediates=(-5, 0),
        micros=(
            operation("requantize", 0, stream(1), stream(2), stream(3), immediate(0), to="i8"),
            operation("max", 1, register(0), immediate(1)),
        ),
    )
    data = np.concatenate([acc.ravel(), multiplier, shift])
    ran = run(
        [
            program,
            loaded(data, 0, signal=1),
            Vec(
                number=2, n0=24, n1=7, wait=1,
                streams=(
                    view(SPA, I8, 4096, 1, 32), view(SPA, I32, 0, 1, 24),
                    view(SPA, I32, acc.nbytes, 1), view(SPA, I32, acc.nbytes + 96, 1),
                ),
            ),
        ],
        arena=data,
    )  # fmt: skip
    expected = np.maximum(requantised(acc, multiplier, shift, -5), 0)
    assert np.array_equal(part(ran.context._memories.near["spa"], np.int8, (7, 32), 4096)[:, :24], expected)


@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise(stride):
    source = random(4)
    x = source.integers(-128, 128, (10, 12, 20)).astype(np.int8)
    w = source.integers(-128, 128, (3, 3, 20)).astype(np.int8)
    height, width = (10 - 3) // stride + 1, (12 - 3) // stride + 1
    ran = run(
        [
            Program(number=0, micros=(operation("mul", 0, stream(1), stream(2)),)),
            loaded(x, 0, signal=1),
            Ldw(dram=CONSTANTS, spw=0, n0=w.nbytes, signal=2),
            Vec(
                number=0, combine=1, n0=20, n1=width, n2=height, n3=3, n4=3, wait=3,
                streams=(
                    view(ACC, I32, 0, 1, 20, 20 * width),
                    view(SPA, I8, 0, 1, 20 * stride, 240 * stride, 20, 240),
                    view(SPW, I8, 0, 1, 0, 0, 20, 60),
                ),
            ),
        ],
        constants=w,
        arena=x,
    )  # fmt: skip
    windows = np.lib.stride_tricks.sliding_window_view(x.astype(int), (3, 3), (0, 1))[::stride, ::stride]
    expected = np.einsum("yxckl,klc->yxc", windows, w.astype(int))
    assert np.array_equal(part(ran.context._memories.near["acc"], np.int32, (height, width, 20)), expected)


@pytest.mark.parametrize(("combine", "numpy"), [(2, np.max), (3, np.min), (1, np.sum)])
def test_pooling_windows_and_whole_rows(combine, numpy):
    x = random(5).integers(-128, 128, (8, 8, 16)).astype(np.int8)
    ran = run(
        [
            Program(number=0, micros=(operation("copy", 0, stream(1)),)),
            loaded(x, 0, signal=1),
            Vec(
                number=0, combine=combine, n0=16, n1=4, n2=4, n3=2, n4=2, wait=1,
                streams=(view(ACC, I32, 0, 1, 16, 64), view(SPA, I8, 0, 1, 32, 256, 16, 128)),
            ),
            Vec(
                number=0, combine=combine, n0=16, n1=64,
                streams=(view(ACC, I32, 1000, 0, 1), view(SPA, I8, 0, 1, 16)),
            ),
            Vec(
                number=0, combine=combine, initialise=0, n0=16, n1=64,
                streams=(view(ACC, I32, 1000, 0, 1), view(SPA, I8, 0, 1, 16)),
            ),
        ],
        arena=x,
    )  # fmt: skip
    acc = ran.context._memories.near["acc"]
    expected = numpy(x.astype(int).reshape(4, 2, 4, 2, 16), axis=(1, 3))
    assert np.array_equal(part(acc, np.int32, (4, 4, 16)), expected)
    rows = numpy(x.astype(int).reshape(64, 16), axis=1)
    assert np.array_equal(part(acc, np.int32, (64,), 4000), rows * (2 if combine == 1 else 1))


def test_softmax_in_pieces():
    x = random(6).normal(size=(5, 30)).astype(np.float32)
    across = (view(ACC, F32, 0, 0, 1), view(SPA, F32, 0, 1, 30))
    ran = run(
        [
            Program(number=0, micros=(operation("copy", 0, stream(1), type="f32"),)),
            Program(
                number=1,
                immediates=(bits(1.5),),
                micros=(
                    operation("sub", 0, stream(1), stream(2), type="f32"),
                    operation("mul", 1, register(0), immediate(0), type="f32"),
                    operation("exp", 1, register(1), type="f32"),
                ),
            ),
            Program(number=2, micros=(operation("div", 0, stream(1), stream(2), type="f32"),)),
            loaded(x, 0, signal=1),
            Vec(number=0, combine=2, n0=30, n1=5, wait=1, streams=across),
            Vec(number=1, n0=30, n1=5, streams=(view(SPA, F32, 1024, 1, 30), across[1], across[0])),
            Vec(
                number=0, combine=1, n0=30, n1=5,
                streams=(view(ACC, F32, 8, 0, 1), view(SPA, F32, 1024, 1, 30)),
            ),
            Vec(
                number=2, n0=30, n1=5,
                streams=(view(SPA, BF16, 4096, 1, 30), view(SPA, F32, 1024, 1, 30), view(ACC, F32, 8, 0, 1)),
            ),
        ],
        arena=x,
    )  # fmt: skip
    scores = np.exp((x - x.max(1, keepdims=True)) * np.float32(1.5))
    total = np.zeros(5, np.float32)
    for column in scores.T:
        total = total + column
    assert np.array_equal(part(ran.context._memories.near["acc"], np.float32, (5,), 32), total)
    got = (part(ran.context._memories.near["spa"], np.uint16, (5, 30), 4096).astype(np.uint32) << 16).view(
        np.float32
    )
    np.testing.assert_allclose(got, scores / total[:, None], rtol=2**-8)


def test_tables_and_gathers():
    source = random(7)
    table = source.integers(0, 256, 256).astype(np.uint8)
    words = source.integers(-128, 128, (50, 24)).astype(np.int8)
    chosen = np.array([3, 49, 0, 3], np.int64)
    ran = run(
        [
            Program(
                number=9,
                immediates=(128,),
                micros=(
                    operation("add", 0, stream(1), immediate(0)),
                    operation("lookup", 1, register(0), stream(2)),
                ),
            ),
            Lda(dram=EXTERNAL, spa=0, n0=32, signal=1),
            Gather(table=ARENA, spa=64, n0=24, width=1, count=4, index=0, d1=32, pitch=24, rows=50),
            Ldw(dram=CONSTANTS, spw=0, n0=256, signal=2),
            Lda(dram=EXTERNAL, spa=0, n0=32, signal=4),
            Vec(
                number=9, n0=24, n1=4, wait=7,
                streams=(
                    view(SPA, U8, 512, 1, 24), view(SPA, I8, 64, 1, 32), view(SPW, U8, 0, 256, table=1),
                ),
            ),
        ],
        constants=table,
        arena=words,
        externals=[chosen],
    )  # fmt: skip
    rows = words[chosen]
    assert np.array_equal(part(ran.context._memories.near["spa"], np.int8, (4, 32), 64)[:, :24], rows)
    expected = table[rows.astype(int) + 128]
    assert np.array_equal(part(ran.context._memories.near["spa"], np.uint8, (4, 24), 512), expected)


def test_copies_in_three_dimensions_with_padding():
    x = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6)
    result = np.zeros((4, 5, 3), np.uint8)
    ran = run(
        [
            Lda(
                dram=ARENA + 6 + 1, spa=16, n0=3, n1=3, n2=2, s1=6, s2=60, d1=4, d2=40,
                before1=1, after1=2, before2=1, fill=9, signal=1,
            ),
            Sto(dram=EXTERNAL + 3, spa=16, n0=3, n1=4, n2=3, s1=3, s2=15, d1=4, d2=40, wait=1),
        ],
        arena=x,
        externals=[result],
    )  # fmt: skip
    expected = np.full((3, 6, 3), 9, np.uint8)
    expected[1:, 1:4] = x[0:4:2, 1:4, 1:4]
    spa = ran.context._memories.near["spa"]
    got = np.ndarray((3, 6, 3), np.uint8, spa, 16, (40, 4, 1))
    assert np.array_equal(got, expected)
    assert spa[16 + 3] == 0
    stored = np.zeros(60, np.uint8)
    for plane in range(3):
        stored[3 + 15 * plane : 15 * plane + 15] = expected[plane, :4].ravel()
    assert np.array_equal(result.ravel(), stored)


def one_of(
    name: str, values: np.ndarray, others: list[np.ndarray], dtype: str, to: str = "i32"
) -> np.ndarray:
    """One micro-operation on 1-D arrays of i32 or f32."""
    arrays = [values, *others]
    data = np.stack([array.view(np.int32) for array in arrays])
    number = TYPES.index(dtype)
    size = data.shape[1]
    result = to if name in ("cast", "requantize") else "i32" if name in ("lt", "le", "eq") else dtype
    streams = [view(SPA, TYPES.index(result), 8192, 1)]
    streams += [view(SPA, number, 4 * size * index, 1) for index in range(len(arrays))]
    sources = [stream(index + 1) for index in range(len(arrays))]
    ran = run(
        [
            Program(number=0, micros=(operation(name, 0, *sources, type=dtype, to=to),)),
            loaded(data, 0, signal=1),
            Vec(number=0, n0=size, wait=1, streams=tuple(streams)),
        ],
        arena=data,
    )
    element = {
        "i8": np.int8,
        "u8": np.uint8,
        "i16": np.int16,
        "i32": np.int32,
        "f32": np.float32,
        "bf16": np.uint16,
    }
    return part(ran.context._memories.near["spa"], element[result], (size,), 8192).copy()


WHOLE = np.array([0, 1, -1, 7, -7, 100000, -100000, (1 << 31) - 1, -(1 << 31)], np.int32)
OTHER = np.array([3, -2, 31, 0, 32, 33, -1, 2, -1], np.int32)


def wrapped(values: list[int]) -> list[int]:
    return [(value + (1 << 31)) % (1 << 32) - (1 << 31) for value in values]


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("add", lambda x, y: x + y),
        ("sub", lambda x, y: x - y),
        ("mul", lambda x, y: x * y),
        ("max", max),
        ("min", min),
        ("bit_and", lambda x, y: x & y),
        ("bit_or", lambda x, y: x | y),
        ("bit_xor", lambda x, y: x ^ y),
        ("shift_left", lambda x, y: x << y if 0 <= y < 32 else 0),
        ("shift_right", lambda x, y: x >> (y if 0 <= y < 32 else 31)),
        ("lt", lambda x, y: int(x < y)),
        ("le", lambda x, y: int(x <= y)),
        ("eq", lambda x, y: int(x == y)),
        ("div", lambda x, y: 0 if y == 0 else abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)),
    ],
)
def test_whole_numbers(name, meaning):
    expected = wrapped([meaning(x, y) for x, y in zip(WHOLE.tolist(), OTHER.tolist())])
    assert one_of(name, WHOLE, [OTHER], "i32").tolist() == expected


def test_conditions_and_products_of_three():
    third = WHOLE[::-1].copy()
    chosen = [y if x else z for x, y, z in zip(WHOLE.tolist(), OTHER.tolist(), third.tolist())]
    assert one_of("where", WHOLE, [OTHER, third], "i32").tolist() == chosen
    sums = [x * y + z for x, y, z in zip(WHOLE.tolist(), OTHER.tolist(), third.tolist())]
    assert one_of("mac", WHOLE, [OTHER, third], "i32").tolist() == wrapped(sums)
    shift = np.array([0, 1, 5, 31, 32, 40, 62, 16, 31], np.int32)
    parts = [x * y >> s for x, y, s in zip(WHOLE.tolist(), third.tolist(), shift.tolist())]
    assert one_of("scaled", WHOLE, [third, shift], "i32").tolist() == wrapped(parts)


REAL = np.array([0.0, -0.0, 0.5, 1.5, 2.5, -2.5, 300.7, -1e10, 3e9, np.inf, np.nan], np.float32)


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("i32", [0, 0, 0, 1, 2, -2, 300, -(1 << 31), (1 << 31) - 1, (1 << 31) - 1, 0]),
        ("i8", [0, 0, 0, 1, 2, -2, 127, -128, 127, 127, 0]),
        ("u8", [0, 0, 0, 1, 2, 0, 255, 0, 255, 255, 0]),
    ],
)
def test_casts_limit(to, expected):
    assert one_of("cast", REAL, [], "f32", to).tolist() == expected


def test_bf16_rounds_half_to_even():
    values = np.array([1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, np.inf, np.nan], np.float32)
    got = (one_of("cast", values, [], "f32", "bf16").astype(np.uint32) << 16).view(np.float32)
    assert got[:4].tolist() == [1, 1 + 2**-6, 1 + 2**-7, np.inf]
    assert np.isnan(got[4])


@pytest.mark.parametrize("name", ["sqrt", "exp", "tanh", "erf", "floor", "round", "neg", "abs", "rsqrt"])
def test_functions_of_reals(name):
    from math import erf

    meaning = {
        "erf": np.vectorize(erf, otypes=[np.float32]),
        "round": np.rint,
        "neg": np.negative,
        "rsqrt": lambda x: np.float32(1) / np.sqrt(x),
    }.get(name) or getattr(np, name)
    with np.errstate(all="ignore"):
        expected = meaning(REAL)
    np.testing.assert_array_equal(one_of(name, REAL, [], "f32"), expected)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([Lda(dram=ARENA, spa=65530, n0=64)], "node: instruction 0, lda: reaches outside a memory"),
        ([Lda(dram=ARENA + 0x40000 - 8, spa=0, n0=64)], "reaches outside a memory"),
        ([Vec(number=3, n0=4, streams=(view(SPA, I8, 0, 1),))], "program 3 is not defined"),
        (
            [
                Program(number=0, micros=(operation("copy", 0, register(1)),)),
                Vec(number=0, n0=4, streams=(view(SPA, I8, 0, 1),)),
            ],
            "reads register 1 before anything is written to it",
        ),
        (
            [
                Program(number=0, micros=(operation("copy", 0, stream(2)),)),
                Vec(number=0, n0=4, streams=(view(SPA, I8, 0, 1),)),
            ],
            "reads stream 2, which vec does not have",
        ),
        (
            [
                Program(
                    number=0,
                    immediates=(40,),
                    micros=(
                        operation("copy", 0, immediate(0)),
                        operation("lookup", 0, register(0), stream(1)),
                    ),
                ),
                Vec(number=0, n0=4, streams=(view(SPA, I8, 0, 1), view(SPA, I8, 0, 20, table=1))),
            ],
            "index 40 is outside a table of 20",
        ),
        (
            [Gather(table=ARENA, spa=64, n0=24, count=1, index=0, pitch=24, rows=5)],
            "index 5 is outside a table of 5 rows",
        ),
    ],
)
def test_what_no_chip_could_do_names_the_node(records, message):
    arena = np.array([5], np.int32)
    first = [Lda(dram=ARENA, spa=0, n0=4)] if isinstance(records[0], Gather) else []
    with pytest.raises(ExecutionError, match=message):
        run([*first, *records], arena=arena)


def test_a_missing_semaphore_gives_what_hardware_would():
    x = np.arange(1, 4097, dtype=np.uint8)
    result = np.zeros(4096, np.uint8)
    load, store = loaded(x, 0, signal=1), Sto(dram=EXTERNAL, spa=0, n0=256)
    run([load, store], arena=x, externals=[result])
    assert not np.array_equal(result[:256], x[:256])
    store.wait = 1
    run([load, store], arena=x, externals=[result])
    assert np.array_equal(result[:256], x[:256])


def test_positions_mask_what_lies_ahead():
    x = random(8).integers(-100, 100, (6, 6)).astype(np.int32)
    ran = run(
        [
            Program(
                number=0,
                immediates=(0, -999),
                micros=(
                    operation("le", 0, stream(2), immediate(0)),
                    operation("where", 1, register(0), stream(1), immediate(1)),
                ),
            ),
            loaded(x, 0, signal=1),
            Vec(
                number=0, n0=6, n1=6, wait=1,
                streams=(view(SPA, I32, 512, 1, 6), view(SPA, I32, 0, 1, 6), view(INDEX, I32, (1 << 24) - 2, 1, -1)),
            ),
            Vec(
                number=0, n0=6, n1=6, combine=2,
                streams=(view(ACC, I32, 0, 1, 0), view(SPA, I32, 0, 1, 6), view(INDEX, I32, (1 << 24) - 2, 1, -1)),
            ),
        ],
        arena=x,
    )  # fmt: skip
    rows, columns = np.mgrid[0:6, 0:6]
    expected = np.where(columns - rows - 2 <= 0, x, -999)
    assert np.array_equal(part(ran.context._memories.near["spa"], np.int32, (6, 6), 512), expected)
    assert np.array_equal(part(ran.context._memories.near["acc"], np.int32, (6,)), expected.max(0))


def test_wide_numbers():
    large = np.array([0, 3, (1 << 52) - 1, 1 << 60, (1 << 63) - 1, -5], np.int64)
    ran = run(
        [
            Program(number=0, micros=(operation("isqrt", 0, stream(1), type="i64"),)),
            Program(
                number=1,
                immediates=(1 << 30, -3, 2),
                micros=(
                    operation("mul", 0, stream(1), immediate(1), type="i64"),
                    operation("shift_left", 0, register(0), immediate(2), type="i64"),
                    operation("div", 1, register(0), immediate(0), type="i64"),
                    operation("cast", 1, register(1), type="i64", to="i32"),
                ),
            ),
            loaded(large, 0, signal=1),
            Vec(number=0, n0=6, wait=1, streams=(view(SPA, I64, 64, 1), view(SPA, I64, 0, 1))),
            Vec(number=1, n0=6, streams=(view(SPA, I32, 128, 1), view(SPA, I64, 0, 1))),
        ],
        arena=large,
    )
    from math import isqrt

    spa = ran.context._memories.near["spa"]
    roots = [isqrt(value) if value >= 0 else 0 for value in large.tolist()]
    assert part(spa, np.int64, (6,), 64).tolist() == roots
    results = []
    for value in large.tolist():
        product = (value * -3 * 4 + (1 << 63)) % (1 << 64) - (1 << 63)
        quotient = abs(product) // (1 << 30) * (1 if product >= 0 else -1)
        results += wrapped([quotient])
    assert part(spa, np.int32, (6,), 128).tolist() == results


@pytest.mark.parametrize(("width", "fill"), [(0, 0x80), (1, 0xFF80), (2, 0xFF800000)])
def test_padding_repeats_its_pattern(width, fill):
    x = np.arange(8, dtype=np.uint8)
    ran = run([Lda(dram=ARENA, spa=8, n0=8, before1=1, after1=1, fill=fill, fill_width=width)], arena=x)
    pattern = np.frombuffer(fill.to_bytes(4, "little")[: 1 << width] * (8 >> width), np.uint8)
    assert np.array_equal(ran.context._memories.near["spa"][8:32], np.concatenate([pattern, x, pattern]))


def test_watched_runs_name_who_reads_what_nothing_wrote() -> None:
    """Half of what a vector instruction reads was loaded; unwatched it reads zeros."""
    load = loaded(np.arange(16, dtype=np.int8), 0, signal=1)
    copy = Program(number=0, micros=(operation("copy", 0, stream(1)),))
    reads = Vec(number=0, n0=32, wait=1, streams=(view(SPA, I8, 64, 1), view(SPA, I8, 0, 1)))
    ran = run([load, copy, reads], arena=np.arange(16, dtype=np.int8))
    ran.context._code.checked = True
    with pytest.raises(
        ExecutionError, match="node: instruction 2, vec: reads byte 0x10 of spa, which nothing has written"
    ):
        ran.context.run(ran.call)
