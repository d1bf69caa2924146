"""Ops that the ONNX standard defines by other ops: their bodies, from the schemas of the `onnx` package."""

from collections.abc import Sequence
from typing import Any

from onnx import FunctionProto, NodeProto, TypeProto, defs

from ...compiler.diagnostics import ModelError, UnsupportedError
from ...compiler.ir.graph import Value
from ...compiler.ir.types import OptionalType, SequenceType, Type
from ..source import SourceGraph, SourceNode
from .calls import LocalFunction
from .opsets import NEWEST
from .reader import Decoder
from .tensors import ONNX_DTYPE, TensorReader


def _schema(node: SourceNode) -> Any:
    """The op's schema in the node's opset; the stubs of `onnx` lack its functions."""
    return defs.get_schema(node.op, node.version, node.domain)


def is_standard(node: SourceNode) -> bool:
    """Whether the standard has an op of that name, in any version."""
    return defs.has(node.op, node.domain)


def has_definition(node: SourceNode) -> bool:
    """Whether the standard has a body for the op in the node's opset."""
    if not isinstance(node.origin, NodeProto) or not defs.has(node.op, node.version, node.domain):
        return False
    schema = _schema(node)
    return schema.has_function or schema.has_context_dependent_function


def defining_graph(node: SourceNode, operands: Sequence[Value | None]) -> SourceGraph:
    """The body for a node with these operands, its nodes bearing the node's own name."""
    schema = _schema(node)
    if schema.has_context_dependent_function:
        types = [b"" if v is None else type_proto(v.type).SerializeToString() for v in operands]
        versions = schema.context_dependent_function_opset_versions
        version = max((v for v in versions if v <= node.version), default=None)
        body = b""
        if version is not None:
            try:
                body = schema.get_context_dependent_function_with_opset_version(
                    version, node.origin.SerializeToString(), types
                )
            except (RuntimeError, ValueError) as error:
                raise ModelError(f"{node.op} is malformed: {str(error).splitlines()[0]}") from None
        function = FunctionProto.FromString(body)
    else:
        versions = schema.function_opset_versions
        version = max((v for v in versions if v <= node.version), default=None)
        function = FunctionProto() if version is None else schema.get_function_with_opset_version(version)
        if isinstance(function, bytes):
            function = FunctionProto.FromString(function)
    if not function.node:
        raise UnsupportedError(
            "the standard gives no definition for this form of it", hint="export with other ops"
        )
    decoder = Decoder(node.name, TensorReader(b"", None))
    opsets = {"": min(defs.onnx_opset_version(), NEWEST) if node.domain else node.version} | decoder.versions(
        function.opset_import
    )
    defaults = {
        name: entry.default_value for name, entry in schema.attributes.items() if entry.default_value.type
    }
    given = defaults | {attribute.name: attribute for attribute in node.origin.attribute}
    graph = decoder.function(LocalFunction(function, opsets), given, node.name)
    if decoder.problems:
        raise UnsupportedError(f"its definition can't be read: {decoder.problems[0]}")
    return graph


def type_proto(type: Type) -> TypeProto:
    """A type as ONNX writes it; symbolic dimensions stay unnamed."""
    proto = TypeProto()
    if isinstance(type, SequenceType):
        proto.sequence_type.elem_type.CopyFrom(type_proto(type.element))
    elif isinstance(type, OptionalType):
        proto.optional_type.elem_type.CopyFrom(type_proto(type.element))
    else:
        proto.tensor_type.elem_type = ONNX_DTYPE[type.dtype.name]
        proto.tensor_type.shape.SetInParent()
        for dim in type.shape:
            entry = proto.tensor_type.shape.dim.add()
            if isinstance(dim, int):
                entry.dim_value = dim
    return proto
