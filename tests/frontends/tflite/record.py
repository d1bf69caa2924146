"""Records what the tests compare with: models in bytes, inputs, and the results of TFLite's reference kernels.

Run it as a script where TensorFlow is installed; it rewrites `ops.npz` and `models.npz` beside it (or one
of them: `operators`, `networks`). An entry NAME has the
model as NAME/model and, where it runs, inputs NAME/in0, ... and results NAME/out0, ... in the order of the model.
"""

import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cases import CASES, F32, I8, I32, U8, Case, T

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

HERE = Path(__file__).parent


def build(case: Case) -> bytes:
    """The flatbuffer of a case."""
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT()
    model.version, model.description = 3, b"crafted"
    code = schema.OperatorCodeT()
    code.builtinCode = (
        schema.BuiltinOperator.CUSTOM if case.custom else getattr(schema.BuiltinOperator, case.op)
    )
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    code.version, code.customCode = case.version, case.custom.encode() or None
    model.operatorCodes, model.buffers = [code], [schema.BufferT()]
    graph = schema.SubGraphT()
    graph.name, graph.tensors = b"main", []
    for n, entry in enumerate((*case.inputs, *case.outputs)):
        graph.tensors.append(_tensor(schema, model, entry, f"t{n}"))
    places = range(len(case.inputs))
    graph.inputs = [n for n in places if case.inputs[n].data is None]
    graph.outputs = list(range(len(case.inputs), len(graph.tensors)))
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, list(places), graph.outputs
    if case.kind:
        options = getattr(schema, f"{case.kind}T")()
        for name, value in case.options.items():
            assert hasattr(options, name), name
            setattr(options, name, value)
        operator.builtinOptionsType, operator.builtinOptions = (
            getattr(schema.BuiltinOptions, case.kind),
            options,
        )
    graph.operators = [operator]
    model.subgraphs = [graph]
    model.signatureDefs = [_signature(schema, graph, key) for key in case.signatures] or None
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _signature(schema: Any, graph: Any, key: str) -> Any:
    """A signature that calls the operands KEY_in0, ... and the results KEY_out0, ..."""
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = key.encode(), 0
    for kind, places in (("in", graph.inputs), ("out", graph.outputs)):
        maps = []
        for n, place in enumerate(places):
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = f"{key}_{kind}{n}".encode(), place
            maps.append(entry)
        setattr(signature, f"{kind}puts", maps)
    return signature


def _tensor(schema: Any, model: Any, entry: T, name: str) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.shape = name.encode(), list(entry.shape)
    tensor.shapeSignature = list(entry.open) or None
    tensor.type = getattr(schema.TensorType, np.dtype(entry.dtype).name.upper())
    tensor.buffer = 0
    if entry.data is not None:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(entry.data).tobytes(), np.uint8)
        model.buffers.append(buffer)
        tensor.buffer = len(model.buffers) - 1
    if entry.sparse is not None:
        tensor.sparsity = _sparsity(schema, *entry.sparse)
    if entry.scale is not None:
        tensor.quantization = schema.QuantizationParametersT()
        scales = np.atleast_1d(np.asarray(entry.scale, F32))
        tensor.quantization.scale = scales
        tensor.quantization.zeroPoint = np.broadcast_to(np.asarray(entry.zero, np.int64), scales.shape).copy()
        tensor.quantization.quantizedDimension = entry.axis
    return tensor


def _sparsity(schema: Any, order: Sequence[int], blocked: Sequence[int], levels: Sequence[Any]) -> Any:
    found = schema.SparsityParametersT()
    found.traversalOrder, found.blockMap, found.dimMetadata = list(order), list(blocked) or None, []
    for level in levels:
        entry = schema.DimensionMetadataT()
        if isinstance(level, int):
            entry.denseSize = level
        else:
            entry.format = schema.DimensionType.SPARSE_CSR
            entry.arraySegments, entry.arrayIndices = (schema.Uint8VectorT() for _ in level)
            entry.arraySegments.values, entry.arrayIndices.values = (np.array(part, U8) for part in level)
            entry.arraySegmentsType = entry.arrayIndicesType = schema.SparseIndexVector.Uint8Vector
        found.dimMetadata.append(entry)
    return found


def interpreter(data: bytes, reference: bool = True):
    """TFLite's reference kernels, or the default ones.

    The table of reference kernels lags behind in versions of ops; what it refuses is lowered to what it knows.
    """
    import tensorflow as tf

    kinds = tf.lite.experimental.OpResolverType
    kind = kinds.BUILTIN_REF if reference else kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    while True:
        try:
            found = tf.lite.Interpreter(model_content=data, experimental_op_resolver_type=kind, num_threads=1)
            found.allocate_tensors()
            return found
        except (RuntimeError, ValueError) as error:
            unknown = re.search(r"builtin opcode '(\w+)' version '(\d+)'", str(error))
            if unknown is None or unknown[2] == "1":
                raise
            data = lowered(data, unknown[1], int(unknown[2]) - 1)


def lowered(data: bytes, op: str, version: int) -> bytes:
    """A model in which an op has another version."""
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(data)
    for code in model.operatorCodes:
        if code.builtinCode == getattr(schema.BuiltinOperator, op):
            code.version = version
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def results(data: bytes, inputs: Sequence[np.ndarray], reference: bool = True) -> list[np.ndarray]:
    """What TFLite computes, in the order of the model's outputs."""
    found = interpreter(data, reference)
    for detail, array in zip(found.get_input_details(), inputs, strict=True):
        found.set_tensor(detail["index"], array)
    found.invoke()
    return [found.get_tensor(detail["index"]) for detail in found.get_output_details()]


def filled(entry: T, rng: np.random.Generator, index: int) -> np.ndarray:
    """An input: every 8-bit value where there is room, else random ones."""
    dtype = np.dtype(entry.dtype)
    if dtype == np.bool_:
        return rng.integers(0, 2, entry.shape).astype(bool)
    if dtype.kind == "f":
        return rng.standard_normal(entry.shape).astype(dtype)
    limits = np.iinfo(dtype)
    size = int(np.prod(entry.shape))
    if dtype.itemsize == 1 and size >= 256 and index == 0:
        every = np.resize(np.arange(limits.min, limits.max + 1), size)
        return rng.permutation(every).astype(dtype).reshape(entry.shape)
    low, high = (limits.min, limits.max + 1) if dtype.itemsize == 1 else (0, entry.high)
    return rng.integers(low, high, entry.shape).astype(dtype)


def networks() -> dict[str, Callable[[], Any]]:
    """Small Keras models by name."""
    import keras

    layers = keras.layers

    def convolutions():
        image = keras.Input((16, 16, 3))
        x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(image)
        x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
        x = layers.DepthwiseConv2D(3, padding="same", dilation_rate=2)(x)
        x = layers.Activation("hard_swish")(layers.BatchNormalization()(x))
        left = layers.AveragePooling2D(3, strides=1, padding="same")(x)
        right = layers.MaxPooling2D(2, strides=1, padding="same")(x)
        x = layers.Concatenate()([left, right, layers.Multiply()([x, keras.ops.sigmoid(x)])])
        x = layers.Conv2D(8, 1, activation="silu")(layers.ZeroPadding2D(1)(x))
        return keras.Model(image, layers.Dense(5, activation="softmax")(layers.GlobalAveragePooling2D()(x)))

    def unet():
        image = keras.Input((16, 16, 3))
        top = layers.Conv2D(4, 3, padding="same", activation="relu")(image)
        x = layers.Conv2D(8, 3, padding="same", activation="leaky_relu")(layers.MaxPooling2D()(top))
        x = layers.Conv2DTranspose(4, 2, strides=2, padding="same")(x)
        x = layers.Concatenate()([x, top])
        x = layers.UpSampling2D(2)(
            layers.UpSampling2D(2, interpolation="bilinear")(layers.MaxPooling2D(4)(x))
        )
        return keras.Model(image, layers.Conv2D(2, 1)(x))

    def transformer():
        words = keras.Input((8,), dtype="int32")
        x = layers.Embedding(30, 16)(words) + layers.Embedding(8, 16)(keras.ops.arange(8))
        y = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(2, 8)(y, y)
        y = layers.Dense(32, activation="gelu")(layers.LayerNormalization()(x))
        x = layers.GlobalAveragePooling1D()(x + layers.Dense(16)(y))
        return keras.Model(words, layers.Dense(4)(x))

    def recurrent(layer: Any, **options: Any):
        words = keras.Input((6,), dtype="int32", batch_size=1)
        x = layers.Embedding(30, 8)(words)
        x = layers.Bidirectional(layer(6, return_sequences=True, **options))(x)
        return keras.Model(words, layers.Dense(4)(layer(5, **options)(x)))

    def spectrum():
        wave = keras.Input((20,), batch_size=1)

        def parts(x: Any) -> Any:
            import tensorflow as tf

            line, image = tf.signal.rfft(x, [32]), tf.signal.rfft2d(tf.reshape(x, (1, 4, 5)), [2, 8])
            image = tf.reshape(image, (1, 10))
            return tf.concat([tf.abs(line), tf.cast(line, F32), tf.math.imag(image), tf.math.real(image)], -1)

        return keras.Model(wave, layers.Lambda(parts)(wave))

    return {
        "convolutions": convolutions,
        "unet": unet,
        "transformer": transformer,
        "lstm": lambda: recurrent(layers.LSTM),
        "gru": lambda: recurrent(layers.GRU),
        "lstm_unrolled": lambda: recurrent(layers.LSTM, unroll=True),
        "gru_unrolled": lambda: recurrent(layers.GRU, unroll=True),
        "spectrum": spectrum,
    }


FLOATS = ("lstm", "gru", "spectrum")
"""Networks without an integer form: TFLite's converter crashes where it calibrates loops, and transforms have none."""


def converted(model: Any, inputs: Sequence[np.ndarray], integers: bool) -> bytes:
    """A Keras model through TFLite's converter, in float or in full 8-bit integers calibrated on the inputs."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if integers:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([row[None]] for row in inputs)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        if inputs[0].dtype == F32:
            converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
    return converter.convert()


def network(make: Callable[[], Any], integers: bool) -> tuple[bytes, list[np.ndarray]]:
    """A model with random weights and statistics, and an input for it."""
    import keras

    keras.utils.set_random_seed(1)
    model, rng = make(), np.random.default_rng(2)
    draw(model, rng)
    shape = (8, *model.inputs[0].shape[1:])
    words = "int" in str(model.inputs[0].dtype)
    rows = rng.integers(0, 30, shape).astype(I32) if words else rng.standard_normal(shape).astype(F32)
    data = converted(model, rows, integers)
    return data, [as_input(data, rows[:1])]


def draw(model: Any, rng: np.random.Generator) -> None:
    """Give a model random statistics, scales and biases."""
    for variable in model.variables:
        if variable.path.endswith(("gamma", "moving_variance")):
            variable.assign(rng.uniform(0.6, 1.4, variable.shape))
        elif variable.path.endswith(("beta", "moving_mean", "bias")):
            variable.assign(rng.normal(0, 0.2, variable.shape))


def settle(model: Any, rows: np.ndarray) -> None:
    """Give a model the statistics of inputs: through many layers only these keep results apart."""
    import keras

    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(rows, training=True)


def as_input(data: bytes, x: np.ndarray) -> np.ndarray:
    """An input as a converted model takes it: quantised where that one is."""
    detail = interpreter(data).get_input_details()[0]
    if detail["dtype"] != I8:
        return x
    scale, zero = detail["quantization"]
    return np.clip(np.round(x / scale) + zero, -128, 127).astype(I8)


def record_networks(path: Path) -> None:
    """Write the Keras models, in float and in integers, with their results."""
    arrays: dict[str, np.ndarray] = {}
    for name, make in networks().items():
        for integers in (False,) if name in FLOATS else (False, True):
            data, inputs = network(make, integers)
            arrays.update(entries(f"{name}_{'i8' if integers else 'f32'}", data, inputs, True))
    write(path, arrays)


def entries(name: str, data: bytes, inputs: Sequence[np.ndarray], reference: bool) -> dict[str, np.ndarray]:
    """A model with inputs and results under the names that the tests look for."""
    return {
        f"{name}/model": np.frombuffer(data, np.uint8),
        **{f"{name}/in{n}": array for n, array in enumerate(inputs)},
        **{f"{name}/out{n}": array for n, array in enumerate(results(data, inputs, reference))},
    }


def record_operators(path: Path) -> None:
    """Write the crafted models with their results."""
    arrays: dict[str, np.ndarray] = {}
    for seed, (name, case) in enumerate(CASES.items()):
        data = build(case)
        if case.runs:
            rng = np.random.default_rng(seed)
            inputs = [filled(entry, rng, n) for n, entry in enumerate(case.inputs) if entry.data is None]
            arrays.update(entries(name, data, inputs, case.reference))
        else:
            arrays[f"{name}/model"] = np.frombuffer(data, np.uint8)
    write(path, arrays)


def write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    path.write_bytes(buffer.getvalue())


if __name__ == "__main__":
    if sys.argv[1:] != ["networks"]:
        record_operators(HERE / "ops.npz")
    if sys.argv[1:] != ["operators"]:
        record_networks(HERE / "models.npz")
