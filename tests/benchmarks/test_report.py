"""The tables of the benchmark report, on a document as a run writes it."""

import io

import pytest
from rich.console import Console

from benchmarks import report


def _engine(minimum, median, **more):
    return {"minimum": minimum, "median": median, "count": 3, **more}


@pytest.fixture
def document():
    good = {
        "name": "resnet18",
        "onnx_bytes": 47e6,
        "compile": {"seconds": [1.5, 1.25], "save_seconds": [0.5, 0.25], "package_bytes": 94e6},
        "footprint": {
            "isthmus": {"open_seconds": 0.01, "peak_bytes": 120e6},
            "onnxruntime": {"open_seconds": 0.2, "peak_bytes": 240e6},
            "openvino": {"error": "died with SIGKILL"},
        },
        "threads": {
            "1": {
                "engines": {
                    "isthmus": _engine(0.010, 0.012, difference=2e-6),
                    "onnxruntime": _engine(0.020, 0.030),
                    "openvino": _engine(0.005, 0.006, difference=1e-6),
                },
                "probes": [201.0, 219.0, 220.0],
                "quiet": 2,
                "rounds": 5,
            }
        },
    }
    refused = {
        "name": "gpt2",
        "onnx_bytes": 498e6,
        "refused": "gpt2.onnx:Split_3: no such op",
        "footprint": {},
        "threads": {
            "1": {"engines": {"onnxruntime": _engine(0.1, 0.2)}, "probes": [220.0], "quiet": 1, "rounds": 1}
        },
    }
    models = [good, refused]
    return {
        "machine": {"cpu": "a core", "cores": 2},
        "models": models,
        "means": {"1": report.means(models, 1)},
    }


def _shown(document):
    console = Console(file=io.StringIO(), width=200)
    report.show(document, console)
    return console.file.getvalue()


def test_ratios_are_of_the_subject_to_the_peer(document):
    good, refused = document["models"]
    assert report.ratio(good, 1, "onnxruntime") == pytest.approx(0.5)
    assert report.ratio(good, 1, "onnxruntime", "median") == pytest.approx(0.4)
    assert report.ratio(good, 1, "openvino") == pytest.approx(2.0)
    assert report.ratio(good, 1, report.BETTER) == pytest.approx(2.0)
    assert report.ratio(good, 1, report.BETTER, "median") == pytest.approx(2.0)
    assert report.ratio(good, 2, "openvino") is None
    assert report.ratio(refused, 1, "onnxruntime") is None
    assert report.memory_ratio(good, "onnxruntime") == pytest.approx(0.5)
    assert report.memory_ratio(good, "openvino") is None


def test_means_leave_out_what_was_refused(document):
    assert document["means"]["1"]["onnxruntime"] == pytest.approx({"minimum": 0.5, "median": 0.4})
    assert report.means([document["models"][1]], 1)["openvino"] == {"minimum": None, "median": None}


def test_a_race_is_told_in_a_sentence(document):
    good, refused = document["models"]
    assert report.line(good, 1) == "ResNet-18, threads 1: 10.00 ms, 2.00 of the better peer's time"
    assert report.line(refused, 1) == "GPT-2, threads 1: not compared"


def test_tables_show_times_ratios_errors_and_probes(document):
    text = _shown(document)
    row = next(line for line in text.splitlines() if "ResNet-18" in line)
    for cell in ("10.00 / 12.00", "20.00 / 30.00", "0.50 / 0.40", "2.0e-06", "201-220", "2/3"):
        assert cell in row
    costs = [line for line in text.splitlines() if "ResNet-18" in line][1]
    for cell in ("1.25", "0.25", "94", "47", "0.01 / 120", "0.20 / 240", "0.50"):
        assert cell in costs


def test_refusals_and_deaths_are_shown_with_their_reason(document):
    text = _shown(document)
    assert "gpt2: isthmus refused: gpt2.onnx:Split_3: no such op" in text
    assert "resnet18: openvino, run once: died with SIGKILL" in text


def test_a_wrong_output_is_shown_and_told_apart_from_a_refusal(document):
    good, refused = document["models"]
    assert not report.is_wrong(good)
    assert not report.is_wrong(refused)
    good["threads"]["1"]["engines"]["isthmus"]["wrong"] = "differs by 3.0e-03"
    assert report.is_wrong(good)
    assert "resnet18, threads 1: isthmus wrong: differs by 3.0e-03" in _shown(document)
