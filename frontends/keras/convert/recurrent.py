"""Recurrent layers, as the IR's ops: gates in its order, time first. Keras's sequences are [batch, time, features]."""

from collections.abc import Sequence

import numpy as np

from ....compiler.diagnostics import ModelError, UnsupportedError
from ....compiler.ir.dims import Dim
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import i32, i64
from ...build import math, nn, reduce, shape
from ...tensorflow.convert.layout import inserted
from ..table import layer

_ACTIVATIONS = {
    "elu": "elu",
    "hard_sigmoid_2": "hardsigmoid",
    "linear": None,
    "relu": "relu",
    "sigmoid": "sigmoid",
    "softplus": "softplus",
    "softsign": "softsign",
    "tanh": "tanh",
}


def _names(*activations) -> tuple[str, ...]:
    """Activations as the IR's recurrent ops call them."""
    for name in activations:
        if not isinstance(name, str) or _ACTIVATIONS.get(name) is None:
            raise UnsupportedError(
                f"the activation '{name}' of a recurrence", hint="use sigmoid, tanh or relu"
            )
    return tuple(str(_ACTIVATIONS[name]) for name in activations)


def _gates(w: Value, count: int, order: Sequence[int]) -> Value:
    """A weight [I, gates * H] as [1, gates * H, I] with its gates reordered."""
    size = w.shape[1] // count
    turned = shape.transpose(w, perm=(1, 0))
    parts = [_part(turned, n * size, size) for n in order]
    joined = shape.concat(*parts, axis=0) if count > 1 else parts[0]
    return shape.reshape(joined, shape=(1, *joined.shape))


def _part(x: Value, start: Dim, size: Dim) -> Value:
    rest = x.shape[1:]
    ones = (1,) * x.type.rank
    return shape.slice(x, starts=(start, *(0 for _ in rest)), sizes=(size, *rest), steps=ones)


def _bias(bias: Value | None, count: int, order: Sequence[int]) -> Value | None:
    """A bias [gates * H], or [2, gates * H] of both products, as [1, 2 * gates * H]."""
    if bias is None:
        return None
    if bias.type.rank == 1:
        zeros = constant(np.zeros((1, bias.shape[0]), bias.dtype.numpy))
        bias = shape.concat(shape.reshape(bias, shape=(1, bias.shape[0])), zeros, axis=0)
    size = bias.shape[1] // count
    table = shape.reshape(bias, shape=(2, count, size))
    table = shape.gather(table, constant(np.array(order, np.int64)), axis=1)
    return shape.reshape(table, shape=(1, 2 * count * size))


def _state(h: Value | None) -> Value | None:
    return None if h is None else shape.reshape(h, shape=(1, *h.shape))


def _finished(ys: Value, states: Sequence[Value], sequences: bool, return_state: bool):
    """Results as the layer gives them; ys is [T, 1, B, H], a state [1, B, H]."""
    steps, _, batch, hidden = ys.shape
    last = [shape.reshape(state, shape=(batch, hidden)) for state in states]
    out = last[0]
    if sequences:
        out = shape.transpose(shape.reshape(ys, shape=(steps, batch, hidden)), perm=(1, 0, 2))
    return (out, *last) if return_state else out


def _refuse(stateful: bool) -> None:
    if stateful:
        raise UnsupportedError("its states outlive a call (stateful)", hint="make states inputs and outputs")


def _time_first(x: Value) -> Value:
    if x.type.rank != 3:
        raise ModelError(f"its input is {x.type}, expected [batch, time, features]")
    return shape.transpose(x, perm=(1, 0, 2))


def _in_steps(ys: Value, backwards: bool) -> Value:
    """Results in the order of the steps: the IR's op gives those of a reversed direction in the order of time."""
    if not backwards:
        return ys
    steps = ys.shape[0]
    if not isinstance(steps, int):
        raise UnsupportedError(f"a reversed sequence of length '{steps}'", hint="fix it with shapes=")
    return shape.slice(ys, starts=(steps - 1, 0, 0, 0), sizes=ys.shape, steps=(-1, 1, 1, 1))


def _recurrence(
    op, x: Value, weights, states, activations, mask, backwards: bool, sequences: bool, returned: bool, **form
):
    """The layer by the IR's op: weights are (kernel, recurrent, bias), each with its gates in the IR's order."""
    states = list(map(_state, states))
    if mask is None:
        direction = "reverse" if backwards else "forward"
        form |= {"direction": direction, "activations": activations}
        ys, *last = op(_time_first(x), *weights, *states, **form)
        return _finished(_in_steps(ys, backwards), last, sequences, returned)
    if backwards:
        x, mask = _backwards(x), _backwards(mask)
    form |= {"direction": "forward", "activations": activations}
    states += [None] * (len(states) > 1)  # an LSTM's peepholes stand between states and lengths
    ys, *last = _of_kept(op, x, mask, (*weights, *states), form)
    return _finished(ys, last, sequences, returned)


def _backwards(x: Value) -> Value:
    """Steps in the other order; they lie on axis 1."""
    steps, rest = x.shape[1], x.shape[2:]
    if not isinstance(steps, int):
        raise UnsupportedError(f"a reversed sequence of length '{steps}'", hint="fix it with shapes=")
    ones = (1,) * len(rest)
    return shape.slice(x, starts=(0, steps - 1, *(0,) * len(rest)), sizes=x.shape, steps=(1, -1, *ones))


def _of_kept(op, x: Value, mask: Value, operands, form) -> Sequence[Value]:
    """The op's results where only some steps count: these are moved to the front, the results back to all steps.

    A step that does not count has the result of the step before, or 0 at the beginning.
    """
    counts, steps = math.cast(mask, dtype=i32), mask.shape[1]
    length = shape.slice(shape.of(mask), starts=(1,), sizes=(1,), steps=(1,))
    _, order = shape.topk(counts, length, axis=1, largest=True, sorted=True, size=steps)
    front = shape.gather_nd(x, inserted(order, 2), batch_dims=1)
    lengths = reduce.sum(counts, axes=(1,), keepdims=False)
    ys, *last = op(_time_first(front), *operands, lengths, **form)
    done = shape.transpose(reduce.cumsum(counts, axis=1), perm=(1, 0))
    place = inserted(inserted(done, 1), 3)
    sources = shape.expand(math.cast(math.max(math.sub(place, 1), 0), dtype=i64), shape=ys.shape)
    spread = shape.gather_elements(ys, sources, axis=0)
    return math.where(math.gt(place, 0), spread, constant(0, ys.dtype)), *last


def _weights(kernel: Value, recurrent: Value, bias: Value | None, order: Sequence[int]):
    """Kernel, recurrent kernel and bias with their gates reordered."""
    count = len(order)
    return _gates(kernel, count, order), _gates(recurrent, count, order), _bias(bias, count, order)


@layer("LSTM", inputs=("sequences", "initial_state", "initial_state_1", "mask"), parts=("cell",))
def lstm(
    x,
    h=None,
    c=None,
    mask=None,
    kernel=None,
    recurrent=None,
    bias=None,
    *,
    units,
    activation="tanh",
    recurrent_activation="sigmoid",
    use_bias=True,
    return_sequences=False,
    return_state=False,
    go_backwards=False,
    stateful=False,
):
    """Keras's gates are i, f, c, o."""
    _refuse(stateful)
    f, g = _names(recurrent_activation, activation)
    weights = _weights(kernel, recurrent, bias, (0, 3, 1, 2))
    asked = (mask, go_backwards, return_sequences, return_state)
    return _recurrence(nn.lstm, x, weights, (h, c), (f, g, g), *asked)


@layer("GRU", inputs=("sequences", "initial_state", "mask"), parts=("cell",))
def gru(
    x,
    h=None,
    mask=None,
    kernel=None,
    recurrent=None,
    bias=None,
    *,
    units,
    activation="tanh",
    recurrent_activation="sigmoid",
    use_bias=True,
    return_sequences=False,
    return_state=False,
    go_backwards=False,
    stateful=False,
    reset_after=True,
):
    """Keras's gates are z, r, h, as in the IR."""
    _refuse(stateful)
    names = _names(recurrent_activation, activation)
    weights = _weights(kernel, recurrent, bias, (0, 1, 2))
    form = {"linear_before_reset": reset_after}
    asked = (mask, go_backwards, return_sequences, return_state)
    return _recurrence(nn.gru, x, weights, (h,), names, *asked, **form)


@layer("SimpleRNN", inputs=("sequence", "initial_state", "mask"), parts=("cell",))
def simple_rnn(
    x,
    h=None,
    mask=None,
    kernel=None,
    recurrent=None,
    bias=None,
    *,
    units,
    activation="tanh",
    use_bias=True,
    return_sequences=False,
    return_state=False,
    go_backwards=False,
    stateful=False,
):
    _refuse(stateful)
    weights, names = _weights(kernel, recurrent, bias, (0,)), _names(activation)
    asked = (mask, go_backwards, return_sequences, return_state)
    return _recurrence(nn.rnn, x, weights, (h,), names, *asked)
