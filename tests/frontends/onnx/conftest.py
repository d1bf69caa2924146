"""Small ONNX models for tests of the reader."""

from collections.abc import Sequence

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from isthmus.compiler.ir.graph import Graph
from isthmus.frontends import registry
from isthmus.frontends.onnx import frontend


class Maker:
    """Short spellings for nodes, models and reading."""

    @staticmethod
    def node(op: str, inputs: str, outputs: str, name: str = "", domain: str = "", **attributes):
        """A node; "_" in the lists of names stands for an absent operand."""
        names = ["" if part == "_" else part for part in inputs.split()]
        return helper.make_node(op, names, outputs.split(), name, domain=domain, **attributes)

    @staticmethod
    def value(name: str, shape: Sequence[int | str | None] | None, dtype: int = TensorProto.FLOAT):
        return helper.make_tensor_value_info(name, dtype, shape)

    @staticmethod
    def tensor(name: str, array) -> TensorProto:
        return numpy_helper.from_array(np.asarray(array), name)

    def model(
        self,
        nodes: list,
        inputs: list,
        outputs: str = "y",
        weights: Sequence[TensorProto] = (),
        opset: int = 18,
        **more,
    ) -> ModelProto:
        """A model whose outputs are declared without a shape."""
        declared = [self.value(name, None) for name in outputs.split()]
        graph = helper.make_graph(nodes, "test", inputs, declared, list(weights))
        opsets = [helper.make_opsetid("", opset), *more.pop("opsets", ())]
        return helper.make_model(graph, opset_imports=opsets, ir_version=more.pop("ir_version", 10), **more)

    @staticmethod
    def graph(nodes: list, inputs: list, outputs: list, weights: Sequence[TensorProto] = ()):
        return helper.make_graph(nodes, "body", inputs, outputs, list(weights))

    @staticmethod
    def read(model, **options) -> Graph:
        return registry.read(model, [frontend], **options)

    @staticmethod
    def ops(graph: Graph) -> list[str]:
        """The ops of a graph that are neither inputs nor constants."""
        return [node.op for node in graph.nodes if node.op not in ("input", "constant")]


@pytest.fixture
def onnx() -> Maker:
    return Maker()
