"""Loads that go before the work of the kernel before them, and those that must not."""

from isthmus.backends.npu.isa import Lda, Ldw, Mxu, Sto, context
from isthmus.compiler.stream.ahead import loads_ahead
from isthmus.compiler.stream.sync import Touched

ARRAY = Touched(context({"engines": {"mxu": {"rows": 8, "cols": 8}}}))
LOADS, QUEUES = ("lda", "ldw"), ("lda", "ldw", "mxu", "vec", "sto")


def product(w: int) -> Mxu:
    return Mxu(a=0, w=w, c=0, m0=8, n=8, k0=8, am0=8)


def order(*kernels: list, depth: int = 8) -> list[tuple[int, str]]:
    turns = [(n, record) for n, records in enumerate(kernels) for record in records]
    ordered = loads_ahead([record for _, record in turns], LOADS, QUEUES, depth, ARRAY)
    return [(turns[place][0], type(turns[place][1]).mnemonic) for place in ordered]


def test_weights_of_the_next_kernel_go_before_work_that_does_not_touch_them():
    first = [Ldw(dram=0, spw=0, n0=64), product(0), product(0)]
    second = [Ldw(dram=64, spw=1024, n0=64), product(1024)]
    assert order(first, second) == [(0, "ldw"), (1, "ldw"), (0, "mxu"), (0, "mxu"), (1, "mxu")]
    assert order(first, second, depth=2) == [(0, "ldw"), (0, "mxu"), (0, "mxu"), (1, "ldw"), (1, "mxu")]


def test_they_stay_behind_the_last_use_of_their_place():
    first = [Ldw(dram=0, spw=0, n0=64), product(0), product(2048)]
    second = [Ldw(dram=64, spw=0, n0=64), product(0)]
    assert order(first, second) == [(0, "ldw"), (0, "mxu"), (1, "ldw"), (0, "mxu"), (1, "mxu")]


def test_a_result_is_stored_before_it_is_loaded():
    first = [product(0), Sto(dram=4096, spa=512, n0=64)]
    assert order(first, [Lda(dram=4096, spa=1024, n0=64)]) == [(0, "mxu"), (0, "sto"), (1, "lda")]
    assert order(first, [Lda(dram=8192, spa=1024, n0=64)]) == [(1, "lda"), (0, "mxu"), (0, "sto")]


def test_loads_that_follow_work_of_their_own_kernel_go_before_it_too():
    second = [product(0), Ldw(dram=0, spw=512, n0=64), Ldw(dram=0, spw=0, n0=64)]
    assert order([product(0)], second) == [(1, "ldw"), (0, "mxu"), (1, "mxu"), (1, "ldw")]


def test_a_queue_is_never_filled_with_loads_before_their_turn():
    kernel = [Ldw(dram=0, spw=1024 * n, n0=64) for n in range(5)]
    found = [name for _, name in order([product(8192), product(8192)], kernel, depth=4)]
    assert found == ["ldw", "ldw", "mxu", "mxu", "ldw", "ldw", "ldw"]
