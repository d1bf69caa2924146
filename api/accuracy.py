"""What faster forms of a model cost in accuracy, beside what they gain: the same model compiled in several ways."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus.compilation import compile_model
from isthmus.measurement import measure
from isthmus.precision import Precision
from isthmus.runtime.records import dataclass

if TYPE_CHECKING:
    from isthmus.model import Model


@dataclass(frozen=True)
class Way:
    """A way to compile for the CPU; the first of `WAYS` is what the others are compared with."""

    title: str
    precision: Precision
    options: Mapping[str, Any]


WAYS = (
    Way("f32, every product", Precision("f32"), {"winograd": "off"}),
    Way("f32, fast 3x3 convolutions", Precision("f32"), {"winograd": "on"}),
    Way("bf16", Precision("bf16"), {"winograd": "off"}),
)


@dataclass(frozen=True)
class Measured:
    """A way's least seconds, and its error: the largest difference from the first way's outputs over the largest
    magnitude of that output, and the root mean square of the difference over that of the output."""

    title: str
    seconds: float
    largest: float
    rms: float


def compare(
    model: "Model",
    arrays: Any,
    *,
    runs: int,
    threads: int | None = None,
    options: Mapping[str, Any] | None = None,
    ways: Sequence[Way] = WAYS,
    advance: Callable[[str], None] = lambda done: None,
) -> list[Measured]:
    """Compile a model in all ways and run it; `options` are those of the target that all share."""
    found: list[Measured] = []
    exact: Mapping[str, np.ndarray] = {}
    for way in ways:
        package = compile_model(
            model,
            "cpu",
            threads=threads,
            precision=way.precision,
            options={**(options or {}), **way.options},
        )
        outputs = package.run(arrays)
        exact = exact or outputs
        times = measure(lambda package=package: package.run(arrays), runs)  # type: ignore[misc]
        found.append(Measured(way.title, times.minimum, *errors(outputs, exact)))
        advance(way.title)
    return found


def errors(outputs: Mapping[str, np.ndarray], exact: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """The worst of all outputs of floats: largest difference over largest magnitude, and the same of mean squares."""
    worst = {_peak: 0.0, _rms: 0.0}
    for name, wanted in exact.items():
        if wanted.dtype.kind != "f" or not wanted.size:
            continue
        difference = outputs[name].astype(np.float64) - wanted
        for size, before in worst.items():
            worst[size] = max(before, size(difference) / (size(wanted) or 1.0))
    return worst[_peak], worst[_rms]


def _peak(array: np.ndarray) -> float:
    return float(np.abs(array).max())


def _rms(array: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(array.astype(np.float64)))))


def lines(found: Sequence[Measured]) -> list[str]:
    """The ways as a table; speed is relative to the first."""
    out = [f"{'ms':>10} {'speed':>6} {'largest error':>14} {'rms error':>10}  computes in"]
    for each in found:
        speed = found[0].seconds / each.seconds
        out.append(
            f"{each.seconds * 1e3:>10.3f} {speed:>6.2f} {each.largest:>14.1e} {each.rms:>10.1e}  {each.title}"
        )
    return [*out, "errors are relative to the outputs of the first line"]


def to_json(found: Sequence[Measured]) -> dict[str, Any]:
    """The ways as JSON values."""
    return {"ways": [asdict(each) for each in found]}
