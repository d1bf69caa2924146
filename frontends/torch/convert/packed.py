"""Packed sequences: made, run through recurrent layers, and padded again. They are padded throughout (`..packed`)."""

from typing import Any

import numpy as np

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.dims import Dim
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import i32, i64
from ...build import math, nn, reduce, shape
from ...extents import positions
from ...known import dims
from ..packed import knows_packed, packed, padded, rows_of
from ..promotion import tensor
from ..schema import Tensors
from ..table import converter
from .creation import filled
from .layout import along, cat, reshaped
from .recurrent import GRU, LSTM, RNN, Step, activations, layers, require_evaluation


@converter("_pack_padded_sequence")
def pack(input, lengths, batch_first: bool):
    x = shape.transpose(input, perm=(1, 0, 2)) if batch_first else input
    return packed(x, math.cast(lengths, dtype=i64))


@knows_packed("select")
def most_rows(self, dim: int, index: Dim):
    """All sequences have a first step."""
    if index != 0:
        raise UnsupportedError("how many sequences are that long depends on data", hint="use the lengths")
    x, _ = padded(self)
    return reshaped(along(shape.of(x), 0, 1, 1), ())


@knows_packed("size.int")
def longest(self, dim: int):
    """Of the counts at each step there are as many as steps."""
    _, lengths = padded(self)
    return reduce.max(lengths, axes=(0,), keepdims=False)


@converter("_pad_packed_sequence")
@knows_packed("_pad_packed_sequence")
def pad(data, batch_sizes, batch_first: bool, padding_value=0.0, total_length: Any = -1):
    x, lengths = padded(data)
    steps = positions(x, 0)
    within = math.lt(steps, reshaped(lengths, (1, *lengths.shape, *(1,) * (x.type.rank - 2))))
    y = _lasting(math.where(within, x, tensor(padding_value, x.dtype)), lengths, padding_value, total_length)
    return shape.transpose(y, perm=(1, 0, *range(2, y.type.rank))) if batch_first else y, lengths


def _lasting(x: Value, lengths: Value, padding_value, total_length: Any) -> Value:
    """x with a given number of steps, else with those of the longest sequence."""
    total = (total_length,) if isinstance(total_length, int) else dims(total_length)
    if total is None or total == (-1,):
        end = reduce.max(lengths, axes=(0,), keepdims=True)
        return shape.slice_dynamic(x, constant(np.zeros(1, np.int64)), end)
    more = total[0] - x.shape[0]
    if not isinstance(more, int) or more <= 0:
        return along(x, 0, 0, total[0])
    return cat((x, filled((more, *x.shape[1:]), padding_value, x.dtype)), 0)


def _register(
    name: str, op: Step, gates: tuple[int, ...], between: int, activation: str = "", **form: Any
) -> None:
    """`between` operands stand between the states and the lengths."""

    @converter(f"{name}.data")
    @knows_packed(f"{name}.data")
    def recurrent(
        data,
        batch_sizes,
        hx: Any,
        params: Tensors,
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
    ):
        require_evaluation(train, dropout, num_layers)
        x, lengths = padded(data)
        states = hx if isinstance(hx, tuple) else (hx,)
        if len(states) == 2 and states[0].shape[-1] != states[1].shape[-1]:
            raise UnsupportedError("packed sequences with projections are not supported", hint="pad them")
        short = math.cast(lengths, dtype=i32)

        def step(*operands: Value | None, **attributes: Any) -> tuple[Value, ...]:
            return op(*operands, *(None,) * between, short, **attributes)

        own = activations(activation, 1 + bidirectional) if activation else {}
        y, *last = layers(step, gates, x, states, params, has_biases, bidirectional, **form, **own)
        return rows_of(y, lengths), *last


_register("lstm", nn.lstm, LSTM, 1)
_register("gru", nn.gru, GRU, 0, linear_before_reset=True)
_register("rnn_tanh", nn.rnn, RNN, 0, "tanh")
_register("rnn_relu", nn.rnn, RNN, 0, "relu")
