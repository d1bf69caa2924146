"""Cycles of instructions on chips that differ in their records alone."""

import numpy as np
import pytest

from isthmus.backends.npu.isa import Lda, Ldw, Mxu, Program, Sto, Vec
from isthmus.backends.npu.programs import operation, stream
from isthmus.runtime.sim.fields import Instruction

from .running import ARENA, CONSTANTS, EXTERNAL, chip, run
from .test_device import ACC, I8, I32, SPA, SPW, view

UNLIMITED = {
    "memories": {
        "dram": {
            "bytes_per_cycle": float("inf"),
            "latency": 0,
            "page_miss": 0,
            "refresh_every": 0,
            "refresh_for": 0,
        }
    },
    "control": {"issue_cycles": 0},
}
STATIONARY = {
    "weights": "n_tiles*ceil(k/rows)*(2*rows + cols + m - 2) - 1",
    "outputs": "ceil(m/rows)*n_tiles*(rows + cols + k - 2) - 1",
}


def array(rows: int, cols: int, cycles: str) -> dict:
    engine = {"weight_banks": 1, "mappings": [{"name": "only", "cycles": cycles}]}
    return chip(rows, cols, engines={"mxu": engine}, **UNLIMITED)


@pytest.mark.parametrize("dataflow", STATIONARY)
@pytest.mark.parametrize(("rows", "cols"), [(8, 8), (16, 16), (4, 12)])
def test_closed_forms_of_scale_sim_by_the_chip_alone(rows, cols, dataflow):
    """SCALE-Sim 3's analytical cycles (scale_sim/compute, weight and output stationary), whole matrix products."""
    for m, n, k in ((1, 1, 1), (20, 30, 40), (16, 16, 16), (7, 49, 129)):
        record = array(rows, cols, STATIONARY[dataflow])
        ran = run(
            [
                Lda(dram=ARENA, spa=0, n0=m * k, signal=1),
                Ldw(dram=CONSTANTS, spw=0, n0=64, signal=2),
                Mxu(a=0, w=0, c=0, m0=m, n=n, k0=k, am0=k, wait=3),
            ],
            record=record,
        )
        if dataflow == "weights":
            expected = sum(2 * rows + cols + m - 2 for _ in range(-(-k // rows) * -(-n // cols))) - 1
        else:
            expected = -(-m // rows) * -(-n // cols) * (rows + cols + k - 2) - 1
        assert ran.call.cycles == expected


def stream_of(tiles: int, slots: int = 2) -> list[Instruction]:
    """Products of tiles, double-buffered: load, multiply, shift, store; a full and an empty semaphore a pair."""
    records: list[Instruction] = [
        Program(number=0, micros=(operation("shift_right", 0, stream(1), stream(1)),))
    ]
    pairs = {name: 1 << n for n, name in enumerate(("am", "wm", "mv", "vs", "ma", "mw", "vm", "sv"))}
    for tile in range(tiles):
        slot, again = tile % slots, tile >= slots
        later = tile + slots < tiles
        records += [
            Lda(
                dram=ARENA + 2048 * (tile % 16), spa=2048 * slot, n0=2048,
                wait=pairs["ma"] * again, signal=pairs["am"],
            ),
            Ldw(dram=CONSTANTS, spw=2048 * slot, n0=2048, wait=pairs["mw"] * again, signal=pairs["wm"]),
            Mxu(
                a=2048 * slot, w=2048 * slot, c=2048 * slot, m0=32, n=32, k0=64, am0=64,
                wait=pairs["am"] | pairs["wm"] | pairs["vm"] * again,
                signal=pairs["mv"] | (pairs["ma"] | pairs["mw"]) * later,
            ),
            Vec(
                number=0, n0=32, n1=32,
                wait=pairs["mv"] | pairs["sv"] * again, signal=pairs["vs"] | pairs["vm"] * later,
                streams=(view(SPA, I8, 16384 + 2048 * slot, 1, 32), view(ACC, I32, 2048 * slot, 1, 32)),
            ),
            Sto(
                dram=EXTERNAL + 1024 * (tile % 32), spa=16384 + 2048 * slot, n0=1024,
                wait=pairs["vs"], signal=pairs["sv"] * later,
            ),
        ]  # fmt: skip
    return records


def cycles(record: dict, tiles: int = 24, slots: int = 2) -> int:
    return ran_of(record, tiles, slots).call.cycles


def ran_of(record: dict, tiles: int = 24, slots: int = 2):
    result = np.zeros(32768, np.uint8)
    return run(stream_of(tiles, slots), constants=np.zeros(2048, np.uint8), externals=[result], record=record)


def test_more_of_anything_is_never_slower():
    for rows in (8, 16, 32):
        base = cycles(chip(rows, rows))
        assert cycles(chip(rows, rows, memories={"dram": {"bytes_per_cycle": 32}})) <= base * 1.01
        assert cycles(chip(rows, rows, control={"queue_depth": 16})) <= base * 1.01
        assert cycles(chip(rows, rows, engines={"vec": {"lanes": 64, "mac_per_cycle": 1024}})) <= base * 1.01
        assert cycles(chip(rows, rows), slots=3) <= base * 1.01


def test_effects_cost_what_they_should():
    def load(**dram: float) -> int:
        return run([Lda(dram=ARENA, spa=0, n0=65536 // 2)], record=chip(memories={"dram": dram})).call.cycles

    plain = load(latency=0, page_miss=0, refresh_every=0)
    assert plain == 1 + 32768 // 16
    assert load(latency=40, page_miss=0, refresh_every=0) == plain + 40 + 2  # registers on the way
    assert load(latency=0, page_miss=24, refresh_every=0) == plain + 16 * 24
    reopened = 2 * 24 - 1  # a cycle of a burst is served meanwhile
    assert (
        load(latency=0, page_miss=24, refresh_every=1000, refresh_for=100) == plain + 16 * 24 + reopened + 200
    )


def test_weights_of_the_next_product_load_behind_the_one_before():
    def pair(banks: int) -> int:
        record = chip(engines={"mxu": {"weight_banks": banks}})
        product = Mxu(a=0, w=0, c=0, m0=50, n=8, k0=8, am0=8)
        return run([product, product], record=record).call.cycles

    assert pair(2) == 2 + 8 + 50 + 50 + 16  # two words are fetched
    assert pair(1) == pair(2) + 8


def test_sums_that_move_wait_until_those_that_stood_still_have_left():
    def pair(first: int, second: int, drain: str) -> int:
        record = chip()
        array = record["engines"]["mxu"]
        still = {"name": "os", "cycles": "max(k,rows)", "fill": "2*rows+cols", "drain": drain}
        array["mappings"] = [*array["mappings"], still]
        products = [Mxu(mapping=each, a=0, w=0, c=0, m0=8, n=8, k0=40, am0=40) for each in (first, second)]
        return run(products, record=record).call.cycles

    assert pair(1, 0, "2*rows") == pair(1, 0, "0") + 2 * 8
    for others in ((0, 0), (0, 1), (1, 1)):
        assert pair(*others, "2*rows") == pair(*others, "0")


@pytest.mark.parametrize(
    ("micro", "combine", "vectors"),
    [
        (operation("add", 0, stream(1), stream(1)), 0, 1.0),
        (operation("mul", 0, stream(1), stream(1)), 1, 1 / 16),
        (operation("copy", 0, stream(1)), 2, 1 / 16),
        (operation("add", 0, stream(1), stream(1)), 1, 2.0),
        (operation("div", 0, stream(1), stream(1)), 0, 4.0),
    ],
)
def test_vector_work_costs_what_the_chip_says(micro, combine, vectors):
    target = view(ACC, I32, 0, 1, 0 if combine else 20)
    records = [
        Program(number=0, micros=(micro,)),
        Lda(dram=ARENA, spa=0, n0=400, signal=1),
        Vec(number=0, combine=combine, n0=20, n1=20, wait=1, streams=(target, view(SPA, I8, 0, 1, 20))),
    ]
    timeline = run(records).entry.timeline
    assert timeline.end[2] - timeline.begin[2] == -(-(20 * 3 * vectors) // 1)


def test_a_vector_waits_for_all_that_one_memory_gives_for_it():
    """Two parameters that stay along the lines: with each of two vectors of channels one of them comes a cycle late."""

    def spent(*names: str) -> float:
        operands = [view(SPA, I8, 512, 1, 16), *(view(SPW, I8, 16 * n, 1, 0) for n in range(len(names)))]
        records = [
            Program(number=0, micros=(operation("mac", 0, *(stream(1 + n) for n in range(3))),)),
            Vec(number=0, n0=16, n1=16, streams=(view(SPA, I8, 0, 1, 16), *operands)),
        ]
        timeline = run(records).entry.timeline
        return float(timeline.end[1] - timeline.begin[1])

    assert spent("scale", "offset") == 32 + 2
    assert spent("scale", "offset", "unused") == 32 + 4


def test_parameters_of_new_channels_are_fetched_while_three_vectors_are_computed():
    def spent(parameters: int, operations: int) -> float:
        views = [view(SPA, I8, 512, 1, 16), *(view(SPW, I8, 16 * n, 1, 0) for n in range(parameters))]
        records = [
            Program(number=0, micros=(operation("copy", 0, stream(1)),) * operations),
            Vec(number=0, n0=16, n1=16, streams=(view(SPA, I8, 0, 1, 16), *views)),
        ]
        timeline = run(records).entry.timeline
        return float(timeline.end[1] - timeline.begin[1])

    assert spent(4, 2) == 64 + 3
    assert spent(5, 2) == 64 + 4 + 1
    assert spent(5, 3) == 96 + 4


def test_steps_across_banks_are_slow():
    def spent(*strides: int) -> float:
        records = [
            Program(number=0, micros=(operation("copy", 0, stream(1)),)),
            Vec(number=0, n0=16, n1=16, streams=(view(SPW, I8, 0, *strides), view(SPA, I8, 0, 1, 16))),
        ]
        timeline = run(records).entry.timeline
        return float(timeline.end[1] - timeline.begin[1])

    assert spent(1, 16) == 32
    assert spent(16, 1) == 4 * 32


def test_an_engine_that_waits_says_for_whom():
    stalls = ran_of(chip(8, 8, memories={"dram": {"bytes_per_cycle": 2}})).entry.timeline.stalls
    assert max(stalls["mxu"], key=stalls["mxu"].__getitem__) in ("lda", "ldw")
    stalls = ran_of(chip(8, 8, engines={"vec": {"lanes": 1, "mac_per_cycle": 1}})).entry.timeline.stalls
    assert max(stalls["sto"], key=stalls["sto"].__getitem__) == "vec"
