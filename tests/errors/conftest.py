"""Model files that must be refused, each with the error that says so. A test that takes `bad_model` runs on all."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from isthmus.compiler.diagnostics import CompileError, ModelError, UnsupportedError
from isthmus.frontends.driver import ValuesNeeded

FLOAT = TensorProto.FLOAT


@dataclass(frozen=True)
class BadModel:
    """How to make the file in a folder, the error class, and for each line of the error the texts that it holds."""

    name: str
    make: Callable[[Path], Path]
    error: type[CompileError]
    lines: tuple[tuple[str, ...], ...]


BAD: list[BadModel] = []


def bad(error: type[CompileError], *lines: tuple[str, ...]):
    """Register a function that makes a file, or gives the model to be saved as `model.onnx`."""

    def register(make: Callable[[Path], Path | ModelProto]) -> Callable[[Path], Path]:
        def file(folder: Path) -> Path:
            made = make(folder)
            return made if isinstance(made, Path) else save(folder, made)

        BAD.append(BadModel(make.__name__, file, error, lines))
        return file

    return register


def save(folder: Path, model: ModelProto) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def tensor(name: str, shape: list | None = None, dtype: int = FLOAT):
    return helper.make_tensor_value_info(name, dtype, [2, 3] if shape is None else shape)


def node(op: str, inputs: str, outputs: str, name: str = "", **attributes):
    return helper.make_node(op, inputs.split(), outputs.split(), name, **attributes)


def model(nodes: list, inputs=None, outputs=None, weights=(), opset: int = 18, **more) -> ModelProto:
    """A model from x f32[2, 3] to y, unless told otherwise."""
    graph = helper.make_graph(
        nodes,
        "bad",
        [tensor("x")] if inputs is None else inputs,
        [tensor("y")] if outputs is None else outputs,
        list(weights),
    )
    opsets = [helper.make_opsetid("", opset), *more.pop("opsets", ())]
    return helper.make_model(graph, opset_imports=opsets, ir_version=more.pop("ir_version", 8), **more)


def weight(name: str, shape: list[int]) -> TensorProto:
    return numpy_helper.from_array(np.ones(shape, np.float32), name)


def external(name: str, shape: list[int], location: str, **entries: int) -> TensorProto:
    proto = TensorProto(name=name, data_type=FLOAT, dims=shape, data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **entries}.items():
        proto.external_data.add(key=key, value=str(value))
    return proto


def with_weight(proto: TensorProto) -> ModelProto:
    return model([node("Add", "x w", "y", "add")], weights=[proto])


# --- files that are no models


@bad(ModelError, ("model.onnx:", "truncated", "export the file again"))
def truncated(folder: Path) -> Path:
    path = save(folder, with_weight(weight("w", [2000, 3])))
    path.write_bytes(path.read_bytes()[:9000])
    return path


@bad(ModelError, ("model.onnx:", "truncated", "export the file again"))
def truncated_in_a_small_field(folder: Path) -> Path:
    path = save(folder, with_weight(weight("w", [2, 3])))
    path.write_bytes(path.read_bytes()[:-20])
    return path


@bad(ModelError, ("model.onnx:", "not an ONNX model", "right file"))
def empty(folder: Path) -> Path:
    (folder / "model.onnx").write_bytes(b"")
    return folder / "model.onnx"


@bad(ModelError, ("model.onnx:", "not an ONNX model", "right file"))
def picture(folder: Path) -> Path:
    (folder / "model.onnx").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8)
    return folder / "model.onnx"


@bad(ModelError, ("notes.txt:", "not a model in any known format", "onnx: ONNX, .onnx files"))
def text(folder: Path) -> Path:
    (folder / "notes.txt").write_text("weights and biases\n" * 100)
    return folder / "notes.txt"


@bad(ModelError, ("nowhere.onnx: no such file", "check the path"))
def no_file(folder: Path) -> Path:
    return folder / "nowhere.onnx"


@bad(ModelError, ("is not a regular file",))
def a_folder(folder: Path) -> Path:
    (folder / "model.onnx").mkdir()
    return folder / "model.onnx"


@bad(ModelError, ("pipe.onnx:", "neither a file nor a folder"))
def a_pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.onnx")
    return folder / "pipe.onnx"


@bad(ModelError, ("model.onnx:", "format version 99", "14"))
def newer_format(folder: Path) -> ModelProto:
    return model([node("Relu", "x", "y")], ir_version=99)


# --- external data


@bad(ModelError, ("model.onnx:w:", "'weights.bin' is missing", "copy it into"))
def missing_external_file(folder: Path) -> ModelProto:
    return with_weight(external("w", [2, 3], "weights.bin"))


@bad(ModelError, ("model.onnx:w:", "'../weights.bin' is outside the model's folder", "relative path"))
def external_path_upwards(folder: Path) -> ModelProto:
    (folder.parent / "weights.bin").write_bytes(bytes(24))
    return with_weight(external("w", [2, 3], "../weights.bin"))


@bad(ModelError, ("model.onnx:w:", "/etc/hostname", "outside the model's folder"))
def external_path_absolute(folder: Path) -> ModelProto:
    return with_weight(external("w", [2, 3], "/etc/hostname"))


@bad(ModelError, ("model.onnx:w:", "a link out of the model's folder"))
def external_link_outwards(folder: Path) -> Path:
    inside = folder / "inside"
    inside.mkdir()
    (folder / "secret.bin").write_bytes(bytes(24))
    (inside / "weights.bin").symlink_to(folder / "secret.bin")
    return save(inside, with_weight(external("w", [2, 3], "weights.bin")))


@bad(ModelError, ("model.onnx:w:", "a link out of the model's folder"))
def external_folder_link_outwards(folder: Path) -> Path:
    inside = folder / "inside"
    inside.mkdir()
    (inside / "data").symlink_to("/etc")
    return save(inside, with_weight(external("w", [2, 3], "data/hostname")))


@bad(ModelError, ("model.onnx:w:", "is not a regular file"))
def external_pipe(folder: Path) -> ModelProto:
    os.mkfifo(folder / "weights.bin")
    return with_weight(external("w", [2, 3], "weights.bin"))


@bad(ModelError, ("model.onnx:w:", "needs bytes 16 to 40 of 'weights.bin'", "has 24"))
def external_file_too_short(folder: Path) -> ModelProto:
    (folder / "weights.bin").write_bytes(bytes(24))
    return with_weight(external("w", [2, 3], "weights.bin", offset=16))


@bad(ModelError, ("model.onnx:w:", "'offset' is '-8'", "number of bytes"))
def external_offset_negative(folder: Path) -> ModelProto:
    (folder / "weights.bin").write_bytes(bytes(24))
    return with_weight(external("w", [2, 3], "weights.bin", offset=-8))


# --- constants that claim more than there is

HUGE = [1 << 20, 1 << 20]


@bad(ModelError, ("model.onnx:w:", "f32[1048576, 1048576] (4096 GiB)", "16 bytes"))
def huge_raw(folder: Path) -> ModelProto:
    return with_weight(TensorProto(name="w", data_type=FLOAT, dims=HUGE, raw_data=bytes(16)))


@bad(ModelError, ("model.onnx:w:", "1099511627776 entries", "4 entries"))
def huge_typed(folder: Path) -> ModelProto:
    return with_weight(TensorProto(name="w", data_type=FLOAT, dims=HUGE, float_data=[1, 2, 3, 4]))


@bad(ModelError, ("model.onnx:w:", "of 'weights.bin'", "has 24"))
def huge_external(folder: Path) -> ModelProto:
    (folder / "weights.bin").write_bytes(bytes(24))
    return with_weight(external("w", HUGE, "weights.bin"))


@bad(ModelError, ("model.onnx:w:", "4096 GiB", "24 bytes"))
def huge_external_with_length(folder: Path) -> ModelProto:
    (folder / "weights.bin").write_bytes(bytes(24))
    return with_weight(external("w", HUGE, "weights.bin", length=24))


@bad(ModelError, ("model.onnx:constant:", "attribute 'value'", "4096 GiB"))
def huge_attribute(folder: Path) -> ModelProto:
    value = TensorProto(name="v", data_type=FLOAT, dims=HUGE, raw_data=bytes(16))
    return model([node("Constant", "", "c", "constant", value=value), node("Add", "x c", "y")])


@bad(ModelError, ("model.onnx:w:", "more than any memory holds"))
def shape_beyond_64_bits(folder: Path) -> ModelProto:
    return with_weight(TensorProto(name="w", data_type=FLOAT, dims=[1 << 40, 0, 1 << 40], raw_data=b""))


@bad(ModelError, ("model.onnx:", "sparse constant", "4096 GiB"))
def huge_sparse(folder: Path) -> ModelProto:
    made = model([node("Add", "x w", "y")])
    sparse = made.graph.sparse_initializer.add(dims=HUGE)
    sparse.values.CopyFrom(numpy_helper.from_array(np.ones(1, np.float32), "w"))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.zeros((1, 2), np.int64)))
    return made


@bad(ModelError, ("model.onnx:w:", "element type 77", "known types"))
def unknown_element_type(folder: Path) -> ModelProto:
    return with_weight(TensorProto(name="w", data_type=77, dims=[2, 3], raw_data=bytes(24)))


# --- names and order


@bad(ModelError, ("model.onnx:one:", "cycle: one -> two -> one", "must have none"))
def cycle(folder: Path) -> ModelProto:
    return model(
        [node("Add", "x b", "a", "one"), node("Relu", "a", "b", "two"), node("Relu", "b", "y", "three")]
    )


@bad(
    ModelError,
    ("model.onnx:first:", "operand 'nothing' is not defined"),
    ("model.onnx:Add_1:", "operand 'void' is not defined"),
)
def undefined_operands(folder: Path) -> ModelProto:
    return model([node("Add", "x nothing", "a", "first"), node("Add", "a void", "y")])


@bad(ModelError, ("model.onnx:z:", "the output is not defined by any node"))
def undefined_output(folder: Path) -> ModelProto:
    return model([node("Relu", "x", "y")], outputs=[tensor("y"), tensor("z")])


@bad(ModelError, ("model.onnx:second:", "'a' is already defined by node 'first'", "rename"))
def output_defined_twice(folder: Path) -> ModelProto:
    return model([node("Relu", "x", "a", "first"), node("Neg", "x", "a", "second"), node("Abs", "a", "y")])


@bad(ModelError, ("model.onnx:w:", "defined twice", "initializers"))
def constant_defined_twice(folder: Path) -> ModelProto:
    return model([node("Add", "x w", "y")], weights=[weight("w", [3]), weight("w", [3])])


def calling_twice(*functions: str) -> ModelProto:
    """A model whose local functions each call the next one twice, the last of them an op or a function."""
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]

    def call(name: str, x: str, y: str):
        return helper.make_node(name, [x], [y], domain="own" if name in functions[:-1] else "")

    made = [
        helper.make_function(
            "own", name, ["a"], ["b"], [call(inner, "a", "t"), call(inner, "t", "b")], opsets
        )
        for name, inner in pairwise(functions)
    ]
    return model([call(functions[0], "x", "y")], functions=made, opsets=opsets[1:], ir_version=10)


@bad(ModelError, ("model.onnx:Twice:", "circle: Twice -> Twice"))
def recursive_function(folder: Path) -> ModelProto:
    return calling_twice("Twice", "Twice")


@bad(ModelError, ("model.onnx:", "functions expand to more than 1000000 nodes"))
def functions_that_explode(folder: Path) -> ModelProto:
    return calling_twice(*(f"F{level}" for level in range(60)), "Relu")


# --- shapes and types


@bad(ModelError, ("model.onnx:add:", "[2, 3] and [4]", "do not broadcast"))
def shapes_clash(folder: Path) -> ModelProto:
    return with_weight(weight("w", [4]))


@bad(
    ModelError,
    ("model.onnx:product:", "inner dimensions differ"),
    ("model.onnx:convolution:", "channels"),
)
def two_clashes(folder: Path) -> ModelProto:
    nodes = [
        node("MatMul", "x w", "a", "product"),
        node("Conv", "image kernel", "b", "convolution"),
        node("Relu", "a", "y"),
        node("Relu", "b", "z"),
    ]
    weights = [weight("w", [5, 2]), weight("kernel", [4, 5, 3, 3])]
    return model(nodes, [tensor("x"), tensor("image", [1, 3, 8, 8])], [tensor("y"), tensor("z")], weights)


@bad(ModelError, ("model.onnx:reshape:", "[2, 3] does not reshape to [4, -1]"))
def reshape_does_not_fit(folder: Path) -> ModelProto:
    target = numpy_helper.from_array(np.array([4, -1]), "target")
    return model([node("Reshape", "x target", "y", "reshape")], weights=[target])


@bad(ModelError, ("model.onnx:add:", "different dtypes", "insert a cast"))
def dtypes_clash(folder: Path) -> ModelProto:
    return with_weight(numpy_helper.from_array(np.ones(3, np.int32), "w"))


@bad(ModelError, ("model.onnx:softmax:", "'axis' is 5", "-2 to 1"))
def axis_out_of_range(folder: Path) -> ModelProto:
    return model([node("Softmax", "x", "y", "softmax", axis=5)])


@bad(ModelError, ("model.onnx:conv:", "needs operand 'w'"))
def operand_missing(folder: Path) -> ModelProto:
    return model([node("Conv", "x", "y", "conv")])


@bad(ModelError, ("model.onnx:relu:", "Relu has no attribute 'slope'", "none"))
def attribute_unknown(folder: Path) -> ModelProto:
    return model([node("Relu", "x", "y", "relu", slope=0.5)])


@bad(ModelError, ("model.onnx:softmax:", "attribute 'axis' is 'last'", "an integer"))
def attribute_of_wrong_kind(folder: Path) -> ModelProto:
    return model([node("Softmax", "x", "y", "softmax", axis="last")])


@bad(ModelError, ("model.onnx:pool:", "needs attribute 'kernel_shape'"))
def attribute_missing(folder: Path) -> ModelProto:
    return model([node("MaxPool", "x", "y", "pool")])


@bad(ModelError, ("model.onnx:blocks:", "DepthToSpace does not fit its operands (f32[2, 3])"))
def rank_that_makes_no_sense(folder: Path) -> ModelProto:
    return model([node("DepthToSpace", "x", "y", "blocks", blocksize=2)])


@bad(ValuesNeeded, ("model.onnx:x:", "no shape, not even a rank", "shapes={'x': (...)}"))
def input_without_rank(folder: Path) -> ModelProto:
    return model([node("Relu", "x", "y")], [helper.make_tensor_value_info("x", FLOAT, None)])


@bad(ModelError, ("model.onnx:x:", "type is unknown or missing"))
def input_without_type(folder: Path) -> ModelProto:
    made = model([node("Relu", "x", "y")])
    made.graph.input[0].ClearField("type")
    return made


# --- what is not supported


@bad(
    UnsupportedError,
    (
        "model.onnx:Frobnicate_1:",
        "Frobnicate (opset 18)",
        "there is no such op",
        "(2 nodes)",
        "export with other ops",
    ),
    ("model.onnx:other:", "Wobble (opset 18)"),
)
def unknown_ops(folder: Path) -> ModelProto:
    nodes = [
        node("Relu", "x", "a"),
        node("Frobnicate", "a", "b"),
        node("Frobnicate", "b", "c"),
        node("Wobble", "c", "y", "other"),
    ]
    return model(nodes)


@bad(
    UnsupportedError,
    ("model.onnx:mine:", "org.example.Magic", "domain 'org.example' is not known", "function"),
)
def unknown_domain(folder: Path) -> ModelProto:
    call = helper.make_node("Magic", ["x"], ["y"], "mine", domain="org.example")
    return model([call], opsets=[helper.make_opsetid("org.example", 1)])


@bad(
    UnsupportedError, ("model.onnx: it is written in opset 99", "known are opsets 6 to 28", "export it again")
)
def newer_opset(folder: Path) -> ModelProto:
    return model([node("Relu", "x", "y")], opset=99)


@bad(
    UnsupportedError, ("model.onnx: it is written in opset 5", "known are opsets 6 to 28", "export it again")
)
def older_opset(folder: Path) -> ModelProto:
    return model([node("Relu", "x", "y")], opset=5)


@bad(UnsupportedError, ("model.onnx:Gelu_0:", "Gelu (opset 18)", "from opset 20 on", "opset 20 or newer"))
def op_of_a_newer_opset(folder: Path) -> ModelProto:
    return model([node("Gelu", "x", "y")])


@bad(UnsupportedError, ("model.onnx:Upsample_0:", "withdrawn from opset 10"))
def op_that_was_withdrawn(folder: Path) -> ModelProto:
    return model([node("Upsample", "x s", "y")], weights=[weight("s", [2])])


@bad(UnsupportedError, ("model.onnx:Reshape_", "too long an expression", "shapes="))
def extent_that_squares_itself(folder: Path) -> ModelProto:
    return _squared("N")


@bad(ModelError, ("model.onnx:Reshape_", "an extent of its result is above 9223372036854775807"))
def extent_that_nothing_counts(folder: Path) -> ModelProto:
    return _squared(2)


def _squared(extent: int | str) -> ModelProto:
    """x and x as a table, flattened, and again: after k rounds an extent is a product of 2**k symbols."""
    flat, column = (
        numpy_helper.from_array(np.array(shape), name) for shape, name in (([-1], "f"), ([-1, 1], "c"))
    )
    nodes = []
    for level in range(30):
        nodes += [
            node("Reshape", f"x{level} c", f"c{level}"),
            node("Mul", f"x{level} c{level}", f"t{level}", f"outer_{level}"),
            node("Reshape", f"t{level} f", f"x{level + 1}"),
        ]
    return model(nodes, [tensor("x0", [extent])], [tensor("x30", ["M"])], [flat, column])


@bad(
    ValuesNeeded,
    ("model.onnx:resize:", "operand 'sizes' must be known", "shapes="),
    ("model.onnx:", "depends on the values of sizes", "--constant sizes=VALUE"),
)
def operand_known_too_late(folder: Path) -> ModelProto:
    return model(
        [helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], "resize")],
        [tensor("x"), tensor("sizes", [2], TensorProto.INT64)],
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "bad_model" in metafunc.fixturenames:
        metafunc.parametrize("bad_model", BAD, ids=[case.name for case in BAD])


@pytest.fixture(scope="session")
def bad_models() -> list[BadModel]:
    """All of them, for tests that make them in one go."""
    return BAD
