"""What the user says about input shapes, put together with what the file says: dimensions with names are unified."""

from collections.abc import Mapping, Sequence

from ..compiler.diagnostics import ModelError, Problem
from ..compiler.ir.dims import Dim, Expr, floordiv, substitute, symbol, symbols
from ..compiler.ir.types import OptionalType, SequenceType, TensorType, Type
from .source import SourceInput, SourceModel


def bind_shapes(
    model: SourceModel, shapes: Mapping[str, Sequence[int | str | None]]
) -> list[tuple[SourceInput, Type]]:
    """Every input with its type after binding. Raises ModelError with all clashes and inputs without a rank."""
    problems: list[Problem] = []
    values: dict[str, Dim] = {}
    names = [entry.name for entry in model.graph.inputs]
    for name in shapes:
        if name not in names:
            hint = f"its inputs are: {', '.join(names) or 'none'}"
            problems.append(Problem(model.location, f"shapes= names '{name}', which is no input", hint))
    bound = []
    for entry in model.graph.inputs:
        where = f"{model.location}:{entry.name}"
        given = shapes.get(entry.name)
        if entry.dtype is None:
            problems.append(Problem(where, "the input has no dtype", "declare it in the model"))
            continue
        shape = entry.shape
        if shape is None and given is None:
            hint = f"give its shape: shapes={{'{entry.name}': (...)}}"
            problems.append(Problem(where, "the input has no shape, not even a rank", hint))
            continue
        if given is not None:
            shape = (
                shape if shape is not None else tuple(symbol(f"{entry.name}.{n}") for n in range(len(given)))
            )
            if len(shape) != len(given):
                listed = f"[{', '.join(map(str, shape))}]"
                problems.append(
                    Problem(where, f"shapes= gives rank {len(given)}, the model declares {listed}")
                )
                continue
            for axis, (dim, wish) in enumerate(zip(shape, given, strict=True)):
                if wish is None:
                    continue
                problem = _unify(dim, wish if isinstance(wish, int) else symbol(wish), values)
                if problem:
                    problems.append(Problem(where, f"shapes= gives {wish} for dimension {axis}, {problem}"))
        bound.append((entry, shape))
    if problems:
        raise ModelError("", problems=problems)
    resolved = []
    for entry, shape in bound:
        assert entry.dtype is not None
        dims = tuple(_settle(dim, values) for dim in shape)
        type: Type = TensorType(entry.dtype, dims)
        for container in reversed(entry.containers):
            type = SequenceType(type) if container == "sequence" else OptionalType(type)
        resolved.append((entry, type))
    return resolved


def _settle(dim: Dim, values: Mapping[str, Dim]) -> Dim:
    for _ in range(len(values) + 1):
        changed = substitute(dim, values)
        if changed == dim:
            break
        dim = changed
    return dim


def _unify(dim: Dim, wish: Dim, values: dict[str, Dim]) -> str:
    """Record what makes `dim` equal `wish`; a sentence that says why it can't be."""
    if isinstance(wish, int) and wish < 0:
        return "which is negative"
    now = _settle(dim, values)
    if now == wish:
        return ""
    if isinstance(now, int):
        if isinstance(wish, int):
            return f"the model declares {now}" if now == dim else f"but '{dim}' is {now} already"
        values[str(wish)] = now
        return ""
    names = symbols(now)
    if len(names) == 1:
        (name,) = names
        solution = _solve(now, name, wish)
        if solution is not None:
            values[name] = solution
            return ""
    return f"which '{now}' can't be made equal to"


def _solve(dim: Expr, name: str, wish: Dim) -> Dim | None:
    """The value of `name` for which a*name + b equals `wish`, if it is whole and not negative."""
    rest = substitute(dim, {name: 0})
    slope = substitute(dim, {name: 1}) - rest
    if dim != symbol(name) * slope + rest:
        return None
    solution = floordiv(wish - rest, slope)
    exact = solution * slope + rest == wish and not (isinstance(solution, int) and solution < 0)
    return solution if exact else None
