"""Complex numbers, which are pairs of tensors here (`pairs`), and Fourier transforms."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import DType, f32
from ...build import math
from ...extents import made
from ...normalise import axes_of, axis_of
from ...pairs import is_complex, pair, parts
from ...signals import transform
from ..pairs import paired
from ..schema import Ints
from ..table import converter
from .arithmetic import add, atan2, div, hypot, mul, sub
from .layout import reshaped, stack, transpose, unsqueeze
from .parts import padded, select, unfold


@converter("view_as_complex")
def view_as_complex(self):
    return pair(select(self, -1, 0), select(self, -1, 1))


@paired("result")
@converter("result", domain="isthmus")
def result(self):
    if is_complex(self):
        raise UnsupportedError(
            "results of complex numbers are not supported", hint="return torch.view_as_real of them"
        )
    return self


@paired("view_as_real")
@converter("view_as_real")
def view_as_real(self):
    return stack(parts(self), -1)


@converter("complex")
def complex_of(real, imag):
    return pair(real, imag)


@converter("polar")
def polar(abs, angle):
    return pair(math.mul(abs, math.cos(angle)), math.mul(abs, math.sin(angle)))


@paired("real")
def real(self):
    return parts(self)[0]


@paired("imag")
@converter("imag")
def imag(self):
    return parts(self)[1]


@paired("conj", "_conj", "conj_physical")
@converter("conj", "_conj", "conj_physical")
def conj(self):
    return pair(parts(self)[0], math.neg(parts(self)[1])) if is_complex(self) else self


@paired("resolve_conj", "resolve_neg")
def resolved(self):
    return self


@paired("abs")
def magnitude(self):
    a, b = parts(self)
    return hypot(a, b)


@paired("angle")
@converter("angle")
def angle(self):
    return atan2(*reversed(parts(self)))


@paired("add")
def add_pairs(self, other, alpha=1):
    (a, b), (c, d) = parts(self), parts(other)
    return pair(add(a, c, alpha), add(b, d, alpha))


@paired("sub")
def sub_pairs(self, other, alpha=1):
    (a, b), (c, d) = parts(self), parts(other)
    return pair(sub(a, c, alpha), sub(b, d, alpha))


@paired("rsub")
def rsub_pairs(self, other, alpha=1):
    return sub_pairs(other, self, alpha)


@paired("mul")
def mul_pairs(self, other):
    (a, b), (c, d) = parts(self), parts(other)
    if not is_complex(self) or not is_complex(other):
        return pair(mul(a, c), mul(b, c) if is_complex(self) else mul(a, d))
    return pair(sub(mul(a, c), mul(b, d)), add(mul(a, d), mul(b, c)))


@paired("div")
def div_pairs(self, other, *, rounding_mode: str | None = None):
    """(a + ib) (c - id) / (c^2 + d^2)."""
    (a, b), (c, d) = parts(self), parts(other)
    if not is_complex(other):
        return pair(div(a, c), div(b, c))
    scale = add(mul(c, c), mul(d, d))
    return pair(div(add(mul(a, c), mul(b, d)), scale), div(sub(mul(b, c), mul(a, d)), scale))


@paired("exp")
def exp_pairs(self):
    a, b = parts(self)
    return polar(math.exp(a), b)


def _fourier(x: Value, n: int | None, dim: int, norm: str | None, inverse: bool, onesided: bool) -> Value:
    """One transform along an axis, of complex numbers or of real ones; one-sided inverses are real."""
    numbers = stack(parts(x), -1) if is_complex(x) else unsqueeze(x, -1)
    axis = axis_of(dim, x.type.rank, "dim")
    y = transform(numbers, axis, n, inverse, onesided)
    length = n or (y if inverse and onesided else numbers).shape[axis]
    power = {None: 0.0, "backward": 0.0, "ortho": 0.5, "forward": 1.0}[norm]
    if power and isinstance(length, int):  # which `transform` sees to
        y = math.mul(y, float(length) ** (power if inverse else -power))
    return view_as_complex(y) if y.shape[-1] == 2 else reshaped(y, y.shape[:-1])


def _both(op: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return lambda function: paired(op)(converter(op)(function))


def _register(name: str, inverse: bool, onesided: bool) -> None:
    @_both(f"fft_{name}")
    def one(self, n: int | None = None, dim: int = -1, norm: str | None = None):
        return _fourier(self, n, dim, norm, inverse, onesided)

    @_both(f"fft_{name}n")
    def several(self, s: Ints | None = None, dim: Ints | None = None, norm: str | None = None):
        """Along each axis in turn; the last one is the one-sided one: first of all forwards, last backwards."""
        axes = (
            axes_of(dim, self.type.rank, "dim")
            if dim
            else tuple(range(self.type.rank))[-len(s) if s else 0 :]
        )
        sizes = s or (None,) * len(axes)
        order = list(zip(axes, sizes, strict=True))
        x = self
        for axis, size in order if inverse else reversed(order):
            x = _fourier(x, size, axis, norm, inverse, onesided and axis == axes[-1])
        return x

    @_both(f"fft_{name}2")
    def two(self, s: Ints | None = None, dim: Ints = (-2, -1), norm: str | None = None):
        return several(self, s, dim, norm)


_register("fft", False, False)
_register("ifft", True, False)
_register("rfft", False, True)
_register("irfft", True, True)


@converter("stft")
def stft(
    self,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window=None,
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
):
    """Transforms of windows, which may be shorter than the transform and lie in its middle: [..., frequency, time]."""
    frames = unfold(self, -1, n_fft, hop_length or n_fft // 4)
    length = win_length or n_fft
    window = window if window is not None else constant(np.ones(length), self.dtype)
    before = (n_fft - length) // 2
    if length < n_fft:
        window = padded(window, (before, n_fft - length - before), "constant", 0)
    y = _fourier(
        math.mul(frames, window), None, -1, "ortho" if normalized else None, False, onesided is not False
    )
    halves = tuple(transpose(part, -2, -1) for part in parts(y))
    return pair(*halves) if return_complex else stack(halves, -1)


def _hann(n, size):
    return 0.5 - 0.5 * np.cos(2 * np.pi * n / size)


def _hamming(n, size):
    return 0.54 - 0.46 * np.cos(2 * np.pi * n / size)


def _blackman(n, size):
    return 0.42 - 0.5 * np.cos(2 * np.pi * n / size) + 0.08 * np.cos(4 * np.pi * n / size)


def _register_window(name: str, values: Callable[..., Any]) -> None:
    @converter(f"{name}_window.periodic")
    def chosen(window_length: int, periodic: bool, *, dtype: DType | None = None):
        made(window_length)
        size = window_length if periodic else max(window_length - 1, 1)
        return constant(values(np.arange(window_length), size), dtype or f32)

    @converter(f"{name}_window")
    def window(window_length: int, *, dtype: DType | None = None):
        return chosen(window_length, True, dtype=dtype)


def _bartlett(n, size):
    return 1 - np.abs(2 * n / size - 1)


_register_window("bartlett", _bartlett)
_register_window("hann", _hann)
_register_window("hamming", _hamming)
_register_window("blackman", _blackman)
