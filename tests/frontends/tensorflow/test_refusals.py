"""What can't be read is refused in one line a problem: the place, what was found, the way out."""

import shutil
from contextlib import suppress

import numpy as np
import pytest

from isthmus.compiler.diagnostics import CompileError, ModelError, UnsupportedError
from isthmus.frontends import registry
from isthmus.frontends.keras import frontend as keras
from isthmus.frontends.tensorflow import frontend as tensorflow
from isthmus.frontends.tensorflow.messages import message_class


def refused(path, *texts: str, error: type[CompileError] = ModelError, lines: int = 1) -> None:
    """Read a model, expect one error with these lines and texts in it."""
    with pytest.raises(error) as raised:
        registry.read(str(path), [keras, tensorflow])
    text = str(raised.value)
    assert len(text.splitlines()) == lines, text
    for part in texts:
        assert part in text


@pytest.fixture
def saved(recorded, tmp_path):
    """A copy of a SavedModel that may be damaged, and its message."""

    def copy(name: str = "cnn"):
        folder = tmp_path / "model"
        shutil.copytree(recorded(name).folder / "saved", folder)
        return folder, message_class("SavedModel").FromString((folder / "saved_model.pb").read_bytes())

    return copy


def write(folder, message):
    (folder / "saved_model.pb").write_bytes(message.SerializeToString())
    return folder


def graph(*nodes, **attributes):
    """A frozen graph: nodes are `name op operand...`; attributes by node name."""
    message = message_class("GraphDef")()
    message.versions.producer = 1000
    for line in nodes:
        name, op, *operands = line.split()
        node = message.node.add(name=name, op=op, input=operands)
        if op == "Placeholder":
            node.attr["dtype"].type = 1
            for size in (2, 3):
                node.attr["shape"].shape.dim.add(size=size)
        for key, value in attributes.get(name, {}).items():
            node.attr[key].CopyFrom(value)
    return message


def frozen(tmp_path, message):
    path = tmp_path / "graph.pb"
    path.write_bytes(message.SerializeToString())
    return path


# --- SavedModels


def test_several_signatures_without_a_choice(recorded):
    folder = recorded("first_generation").folder / "saved"
    refused(folder, "saved: has several signatures", "double, score", "saved#double")


def test_a_signature_that_does_not_exist(recorded):
    refused(
        f"{recorded('first_generation').folder / 'saved'}#nothing", "no signature 'nothing'", "double, score"
    )


def test_no_signature(saved):
    folder, message = saved()
    message.meta_graphs[0].signature_def.clear()
    refused(write(folder, message), "has no signature", "model.export()")


def test_a_signature_of_other_than_tensors(saved):
    folder, message = saved()
    signature = message.meta_graphs[0].signature_def["serving_default"]
    signature.inputs[next(iter(signature.inputs))].name = ""
    refused(write(folder, message), "no plain tensor", "dense tensors")


def test_an_output_that_does_not_exist(saved):
    folder, message = saved()
    message.meta_graphs[0].signature_def["serving_default"].outputs["output_0"].name = "nowhere:0"
    refused(write(folder, message), "output_0: the output is 'nowhere:0'", "export the model again")


def test_no_graph_for_serving(saved):
    folder, message = saved()
    message.meta_graphs.add().CopyFrom(message.meta_graphs[0])
    refused(write(folder, message), "holds 2 graphs", "tag 'serve'")


def test_missing_variables(saved):
    folder, _ = saved()
    (folder / "variables" / "variables.data-00000-of-00001").unlink()
    refused(folder, "variables.data-00000-of-00001' is missing")


def test_missing_index(saved):
    folder, _ = saved()
    (folder / "variables" / "variables.index").unlink()
    refused(folder, "variables.index' is missing")


def test_a_variable_that_the_checkpoint_lacks(saved):
    folder, message = saved()
    for function in message.meta_graphs[0].graph_def.library.function:
        for node in function.node_def:
            if node.op == "Const" and node.attr["value"].tensor.dtype == 7:
                strings = node.attr["value"].tensor.string_val
                strings[:] = [text.replace(b"/3/", b"/33/") for text in strings]
    refused(write(folder, message), "is not in the checkpoint", "export the model again")


@pytest.mark.parametrize("size", [10, 60, 500])
def test_a_truncated_index(saved, size):
    folder, _ = saved()
    path = folder / "variables" / "variables.index"
    path.write_bytes(path.read_bytes()[:size])
    refused(folder, "not an index of variables", "copy or export the model again")


def test_truncated_variables(saved):
    folder, _ = saved()
    path = folder / "variables" / "variables.data-00000-of-00001"
    path.write_bytes(path.read_bytes()[:100])
    refused(folder, "of a file of 100 bytes", "copy or export the model again", lines=9)


def test_a_truncated_saved_model(saved):
    folder, _ = saved()
    path = folder / "saved_model.pb"
    path.write_bytes(path.read_bytes()[:-100])
    refused(folder, "not a SavedModel, or truncated")


def test_a_model_that_changes_its_variables(recorded):
    refused(
        recorded("stateful").folder / "saved",
        "AssignAddVariableOp is not supported: it changes a variable",
        "export the model for inference",
        error=UnsupportedError,
    )


def test_names_that_are_no_text(saved):
    folder, message = saved()
    data = message.SerializeToString().replace(
        b"StatefulPartitionedCall", b"StatefulPartitionedC\xff\xff\xff"
    )
    (folder / "saved_model.pb").write_bytes(data)
    refused(folder, "a name in the graph is no text", "copy or export the model again")


# --- frozen graphs


def test_loops_of_the_first_generation(recorded):
    refused(
        recorded("first_generation").folder / "loop.pb",
        *(
            "Enter is not",
            "Merge is not",
            "LoopCond is not",
            "Switch is not",
            "Exit is not",
            "NextIteration is not",
        ),
        "control flow v2",
        error=UnsupportedError,
        lines=6,
    )


def test_all_unsupported_operators_are_named(tmp_path):
    nodes = ("x Placeholder", "a Fft x", "b Fft a", "c HashTableV2", "d LookupTableFindV2 c b", "e PyFunc d")
    refused(
        frozen(tmp_path, graph(*nodes)),
        "graph.pb:a: Fft is not supported: there is no converter for it (2 nodes)",
        "HashTableV2 is not supported: tables are not read",
        "e: PyFunc is not supported: it runs Python code",
        error=UnsupportedError,
        lines=4,
    )


@pytest.mark.parametrize("content", [b"", b"\x0a\xff\xff\xff\x7f", b"\x0a\x05ab"])
def test_no_graph(tmp_path, content):
    path = tmp_path / "graph.pb"
    path.write_bytes(content)
    refused(path, "graph.pb:", "check that this is the right file")


def test_an_operand_that_does_not_exist(tmp_path):
    refused(frozen(tmp_path, graph("x Placeholder", "y Add x z")), "graph.pb:y: operand 'z:0' is not defined")


def test_an_output_number_that_does_not_exist(tmp_path):
    refused(
        frozen(tmp_path, graph("x Placeholder", "a Relu x", "y Relu a:3")),
        "output 3 is not computed",
        error=UnsupportedError,
    )


def test_a_cycle(tmp_path):
    ring = graph("x Placeholder", "a Add x b", "b Relu a", "y Relu a")
    refused(frozen(tmp_path, ring), "graph.pb:a: nodes form a cycle: a -> b -> a")


def test_nothing_but_inputs(tmp_path):
    refused(frozen(tmp_path, graph("x Placeholder")), "no operation with a result", "freeze the graph")


def test_a_variable_in_a_frozen_graph(tmp_path):
    refused(
        frozen(tmp_path, graph("v VarHandleOp", "y ReadVariableOp v")), "has no value in the model", "freeze"
    )


def test_functions_in_a_circle(tmp_path):
    message = graph("x Placeholder", "y f x")
    for name, callee in (("f", "g"), ("g", "f")):
        function = message.library.function.add()
        function.signature.name = name
        function.node_def.add(name="n", op=callee)
    refused(frozen(tmp_path, message), "functions call each other in a circle: f -> g -> f")


def test_functions_that_multiply(tmp_path):
    message = graph("x Placeholder", "y f0 x")
    for n in range(30):
        function = message.library.function.add()
        function.signature.name = f"f{n}"
        for copy in range(4):
            function.node_def.add(name=f"n{copy}", op=f"f{n + 1}")
    refused(frozen(tmp_path, message), "expand to more than", "simplify")


def test_a_function_that_does_not_exist(tmp_path):
    call = message_class("AttrValue")()
    call.func.name = "nowhere"
    message = graph("x Placeholder", "y PartitionedCall x", y={"f": call})
    refused(frozen(tmp_path, message), "the function 'nowhere' is not defined")


def test_a_constant_of_declared_size_only(tmp_path):
    value = message_class("AttrValue")()
    value.tensor.dtype = 1
    value.tensor.tensor_shape.dim.add(size=2**40)
    value.tensor.float_val.append(1.0)
    message = graph("x Placeholder", "c Const", "y Add x c", c={"value": value})
    refused(frozen(tmp_path, message), "is declared large, and only 1 are stored")


def test_a_line_of_any_number_of_points(tmp_path):
    points = {name: message_class("AttrValue")() for name in ("first", "last", "count")}
    for name, value in points.items():
        value.tensor.dtype = 3 if name == "count" else 1
        value.tensor.int_val[:] = [2**31 - 1] if name == "count" else []
        value.tensor.float_val[:] = [] if name == "count" else [1.0]
    attributes = {name: {"value": value} for name, value in points.items()}
    message = graph(
        "x Placeholder", *(f"{name} Const" for name in points), "y LinSpace first last count", **attributes
    )
    refused(
        frozen(tmp_path, message),
        f"it asks for a constant of shape [{2**31 - 1}], more than",
        error=UnsupportedError,
    )


def test_a_constant_with_too_few_bytes(tmp_path):
    value = message_class("AttrValue")()
    value.tensor.dtype = 1
    value.tensor.tensor_shape.dim.add(size=3)
    value.tensor.tensor_content = b"12345678"
    message = graph("x Placeholder", "c Const", "y Add x c", c={"value": value})
    refused(
        frozen(tmp_path, message), "f32[3] (12 bytes), its data are 8 bytes", "copy or export the file again"
    )


def test_batch_statistics(tmp_path):
    operands = " ".join("x" for _ in range(5))
    refused(
        frozen(tmp_path, graph("x Placeholder", f"y FusedBatchNormV3 {operands}")),
        "batch's own statistics",
        "export the model for inference",
        error=UnsupportedError,
    )


def attribute(**fields):
    value = message_class("AttrValue")()
    for name, content in fields.items():
        if isinstance(content, list):
            getattr(value.list, name).extend(content)
        else:
            setattr(value, name, content)
    return value


_CONV = {"strides": attribute(i=[1, 1, 1, 1]), "padding": attribute(s=b"SAME")}


@pytest.mark.parametrize(
    ("op", "attributes", "text"),
    [
        (
            "Conv2D x x",
            {**_CONV, "data_format": attribute(s=b"CHWN")},
            "its data_format is 'CHWN'; use NHWC or NCHW",
        ),
        (
            "Conv2D x x",
            {**_CONV, "strides": attribute(i=[2, 1, 1, 1])},
            "windows or steps over batch or channels",
        ),
        ("Case x", {}, "there is no converter for it"),
        (
            "NonMaxSuppressionV3 x",
            {},
            "boxes are not suppressed here; export the model up to its boxes and scores",
        ),
        ("TensorListReserve x x", {"element_dtype": attribute(type=21)}, "lists of lists are not supported"),
        ("OneShotIterator", {}, "it reads a data set"),
        ("DecodeJpeg x", {}, "it reads an encoded file or record; decode before the model"),
        ("TensorArrayV3 x", {}, "it belongs to a loop of TensorFlow 1"),
    ],
)
def test_forms_that_are_not_supported(tmp_path, op, attributes, text):
    path = frozen(tmp_path, graph("x Placeholder", f"y {op}", y=attributes))
    refused(path, "graph.pb:y: ", text, error=UnsupportedError)


@pytest.mark.parametrize(
    ("op", "text"),
    [
        ("Reshape x x", "the rank of the result is not known"),
        ("Sum x x", "its operand 'axis' must be known when the model is compiled"),
    ],
)
def test_forms_that_depend_on_values_name_the_input_to_fix(tmp_path, op, text):
    path = frozen(tmp_path, graph("x Placeholder", f"y {op}"))
    refused(path, "graph.pb:y: ", text, "--constant x=VALUE", error=UnsupportedError, lines=2)


def test_an_unknown_attribute(tmp_path):
    value = message_class("AttrValue")()
    value.i = 1
    refused(frozen(tmp_path, graph("x Placeholder", "y Relu x", y={"slope": value})), "no attribute 'slope'")


@pytest.mark.parametrize("form", ["saved/saved_model.pb", "frozen.pb", "saved/variables/variables.index"])
def test_damage_is_noticed_or_harmless(recorded, tmp_path, form):
    """No other error than ours, whatever bytes are changed."""
    folder = tmp_path / "copy"
    shutil.copytree(recorded("cnn").folder, folder)
    target = folder / form
    data = np.frombuffer(target.read_bytes(), np.uint8)
    generator = np.random.default_rng(0)
    path = str(folder / form.partition("/")[0])
    for _ in range(20):
        damaged = data.copy()
        damaged[generator.integers(0, len(data), 3)] = generator.integers(0, 256, 3)
        target.write_bytes(damaged.tobytes())
        with suppress(CompileError):
            registry.read(path, [keras, tensorflow])
