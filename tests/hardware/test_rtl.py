"""The chip in RTL on hand-written programs: the bytes that the simulator leaves, and its cycles."""

import re

import numpy as np
import pytest

pytest.importorskip("hardware", reason="the tests run outside the repository")

from hardware import programs, simulation
from hardware.assembled import ARENA, encoded, executed, record
from hardware.comparison import compare
from hardware.samples import SAMPLES
from isthmus.backends.npu.isa import Lda, Ldw, Mxu, Program, Sto, Vec, View
from isthmus.backends.npu.programs import immediate, operation, stream
from isthmus.runtime.sim.errors import HazardError

from .record import CHIPS, LAYERS, PROGRAMS, layer, program

needs_verilator = pytest.mark.skipif(
    not simulation.available(), reason="Verilator or a C++ compiler is missing"
)

SPA, SPW, ACC = 0, 1, 2
I8, I32 = 0, 3


def view(memory: int, dtype: int, base: int, *strides: int) -> View:
    return View(
        memory=memory, dtype=dtype, base=base, **{f"s{n}": stride for n, stride in enumerate(strides)}
    )


def drawn(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, count).astype(np.uint8)


@needs_verilator
def test_a_product_is_loaded_computed_requantised_and_stored() -> None:
    rescaled = operation("requantize", 0, stream(1), immediate(0), immediate(1), immediate(2), to="i8")
    records = [
        Program(number=2, immediates=(77, 9, -3), micros=(rescaled,)),
        Lda(dram=0, spa=0, n0=24 * 20, signal=1),
        Ldw(dram=1024, spw=0, n0=24 * 16, signal=2),
        Mxu(a=0, w=0, c=0, m0=20, n=12, k0=24, am0=24, wait=3, signal=4),
        Vec(
            number=2, n0=12, n1=20, wait=4, signal=8, streams=(view(SPA, I8, 1024, 1, 12), view(ACC, I32, 0, 1, 12))
        ),
        Sto(dram=ARENA, spa=1024, n0=240, wait=8),
    ]  # fmt: skip
    found = compare(executed(records, record("n1-8"), drawn(8192)))
    assert (found.status, found.wrong) == ("halted", 0)
    assert abs(found.error) < 0.06


@needs_verilator
@pytest.mark.parametrize("operations", range(1, 5))
@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("operands", [1, 2, 4, 6])
def test_vectors_take_as_long_as_in_the_simulator(operands: int, across: bool, operations: int) -> None:
    """One that moves with each line and others that come with new channels, all from one memory."""
    micros = [operation("add", 0, stream(1), stream(min(1 + n, operands))) for n in range(operations)]
    parameters = [view(SPA, I8, 4096 + 512 * n, 1, 0) for n in range(operands - 1)]
    target = view(SPA, I8, 8192, 32, 1) if across else view(SPA, I8, 8192, 1, 64)
    records = [
        Program(number=2, immediates=(1,), micros=tuple(micros)),
        Vec(number=2, n0=64, n1=32, signal=1, streams=(target, view(SPA, I8, 0, 1, 64), *parameters)),
        Sto(dram=ARENA, spa=8192, n0=2048, wait=1),
    ]
    found = compare(executed(records, record("n1-8"), drawn(8192)))
    assert (found.status, found.wrong) == ("halted", 0)
    assert abs(found.model - found.hardware) <= 2


@needs_verilator
@pytest.mark.parametrize("seed", range(16))
@pytest.mark.parametrize("chip", CHIPS)
def test_random_programs_leave_the_same_bytes(chip: str, seed: int) -> None:
    found = compare(program(chip, seed))
    assert (found.status, found.wrong) == ("halted", 0)
    assert abs(found.error) < PROGRAMS[chip][1]


@needs_verilator
@pytest.mark.parametrize("seed", [889, 1224, 1314])
def test_a_product_that_comes_late_keeps_off_sums_that_still_leave(seed: int) -> None:
    found = compare(program("n1-8", seed))
    assert (found.status, found.wrong) == ("halted", 0)


@needs_verilator
@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("chip", CHIPS)
def test_layers_leave_the_same_bytes(chip: str, name: str) -> None:
    found = compare(layer(chip, name))
    assert (found.status, found.wrong) == ("halted", 0)
    assert abs(found.error) < LAYERS


@needs_verilator
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", CHIPS)
def test_both_find_the_same_deadlocks(name: str, seed: int) -> None:
    chip, data = record(name), programs.data(seed)
    stuck = programs.without_a_token(programs.random_program(seed, chip), seed)
    with pytest.raises(HazardError, match="has no token"):
        executed(stuck, chip, data, programs.ARENA_BYTES)
    ran = simulation.run(chip, encoded(stuck, chip), [(0, data)], patience=5000)
    assert ran.status == "deadlock"


@pytest.mark.parametrize(
    ("table", "name", "fields", "message"),
    [
        ("memories", "dram", {"burst": 48}, "memory.dram.burst is 48, expected a power of two from 32 on"),
        ("engines", "mxu", {"weight_banks": 1}, "engine.mxu.weight_banks is 1, expected 2"),
        ("engines", "vec", {"mac_per_cycle": 60}, "mac_per_cycle, lanes and special_per_cycle don't divide"),
        ("engines", "mxu", {"mappings": [{"name": "rs"}]}, "the mapping rs, expected ws and os"),
        ("engines", "mxu", {"mappings": [{"name": "os"}]}, "begins with the mapping os, expected ws"),
    ],
)
def test_a_chip_that_the_design_is_not_is_refused(table, name, fields, message) -> None:
    chip = record("n1-8")
    chip[table] = chip[table] | {name: chip[table][name] | fields}
    with pytest.raises(simulation.HardwareError, match=f"^n1-8: .*{re.escape(message)}"):
        simulation.generics(chip)


def test_a_burst_takes_whole_cycles() -> None:
    chip = record("n1-8")
    chip["memories"] = chip["memories"] | {"dram": chip["memories"]["dram"] | {"bytes_per_cycle": 12}}
    with pytest.raises(
        simulation.HardwareError, match=r"a burst takes 5\.3\d* cycles, expected a whole number"
    ):
        simulation.inputs(chip)


@needs_verilator
def test_code_that_does_not_fit_is_refused() -> None:
    with pytest.raises(simulation.HardwareError, match="the code is too long for CODE_WORDS"):
        simulation.run(record("n1-8"), bytes(16 * 65537), [])
