"""Keras files that can't be read are refused in one line a problem: the place, what was found, the way out."""

import io
import json
import sys
import zipfile
from contextlib import suppress

import h5py
import numpy as np
import pytest

from isthmus.compiler.diagnostics import CompileError, ModelError, UnsupportedError
from isthmus.compiler.ops.interpret import evaluate
from isthmus.frontends import registry
from isthmus.frontends.keras import frontend

KERNEL, BIAS = np.arange(6, dtype=np.float32).reshape(2, 3), np.float32([1, 2, 3])


def layer(kind: str, name: str, calls=(), module: str = "keras.layers", **config):
    tensor = {"class_name": "__keras_tensor__", "config": {"keras_history": ["", 0, 0]}}
    arguments = [{**tensor, "config": {"keras_history": [source, 0, 0]}} for source in calls]
    nodes = [{"args": arguments, "kwargs": {}}] if calls else []
    return {
        "module": module,
        "class_name": kind,
        "name": name,
        "config": {"name": name, **config},
        "inbound_nodes": nodes,
    }


def functional(*layers, ends=("y",)):
    given = layer("InputLayer", "x", batch_shape=[None, 2], dtype="float32")
    config = {"name": "net", "layers": [given, *layers], "input_layers": [["x", 0, 0]]}
    return {"class_name": "Functional", "config": {**config, "output_layers": [[end, 0, 0] for end in ends]}}


def dense(name: str = "y", source: str = "x", **config):
    return layer("Dense", name, (source,), units=3, activation="linear", **config)


def weights(fill=None, kind: str = "dense", count: int = 2) -> bytes:
    """The first arrays of one layer; `fill` may add to the file."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        group = file.create_group(f"layers/{kind}/vars")
        if fill is not None:
            fill(group)
        for number, array in enumerate((KERNEL, BIAS)[:count]):
            if str(number) not in group:
                group[str(number)] = array
    return buffer.getvalue()


@pytest.fixture
def write(tmp_path):
    """Makes a .keras file; a member of None is left out."""

    def make(config, arrays: bytes | None = None):
        path = tmp_path / "model.keras"
        members = {"config.json": config if isinstance(config, bytes | None) else json.dumps(config).encode()}
        members["model.weights.h5"] = weights() if arrays is None else arrays
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                if data is not None:
                    archive.writestr(name, data)
        return path

    return make


def refused(path, *texts: str, error: type[CompileError] = ModelError, lines: int = 1) -> None:
    with pytest.raises(error) as raised:
        registry.read(str(path), [frontend])
    text = str(raised.value)
    assert len(text.splitlines()) == lines, text
    for part in texts:
        assert part in text


def test_the_smallest_model(write):
    graph = registry.read(str(write(functional(dense()))), [frontend])
    (y,) = evaluate(graph, {"x": np.float32([[1, 2]])}).values()
    np.testing.assert_array_equal(y, np.float32([[1, 2]]) @ KERNEL + BIAS)


def test_every_unknown_layer_is_named(write):
    layers = (
        layer("Lambda", "a", ("x",)),
        layer("Mine", "b", ("a",), module="m"),
        layer("Mine", "y", ("b",)),
    )
    refused(
        write(functional(*layers)),
        "a: Lambda is not supported: its meaning is Python code; export it with model.export()",
        "b: Mine is not supported: there is no converter for this class of layers (2 nodes)",
        error=UnsupportedError,
        lines=2,
    )


def test_an_operation_without_converter(write):
    fft = layer("FFT2", "y", ("x",), module="keras.src.ops.math")
    refused(write(functional(fft)), "y: operations.FFT2 is not supported", error=UnsupportedError)


def test_a_model_of_a_class_of_its_own(write):
    refused(
        write({"class_name": "MyModel", "config": {}}),
        "'MyModel' is defined by Python code",
        "model.export()",
    )


def test_an_entry_that_is_not_known(write):
    refused(write(functional(dense(sparsity=0.5))), "y: Dense has no attribute 'sparsity'")


def test_an_activation_that_is_not_known(write):
    config = {**dense(), "config": {**dense()["config"], "activation": "wavy"}}
    refused(write(functional(config)), "its activation 'wavy' is not known", error=UnsupportedError)


@pytest.mark.parametrize(
    ("kind", "config", "text"),
    [
        ("UpSampling2D", {"interpolation": "lanczos3"}, "interpolation 'lanczos3'"),
        ("Resizing", {"height": 2, "width": 2, "antialias": True}, "this form of resizing"),
    ],
)
def test_forms_that_are_not_supported(write, kind, config, text):
    inner = layer(kind, "y", ("x",), **config)
    arrays = weights(kind="embedding", count=1)
    refused(write(functional(inner), arrays), text, error=UnsupportedError)


@pytest.mark.parametrize("kind", ["Embedding", "Masking"])
def test_masks_that_the_file_does_not_list(write, kind):
    given = {
        "class_name": "InputLayer",
        "config": {"name": "x", "batch_shape": [None, 2], "dtype": "float32"},
    }
    inner = {
        "class_name": kind,
        "config": {"name": "y", "mask_zero": True, "output_dim": 3, "trainable": True},
    }
    model = {"class_name": "Sequential", "config": {"name": "net", "layers": [given, inner]}}
    refused(write(model), "y: masks are not followed in this kind of model", "keras.Model(inputs, outputs)")


@pytest.mark.parametrize(
    ("kind", "config", "text"),
    [
        ("Cumsum", {"axis": None}, "running sums over all axes at once"),
        ("Pad", {"pad_width": 1, "mode": "wrap"}, "padding by 'wrap'"),
    ],
)
def test_operations_that_are_not_supported(write, kind, config, text):
    inner = layer(kind, "y", ("x",), module="keras.ops", **config)
    refused(write(functional(inner)), text, error=UnsupportedError)


@pytest.mark.parametrize(
    ("kind", "config", "text"),
    [
        ("LSTM", {"stateful": True}, "its states outlive a call (stateful)"),
        ("LSTM", {"activation": "mish"}, "the activation 'mish' of a recurrence"),
    ],
)
def test_recurrences_that_are_not_supported(write, kind, config, text):
    inner = layer(kind, "y", ("x",), units=3, **config)
    refused(write(functional(inner)), text, error=UnsupportedError)


@pytest.mark.parametrize("kind", ["Attention", "AdditiveAttention"])
def test_attention_between_rows(write, kind):
    inner = layer(kind, "y", ("x", "x"), use_scale=False)
    refused(write(functional(inner)), "this form of attention", "model.export()", error=UnsupportedError)


def test_arrays_that_do_not_fit_the_configuration(write):
    inner = layer("BatchNormalization", "y", ("x",))
    arrays = weights(kind="batch_normalization")
    refused(write(functional(inner), arrays), "it has 2 arrays, its configuration asks for 4")


def test_inputs_that_a_wrapper_does_not_take(write):
    cell = {"class_name": "GRU", "config": {"name": "gru", "units": 3, "trainable": True}}
    inner = layer("Bidirectional", "y", ("x", "x", "x"), layer=cell)
    refused(write(functional(inner)), "y: it is called with 3 inputs, read are sequences", "model.export()")


def test_a_mask_as_input(write):
    inner = dense()
    inner["inbound_nodes"][0]["kwargs"] = {"mask": inner["inbound_nodes"][0]["args"][0]}
    refused(write(functional(inner)), "y: its input 'mask' is not supported", "model.export()")


def test_other_precisions(write):
    policy = {"class_name": "DTypePolicy", "config": {"name": "mixed_float16"}}
    refused(
        write(functional(dense(dtype=policy))),
        "y: it computes in 'mixed_float16'",
        "save the model in float32",
    )


def test_missing_arrays(write):
    refused(write(functional(dense("a"), dense("y", "a"))), "y: Dense needs operand 'kernel'")


def test_links_are_not_followed(write):
    def fill(group):
        group["0"] = h5py.ExternalLink("/etc/passwd", "/")

    refused(write(functional(dense()), weights(fill)), "is a link")


def test_external_arrays_are_not_followed(write, tmp_path):
    (tmp_path / "outside").write_bytes(KERNEL.tobytes())

    def fill(group):
        group.create_dataset("0", (2, 3), "f4", external=[(str(tmp_path / "outside"), 0, 24)])

    refused(write(functional(dense()), weights(fill)), "lies outside the file")


def test_arrays_of_declared_size_only(write):
    def fill(group):
        group.create_dataset("0", (2**20, 2**18), "f4", chunks=(1024, 1024))

    refused(write(functional(dense()), weights(fill)), "float32[1048576, 262144] of 0 bytes")


def nested(depth: int):
    return [nested(depth - 1)] if depth else []


@pytest.mark.parametrize(
    "ends",
    [7, [["y", 0, 2**40]], [["y", 0, [1]]], [["y", {}, 0]], nested(900)],
    ids=["number", "result", "list", "mapping", "depth"],
)
def test_a_configuration_that_makes_no_sense(write, ends):
    config = functional(dense())
    config["config"]["output_layers"] = ends
    refused(write(config), "the configuration of 'net' is not understood", "save the model again")


def test_a_tensor_that_is_none(write):
    config = functional(dense())
    config["config"]["layers"][1]["inbound_nodes"][0]["args"][0]["config"]["keras_history"][0] = ["x"]
    refused(write(config), "the configuration of 'net' is not understood", "save the model again")


@pytest.mark.parametrize("place", [b"SNOD", b"HEAP"])
def test_damaged_arrays(write, place):
    """HDF5 finds damage wherever it looks: in the tables of groups, and in what their names stand in."""
    arrays = weights().replace(place, b"\xff" * 4)
    refused(write(functional(dense()), arrays), "not an HDF5 file, or damaged", "copy or save the file again")


@pytest.mark.parametrize("config", [b"{", b"[]", b'{"class_name": "Functional"}'])
def test_a_configuration_that_is_none(write, config):
    refused(write(config), "its configuration", "save the model again")


def test_a_missing_member(write):
    refused(write(None), "the archive has no 'config.json'")


def test_arrays_that_are_no_hdf5(write):
    refused(write(functional(dense()), b"nothing"), "not an HDF5 file, or damaged")


def test_a_truncated_archive(write):
    path = write(functional(dense()))
    path.write_bytes(path.read_bytes()[:-200])
    refused(path, "not a Keras archive, or truncated")


def test_weights_alone(tmp_path):
    path = tmp_path / "net.weights.h5"
    path.write_bytes(weights())
    refused(path, "holds weights only, and no model", "model.save('model.keras')")


def test_a_missing_package(write, monkeypatch):
    path = write(functional(dense()))
    monkeypatch.setitem(sys.modules, "h5py", None)
    refused(path, "needs the package h5py", "isthmus[keras]", error=UnsupportedError)


def test_damage_is_noticed_or_harmless(write):
    path = write(functional(dense()))
    data = np.frombuffer(path.read_bytes(), np.uint8)
    generator = np.random.default_rng(0)
    for _ in range(60):
        damaged = data.copy()
        damaged[generator.integers(0, len(data), 3)] = generator.integers(0, 256, 3)
        path.write_bytes(damaged.tobytes())
        with suppress(CompileError):
            registry.read(str(path), [frontend])
