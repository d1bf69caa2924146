"""A converter's signature is its op's schema: names, defaults and counts, for every opset that is read."""

import inspect

import pytest
from onnx import AttributeProto, defs, helper

from isthmus.compiler.diagnostics import UnsupportedError
from isthmus.frontends.onnx import frontend
from isthmus.frontends.onnx.opsets import NEWEST, OLDEST
from isthmus.frontends.signature import Parameters
from isthmus.frontends.source import SourceNode

SCHEMAS = {
    (schema.name, schema.since_version): schema
    for schema in defs.get_all_schemas_with_history()
    if not schema.domain and schema.since_version <= NEWEST
}
OPS = sorted({name for name, _ in SCHEMAS})


def versions(op):
    """The schemas of an op that the opsets known use, with an opset that uses each."""
    for opset in range(OLDEST, NEWEST + 1):
        known = [since for name, since in SCHEMAS if name == op and since <= opset]
        if known and not SCHEMAS[op, max(known)].deprecated:
            yield opset, SCHEMAS[op, max(known)]


def default_of(attribute):
    if attribute.default_value.type == AttributeProto.UNDEFINED:
        return None
    value = helper.get_attribute_value(attribute.default_value)
    if isinstance(value, list):
        return tuple(item.decode() if isinstance(item, bytes) else item for item in value)
    return value.decode() if isinstance(value, bytes) else value


def converter(op, opset):
    try:
        return frontend.converters.find(SourceNode(op, op, (), (), version=opset))
    except UnsupportedError:
        return None


@pytest.mark.parametrize("op", OPS)
def test_signature_is_the_schema(op):
    for opset, schema in versions(op):
        function = converter(op, opset)
        if function is None:
            continue
        found = Parameters.of(function)
        assert set(found.attributes) == set(schema.attributes), f"{op} in opset {opset}"
        for name, attribute in schema.attributes.items():
            default = found.attributes[name]
            if default is inspect.Parameter.empty:
                assert attribute.required, f"{op} in opset {opset}: {name} has a default"
            elif default != default_of(attribute):
                # None and 0 both stand for "not given" where a given 0 would mean the same
                wanted = default_of(attribute)
                assert (not wanted and not default) or default == pytest.approx(wanted, rel=1e-6), (
                    f"{op} in opset {opset}: {name}"
                )
            if attribute.required:
                assert default is inspect.Parameter.empty, f"{op} in opset {opset}: {name} is required"
        variadic = any(
            entry.option == defs.OpSchema.FormalParameterOption.Variadic for entry in schema.inputs
        )
        assert found.variadic == variadic, f"{op} in opset {opset}"
        if not variadic:
            assert len(found.operands) == len(schema.inputs), f"{op} in opset {opset}"
        for (name, required), entry in zip(found.operands, schema.inputs, strict=False):
            single = entry.option == defs.OpSchema.FormalParameterOption.Single
            assert required == single, f"{op} in opset {opset}: operand {name}"


def test_forms_exist_where_an_op_changed():
    """No op is read in an opset that did not have it, and every form starts where a schema does."""
    for (domain, op), forms in frontend.converters.forms.items():
        if domain == "com.microsoft" or op == "SimplifiedLayerNormalization":
            continue  # which ONNX Runtime defines, the latter in the standard's domain
        if domain:
            assert defs.has(op, domain), f"{domain} has no {op}"
            continue
        first = min(since for name, since in SCHEMAS if name == op)
        for form in forms:
            assert form.since == 1 or (op, form.since) in SCHEMAS, f"{op} has no version {form.since}"
            assert form.since >= first or first <= OLDEST, f"{op} exists from {first} on"
