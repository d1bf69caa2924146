"""The engines that are measured, all behind one call: a file opened with so many threads, then run on inputs.

Each is imported only when it is opened, so that a fresh process holds nothing but the engine it measures.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Arrays = dict[str, np.ndarray]
Run = Callable[[Arrays], Arrays]


@dataclass(frozen=True)
class Engine:
    """A way to run a model: `open(file, threads)` gives the function that runs it on named inputs."""

    title: str
    suffix: str
    open: Callable[[Path, int], Run]


def _isthmus(file: Path, threads: int) -> Run:
    import isthmus

    return isthmus.load(file, threads=threads).run


def _onnxruntime(file: Path, threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, inputs), strict=True))


def open_openvino(file: Path, threads: int, precision: str | None = "f32") -> Run:
    """OpenVINO in a precision, so that like is compared with like; None for its default, bf16 where the chip has it."""
    import openvino

    properties = {
        **({} if precision is None else {"INFERENCE_PRECISION_HINT": precision}),
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
    }
    request = openvino.Core().compile_model(str(file), "CPU", properties).create_infer_request()

    def run(inputs: Arrays) -> Arrays:
        results = request.infer(inputs, share_inputs=True, share_outputs=True)
        return {port.any_name: array for port, array in results.items()}

    return run


ENGINES: dict[str, Engine] = {
    "isthmus": Engine("isthmus", ".isth", _isthmus),
    "onnxruntime": Engine("ONNX Runtime", ".onnx", _onnxruntime),
    "openvino": Engine("OpenVINO", ".onnx", open_openvino),
}
SUBJECT, JUDGE = "isthmus", "onnxruntime"
"""The engine whose numbers the report is about, and the one whose outputs count as right."""
PEERS = tuple(name for name in ENGINES if name != SUBJECT)
