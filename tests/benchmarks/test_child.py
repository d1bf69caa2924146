"""Measurements in processes of their own: a failure or a death is a result, not a crash of the harness."""

import sys

from benchmarks import child


def test_peak_memory_of_this_process_is_plausible():
    assert 10e6 < child.peak_bytes() < 1e11


def test_a_task_runs_on_cores_that_this_process_may_use():
    result = child.call("cores", threads=1)
    assert len(result["cores"]) == 1
    assert result["gflops"] > 0


def test_an_error_comes_back_as_a_sentence():
    assert "cores only" in child.call("cores", threads=4096)["error"]
    assert "nosuch" in child.call("footprint", engine="nosuch", name="gpt2", file="x")["error"]


def test_a_process_that_dies_is_named_by_its_signal(monkeypatch, tmp_path):
    dying = tmp_path / "python"
    dying.write_text(f"#!{sys.executable}\nimport os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    dying.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(dying))
    assert child.call("cores", threads=1) == {"error": "died with SIGSEGV"}
