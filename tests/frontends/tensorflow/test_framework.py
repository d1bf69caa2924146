"""Against TensorFlow itself: the applications of Keras in every form, and objects in memory."""

import numpy as np
import pytest

import isthmus
from isthmus.compiler.diagnostics import ModelError
from isthmus.frontends import registry
from isthmus.frontends.keras import frontend as keras
from isthmus.frontends.tensorflow import frontend as tensorflow

pytestmark = pytest.mark.frameworks

APPLICATIONS = {
    "ResNet50": 224,
    "MobileNetV2": 224,
    "MobileNetV3Small": 224,
    "EfficientNetB0": 224,
    "DenseNet121": 224,
    "InceptionV3": 299,
    "NASNetMobile": 224,
    "Xception": 299,
    "ConvNeXtTiny": 224,
}


@pytest.mark.parametrize("name", APPLICATIONS)
def test_application(record, tmp_path, name):
    """Logits of random weights, through each form and compiled for the CPU, within 1e-4 of TensorFlow's."""
    size = APPLICATIONS[name]
    build = getattr(record.keras.applications, name)
    record.keras.utils.set_random_seed(1)
    model = build(weights=None, classifier_activation=None, input_shape=(size, size, 3))
    record.randomise(model)
    scales = name.startswith(("MobileNetV3", "EfficientNet", "ConvNeXt"))  # these take pixels of 0 to 255
    x = np.random.default_rng(0).normal(size=(1, size, size, 3)).astype(np.float32)
    record.save_all(model, [x * 40 + 127 if scales else x], tmp_path)
    stored = np.load(tmp_path / "arrays.npz")
    expected = stored["out0"]
    assert expected.std() > 1e-3
    scale = max(1.0, float(np.abs(expected).max()))
    for form in ("saved", "frozen.pb", "model.keras", "model.h5"):
        frontend, found = registry.load(str(tmp_path / form), [keras, tensorflow])
        (entry,) = found.graph.inputs
        model = isthmus.read(str(tmp_path / form), shapes={entry.name: x.shape})
        compiled = form in ("saved", "model.keras")  # the others hold the same graphs
        results = isthmus.compile(model).run([stored["in0"]]) if compiled else model.evaluate([stored["in0"]])
        (y,) = results.values()
        error = float(np.abs(y - expected).max()) / scale
        print(
            f"{name} {form}: error {error:.1e} of logits with deviation {expected.std():.2g}, {frontend.name}"
        )
        assert error < 1e-4, form


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
