"""Recorded ratios: what is kept, and what counts as slower."""

import json

import pytest

from benchmarks import regression


def _document(isthmus, onnxruntime, openvino, name="resnet18", cpu="a core"):
    engines = {"isthmus": isthmus, "onnxruntime": onnxruntime, "openvino": openvino}
    seconds = {engine: {"minimum": value} for engine, value in engines.items() if value}
    return {
        "machine": {"cpu": cpu},
        "models": [{"name": name, "threads": {"1": {"engines": seconds}}}],
        "means": {"1": {}},
    }


def test_the_ratio_is_to_the_better_peer():
    assert regression.ratios(_document(3.0, 4.0, 6.0)) == {"1": {"resnet18": 0.75}}
    assert regression.ratios(_document(3.0, None, 6.0)) == {"1": {"resnet18": 0.5}}
    assert regression.ratios(_document(None, 4.0, 6.0)) == {}


def test_what_is_over_a_tenth_slower_is_told():
    recorded = {"1": {"resnet18": 0.75, "gpt2": 0.9}}
    assert regression.regressions(_document(3.2, 4.0, 6.0), recorded) == []
    (line,) = regression.regressions(_document(3.4, 4.0, 6.0), recorded)
    assert line == "resnet18, threads 1: 0.850 of the better peer's time, recorded was 0.750"
    (line,) = regression.regressions(_document(None, 4.0, 6.0), recorded)
    assert line == "resnet18, threads 1: no ratio, recorded was 0.750"


def test_a_record_keeps_models_that_were_not_measured_again(tmp_path):
    file = tmp_path / "ratios.json"
    regression.record(_document(3.0, 4.0, 6.0), file)
    regression.record(_document(1.0, 4.0, 6.0, "gpt2"), file)
    assert regression.read(file, "a core") == {"1": {"gpt2": 0.25, "resnet18": 0.75}}
    regression.record(_document(1.0, 4.0, 6.0, "gpt2", "another"), file)
    assert json.loads(file.read_text()) == {"cpu": "another", "ratios": {"1": {"gpt2": 0.25}}}


def test_a_record_of_another_processor_or_none_is_refused(tmp_path):
    file = tmp_path / "ratios.json"
    with pytest.raises(ValueError, match=r"no record of ratios .* make one with --record"):
        regression.read(file, "a core")
    regression.record(_document(3.0, 4.0, 6.0), file)
    with pytest.raises(ValueError, match="recorded on a core, this is another; make another with --record"):
        regression.read(file, "another")
