"""Small networks of each kind, and the applications of Keras, for the tests and for `record.py`. Needs Keras."""

import keras
import numpy as np
from keras import layers

RANDOM = np.random.default_rng(7)


def randomise(model: keras.Model) -> None:
    """Statistics, scales and biases that are not 0 and 1: a reader that mixes them up is seen."""
    generator = np.random.default_rng(3)
    for weight in model.weights:
        value = np.asarray(weight.numpy())
        if value.dtype != np.float32:
            continue
        if "variance" in weight.path or "gamma" in weight.path:
            value = generator.uniform(0.7, 1.4, value.shape)
        elif value.ndim < 2:
            value = value + generator.normal(0, 0.2, value.shape)
        weight.assign(value.astype(np.float32))
    for layer in model._flatten_layers():
        if isinstance(layer, layers.Normalization) and layer.input_mean is None:
            layer.finalize_state()  # else it computes with what its arrays held before


def cnn() -> keras.Model:
    return keras.Sequential(
        [
            layers.Input((9, 9, 3)),
            layers.Conv2D(6, 3, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(6.0),
            layers.DepthwiseConv2D(3, padding="same", activation="swish"),
            layers.MaxPooling2D(2, padding="same"),
            layers.Flatten(),
            layers.Dense(5),
        ]
    )


def classifier(cell) -> keras.Model:
    words = layers.Input((7,), dtype="int32")
    x = layers.Embedding(20, 6)(words)
    x = layers.Bidirectional(cell(4, return_sequences=True))(x)
    return keras.Model(words, layers.Dense(3, activation="softmax")(cell(5)(x)))


def transformer() -> keras.Model:
    words = layers.Input((6,), dtype="int32")
    x = layers.Embedding(20, 8)(words) * 2.0
    for causal in (True, False):
        attended = layers.MultiHeadAttention(2, 4)(x, x, use_causal_mask=causal)
        x = layers.LayerNormalization()(x + attended)
        x = layers.LayerNormalization()(x + layers.Dense(8)(layers.Dense(12, activation="gelu")(x)))
    return keras.Model(words, layers.Dense(4)(x[:, 0]))


def unet() -> keras.Model:
    image = layers.Input((8, 8, 3))
    x, kept = image, []
    for channels in (4, 6):
        x = layers.Conv2D(channels, 3, padding="same", activation="relu")(x)
        kept.append(x)
        x = layers.MaxPooling2D()(layers.BatchNormalization()(x))
    for channels, size in ((6, 2), (4, 3)):
        x = layers.Conv2DTranspose(channels, size, strides=2, padding="same")(x)
        x = layers.Conv2D(channels, 3, padding="same")(layers.Concatenate()([x, kept.pop()]))
    x = layers.UpSampling2D(2, interpolation="bilinear")(x)
    return keras.Model(image, layers.Conv2D(1, 1, activation="sigmoid")(x))


def several() -> keras.Model:
    """Many kinds of layers side by side, a nested model that is called twice, two inputs and many outputs."""
    image, row = layers.Input((8, 8, 4), name="image"), layers.Input((6, 4), name="row")
    nested = keras.Sequential(
        [layers.Input((6, 4)), layers.Dense(4, activation="elu"), layers.BatchNormalization()]
    )
    twice = nested(nested(row))
    wide = layers.Conv1D(8, 3, padding="causal", dilation_rate=2, name="causal")(row)
    outputs = [
        layers.SeparableConv2D(5, 3, strides=2, padding="same", depth_multiplier=2, activation="selu")(image),
        layers.Conv2D(4, 3, groups=2, dilation_rate=2, activation="hard_sigmoid")(image),
        layers.Conv2DTranspose(3, 3, strides=2, activation="mish")(image),
        layers.AveragePooling2D(3, strides=2, padding="same")(layers.ZeroPadding2D(((1, 0), (0, 2)))(image)),
        layers.Cropping2D(((1, 2), (0, 3)))(layers.UpSampling2D((2, 3))(image)),
        layers.GlobalMaxPooling2D(keepdims=True)(layers.PReLU(shared_axes=[1, 2])(image)),
        layers.GroupNormalization(2)(image),
        layers.Permute((2, 1))(layers.Reshape((-1, 8))(layers.LeakyReLU(negative_slope=0.1)(image))),
        layers.Dot(axes=2)([row, twice]),
        layers.Average()([twice, row, layers.Rescaling(0.5, 1.0)(row)]),
        layers.Multiply()([twice, layers.Softmax(axis=1)(row)]),
        layers.GlobalAveragePooling1D()(layers.UnitNormalization()(wide)),
        layers.TimeDistributed(layers.Dense(3, activation="tanh"))(wide),
        layers.SimpleRNN(3, go_backwards=True, return_sequences=True)(row),
        *layers.LSTM(3, return_state=True)(row),
        layers.GRU(3, reset_after=False)(row, initial_state=layers.Dense(3)(layers.Flatten()(row))),
        layers.Bidirectional(layers.GRU(2, return_sequences=True), merge_mode="sum")(row),
        layers.RepeatVector(3)(layers.GlobalMaxPooling1D()(row)),
        layers.Normalization(mean=[0.5] * 4, variance=[2.0] * 4)(row),
        layers.Attention()([row, twice]),
        layers.ReLU(max_value=2.0, negative_slope=0.3)(1.0 - row / 2.0),
        keras.ops.mean(keras.ops.transpose(row, (0, 2, 1))[:, ::2], axis=-1),
    ]
    return keras.Model([image, row], outputs)


def rarer() -> keras.Model:
    """Further layers and operations, each on one of two inputs."""
    picture, row = layers.Input((6, 5, 4), name="picture"), layers.Input((6, 4), name="row")
    ops, wide = keras.ops, layers.Conv1D(6, 1, name="wide")(row)
    names = ("glu", "soft_shrink", "hard_shrink", "squareplus", "sparse_plus", "sparse_sigmoid")
    outputs = [
        *[layers.Activation(name)(row * 2.0) for name in names],
        layers.SpatialDropout2D(0.3)(layers.Softmax(axis=[1, 2])(picture)),
        layers.UpSampling2D(2, interpolation="bicubic")(picture),
        layers.Conv2DTranspose(2, 3, strides=2, padding="same", output_padding=1)(picture),
        layers.Conv2DTranspose(2, 3, strides=(3, 2), output_padding=(2, 1))(picture),
        layers.AdditiveAttention()([row, wide[:, :, :4]]),
        layers.AdditiveAttention(use_scale=False)([row, row]),
        layers.Attention(use_scale=True)([row, row]),
        layers.Attention(use_scale=True, score_mode="concat")([row, row]),
        ops.logsumexp(row, axis=1), ops.cumsum(row, axis=1), ops.argmax(row, axis=-1), ops.argmin(row, axis=1),
        *ops.top_k(row, 2), ops.clip(row, -1, 1), ops.var(row, axis=1), ops.std(row, axis=-1), ops.prod(row, axis=1),
        ops.flip(row, axis=1), ops.split(row, 2, axis=2)[1], ops.split(row, [1, 4], axis=1)[1],
        ops.tile(row, (1, 2, 1)), ops.swapaxes(row, 1, 2), ops.pad(row, ((0, 0), (1, 2), (0, 0))),
        ops.log1p(ops.abs(row)), ops.amax(row, axis=1),
        ops.arctan2(row, row[:, ::-1]), ops.log_softmax(row, axis=1), ops.one_hot(ops.argmax(row, axis=-1), 5),
        ops.trunc(row), ops.tan(row), ops.isnan(row),
        layers.LayerNormalization(axis=[1, 2])(picture), layers.Rescaling([1.0, 2.0, 0.5, -1.0], 0.5)(row),
    ]  # fmt: skip
    return keras.Model([picture, row], outputs)


def masked() -> keras.Model:
    """Steps that do not count: padding behind, before and between words; rows of a sequence that are empty."""
    words, row = layers.Input((7,), dtype="int32", name="ids"), layers.Input((5, 3), name="row")
    x = layers.Dropout(0.2)(layers.Embedding(20, 6, mask_zero=True)(words))
    deep = layers.GRU(5, return_sequences=True)(
        layers.Bidirectional(layers.LSTM(4, return_sequences=True))(x)
    )
    outputs = [
        layers.Dense(3)(layers.LSTM(5)(deep)),
        layers.GlobalAveragePooling1D()(deep),
        layers.GRU(3, go_backwards=True, return_sequences=True)(x),
        *layers.SimpleRNN(3, return_state=True)(x),
        layers.LSTM(4, return_sequences=True)(layers.Masking(0.5)(row)),
    ]
    return keras.Model([words, row], outputs)


def image(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype(np.float32)


def words(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 20, shape).astype(np.int32)


PADDED = np.array([[3, 4, 5, 0, 0, 0, 0], [0, 0, 1, 2, 3, 4, 5], [0, 7, 0, 3, 0, 4, 0]], np.int32)

NETWORKS = {
    "cnn": (cnn, [image(2, 9, 9, 3)]),
    "lstm": (lambda: classifier(layers.LSTM), [words(2, 7)]),
    "gru": (lambda: classifier(layers.GRU), [words(2, 7)]),
    "transformer": (transformer, [words(2, 6)]),
    "unet": (unet, [image(2, 8, 8, 3)]),
    "several": (several, [image(2, 8, 8, 4), image(2, 6, 4)]),
    "rarer": (rarer, [image(2, 6, 5, 4), image(2, 6, 4)]),
    "masked": (
        masked,
        [PADDED, np.where(np.arange(15).reshape(5, 3) // 3 % 2, 0.5, image(3, 5, 3)).astype("f")],
    ),
}
