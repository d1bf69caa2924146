"""LSTM, GRU and RNN layers: torch's lists of parameters, in the IR's gate order, layer after layer."""

from collections.abc import Callable, Iterator
from typing import Any

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.graph import Value
from ...build import nn, shape
from ..schema import Tensors
from ..table import converter
from .layout import along, cat, reshaped, stack

# Which of torch's gates stands at each place of the IR's order: i f g o becomes i o f g, and r z n becomes z r n.
_LSTM, _GRU, _RNN = (0, 3, 1, 2), (1, 0, 2), (0,)

Step = Callable[..., tuple[Value, ...]]


def _ordered(parameter: Value, gates: tuple[int, ...]) -> Value:
    """A weight or bias with its gates, which are blocks of rows, in the IR's order."""
    size = parameter.shape[0] // len(gates)
    blocks = tuple(along(parameter, 0, gate * size, size) for gate in gates)
    return blocks[0] if len(blocks) == 1 else cat(blocks, 0)


def _weights(
    params: Tensors, gates, biases: bool, directions: int
) -> Iterator[tuple[Value, Value, Value | None]]:
    """w, r and bias of each layer, directions along their first axis."""
    each = 4 if biases else 2
    if len(params) % (each * directions):
        raise UnsupportedError("layers with projections are not supported", hint="leave out proj_size")
    ordered = [_ordered(parameter, gates) for parameter in params if parameter is not None]
    for start in range(0, len(ordered), each * directions):
        layer = [ordered[start + n * each : start + (n + 1) * each] for n in range(directions)]
        bias = stack(tuple(cat((one[2], one[3]), 0) for one in layer)) if biases else None
        yield stack(tuple(one[0] for one in layer)), stack(tuple(one[1] for one in layer)), bias


def _layers(
    op: Step,
    gates: tuple[int, ...],
    x: Value,
    states: list[Value],
    params: Tensors,
    has_biases: bool,
    bidirectional: bool,
    batch_first: bool,
    **form: Any,
) -> tuple[Value, ...]:
    """The output of the last layer, and the last states of all layers."""
    directions = 2 if bidirectional else 1
    x = shape.transpose(x, perm=(1, 0, 2)) if batch_first else x
    last: list[tuple[Value, ...]] = []
    for n, (w, r, bias) in enumerate(_weights(params, gates, has_biases, directions)):
        first = [along(state, 0, n * directions, directions) for state in states]
        direction = "bidirectional" if bidirectional else "forward"
        y, *ends = op(x, w, r, bias, *first, direction=direction, **form)
        x = shape.transpose(y, perm=(0, 2, 1, 3))
        x = reshaped(x, (*x.shape[:2], x.shape[2] * x.shape[3]))
        last.append(tuple(ends))
    x = shape.transpose(x, perm=(1, 0, 2)) if batch_first else x
    return x, *(cat(each, 0) for each in zip(*last, strict=True))


def _check(train: bool, dropout: float, num_layers: int) -> None:
    if train and dropout and num_layers > 1:
        raise UnsupportedError("it drops out random values", hint="call model.eval() before you export")


@converter("lstm")
def lstm(
    input,
    hx: Tensors,
    params: Tensors,
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
):
    _check(train, dropout, num_layers)
    if hx[0].shape[-1] != hx[1].shape[-1]:
        raise UnsupportedError("layers with projections are not supported", hint="leave out proj_size")
    return _layers(nn.lstm, _LSTM, input, list(hx), params, has_biases, bidirectional, batch_first)


@converter("gru")
def gru(
    input,
    hx,
    params: Tensors,
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
):
    _check(train, dropout, num_layers)
    form = {"linear_before_reset": True}
    return _layers(nn.gru, _GRU, input, [hx], params, has_biases, bidirectional, batch_first, **form)


def _rnn(activation: str) -> Callable[..., Any]:
    def convert(
        input,
        hx,
        params: Tensors,
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
    ):
        _check(train, dropout, num_layers)
        names = (activation,) * (2 if bidirectional else 1)
        form = {"activations": names, "alphas": (0.0,) * len(names), "betas": (0.0,) * len(names)}
        return _layers(nn.rnn, _RNN, input, [hx], params, has_biases, bidirectional, batch_first, **form)

    return convert


converter("rnn_tanh")(_rnn("tanh"))
converter("rnn_relu")(_rnn("relu"))


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
    return _cell(nn.lstm, _LSTM, input, hx, (w_ih, w_hh, b_ih, b_hh))


@converter("gru_cell")
def gru_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    return _cell(nn.gru, _GRU, input, (hx,), (w_ih, w_hh, b_ih, b_hh), linear_before_reset=True)


@converter("rnn_tanh_cell")
def rnn_tanh_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    return _cell(nn.rnn, _RNN, input, (hx,), (w_ih, w_hh, b_ih, b_hh))
