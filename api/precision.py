"""What `precision=` and `calibration=` mean: checked, and turned into passes; float graphs are observed as CPU code."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

import isthmus
from isthmus.compiler.diagnostics import UnsupportedError
from isthmus.compiler.ir.graph import Graph
from isthmus.compiler.ops.engine import REGISTRY, get
from isthmus.compiler.passes import SIMPLIFY, Pass
from isthmus.compiler.passes.precision import to_bf16, to_int8
from isthmus.compiler.passes.quantise import METHODS, Choices, Report, interpreted
from isthmus.compiler.pipeline import Options, build
from isthmus.compiling import precision_name
from isthmus.runtime.errors import InputError
from isthmus.runtime.records import dataclass
from isthmus.targets import find_backend

if TYPE_CHECKING:
    from isthmus.model import Model

_SMALL = 20_000_000
"""Operations of a graph that numpy runs a few times sooner than it is compiled."""

PRECISIONS = ("f32", "bf16", "int8")
Samples = Sequence[Mapping[str, np.ndarray] | Sequence[np.ndarray]]


@dataclass
class Precision:
    """A precision as asked for. `report` is there after a compilation that measured it."""

    name: str = "f32"
    samples: Samples = ()
    choices: Choices = field(default_factory=Choices)
    report: Report | None = field(default=None, compare=False)

    def passes(self, model: "Model") -> tuple[Pass, ...]:
        """The passes that bring a model to this precision."""
        if self.name == "bf16":
            return to_bf16(SIMPLIFY)
        if self.name == "int8":
            model.require_bound()
            samples = [_named(model, sample, n) for n, sample in enumerate(self.samples)]
            return to_int8(SIMPLIFY, samples, self.choices, compiled, self._tell)
        return ()

    def _tell(self, report: Report) -> None:
        self.report = report

    @property
    def record(self) -> dict[str, Any]:
        """What the manifest says: the precision, the choices and a digest of the samples."""
        if self.name != "int8":
            return {"precision": self.name}
        chosen = {f.name: getattr(self.choices, f.name) for f in fields(self.choices)}
        chosen["floats"] = list(self.choices.floats)
        return {"precision": self.name, "quantisation": chosen, "calibration": _digest(self.samples)}


def find_precision(
    precision: str | None,
    calibration: Samples | None = None,
    quantisation: Mapping[str, Any] | None = None,
) -> Precision:
    """The precision meant; UnsupportedError for what there is not, or what does not belong together."""
    precision = precision_name(precision, calibration, quantisation)
    if precision not in PRECISIONS:
        raise UnsupportedError(
            f"got {precision!r}, expected one of {', '.join(PRECISIONS)}",
            location="precision",
            hint="leave it out: models that are quantised or hold half-precision types keep their types",
        )
    for name, given in (("calibration", calibration), ("quantisation", quantisation)):
        if given is not None and precision != "int8":
            raise UnsupportedError(
                f"is for precision 'int8', and this is {precision!r}",
                location=name,
                hint="leave one of them out",
            )
    if calibration is not None and not len(calibration):
        raise UnsupportedError(
            "holds no samples", location="calibration", hint="give some inputs that are typical of use"
        )
    return Precision(precision, tuple(calibration or ()), _choices(quantisation or {}))


def _choices(given: Mapping[str, Any]) -> Choices:
    known = [f.name for f in fields(Choices)]
    unknown = [name for name in given if name not in known]
    if unknown:
        raise UnsupportedError(
            f"has no choice {', '.join(map(repr, unknown))}",
            location="quantisation",
            hint=f"it has: {', '.join(known)}",
        )
    choices = Choices(**{**given, "floats": tuple(given.get("floats", ()))})
    if choices.ranges not in METHODS:
        raise UnsupportedError(
            f"ranges are {choices.ranges!r}, expected one of {', '.join(METHODS)}", location="quantisation"
        )
    if choices.rest not in ("f32", "bf16"):
        raise UnsupportedError(f"rest is {choices.rest!r}, expected f32 or bf16", location="quantisation")
    return choices


def _named(model: "Model", sample: Any, number: int) -> dict[str, np.ndarray]:
    """A sample as arrays by input name; InputError where it does not fit the model."""
    types = model.inputs
    where = f"calibration[{number}]"
    if not isinstance(sample, Mapping):
        sample = dict(zip(types, sample, strict=False))
    missing, unknown = [n for n in types if n not in sample], [n for n in sample if n not in types]
    if missing or unknown:
        raise InputError(
            f"has arrays {', '.join(sample) or 'none'}, expected {', '.join(types)}", location=where
        )
    arrays = {name: np.asarray(sample[name]) for name in types}
    for name, array in arrays.items():
        if array.shape != types[name].shape or array.dtype != types[name].dtype.numpy:
            raise InputError(
                f"'{name}' is {array.dtype}{list(array.shape)}, expected {types[name]}", location=where
            )
    return arrays


def _work(graph: Graph) -> int:
    """Multiply-accumulates and other operations of a graph whose shapes are known."""
    costs = [get(node.op).cost(node) for node in graph.nodes if node.op in REGISTRY]
    return sum(part for cost in costs for part in (cost.macs, cost.operations) if isinstance(part, int))


def _digest(samples: Samples) -> str:
    state = hashlib.sha256()
    for sample in samples:
        arrays = sample.items() if isinstance(sample, Mapping) else enumerate(sample)
        for name, array in arrays:
            data = np.ascontiguousarray(array)
            state.update(f"{name} {data.dtype} {data.shape}".encode())
            state.update(data.reshape(-1).view(np.uint8).data if data.size else b"")
    return state.hexdigest()


def compiled(graph: Graph) -> Callable[[Mapping[str, np.ndarray]], Sequence[np.ndarray]]:
    """A graph as CPU code: inputs by name to outputs in order. Small graphs run by their numpy meaning instead."""
    from isthmus.package import Package

    if _work(graph) < _SMALL:
        return interpreted(graph)
    built = build(graph, find_backend("cpu"), Options(strip=True), tool_version=isthmus.__version__)
    package = Package(built.artefact)
    return lambda inputs: list(package.run(dict(inputs)).values())
