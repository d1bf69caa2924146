"""The forms that a value of the float graph takes in the quantised one, until its scale is decided.

A product is a sum in i32, an addition two terms: what follows (a clip, a bias, a scale) is taken up before the result
is rounded to 8 bits, so each form says how to finish with given parameters.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np

from ....runtime.records import dataclass
from ...ir.graph import Value, constant
from ...ir.types import f32, i8
from ...ops import fixed, math, quant
from ...ops.fixed import fixed_point
from .parameters import HIGH, LOW, Parameters

LARGEST_SUM = 2**31 - 1


class Unfit(Exception):
    """A value that integers of these widths can't hold: the node then stays in floats."""


class Form(Protocol):
    """A value of which 8-bit numbers can be made."""

    def finish(self, parameters: Parameters) -> Value:
        """The value as i8 with these parameters."""
        ...

    def real(self) -> Value | None:
        """The value as f32; None where it has to be rounded to 8 bits first."""
        ...


@dataclass(frozen=True)
class Stored:
    """A value that is i8 already."""

    value: Value
    parameters: Parameters

    def finish(self, parameters: Parameters) -> Value:
        if parameters == self.parameters:
            return self.value
        codes = np.arange(LOW, HIGH + 1, dtype=np.int8)
        return table_of(self.value, parameters.quantised(self.parameters.reals(codes)))

    def real(self) -> Value:
        """Dequantised."""
        scale, zero = np.float32(self.parameters.scale), np.int8(self.parameters.zero)
        return quant.dequantize(self.value, constant(scale), constant(zero), axis=0, dtype=f32)


def table_of(x: Value, codes: np.ndarray) -> Value:
    """codes[x + 128]."""
    return fixed.lookup(x, constant(codes))


@dataclass(frozen=True)
class Sums:
    """(i32 value + offset) * scales: a product, pooling or mean before rounding.

    `scales` is one number or one a slice along `axis`; `offset`, in steps of the sums, broadcasts to the value.
    """

    value: Value
    scales: np.ndarray
    axis: int
    offset: np.ndarray
    largest: int
    """A bound of |value|."""

    def spread(self) -> np.ndarray:
        """Scales in a shape that broadcasts with the value."""
        return self._spread(self.scales)

    def _spread(self, each: np.ndarray) -> np.ndarray:
        """What there is one of, or one a slice, in a shape that broadcasts with the value."""
        if each.ndim == 0:
            return each
        return each.reshape([-1 if n == self.axis else 1 for n in range(self.value.type.rank)])

    def plus(self, reals: np.ndarray) -> "Sums":
        """With a real constant added."""
        return replace(self, offset=self.offset + reals / self.spread())

    def times(self, factors: np.ndarray) -> "Sums | None":
        """By positive factors, one or one a slice along `axis`; None for others."""
        if not (factors > 0).all():
            return None
        if factors.size == 1:
            return replace(self, scales=self.scales * factors.reshape(()))
        shape = (1,) * (self.value.type.rank - factors.ndim) + factors.shape
        if factors.size != shape[self.axis] or self.scales.ndim == 0:
            return None
        return replace(self, scales=self.scales * factors.reshape(-1))

    def beside(self, source: Stored, factor: int) -> "Sums | None":
        """With `factor` times 8-bit numbers added, rounded to steps of the sums: an error of half a step for each of
        them. None where the sums could overflow."""
        steps = np.rint(factor * source.parameters.scale / self.scales)
        offset = self.offset - source.parameters.zero * self._spread(steps)
        largest = self.largest - LOW * int(np.abs(steps).max(initial=0))
        if largest + np.abs(offset).max(initial=0) > LARGEST_SUM:
            return None
        value = fixed.accumulate(self.value, source.value, constant(steps.astype(np.int32)), axis=self._axis)
        return replace(self, value=value, offset=offset, largest=largest)

    def total(self) -> Value:
        """The i32 sums with their offset; Unfit where they could overflow."""
        offset = np.rint(self.offset)
        if self.largest + np.abs(offset).max(initial=0) > LARGEST_SUM:
            raise Unfit("sums could overflow i32")
        if not offset.any():
            return self.value
        return math.add(self.value, constant(offset.astype(np.int32)))

    def finish(self, parameters: Parameters) -> Value:
        factors = fixed_point(self.scales / parameters.scale)
        if factors is None:
            raise Unfit("a factor is too large")
        multiplier, shift = factors
        zero = constant(np.int8(parameters.zero))
        return fixed.requantize_fixed(
            self.total(), constant(multiplier), constant(shift), zero, axis=self._axis, dtype=i8
        )

    @property
    def _axis(self) -> int:
        return self.axis if self.scales.ndim else 0

    def real(self) -> Value:
        """Dequantised from 32 bits."""
        scales = constant(self.scales.astype(np.float32))
        return quant.dequantize(self.total(), scales, axis=self._axis, dtype=f32)


@dataclass(frozen=True)
class Made:
    """A value that an op rounds to 8 bits with any parameters."""

    make: Callable[[Parameters], Value]

    def finish(self, parameters: Parameters) -> Value:
        return self.make(parameters)

    def real(self) -> None:
        return None


@dataclass(frozen=True)
class Clipped:
    """A form within bounds: saturation does it where the bounds are those of 8 bits, else a clip."""

    form: Form
    low: float
    high: float

    def finish(self, parameters: Parameters) -> Value:
        y = self.form.finish(parameters)
        low, high = (int(parameters.quantised(bound)) for bound in (self.low, self.high))
        if (low, high) == (LOW, HIGH):
            return y
        return math.clip(
            y,
            constant(np.int8(low)) if low > LOW else None,
            constant(np.int8(high)) if high < HIGH else None,
        )

    def real(self) -> Value | None:
        y = self.form.real()
        bounds = (None if np.isinf(bound) else np.float32(bound) for bound in (self.low, self.high))
        return None if y is None else math.clip(y, *bounds)
