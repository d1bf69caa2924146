"""The row that compares narrow precisions."""

from benchmarks.models import SAMPLES, calibration
from benchmarks.narrow import Reader, line


def test_a_row_compares_with_the_better_peer_and_with_floats() -> None:
    seconds = {"isthmus f32": 0.06, "isthmus int8": 0.03, "onnxruntime": 0.045, "openvino": 0.036}
    row = line("resnet50", "int8", seconds)
    assert row.startswith("resnet50 int8: isthmus f32 60.00 ms")
    assert row.endswith("1.20 times the better peer, 2.00 times f32")


def test_a_peer_that_refuses_is_left_out() -> None:
    row = line("resnet50", "bf16", {"isthmus f32": 0.06, "isthmus bf16": 0.03, "onnxruntime": 0.045})
    assert row.endswith("1.50 times the better peer, 2.00 times f32")


def test_the_reader_ends() -> None:
    reader = Reader(calibration("row_3072"))
    read = [reader.get_next() for _ in range(SAMPLES + 1)]
    assert read[-1] is None
    assert all(read[:-1])
