"""Checks the caller's arrays against a program's inputs, reporting everything that is wrong at once."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from . import dims, dtypes
from .dims import Dim
from .errors import InputError, Problem
from .program import Port, Program

Inputs = Mapping[str, Any] | Sequence[Any]


class Ports:
    """The inputs of a program, for many runs."""

    def __init__(self, program: Program):
        self.program = program

    @cached_property
    def _plain(self) -> list[tuple[str, str, np.dtype, tuple[Dim, ...]]] | None:
        """Name, slot, dtype and shape of every input; None where a shape or a type leaves something open."""
        plain = []
        for port in self.program.inputs:
            if port.dtype == "string" or not dtypes.is_tensor(port.dtype) or not dims.fixed(port.shape):
                return None
            plain.append((port.name, port.slot, dtypes.numpy_dtype(port.dtype), port.shape or ()))
        return plain

    def bind(self, inputs: Inputs) -> tuple[dict[str, Any], dict[str, int]]:
        """As `bind`, and at once where the arrays are just what the program takes."""
        if self._plain is None or type(inputs) is not dict or len(inputs) != len(self._plain):
            return bind(self.program, inputs)
        values = {}
        for name, slot, dtype, shape in self._plain:
            array: Any = inputs.get(name)
            fits = type(array) is np.ndarray and array.dtype == dtype and array.shape == shape
            if not fits or not array.flags.c_contiguous:
                return bind(self.program, inputs)
            values[slot] = array
        return values, {}


def bind(program: Program, inputs: Inputs) -> tuple[dict[str, Any], dict[str, int]]:
    """Dense arrays by slot name, and the value of every symbol.

    Args:
        program: says which inputs there are.
        inputs: arrays (or what numpy.asarray takes) by input name, or a list in input order.

    Raises:
        InputError: names that are missing or unknown, dtypes or shapes that differ, symbols that two inputs bind
            differently; one line each.
    """
    problems: list[Problem] = []
    named = _by_name(program.inputs, inputs, problems)
    symbols: dict[str, int] = {}
    origins: dict[str, str] = {}
    values: dict[str, Any] = {}
    for port in program.inputs:
        if port.name not in named:
            continue
        value = named[port.name]
        if not dtypes.is_tensor(port.dtype):
            values[port.slot] = value
            continue
        try:
            array = np.asarray(value)
        except (TypeError, ValueError) as error:
            problems.append(
                Problem(f"input '{port.name}'", f"is no array: {error}", f"expected {_type(port)}")
            )
            continue
        if not dtypes.matches(array, port.dtype) or not _fits(array.shape, port, program.symbols):
            problems.append(_mismatch(port, array))
            continue
        for dim, extent in zip(port.shape or (), array.shape, strict=False):
            if dim in program.symbols and symbols.setdefault(str(dim), extent) != extent:
                problems.append(
                    Problem(
                        f"input '{port.name}'",
                        f"dimension '{dim}' is {extent} here and {symbols[str(dim)]} in '{origins[str(dim)]}'",
                        "give arrays that agree",
                    )
                )
            elif isinstance(dim, str):
                origins.setdefault(dim, port.name)
        values[port.slot] = _dense(array, port.dtype)
    if not problems:
        problems = _check_expressions(program, values, symbols)
    if problems:
        raise InputError("", problems=problems)
    return values, symbols


def _by_name(ports: Sequence[Port], inputs: Inputs, problems: list[Problem]) -> Mapping[str, Any]:
    names = [port.name for port in ports]
    if not isinstance(inputs, Mapping):
        if isinstance(inputs, np.ndarray | str | bytes) or not isinstance(inputs, Sequence):
            raise InputError(
                f"got {type(inputs).__name__}, expected a dict of arrays or a list of them",
                location="inputs",
                hint=_listing(ports),
            )
        if len(inputs) != len(names):
            raise InputError(
                f"got {len(inputs)} arrays, expected {len(names)}",
                location="inputs",
                hint=_listing(ports),
            )
        return dict(zip(names, inputs, strict=True))
    missing = [name for name in names if name not in inputs]
    for name in missing:
        problems.append(Problem(f"input '{name}'", "is missing", _listing(ports)))
    for name in inputs:
        if name not in names:
            from difflib import get_close_matches  # for mistakes only

            near = get_close_matches(str(name), missing, 1)
            hint = f"did you mean '{near[0]}'?" if near else _listing(ports)
            problems.append(Problem(f"input '{name}'", "the model has no such input", hint))
    return inputs


def _listing(ports: Sequence[Port]) -> str:
    return f"the model takes: {', '.join(_spell(port) for port in ports) or 'nothing'}"


def _fits(shape: tuple[int, ...], port: Port, symbols: tuple[str, ...]) -> bool:
    if port.shape is None:
        return True
    return len(shape) == len(port.shape) and all(
        dim == extent for dim, extent in zip(port.shape, shape, strict=True) if isinstance(dim, int)
    )


def _check_expressions(program: Program, values: dict[str, Any], symbols: dict[str, int]) -> list[Problem]:
    """Dimensions such as `2*N`, which no single input binds, must come out as the arrays have them."""
    problems = []
    for port in program.inputs:
        for axis, dim in enumerate(port.shape or ()):
            if not isinstance(dim, str) or dim in symbols:
                continue
            extent = values[port.slot].shape[axis]
            try:
                expected = dims.evaluate(dim, symbols)
            except KeyError:  # no input alone gives the symbol its value: nothing to compare with
                continue
            if expected != extent:
                bound = ", ".join(f"{name} = {value}" for name, value in symbols.items())
                problems.append(
                    Problem(
                        f"input '{port.name}'",
                        f"dimension {axis} is {extent}, expected {dim} = {expected} with {bound}",
                        "give arrays that agree",
                    )
                )
    return problems


def _mismatch(port: Port, array: np.ndarray) -> Problem:
    got = f"{array.dtype}[{', '.join(map(str, array.shape))}]"
    if dtypes.matches(array, port.dtype):
        hint = "pass that shape, or recompile for this one with shapes="
    else:
        hint = f"convert it with .astype({dtypes.numpy_dtype(port.dtype).name!r})"
    return Problem(f"input '{port.name}'", f"got {got}, expected {_type(port)}", hint)


def _type(port: Port) -> str:
    return port.dtype if port.shape is None else f"{port.dtype}[{', '.join(map(str, port.shape))}]"


def _spell(port: Port) -> str:
    return f"'{port.name}' {_type(port)}"


def _dense(array: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "string":
        return array.astype(object)
    return np.asarray(array, order="C")
