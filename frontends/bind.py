"""What the user says about inputs, put together with what the file says: dimensions with names are unified."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

import numpy as np

from ..compiler.diagnostics import ModelError, Problem
from ..compiler.ir.dims import Dim, Expr, floordiv, substitute, symbol, symbols
from ..compiler.ir.types import OptionalType, SequenceType, TensorType, Type
from ..runtime.records import dataclass
from .source import SourceInput, SourceModel


def bind_inputs(
    model: SourceModel, shapes: Mapping[str, Sequence[int | str | None]], constants: Mapping[str, Any]
) -> list[tuple[SourceInput, Type | np.ndarray]]:
    """Every input with its type after binding, or with the array that it is fixed to.

    Raises ModelError with all clashes, unknown names and inputs without a rank.
    """
    binding = _Binding(model.location)
    names = [entry.name for entry in model.graph.inputs]
    for what, given in (("shapes", shapes), ("constants", constants)):
        for name in given:
            if name not in names:
                hint = f"its inputs are: {', '.join(names) or 'none'}"
                message = f"{what}= names '{name}', which is no input"
                binding.problems.append(Problem(model.location, message, hint))
    arrays = {
        entry.name: np.asarray(constants[entry.name], None if entry.dtype is None else entry.dtype.numpy)
        for entry in model.graph.inputs
        if entry.name in constants
    }
    bound = []
    for entry in model.graph.inputs:
        wish = arrays[entry.name].shape if entry.name in arrays else shapes.get(entry.name)
        shape = binding.shape(entry, wish)
        if shape is not None:
            bound.append((entry, shape))
    binding.solve()
    if binding.problems:
        raise ModelError("", problems=binding.problems)
    return [
        (entry, arrays[entry.name] if entry.name in arrays else binding.type(entry, shape))
        for entry, shape in bound
    ]


@dataclass(slots=True)
class _Binding:
    """Dimensions that are to be made equal, the values of symbols that do so, and what does not fit."""

    location: str
    values: dict[str, Dim] = field(default_factory=dict)
    pending: list[tuple[str, int, Dim, Dim]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def shape(self, entry: SourceInput, wish: Sequence[int | str | None] | None) -> tuple[Dim, ...] | None:
        """The declared shape, its dimensions to be unified with the wish; None after noting a problem."""
        where = f"{self.location}:{entry.name}"
        shape = entry.shape
        if entry.dtype is None:
            problem = Problem(
                where, "the input's type is unknown or missing", "declare it as a tensor in the model"
            )
        elif shape is None and wish is None and entry.usual is not None:
            return entry.usual
        elif shape is None and wish is None:
            hint = f"give its shape: shapes={{'{entry.name}': (...)}}"
            problem = Problem(where, "the input has no shape, not even a rank", hint)
        elif wish is None:
            return shape
        elif shape is None:
            shape = tuple(symbol(f"{entry.name}.{n}") for n in range(len(wish)))
            return self.shape(SourceInput(entry.name, entry.dtype, shape), wish)
        elif len(shape) != len(wish):
            listed = f"[{', '.join(map(str, shape))}]"
            problem = Problem(where, f"got a shape of rank {len(wish)}, the model declares {listed}")
        else:
            for axis, (dim, want) in enumerate(zip(shape, wish, strict=True)):
                if want is not None:
                    self.pending.append((where, axis, dim, want if isinstance(want, int) else symbol(want)))
            return shape
        self.problems.append(problem)
        return None

    def solve(self) -> None:
        """Bind symbols, plain ones first: they may leave sums of several symbols with one."""
        waiting, progress = self.pending, True
        while waiting and progress:
            left = [entry for entry in waiting if not self.unify(entry[2], entry[3])]
            waiting, progress = left, len(left) < len(waiting)
        for where, axis, dim, want in waiting:
            now = _settle(dim, self.values)
            if isinstance(want, int) and want < 0:
                reason = "which is negative"
            elif len(symbols(now)) > 1:
                reason = f"which leaves {' and '.join(sorted(symbols(now)))} open in '{now}'"
            elif now == dim:
                reason = f"the model declares {dim}"
            elif isinstance(now, int):
                reason = f"but '{dim}' is {now} already"
            else:
                reason = f"but '{dim}' is '{now}'"
            self.problems.append(Problem(where, f"got {want} for dimension {axis}, {reason}"))

    def unify(self, dim: Dim, want: Dim) -> bool:
        """Make a dimension equal to what is wanted by binding at most one symbol; whether that succeeded."""
        now, want = _settle(dim, self.values), _settle(want, self.values)
        if now == want:
            return True
        if isinstance(want, int) and want < 0:
            return False
        if isinstance(now, int):
            now, want = want, now
        names = symbols(now)
        if not isinstance(now, Expr) or len(names) != 1:
            return False
        (name,) = names
        solution = _solve(now, name, want)
        if solution is None or name in symbols(solution):
            return False
        self.values[name] = solution
        return True

    def type(self, entry: SourceInput, shape: tuple[Dim, ...]) -> Type:
        """The input's type with all that is known of its dimensions."""
        assert entry.dtype is not None
        type: Type = TensorType(entry.dtype, tuple(_settle(dim, self.values) for dim in shape))
        for container in reversed(entry.containers):
            type = SequenceType(type) if container == "sequence" else OptionalType(type)
        return type


def _settle(dim: Dim, values: Mapping[str, Dim]) -> Dim:
    for _ in range(len(values) + 1):
        changed = substitute(dim, values)
        if changed == dim:
            break
        dim = changed
    return dim


def _solve(dim: Expr, name: str, wish: Dim) -> Dim | None:
    """The value of `name` for which a*name + b equals `wish`, if it is whole and not negative."""
    rest = substitute(dim, {name: 0})
    slope = substitute(dim, {name: 1}) - rest
    if dim != symbol(name) * slope + rest:
        return None
    solution = floordiv(wish - rest, slope)
    exact = solution * slope + rest == wish and not (isinstance(solution, int) and solution < 0)
    return solution if exact else None
