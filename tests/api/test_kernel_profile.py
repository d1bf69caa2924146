"""Kernels' times beside peaks: what is counted, what the table and the picture say."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

import isthmus
from isthmus import kernel_profile
from isthmus.backends.cpu.peaks import Peak, Peaks
from isthmus.compilation import build_model, finish
from isthmus.compiler.ir import Graph, constant, graph_input
from isthmus.compiler.ops.contract import matmul
from isthmus.compiler.ops.engine import parse_type
from isthmus.compiler.ops.gather import gather
from isthmus.kernel_profile import KernelProfile, KernelTime, moved_bytes, operations, profile_kernels

PEAKS = Peaks(flops=100e9, bytes=10e9, hertz=3e9)


def _built(value, *inputs):
    return build_model(isthmus.Model(Graph(list(inputs), [value], ["y"])), "cpu")


def test_a_product_counts_two_operations_an_element_and_each_byte_once() -> None:
    x = graph_input("x", parse_type("f32[4, 32]"))
    built = _built(matmul(x, constant(np.ones((32, 16), np.float32))), x)
    (kernel,) = (report.kernel for report in built.reports)
    assert operations(kernel) == 2 * 4 * 32 * 16
    assert moved_bytes(kernel) == 4 * (4 * 32 + 32 * 16 + 4 * 16)


def test_of_a_table_only_what_is_looked_up_is_moved() -> None:
    rows = graph_input("rows", parse_type("i64[3]"))
    built = _built(gather(constant(np.ones((1000, 8), np.float32)), rows, axis=0), rows)
    (kernel,) = (report.kernel for report in built.reports)
    assert moved_bytes(kernel) <= 8 * 3 + 2 * (4 * 3 * 8)


def test_a_profile_has_every_kernel_and_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_profile, "peaks", lambda issue: PEAKS)
    x = graph_input("x", parse_type("f32[64, 64]"))
    built = _built(matmul(x, constant(np.ones((64, 48), np.float32))), x)
    found = profile_kernels(finish(built), built.reports, [np.ones((64, 64), np.float32)], runs=2)
    (kernel,) = found.kernels
    assert 0 < kernel.seconds < 1
    assert kernel.predicted == built.reports[0].cycles / found.peaks.hertz
    root = ET.fromstring(found.picture("a model"))
    assert len([each for each in root if each.tag.endswith("circle")]) == 1


def test_the_error_of_prediction_is_weighted_by_time_over_long_kernels() -> None:
    kernels = [(3e-3, 1.5e-3), (1e-3, 1.5e-3), (1e-6, 1.0)]
    times = tuple(
        KernelTime(n, f"k{n}", ("node",), seconds, 1e6, 100, predicted)
        for n, (seconds, predicted) in enumerate(kernels)
    )
    found = KernelProfile(times, PEAKS, 1)
    assert found.error == pytest.approx((1.5 + 0.5) / 4)
    assert found.shares(times[1]) == (pytest.approx(0.01), pytest.approx(1e-5))
    assert "above 50 us: 50.0%" in found.lines(2)[-1]
    assert len(found.lines(2)) == 1 + 2 + 2


def test_peaks_are_kept_and_the_best_count(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISTHMUS_CACHE", str(tmp_path))
    found = iter((Peaks(2.0, 5.0, 1.0), Peaks(1.0, 6.0, 3.0)))
    monkeypatch.setattr("isthmus.backends.cpu.peaks.measure", lambda issue: next(found))
    kernel_profile.peaks(2.0)
    assert kernel_profile.peaks(2.0) == Peaks(2.0, 6.0, 3.0)


def test_multiply_adds_on_registers_are_faster_than_numpy_can_be_slow() -> None:
    assert Peak()(repeats=3) > 1.0, "GFLOP/s of any machine"


def test_a_faster_core_has_a_faster_clock() -> None:
    assert Peaks(2.0, 5.0, 1.0).faster(3.0) == Peaks(3.0, 5.0, 1.5)
    assert Peaks(2.0, 5.0, 1.0).faster(1.0) == Peaks(2.0, 5.0, 1.0)
