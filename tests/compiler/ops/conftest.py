"""Independent judges of op meanings: one ONNX node, run by the onnx package's reference or by ONNX Runtime."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

Judge = Callable[..., list[np.ndarray]]


def model_of(
    op: str, operands: Sequence[np.ndarray | None], outputs: int, opset: int, attributes: Any
) -> Any:
    """A model of one node, and its feeds."""
    names = ["" if operand is None else f"x{n}" for n, operand in enumerate(operands)]
    feeds = {name: np.asarray(operand) for name, operand in zip(names, operands) if operand is not None}
    inputs = [
        onnx.helper.make_tensor_value_info(
            name, onnx.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
        )
        for name, value in feeds.items()
    ]
    results = [onnx.ValueInfoProto(name=f"y{n}") for n in range(outputs)]
    node = onnx.helper.make_node(op, names, [value.name for value in results], **attributes)
    graph = onnx.helper.make_graph([node], op, inputs, results)
    opsets = [onnx.helper.make_opsetid("", opset)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10), feeds


@pytest.fixture(scope="session")
def onnx_reference() -> Judge:
    """judge(op, operands, outputs=1, opset=22, **attributes) by the onnx package."""

    def judge(
        op: str, *operands: np.ndarray | None, outputs: int = 1, opset: int = 22, **attributes: Any
    ) -> Any:
        model, feeds = model_of(op, operands, outputs, opset, attributes)
        return ReferenceEvaluator(model).run(None, feeds)

    return judge


@pytest.fixture(scope="session")
def onnx_runtime() -> Judge:
    """judge(op, operands, outputs=1, opset=22, **attributes) by ONNX Runtime."""
    onnxruntime = pytest.importorskip("onnxruntime")

    def judge(
        op: str, *operands: np.ndarray | None, outputs: int = 1, opset: int = 22, **attributes: Any
    ) -> Any:
        model, feeds = model_of(op, operands, outputs, opset, attributes)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return session.run(None, feeds)

    return judge
