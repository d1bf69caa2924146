"""Against TensorFlow itself: the applications of Keras in every form, and objects in memory."""

import numpy as np
import pytest

import isthmus
from isthmus.compiler.diagnostics import ModelError
from isthmus.frontends import registry
from isthmus.frontends.keras import frontend as keras
from isthmus.frontends.tensorflow import frontend as tensorflow

from . import compare

pytestmark = pytest.mark.frameworks


@pytest.mark.parametrize("name", compare.APPLICATIONS)
def test_application(name, tmp_path):
    """Logits of compiled code, within 1e-4 of TensorFlow's, in integers within a step of TFLite's reference kernels.

    `frozen.pb` and `model.h5` hold the same graphs; compare.py has figures of them too.
    """
    compare.written(name, tmp_path)
    stored = np.load(tmp_path / "arrays.npz")
    for form in ("saved", "model.keras", "float.tflite"):
        got, _ = compare.compiled(tmp_path / form, stored["in0"])
        assert float(compare.relative(got, stored["out0"])) < 1e-4, form
    stored = np.load(tmp_path / "integers.npz")
    assert stored["moved"] > 0.2, "the results depend on the input"
    got, _ = compare.compiled(tmp_path / "int8.tflite", stored["given"])
    assert (np.abs(got.astype(int) - stored["want"]) <= 1).mean() >= 0.999


@pytest.mark.parametrize("name", ["lstm", "several"])
def test_models_in_memory(record, name):
    build, inputs = record.NETWORKS[name]
    model = build()
    record.randomise(model)
    check(model, model, inputs, record.tf)


def test_functions_in_memory(record):
    tf = record.tf
    weight = tf.Variable(np.float32([[1, 2], [3, 4]]))
    x = np.float32([[1, -2], [0.5, 3]])
    spec = [tf.TensorSpec((None, 2), tf.float32)]
    function = tf.function(lambda x: {"b": x @ weight, "a": tf.nn.relu(x)}, input_signature=spec)
    graph = registry.read(function, [keras, tensorflow])
    assert graph.output_names == ("a", "b")
    check(function, lambda x: function(x), [x], tf)
    check(function.get_concrete_function(), lambda x: function(x), [x], tf)


def test_loaded_models(record, recorded, tmp_path):
    folder = recorded("cnn").folder
    stored = np.load(folder / "arrays.npz")
    loaded = record.tf.saved_model.load(str(folder / "saved"))
    check(loaded, lambda x: stored["out0"], [stored["in0"]], record.tf)


def check(source, meaning, inputs, tf) -> None:
    model = isthmus.read(source)
    expected = tf.nest.flatten(meaning(inputs if len(inputs) > 1 else inputs[0]))
    for got, want in zip(model.evaluate(inputs).values(), expected, strict=True):
        np.testing.assert_allclose(got, np.asarray(want), rtol=2e-5, atol=2e-5)


def test_objects_that_are_no_models(record):
    tf, layers = record.tf, record.keras.layers
    for source, text in (
        (tf.function(lambda x: x), "has no fixed signature"),
        (tf.Variable(1.0), "are not models"),
        (layers.Dense(3), "does not say what it consists of"),
    ):
        with pytest.raises(ModelError, match=text):
            isthmus.read(source)


def test_several_signatures_in_memory(record, recorded):
    loaded = record.tf.saved_model.load(str(recorded("first_generation").folder / "saved"))
    with pytest.raises(ModelError, match="several signatures: double, score"):
        isthmus.read(loaded)
