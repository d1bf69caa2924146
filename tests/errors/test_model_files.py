"""Bad model files: one line a problem, which names the place and the way out; quickly, and in little memory."""

import json
import os
import subprocess
import sys
import time

import pytest

from isthmus.compiler.diagnostics import CompileError
from isthmus.frontends import registry
from isthmus.frontends.onnx import frontend

SECONDS, MEGABYTES = 2, 512


def test_bad_model_is_refused(bad_model, tmp_path):
    path = bad_model.make(tmp_path)
    start = time.monotonic()
    with pytest.raises(CompileError) as raised:
        registry.read(path, [frontend])
    assert type(raised.value) is bad_model.error
    lines = str(raised.value).split("\n")
    assert len(lines) == len(bad_model.lines), str(raised.value)
    for line, texts in zip(lines, bad_model.lines, strict=True):
        for text in texts:
            assert text in line
    assert time.monotonic() - start < 20 * SECONDS, "not even on a machine that is shared by twenty"


MEASURE = """
import json, sys, time
import isthmus.frontends.registry as registry
from isthmus.frontends.onnx import frontend
from isthmus.compiler.diagnostics import CompileError
for path in json.load(sys.stdin):
    start = time.process_time()
    try:
        registry.read(path, [frontend])
    except CompileError:
        # not getrusage: that also counts the parent, whose memory a child shares until it calls exec
        status = open("/proc/self/status").read().split()
        used = int(status[status.index("VmHWM:") + 1]) // 1024
        print(json.dumps([path, time.process_time() - start, used]))
"""


def test_bad_models_cost_little(bad_models, tmp_path):
    """Processor seconds of each refusal, and the largest memory of a process that meets them one after the other."""
    paths = []
    for case in bad_models:
        folder = tmp_path / case.name
        folder.mkdir()
        paths.append(str(case.make(folder)))
    done = subprocess.run(
        [sys.executable, "-P", "-c", MEASURE],
        input=json.dumps(paths),
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    measured = [json.loads(line) for line in done.stdout.splitlines()]
    assert [path for path, _, _ in measured] == paths
    for path, seconds, megabytes in measured:
        assert seconds < SECONDS, path
        assert megabytes < MEGABYTES, path
