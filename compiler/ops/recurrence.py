"""Stages of recurrent layers: what the input feeds is one product over all steps, the rest a scan over the steps.

States are kept for every step, h[t] from h[t - 1], so that each element is written once; before the first step they
are the initial ones, or zero.
"""

from typing import cast

from ..ir.types import i64
from ..tile.stage import Affine, Expr, Load, select
from ..tile.writer import Ref, Stages
from .gates import Activation
from .rules import wide


class Direction:
    """The dims and the fed product of one direction of a layer; `number` counts it among the directions.

    All directions step together, along one scan `t`: a reversed one reads its input from the end. Where a sequence's
    length [B] is given, its states stay as they are at places beyond it, so a reversed one starts at its last place.
    """

    def __init__(
        self,
        s: Stages,
        t: Affine,
        number: int,
        backwards: bool,
        x: Ref,
        w: Ref,
        r: Ref,
        bias: Ref | None,
        lengths: Ref | None,
    ):
        _, batch, features = x.shape
        self.s, self.number, self.r, self.bias, self.lengths = s, number, r, bias, lengths
        self.dtype = wide(x.dtype)
        self.steps = cast(int, x.shape[0])  # ints by `has_stages`
        self.hidden = cast(int, r.shape[2])
        self.gates = cast(int, w.shape[1]) // self.hidden
        (place,) = s.dims(self.steps)
        self.t = t
        self.at = self.t * -1 + (self.steps - 1) if backwards else self.t
        self.b, self.k = s.dims(batch, self.hidden)
        (self.j,) = s.reduce(self.hidden)
        (row,), (feature,) = s.dims(self.gates * self.hidden), s.reduce(features)
        self.fed = s.local((self.steps, batch, self.gates * self.hidden), self.dtype)
        weight = w.at(number, row, feature).cast(self.dtype)
        s.store(
            self.fed[place, self.b, row],
            x[place, self.b, feature].cast(self.dtype) * weight,
            "sum",
        )

    def state(self) -> Ref:
        """A state [T, B, H], to be written at [t, b, k]."""
        return self.s.local((self.steps, self.fed.shape[1], self.hidden), self.dtype)

    def before(self, state: Ref, initial: Ref | None, k: Affine) -> Expr:
        """The state's element k after the step before."""
        last = state.at(self.t - 1, self.b, k, fill=0.0)
        if initial is None:
            return last
        start = initial.at(self.number, self.b, k).cast(self.dtype)
        return select(self.s.index(self.t).equals(0), start, last)

    def recurrent(self, state: Ref, initial: Ref | None, gates: int) -> Ref:
        """The product of the state before with the recurrent weights of the first gates, [T, B, gates * H]."""
        (row,) = self.s.dims(gates * self.hidden)
        value = self.before(state, initial, self.j)
        if initial is not None:
            value = self.s.value(value, [self.t, self.b, self.j])
        out = self.s.local((self.steps, self.fed.shape[1], gates * self.hidden), self.dtype)
        self.s.store(out[self.t, self.b, row], value * self.weight(row), "sum")
        return out

    def weight(self, row: Affine) -> Expr:
        """The recurrent weight from j to a row, which counts all elements of all gates."""
        return self.r.at(self.number, row, self.j).cast(self.dtype)

    def of(self, product: Ref, t: Affine, gate: int) -> Load:
        """A gate's element k of a product [T, B, gates * H] at step t."""
        return product[t, self.b, self.k + gate * self.hidden]

    def input(self, gate: int) -> Expr:
        """What the input feeds to a gate's element k at this step, its bias included."""
        return self._biased(self.of(self.fed, self.at, gate), gate)

    def carried(self, product: Load, gate: int) -> Expr:
        """A recurrent product with its bias."""
        return self._biased(product, self.gates + gate)

    def _biased(self, value: Load, row: int) -> Expr:
        if self.bias is None:
            return value
        return value + self.bias.at(self.number, self.k + row * self.hidden).cast(self.dtype)

    def gate(self, recurrent: Ref, gate: int) -> Expr:
        """All that goes into a gate's element k at this step."""
        return self.input(gate) + self.carried(self.of(recurrent, self.t, gate), gate)

    def advance(self, state: Ref, value: Expr, initial: Ref | None) -> None:
        """Write the state's element k at this step; beyond the length of a sequence it stays as it was."""
        if self.lengths is not None:
            value = select(self.within(self.lengths), value, self.before(state, initial, self.k))
        self.s.store(state[self.t, self.b, self.k], value)

    def within(self, lengths: Ref) -> Expr:
        """Whether this step's place lies within the sequence."""
        return self.s.index(self.at) < lengths[self.b].cast(i64)

    def finish(self, hidden: Ref, states: tuple[Ref, ...]) -> None:
        """Write y, which is 0 beyond the length of a sequence, and the last states."""
        y, *lasts = self.s.results
        value: Expr = hidden[self.t, self.b, self.k]
        if self.lengths is not None:
            value = select(self.within(self.lengths), value, 0.0)
        self.s.store(y.at(self.at, self.number, self.b, self.k), value)
        for last, state in zip(lasts, states, strict=True):
            self.s.store(last.at(self.number, self.b, self.k), state.at(self.steps - 1, self.b, self.k))


def directions(
    s: Stages, backwards: tuple[bool, ...], x: Ref, w: Ref, r: Ref, bias: Ref | None, lengths: Ref | None
) -> list[Direction]:
    """The directions of a layer whose steps are known, forward or backwards each."""
    t = s.scan(cast(int, x.shape[0]))
    return [Direction(s, t, number, back, x, w, r, bias, lengths) for number, back in enumerate(backwards)]


def has_stages(x: Ref, w: Ref, r: Ref) -> bool:
    """Whether a layer has stages: steps and weights known."""
    return all(isinstance(extent, int) for extent in (x.shape[0], w.shape[1], r.shape[2]))


def lstm_stages(
    cell: Direction,
    initial_h: Ref | None,
    initial_c: Ref | None,
    peephole: Ref | None,
    functions: tuple[Activation, Activation, Activation],
    input_forget: bool,
) -> None:
    """One direction of an LSTM."""
    now = (cell.t, cell.b, cell.k)
    f, g, h = functions
    hidden, memory = cell.state(), cell.state()
    recurrent = cell.recurrent(hidden, initial_h, 4)

    def peeking(gate: int, place: int, value: Expr) -> Expr:
        total = cell.gate(recurrent, gate)
        if peephole is None:
            return total
        factor = peephole.at(cell.number, cell.k + place * cell.hidden)
        return total + factor.cast(cell.dtype) * value

    old = cell.before(memory, initial_c, cell.k)
    i = f(peeking(0, 0, old))
    forget = 1.0 - i if input_forget else f(peeking(2, 2, old))
    cell.advance(memory, forget * old + i * g(cell.gate(recurrent, 3)), initial_c)
    cell.advance(hidden, f(peeking(1, 1, memory[now])) * h(memory[now]), initial_h)
    cell.finish(hidden, (hidden, memory))


def gru_stages(
    cell: Direction,
    initial_h: Ref | None,
    functions: tuple[Activation, Activation],
    linear_before_reset: bool,
) -> None:
    """One direction of a GRU."""
    s, now = cell.s, (cell.t, cell.b, cell.k)
    f, g = functions
    hidden = cell.state()
    recurrent = cell.recurrent(hidden, initial_h, 3 if linear_before_reset else 2)
    old = cell.before(hidden, initial_h, cell.k)
    reset = f(cell.gate(recurrent, 1))
    if linear_before_reset:
        kept = reset * cell.carried(cell.of(recurrent, cell.t, 2), 2)
    else:
        state = cell.state()
        s.store(state[now], reset * old)
        product = state[cell.t, cell.b, cell.j] * cell.weight(cell.k + 2 * cell.hidden)
        kept = cell.carried(s.total("sum", product, now), 2)
    update = s.value(f(cell.gate(recurrent, 0)), now)
    cell.advance(hidden, (1.0 - update) * g(cell.input(2) + kept) + update * old, initial_h)
    cell.finish(hidden, (hidden,))


def rnn_stages(cell: Direction, initial_h: Ref | None, function: Activation) -> None:
    """One direction of a plain recurrent layer."""
    hidden = cell.state()
    recurrent = cell.recurrent(hidden, initial_h, 1)
    cell.advance(hidden, function(cell.gate(recurrent, 0)), initial_h)
    cell.finish(hidden, (hidden,))
