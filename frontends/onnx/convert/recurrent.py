"""LSTM, GRU and RNN: the IR's ops have ONNX's gate order and layouts; `layout=1` is a transpose at each end."""

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.graph import Value
from ...build import nn, shape
from ..table import converter

# ONNX's names of activations, and how many of alpha and beta each takes (Operators.md, RNN).
_ACTIVATIONS = {
    "affine": ("affine", 2),
    "elu": ("elu", 1),
    "hardsigmoid": ("hard_sigmoid", 2),
    "leakyrelu": ("leaky_relu", 1),
    "relu": ("relu", 0),
    "scaledtanh": ("scaled_tanh", 2),
    "sigmoid": ("sigmoid", 0),
    "softplus": ("softplus", 0),
    "softsign": ("softsign", 0),
    "tanh": ("tanh", 0),
    "thresholdedrelu": ("thresholded_relu", 1),
}
_DEFAULTS = {
    "affine": (1.0, 0.0),
    "elu": (1.0, 0.0),
    "hard_sigmoid": (0.2, 0.5),
    "leaky_relu": (0.01, 0.0),
    "scaled_tanh": (1.0, 1.0),
    "thresholded_relu": (1.0, 0.0),
}


def _functions(activations, alphas, betas) -> dict[str, tuple]:
    """Activations with one alpha and beta each; the file lists these only for the functions that take any."""
    if not activations:
        return {}
    left = (list(alphas or ()), list(betas or ()))
    names: list[str] = []
    values: tuple[list[float], list[float]] = [], []
    for name in activations:
        if name.lower() not in _ACTIVATIONS:
            raise UnsupportedError(f"its activation '{name}' is not known", hint="use a standard activation")
        own, takes = _ACTIVATIONS[name.lower()]
        names.append(own)
        for n in range(2):
            given = left[n].pop(0) if n < takes and left[n] else _DEFAULTS.get(own, (0.0, 0.0))[n]
            values[n].append(given)
    return {"activations": tuple(names), "alphas": tuple(values[0]), "betas": tuple(values[1])}


def _recurrent(op, x, operands, states, lengths, layout, **form):
    """Run a recurrent op; `operands` are w, r, bias and `states` the initial ones (and an LSTM's peephole)."""
    if layout:
        x = shape.transpose(x, perm=(1, 0, 2))
        states = [_swapped(state) for state in states]
    y, *last = (
        op(x, *operands, *states, **form) if lengths is None else op(x, *operands, *states, lengths, **form)
    )
    if layout:
        return shape.transpose(y, perm=(2, 0, 1, 3)), *map(_swapped, last)
    return y, *last


def _swapped(state: Value | None) -> Value | None:
    if state is None or state.type.rank != 3:  # an LSTM's peephole has two axes, neither of them the batch
        return state
    return shape.transpose(state, perm=(1, 0, 2))


@converter("LSTM", since=14)
def lstm(
    x,
    w,
    r,
    bias=None,
    lengths=None,
    initial_h=None,
    initial_c=None,
    peephole=None,
    *,
    activation_alpha=None,
    activation_beta=None,
    activations=None,
    clip=None,
    direction="forward",
    hidden_size=None,
    input_forget=0,
    layout=0,
):
    return _recurrent(
        nn.lstm,
        x,
        (w, r, bias),
        (initial_h, initial_c, peephole),
        lengths,
        layout,
        direction=direction,
        clip=clip,
        input_forget=bool(input_forget),
        **_functions(activations, activation_alpha, activation_beta),
    )


@converter("LSTM", since=7)
def lstm_7(
    x,
    w,
    r,
    bias=None,
    lengths=None,
    initial_h=None,
    initial_c=None,
    peephole=None,
    *,
    activation_alpha=None,
    activation_beta=None,
    activations=None,
    clip=None,
    direction="forward",
    hidden_size=None,
    input_forget=0,
):
    return lstm(
        x,
        w,
        r,
        bias,
        lengths,
        initial_h,
        initial_c,
        peephole,
        activation_alpha=activation_alpha,
        activation_beta=activation_beta,
        activations=activations,
        clip=clip,
        direction=direction,
        input_forget=input_forget,
    )


@converter("GRU", since=14)
def gru(
    x,
    w,
    r,
    bias=None,
    lengths=None,
    initial_h=None,
    *,
    activation_alpha=None,
    activation_beta=None,
    activations=None,
    clip=None,
    direction="forward",
    hidden_size=None,
    layout=0,
    linear_before_reset=0,
):
    return _recurrent(
        nn.gru,
        x,
        (w, r, bias),
        (initial_h,),
        lengths,
        layout,
        direction=direction,
        clip=clip,
        linear_before_reset=bool(linear_before_reset),
        **_functions(activations, activation_alpha, activation_beta),
    )


@converter("GRU", since=7)
def gru_7(
    x,
    w,
    r,
    bias=None,
    lengths=None,
    initial_h=None,
    *,
    activation_alpha=None,
    activation_beta=None,
    activations=None,
    clip=None,
    direction="forward",
    hidden_size=None,
    linear_before_reset=0,
):
    return gru(
        x,
        w,
        r,
        bias,
        lengths,
        initial_h,
        activation_alpha=activation_alpha,
        activation_beta=activation_beta,
        activations=activations,
        clip=clip,
        direction=direction,
        linear_before_reset=linear_before_reset,
    )


@converter("RNN", since=14)
def rnn(
    x,
    w,
    r,
    bias=None,
    lengths=None,
    initial_h=None,
    *,
    activation_alpha=None,
    activation_beta=None,
    activations=("Tanh", "Tanh"),
    clip=None,
    direction="forward",
    hidden_size=None,
    layout=0,
):
    functions = activations[: 2 if direction == "bidirectional" else 1]
    return _recurrent(
        nn.rnn,
        x,
        (w, r, bias),
        (initial_h,),
        lengths,
        layout,
        direction=direction,
        clip=clip,
        **_functions(functions, activation_alpha, activation_beta),
    )


@converter("RNN", since=7)
def rnn_7(
    x,
    w,
    r,
    bias=None,
    lengths=None,
    initial_h=None,
    *,
    activation_alpha=None,
    activation_beta=None,
    activations=("Tanh", "Tanh"),
    clip=None,
    direction="forward",
    hidden_size=None,
):
    return rnn(
        x,
        w,
        r,
        bias,
        lengths,
        initial_h,
        activation_alpha=activation_alpha,
        activation_beta=activation_beta,
        activations=activations,
        clip=clip,
        direction=direction,
    )
