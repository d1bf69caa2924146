"""LSTM, GRU and RNN layers: torch's lists of parameters, in the IR's gate order, layer after layer."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from ....compiler.diagnostics import ModelError, UnsupportedError
from ....compiler.ir.dims import Dim
from ....compiler.ir.graph import Value, constant
from ...build import nn, shape
from ..schema import Tensors
from ..table import converter
from .layout import along, cat, expand, reshaped, stack

# Which of torch's gates stands at each place of the IR's order: i f g o becomes i o f g, and r z n becomes z r n.
LSTM, GRU, RNN = (0, 3, 1, 2), (1, 0, 2), (0,)

Step = Callable[..., tuple[Value, ...]]


def _ordered(parameter: Value, gates: tuple[int, ...]) -> Value:
    """A weight or bias with its gates, which are blocks of rows, in the IR's order."""
    size = parameter.shape[0] // len(gates)
    blocks = tuple(along(parameter, 0, gate * size, size) for gate in gates)
    return blocks[0] if len(blocks) == 1 else cat(blocks, 0)


class _Layer(NamedTuple):
    """One layer's weights in the IR's form, directions first; `projection` is [directions, projected, hidden]."""

    w: Value
    r: Value
    bias: Value | None
    projection: Value | None


def _weights(params: Tensors, gates, biases: bool, directions: int, projected: bool) -> Iterator[_Layer]:
    each = (4 if biases else 2) + projected
    if len(params) % (each * directions):
        raise ModelError(f"it has {len(params)} parameters, expected {each} for each layer and direction")
    for start in range(0, len(params), each * directions):
        rows = [params[start + n * each :][:each] for n in range(directions)]
        ordered = [[_ordered(one, gates) for one in row[: each - projected]] for row in rows]
        w, r = (stack(tuple(row[n] for row in ordered)) for n in range(2))
        bias = stack(tuple(cat((row[2], row[3]), 0) for row in ordered)) if biases else None
        yield _Layer(w, r, bias, stack(tuple(row[-1] for row in rows)) if projected else None)


def layers(
    op: Step,
    gates: tuple[int, ...],
    x: Value,
    states: Sequence[Value],
    params: Tensors,
    has_biases: bool,
    bidirectional: bool,
    **form: Any,
) -> tuple[Value, ...]:
    """The output of the last layer [length, batch, ...], and the last states of all layers."""
    directions = 2 if bidirectional else 1
    form["direction"] = "bidirectional" if bidirectional else "forward"
    projected = len(states) == 2 and states[0].shape[-1] != states[1].shape[-1]
    last: list[Sequence[Value]] = []
    for n, layer in enumerate(_weights(params, gates, has_biases, directions, projected)):
        first = [along(state, 0, n * directions, directions) for state in states]
        run = _plain if layer.projection is None else _projected
        y, *ends = run(op, x, layer, first, form)
        x = shape.transpose(y, perm=(0, 2, 1, 3))
        x = reshaped(x, (*x.shape[:2], x.shape[2] * x.shape[3]))
        last.append(ends)
    return x, *(cat(each, 0) for each in zip(*last, strict=True))


def _plain(op: Step, x: Value, layer: _Layer, first: Sequence[Value], form: dict[str, Any]):
    return op(x, layer.w, layer.r, layer.bias, *first, **form)


def _projected(op: Step, x: Value, layer: _Layer, first: Sequence[Value], form: dict[str, Any]):
    """What is projected recurs: without its projection it does so by r times that, but for the state it begins with.

    That one comes as further inputs, which are 0 but in the first step, with the weight r.
    """
    w, r, bias, projection = layer
    before, cells = first
    assert projection is not None
    starts, own = [], []
    directions = int(before.shape[0])  # type: ignore[arg-type]
    for n in range(directions):
        state = along(before, 0, n, 1)
        later = expand(constant(0, x.dtype), (x.shape[0] - 1, *state.shape[1:]))
        starts.append(cat((later, state) if n else (state, later), 0))
        own.append(shape.pad(along(r, 0, n, 1), pads=_beside(n, directions, r.shape[2])))
    zeros = expand(constant(0, x.dtype), cells.shape)
    wide, inputs = cat((w, cat(tuple(own), 0)), 2), cat((x, *starts), 2)
    y, *last = op(inputs, wide, nn.matmul(r, projection), bias, zeros, cells, **form)
    down = shape.transpose(projection, perm=(0, 2, 1))
    return nn.matmul(y, down), nn.matmul(last[0], down), last[1]


def _beside(n: int, count: int, size: Dim) -> tuple[Dim, ...]:
    """Margins of [1, rows, size] that make it the n-th of `count` blocks of columns."""
    return (0, 0, n * size, 0, 0, (count - 1 - n) * size)


def activations(name: str, count: int) -> dict[str, Any]:
    """The attributes of a recurrence with one activation."""
    return {"activations": (name,) * count, "alphas": (0.0,) * count, "betas": (0.0,) * count}


def require_evaluation(train: bool, dropout: float, num_layers: int) -> None:
    """UnsupportedError where values between layers are dropped at random."""
    if train and dropout and num_layers > 1:
        raise UnsupportedError("it drops out random values", hint="call model.eval() before you export")


def _register(name: str, op: Step, gates: tuple[int, ...], activation: str = "", **form: Any) -> None:
    @converter(name)
    def recurrent(
        input,
        hx: Any,
        params: Tensors,
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
    ):
        require_evaluation(train, dropout, num_layers)
        own = activations(activation, 1 + bidirectional) if activation else {}
        x = shape.transpose(input, perm=(1, 0, 2)) if batch_first else input
        states = hx if isinstance(hx, tuple) else (hx,)
        y, *last = layers(op, gates, x, states, params, has_biases, bidirectional, **form, **own)
        return shape.transpose(y, perm=(1, 0, 2)) if batch_first else y, *last


_register("lstm", nn.lstm, LSTM)
_register("gru", nn.gru, GRU, linear_before_reset=True)
_register("rnn_tanh", nn.rnn, RNN, "tanh")
_register("rnn_relu", nn.rnn, RNN, "relu")


def _cell(op: Step, gates: tuple[int, ...], input, states, params: Tensors, **form: Any) -> tuple[Value, ...]:
    """One step of one layer."""
    w, r, *biases = [_ordered(parameter, gates) for parameter in params if parameter is not None]
    bias = stack((cat(tuple(biases), 0),)) if biases else None
    line = reshaped(input, (1, *input.shape))
    given = [reshaped(state, (1, *state.shape)) for state in states]
    _, *ends = op(line, stack((w,)), stack((r,)), bias, *given, direction="forward", **form)
    return tuple(reshaped(end, end.shape[1:]) for end in ends)


@converter("lstm_cell")
def lstm_cell(input, hx: Tensors, w_ih, w_hh, b_ih=None, b_hh=None):
    return _cell(nn.lstm, LSTM, input, hx, (w_ih, w_hh, b_ih, b_hh))


@converter("gru_cell")
def gru_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    return _cell(nn.gru, GRU, input, (hx,), (w_ih, w_hh, b_ih, b_hh), linear_before_reset=True)


@converter("rnn_tanh_cell")
def rnn_tanh_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    return _cell(nn.rnn, RNN, input, (hx,), (w_ih, w_hh, b_ih, b_hh))


@converter("rnn_relu_cell")
def rnn_relu_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    return _cell(nn.rnn, RNN, input, (hx,), (w_ih, w_hh, b_ih, b_hh), **activations("relu", 1))
