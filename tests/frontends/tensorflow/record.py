"""Records the fixtures of this folder and of tests/frontends/keras with TensorFlow: models with inputs and its results.

    python tests/frontends/tensorflow/record.py            (needs the extra `tensorflow`)

`ops.npz` holds frozen graphs of single operators; each `*.tar.xz` one model in all its forms.
"""

import os
import sys
import tarfile
import tempfile
from pathlib import Path

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "TF_ENABLE_ONEDNN_OPTS": "0"}

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from networks import NETWORKS, randomise  # noqa: E402
from operators import OPERATORS  # noqa: E402


def frozen(function, inputs, lower: bool = False) -> bytes:
    """The GraphDef of a function with its variables as constants."""
    specs = [tf.TensorSpec(x.shape, tf.as_dtype(x.dtype)) for x in inputs]
    concrete = tf.function(function).get_concrete_function(*specs)
    fixed = convert_variables_to_constants_v2(concrete, lower_control_flow=lower)
    return fixed.graph.as_graph_def().SerializeToString()


def record_operators() -> None:
    """Each operator's graph, inputs and results in one archive."""
    stored = {}
    for name, (function, inputs) in OPERATORS.items():
        results = tf.nest.flatten(tf.function(function)(*map(tf.constant, inputs)))
        stored[f"{name}/graph"] = np.frombuffer(frozen(function, inputs), np.uint8)
        stored |= {f"{name}/in{n}": x for n, x in enumerate(inputs)}
        stored |= {f"{name}/out{n}": y.numpy() for n, y in enumerate(results)}
    np.savez_compressed(HERE / "ops.npz", **stored)


def save_all(model: keras.Model, inputs: list[np.ndarray], folder: Path) -> None:
    """A model as SavedModel, frozen graph, `.keras` and `.h5`, with inputs and results."""
    given = inputs if len(inputs) > 1 else inputs[0]
    results = tf.nest.flatten(model(given, training=False))
    arrays = {f"in{n}": x for n, x in enumerate(inputs)} | {
        f"out{n}": y.numpy() for n, y in enumerate(results)
    }
    np.savez(folder / "arrays.npz", **arrays)
    model.export(folder / "saved", verbose=False)
    call = lambda *xs: model(list(xs) if len(xs) > 1 else xs[0], training=False)  # noqa: E731
    (folder / "frozen.pb").write_bytes(frozen(call, inputs))
    model.save(folder / "model.keras")
    model.save(folder / "model.h5")


def record_networks() -> None:
    for name, (build, inputs) in NETWORKS.items():
        keras.backend.clear_session()
        keras.utils.set_random_seed(1)
        with tempfile.TemporaryDirectory() as folder:
            model = build()
            randomise(model)
            save_all(model, inputs, Path(folder))
            pack(Path(folder), name)


def record_first_generation() -> None:
    """TensorFlow 1: a SavedModel with reference variables, and a frozen loop of Enter, Switch and Merge."""
    x = np.linspace(-1, 1, 12, dtype=np.float32).reshape(2, 6)
    with tempfile.TemporaryDirectory() as name, tf.Graph().as_default(), tf.compat.v1.Session() as session:
        folder = Path(name)
        tf.compat.v1.disable_control_flow_v2()
        given = tf.compat.v1.placeholder(tf.float32, (None, 6), "given")
        shape = {"initializer": tf.random.normal((6, 3), seed=1), "use_resource": False}
        weight = tf.compat.v1.get_variable("weight", **shape)
        bias = tf.compat.v1.get_variable("bias", initializer=np.float32([1, 2, 3]), use_resource=False)
        with tf.compat.v1.variable_scope("deep"):
            resource = tf.compat.v1.get_variable(
                "scale", initializer=np.float32([2, 1, 3]), use_resource=True
            )
        y = tf.nn.relu(tf.matmul(given, weight) + bias) * resource
        session.run(tf.compat.v1.global_variables_initializer())
        build = tf.compat.v1.saved_model.build_tensor_info
        signature = tf.compat.v1.saved_model.signature_def_utils.build_signature_def
        builder = tf.compat.v1.saved_model.Builder(str(folder / "saved"))
        signatures = {
            "score": signature({"given": build(given)}, {"y": build(y)}, "predict"),
            "double": signature({"given": build(given)}, {"y": build(y * 2)}, "predict"),
        }
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures)
        builder.save()
        np.savez(folder / "arrays.npz", in0=x, out0=session.run(y, {given: x}))
        loop = tf.Graph()
        with loop.as_default():
            start = tf.compat.v1.placeholder(tf.float32, (2,), "start")
            tf.identity(
                tf.while_loop(lambda v: tf.reduce_sum(v) < 9.0, lambda v: [v * 2.0], [start])[0], "end"
            )
        (folder / "loop.pb").write_bytes(loop.as_graph_def().SerializeToString())
        tf.compat.v1.enable_control_flow_v2()
        pack(folder, "first_generation")


def record_stateful() -> None:
    """A model that counts its calls, which no inference graph may do."""

    class Counter(tf.Module):
        def __init__(self):
            self.count = tf.Variable(0.0)

        @tf.function(input_signature=[tf.TensorSpec((2,), tf.float32)])
        def __call__(self, x):
            self.count.assign_add(1.0)
            return {"y": x * self.count}

    with tempfile.TemporaryDirectory() as folder:
        module = Counter()
        tf.saved_model.save(module, str(Path(folder) / "saved"), signatures=module.__call__)
        pack(Path(folder), "stateful")


def pack(folder: Path, name: str) -> None:
    """A folder as an archive that does not depend on when it was made."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = 0, 0, 0, "", ""
        return None if entry.name.endswith("fingerprint.pb") else entry

    with tarfile.open(HERE / f"{name}.tar.xz", "w:xz") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, path.name, filter=plain)


if __name__ == "__main__":
    record_operators()
    record_networks()
    record_first_generation()
    record_stateful()
