"""Recurrent layers in ONNX's layouts and gate order, one op for all directions and all steps.

x [T, B, I]; w [D, gates * H, I], r [D, gates * H, H], bias [D, 2 * gates * H] (of w, then of r); states [D, B, H];
lengths i32 [B]. D is 1, or 2 when bidirectional (forward first). Results are y [T, D, B, H] and the last states. Past
its length a sequence keeps its state and y is 0; a reversed direction starts at the last valid step. Layers whose
steps are known have stages over a scan, see `recurrence.py`; the others are opaque.
"""

from collections.abc import Callable

import numpy as np

from ..diagnostics import TypeRuleError
from ..ir.types import TensorType
from ..tile.writer import Ref, Stages
from .engine import Cost, Tolerance, case, op
from .gates import ACTIVATIONS, functions
from .recurrence import directions, gru_stages, has_stages, lstm_stages, rnn_stages
from .rules import differ, same_dtype, widen

DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}

LSTM_DEFAULT, GRU_DEFAULT, RNN_DEFAULT = ("sigmoid", "tanh", "tanh"), ("sigmoid", "tanh"), ("tanh",)

_TOLERANCE = Tolerance(relative=1e-4, absolute=1e-5)

Array = np.ndarray


def _check(
    op_name: str,
    gates: int,
    per_direction: int,
    operands: tuple[TensorType | None, ...],
    direction: str,
    activations: tuple[str, ...],
    alphas: tuple[float, ...],
    betas: tuple[float, ...],
) -> tuple[TensorType, TensorType]:
    """Types of y and of a state; `operands` are x, w, r, bias, lengths, states..."""
    x, w, r, bias, lengths, *states = operands
    if direction not in DIRECTIONS:
        raise TypeRuleError(f"{op_name}: direction is '{direction}', expected {', '.join(DIRECTIONS)}")
    count = len(DIRECTIONS[direction])
    for name in activations:
        if name not in ACTIVATIONS:
            raise TypeRuleError(
                f"{op_name}: no activation '{name}'", hint=f"there are: {', '.join(ACTIVATIONS)}"
            )
    for label, values in (("activations", activations), ("alphas", alphas), ("betas", betas)):
        if len(values) not in (0, per_direction * count):
            raise TypeRuleError(
                f"{op_name}: {len(values)} {label}, expected {per_direction * count} ({per_direction} a direction)"
            )
    if x is None or w is None or r is None or not x.rank == w.rank == r.rank == 3:
        raise TypeRuleError(f"{op_name} needs x [T, B, I], w [D, {gates}*H, I] and r [D, {gates}*H, H]")
    dtype = same_dtype(*(operand for operand in (x, w, r, bias, *states) if operand is not None))
    if not dtype.is_float:
        raise TypeRuleError(f"{op_name} needs floats, got {dtype}", hint="insert a cast")
    steps, batch, features = x.shape
    hidden = r.shape[2]
    state = TensorType(dtype, (count, batch, hidden))
    expected = [
        ("w", w, (count, hidden * gates, features)),
        ("r", r, (count, hidden * gates, hidden)),
        ("bias", bias, (count, hidden * gates * 2)),
        ("lengths", lengths, (batch,)),
        *(("state", operand, state.shape) for operand in states),
    ]
    for name, operand, shape in expected:
        if operand is not None and (
            operand.rank != len(shape) or any(differ(a, b) for a, b in zip(operand.shape, shape, strict=True))
        ):
            raise TypeRuleError(f"{op_name}: {name} is {operand}, expected [{', '.join(map(str, shape))}]")
    if lengths is not None and not lengths.dtype.is_integer:
        raise TypeRuleError(f"{op_name}: lengths are {lengths}, expected integers")
    return TensorType(dtype, (steps, count, batch, hidden)), state


def _cost(results: tuple[TensorType, ...], x: TensorType, w: TensorType, r: TensorType, *_, **__) -> Cost:
    steps, batch, features = x.shape
    weights = w.shape[0] * w.shape[1] * (features + r.shape[2])
    return Cost(macs=steps * batch * weights, operations=steps * batch * w.shape[0] * w.shape[1] * 12)


Step = Callable[[int, Array, tuple[Array, ...]], tuple[Array, ...]]


def _recur(
    x: Array,
    w: Array,
    bias: Array,
    initial: tuple[Array, ...],
    lengths: Array | None,
    direction: str,
    step: Step,
) -> tuple[Array, ...]:
    """y and the last states. step(direction, gates of x [B, gates * H], states [B, H]) gives the states, h first."""
    steps, batch, _ = x.shape
    valid = np.full(batch, steps) if lengths is None else np.clip(lengths.astype(np.int64), 0, steps)
    ys, finals = [], []
    for d, backwards in enumerate(DIRECTIONS[direction]):
        at = np.arange(steps)[:, None]
        active = (at < valid)[:, :, None]
        order = np.where(at < valid, valid - 1 - at, at) if backwards else np.broadcast_to(at, (steps, batch))
        order = order[:, :, None]  # its own inverse
        gates = np.take_along_axis(widen(x) @ widen(w[d]).T + bias[d], order, 0)
        states = tuple(widen(state[d]) for state in initial)
        y = np.zeros((steps, *states[0].shape), states[0].dtype)
        for t in range(steps):
            new = step(d, gates[t], states)
            states = tuple(np.where(active[t], a, b) for a, b in zip(new, states, strict=True))
            y[t] = np.where(active[t], new[0], 0)
        ys.append(np.take_along_axis(y, order, 0))
        finals.append(states)
    results = np.stack(ys, 1), *(np.stack(state) for state in zip(*finals, strict=True))
    return tuple(result.astype(x.dtype, copy=False) for result in results)


def _biases(bias: Array | None, w: Array) -> tuple[Array, Array]:
    """The biases of w and of r, [D, gates * H] each."""
    both = widen(np.zeros((w.shape[0], 2 * w.shape[1]), w.dtype) if bias is None else bias)
    return both[:, : w.shape[1]], both[:, w.shape[1] :]


def _start(state: Array | None, x: Array, r: Array) -> Array:
    return np.zeros((r.shape[0], x.shape[1], r.shape[2]), x.dtype) if state is None else state


def _lstm_type(
    x,
    w,
    r,
    bias,
    initial_h,
    initial_c,
    peephole,
    lengths,
    *,
    direction,
    activations,
    alphas,
    betas,
    clip,
    input_forget,
):
    operands = (x, w, r, bias, lengths, initial_h, initial_c)
    y, state = _check("lstm", 4, 3, operands, direction, activations, alphas, betas)
    if peephole is not None and (
        peephole.rank != 2
        or differ(peephole.shape[0], state.shape[0])
        or differ(peephole.shape[1], state.shape[2] * 3)
    ):
        raise TypeRuleError(
            f"lstm: peephole is {peephole}, expected [{state.shape[0]}, {state.shape[2] * 3}]"
        )
    return y, state, state


def _lstm_stages(
    s: Stages,
    x: Ref,
    w: Ref,
    r: Ref,
    bias: Ref | None,
    initial_h: Ref | None,
    initial_c: Ref | None,
    peephole: Ref | None,
    lengths: Ref | None,
    *,
    direction,
    activations,
    alphas,
    betas,
    clip,
    input_forget,
) -> object:
    if not has_stages(x, w, r):
        return NotImplemented
    backwards = DIRECTIONS[direction]
    chosen = functions(LSTM_DEFAULT, len(backwards), activations, alphas, betas, clip)
    unclipped = functions(LSTM_DEFAULT, len(backwards), activations, alphas, betas, None)
    for d, cell in enumerate(directions(s, backwards, x, w, r, bias, lengths)):
        f, g, _ = chosen[d]
        lstm_stages(cell, initial_h, initial_c, peephole, (f, g, unclipped[d][2]), input_forget)
    return None


@op(
    "nn.lstm",
    infer=_lstm_type,
    stages=_lstm_stages,
    cost=_cost,
    tolerance=_TOLERANCE,
    samples=(
        case("f32[5, 2, 3]", "f32[1, 16, 3]", "f32[1, 16, 4]", "f32[1, 32]"),
        case(
            "f64[4, 3, 2]",
            "f64[2, 12, 2]",
            "f64[2, 12, 3]",
            "f64[2, 24]",
            "f64[2, 3, 3]",
            "f64[2, 3, 3]",
            "f64[2, 9]",
            np.array([4, 1, 3], np.int32),
            direction="bidirectional",
            clip=0.8,
        ),
        case(
            "f32[3, 1, 2]",
            "f32[1, 8, 2]",
            "f32[1, 8, 2]",
            direction="reverse",
            activations=("hard_sigmoid", "softsign", "scaled_tanh"),
            alphas=(0.3, 0.0, 1.5),
            betas=(0.4, 0.0, 0.5),
            input_forget=True,
        ),
        case(
            "f64[3, 2, 2]",
            "f64[2, 12, 2]",
            "f64[2, 12, 3]",
            None,
            "f64[2, 2, 3]",
            "f64[2, 2, 3]",
            "f64[2, 9]",
            direction="bidirectional",
            clip=0.8,
        ),
    ),
)
def lstm(
    x,
    w,
    r,
    bias=None,
    initial_h=None,
    initial_c=None,
    peephole=None,
    lengths=None,
    *,
    direction: str = "forward",
    activations: tuple[str, ...] = (),
    alphas: tuple[float, ...] = (),
    betas: tuple[float, ...] = (),
    clip: float | None = None,
    input_forget: bool = False,
):
    """Long short-term memory: y, last h, last c. Gates in order i, o, f, c; `peephole` [D, 3 * H] is of i, o, f.

    Activations are f (gates), g (cell input), h (cell output), three a direction. `clip` bounds what f and g take,
    `input_forget` couples the gates (f = 1 - i), both as in ONNX Runtime.
    """
    count = w.shape[0]
    gates_of = functions(LSTM_DEFAULT, count, activations, alphas, betas, clip)
    unclipped = functions(LSTM_DEFAULT, count, activations, alphas, betas, None)
    bias_w, bias_r = _biases(bias, w)
    peep = np.zeros((count, 3 * r.shape[2]), bias_w.dtype) if peephole is None else widen(peephole)

    def step(d: int, gates: Array, states: tuple[Array, ...]) -> tuple[Array, ...]:
        hidden, cell = states
        f, g, _ = gates_of[d]
        h = unclipped[d][2]
        peep_i, peep_o, peep_f = np.split(peep[d], 3)
        i, o, forget, candidate = np.split(gates + hidden @ widen(r[d]).T, 4, axis=1)
        i = f(i + peep_i * cell)
        forget = 1 - i if input_forget else f(forget + peep_f * cell)
        cell = forget * cell + i * g(candidate)
        return f(o + peep_o * cell) * h(cell), cell

    initial = _start(initial_h, x, r), _start(initial_c, x, r)
    return _recur(x, w, bias_w + bias_r, initial, lengths, direction, step)


def _gru_type(
    x,
    w,
    r,
    bias,
    initial_h,
    lengths,
    *,
    direction,
    activations,
    alphas,
    betas,
    clip,
    linear_before_reset,
):
    return _check("gru", 3, 2, (x, w, r, bias, lengths, initial_h), direction, activations, alphas, betas)


def _gru_stages(
    s: Stages,
    x: Ref,
    w: Ref,
    r: Ref,
    bias: Ref | None,
    initial_h: Ref | None,
    lengths: Ref | None,
    *,
    direction,
    activations,
    alphas,
    betas,
    clip,
    linear_before_reset,
) -> object:
    if not has_stages(x, w, r):
        return NotImplemented
    backwards = DIRECTIONS[direction]
    chosen = functions(GRU_DEFAULT, len(backwards), activations, alphas, betas, clip)
    for cell, (f, g) in zip(directions(s, backwards, x, w, r, bias, lengths), chosen, strict=True):
        gru_stages(cell, initial_h, (f, g), linear_before_reset)
    return None


@op(
    "nn.gru",
    infer=_gru_type,
    stages=_gru_stages,
    cost=_cost,
    tolerance=_TOLERANCE,
    samples=(
        case("f32[5, 2, 3]", "f32[1, 12, 3]", "f32[1, 12, 4]", "f32[1, 24]"),
        case(
            "f64[4, 3, 2]",
            "f64[2, 9, 2]",
            "f64[2, 9, 3]",
            "f64[2, 18]",
            "f64[2, 3, 3]",
            np.array([2, 4, 3], np.int32),
            direction="bidirectional",
            linear_before_reset=True,
        ),
        case("f32[3, 2, 2]", "f32[1, 6, 2]", "f32[1, 6, 2]", direction="reverse", clip=0.5),
        case(
            "f64[3, 1, 2]",
            "f64[2, 9, 2]",
            "f64[2, 9, 3]",
            "f64[2, 18]",
            "f64[2, 1, 3]",
            direction="bidirectional",
            linear_before_reset=True,
        ),
        case("f16[3, 1, 2]", "f16[1, 6, 2]", "f16[1, 6, 2]", None, "f16[1, 1, 2]"),
        case(
            "f32[4, 3, 2]",
            "f32[1, 6, 2]",
            "f32[1, 6, 2]",
            None,
            None,
            np.array([3, 0, 9], np.int32),
            direction="reverse",
        ),
    ),
)
def gru(
    x,
    w,
    r,
    bias=None,
    initial_h=None,
    lengths=None,
    *,
    direction: str = "forward",
    activations: tuple[str, ...] = (),
    alphas: tuple[float, ...] = (),
    betas: tuple[float, ...] = (),
    clip: float | None = None,
    linear_before_reset: bool = False,
):
    """Gated recurrent unit: y, last h. Gates in order z (update), r (reset), h; activations f (gates), g (hidden).

    `linear_before_reset` applies the reset gate after the recurrent product instead of before it.
    """
    gates_of = functions(GRU_DEFAULT, w.shape[0], activations, alphas, betas, clip)
    bias_w, bias_r = _biases(bias, w)

    def step(d: int, gates: Array, states: tuple[Array, ...]) -> tuple[Array, ...]:
        (hidden,) = states
        f, g = gates_of[d]
        size = 2 * r.shape[2]
        weights, offset = widen(r[d]), bias_r[d]
        update, reset = np.split(f(gates[:, :size] + hidden @ weights[:size].T + offset[:size]), 2, axis=1)
        if linear_before_reset:
            recurrent = reset * (hidden @ weights[size:].T + offset[size:])
        else:
            recurrent = (reset * hidden) @ weights[size:].T + offset[size:]
        return ((1 - update) * g(gates[:, size:] + recurrent) + update * hidden,)

    return _recur(x, w, bias_w, (_start(initial_h, x, r),), lengths, direction, step)


def _rnn_type(x, w, r, bias, initial_h, lengths, *, direction, activations, alphas, betas, clip):
    return _check("rnn", 1, 1, (x, w, r, bias, lengths, initial_h), direction, activations, alphas, betas)


def _rnn_stages(
    s: Stages,
    x: Ref,
    w: Ref,
    r: Ref,
    bias: Ref | None,
    initial_h: Ref | None,
    lengths: Ref | None,
    *,
    direction,
    activations,
    alphas,
    betas,
    clip,
) -> object:
    if not has_stages(x, w, r):
        return NotImplemented
    backwards = DIRECTIONS[direction]
    chosen = functions(RNN_DEFAULT, len(backwards), activations, alphas, betas, clip)
    for cell, (f,) in zip(directions(s, backwards, x, w, r, bias, lengths), chosen, strict=True):
        rnn_stages(cell, initial_h, f)
    return None


@op(
    "nn.rnn",
    infer=_rnn_type,
    stages=_rnn_stages,
    cost=_cost,
    tolerance=_TOLERANCE,
    samples=(
        case("f32[5, 2, 3]", "f32[1, 4, 3]", "f32[1, 4, 4]", "f32[1, 8]"),
        case(
            "f64[4, 3, 2]",
            "f64[2, 3, 2]",
            "f64[2, 3, 3]",
            None,
            "f64[2, 3, 3]",
            np.array([2, 4, 3], np.int32),
            direction="bidirectional",
            activations=("relu", "affine"),
            alphas=(0.0, 0.5),
            betas=(0.0, 0.1),
        ),
        case(
            "f32[3, 2, 2]",
            "f32[2, 3, 2]",
            "f32[2, 3, 3]",
            None,
            "f32[2, 2, 3]",
            direction="bidirectional",
            activations=("softplus", "elu"),
            clip=1.5,
        ),
    ),
)
def rnn(
    x,
    w,
    r,
    bias=None,
    initial_h=None,
    lengths=None,
    *,
    direction: str = "forward",
    activations: tuple[str, ...] = (),
    alphas: tuple[float, ...] = (),
    betas: tuple[float, ...] = (),
    clip: float | None = None,
):
    """Plain recurrence h = f(w x + r h + bias): y, last h."""
    gates_of = functions(RNN_DEFAULT, w.shape[0], activations, alphas, betas, clip)
    bias_w, bias_r = _biases(bias, w)

    def step(d: int, gates: Array, states: tuple[Array, ...]) -> tuple[Array, ...]:
        return (gates_of[d][0](gates + states[0] @ widen(r[d]).T),)

    return _recur(x, w, bias_w + bias_r, (_start(initial_h, x, r),), lengths, direction, step)
