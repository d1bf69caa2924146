"""The tests that the `onnx` package ships, as cases for whatever runs models: of single ops, and of small models.

Running them all says which ops and forms of ops a build reads, and whether it gives them the standard's meaning.
"""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from onnx import ModelProto, OptionalProto, SequenceProto, TensorProto, TypeProto, numpy_helper

from ...compiler.diagnostics import CompileError, UnsupportedError
from ...runtime.records import dataclass
from .tensors import TensorReader

SUITES = ("node", "simple", "pytorch-operator", "pytorch-converted")
"""One op or two each; small models; what PyTorch exported for its operators and layers."""

DRAWING = (
    "Bernoulli",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "Multinomial",
)
"""Ops whose values the standard leaves to a random generator."""

DRAWN = tuple(f"test_training_dropout{form}" for form in ("", "_mask", "_default", "_default_mask"))
"""Cases that draw random numbers by an op that need not: of Dropout these train, with a ratio above zero."""

Data = tuple[dict[str, Any], dict[str, Any]]
"""Named inputs and the named outputs that are expected for them."""


@dataclass(frozen=True, slots=True)
class Case:
    """A model, sets of data, and the tolerance |got - want| <= absolute + relative * |want|."""

    name: str
    model: ModelProto
    data: tuple[Data, ...]
    relative: float
    absolute: float
    suite: str = "node"

    @property
    def ops(self) -> tuple[str, ...]:
        """The op types of its nodes."""
        return tuple(dict.fromkeys(node.op_type for node in self.model.graph.node))

    @property
    def drawn(self) -> bool:
        """Whether random numbers decide its outputs: type and shape are all that can be expected of them."""
        return self.name in DRAWN or any(op in DRAWING for op in self.ops)


@dataclass(frozen=True, slots=True)
class Result:
    """What a run gave: outputs by name, what ran by reference meaning, whether constant folding had done it all, and
    the inputs for whose values it was compiled."""

    outputs: Mapping[str, Any]
    fallbacks: tuple[str, ...] = ()
    folded: bool = False
    decisive: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a case went: passed, drawn (random numbers of the right type and shape), refused (a form that is not
    supported), failed (an error) or wrong (other values). `seconds` are the process's own."""

    name: str
    suite: str
    ops: tuple[str, ...]
    verdict: str
    reason: str = ""
    fallbacks: tuple[str, ...] = ()
    folded: bool = False
    decisive: tuple[str, ...] = ()
    seconds: float = 0.0


Run = Callable[[ModelProto, Mapping[str, Any]], Result]
"""What is tested: the result for a model and inputs by name."""


def cases(pattern: str = "", suites: Sequence[str] = ("node",)) -> Iterator[Case]:
    """Every test of the suites whose name contains `pattern`, in the package's order."""
    for suite in suites:
        yield from _node_cases(pattern) if suite == "node" else _stored_cases(suite, pattern)


def _node_cases(pattern: str) -> Iterator[Case]:
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = collect_testcases(None)
    for test in found:
        if pattern not in test.name or test.model is None or test.data_sets is None:
            continue
        data = tuple(_named(test.model, given, want) for given, want in test.data_sets)
        yield Case(test.name, test.model, data, test.rtol, test.atol)


def _stored_cases(suite: str, pattern: str) -> Iterator[Case]:
    from onnx.backend.test.loader import load_model_tests

    for test in load_model_tests(kind=suite):
        if pattern not in test.name or test.model_dir is None:
            continue
        folder = Path(test.model_dir)
        model = ModelProto.FromString((folder / "model.onnx").read_bytes())
        data = []
        for place in sorted(folder.glob("test_data_set_*")):
            inputs = [_stored(place / f"input_{n}.pb", port.type) for n, port in enumerate(model.graph.input)]
            outputs = [
                _stored(place / f"output_{n}.pb", port.type) for n, port in enumerate(model.graph.output)
            ]
            data.append(_named(model, inputs, outputs))
        yield Case(test.name, model, tuple(data), test.rtol, test.atol, suite)


def _stored(path: Path, type: TypeProto) -> Any:
    """A value from its file; _ABSENT for an input that has none, because an initializer gives it."""
    if not path.exists():
        return _ABSENT
    content = path.read_bytes()
    kind = type.WhichOneof("value")
    if kind == "sequence_type":
        return numpy_helper.to_list(SequenceProto.FromString(content))
    if kind == "optional_type":
        return numpy_helper.to_optional(OptionalProto.FromString(content))
    return TensorProto.FromString(content)


_ABSENT = object()


def _named(model: ModelProto, given: Sequence[Any], want: Sequence[Any]) -> Data:
    inputs = zip((port.name for port in model.graph.input), map(_plain, given))
    outputs = zip((port.name for port in model.graph.output), map(_plain, want), strict=True)
    return {name: value for name, value in inputs if value is not _ABSENT}, dict(outputs)


def _plain(value: Any) -> Any:
    return TensorReader(b"", None).array(value) if isinstance(value, TensorProto) else value


def judge(case: Case, run: Run) -> Outcome:
    """Run a case and compare. Errors of the compiler's own tree are outcomes; any other is a defect and is one too."""
    begin = time.process_time()
    verdict, reason = "drawn" if case.drawn else "passed", ""
    fallbacks: dict[str, None] = {}
    decisive: dict[str, None] = {}
    folded = bool(case.data)
    try:
        for inputs, expected in case.data:
            result = run(case.model, inputs)
            fallbacks.update(dict.fromkeys(result.fallbacks))
            decisive.update(dict.fromkeys(result.decisive))
            folded = folded and result.folded
            for name, want in expected.items():
                compare = _differs_in_kind if case.drawn else differs
                difference = compare(result.outputs[name], want, case.relative, case.absolute)
                if difference and verdict != "wrong":
                    verdict, reason = "wrong", f"{name}: {difference}"
    except UnsupportedError as error:
        verdict, reason = "refused", str(error)
    except CompileError as error:
        verdict, reason = "failed", str(error)
    except Exception as error:
        verdict, reason = "failed", f"{type(error).__name__}: {error}"
    seconds = time.process_time() - begin
    found = tuple(fallbacks), folded, tuple(decisive), seconds
    return Outcome(case.name, case.suite, case.ops, verdict, reason, *found)


def differs(got: Any, want: Any, relative: float, absolute: float) -> str:
    """How a value differs from the expected one; "" if it does not."""
    if want is None or got is None:
        return "" if want is None and got is None else f"got {_kind(got)}, expected {_kind(want)}"
    if isinstance(want, list | tuple):
        if not isinstance(got, list | tuple) or len(got) != len(want):
            return f"got {_kind(got)}, expected {_kind(want)}"
        return next(filter(None, (differs(g, w, relative, absolute) for g, w in zip(got, want))), "")
    got, want = np.asarray(got), np.asarray(want)
    if want.dtype.kind in "USO":
        same = got.shape == want.shape and got.astype(str).tolist() == want.astype(str).tolist()
        return "" if same else f"got {got.tolist()}, expected {want.tolist()}"
    if got.dtype != want.dtype or got.shape != want.shape:
        return f"got {_kind(got)}, expected {_kind(want)}"
    if not got.size:
        return ""
    wide = np.complex128 if want.dtype.kind == "c" else np.float64
    exact = want.astype(wide)
    if want.dtype.itemsize == 2 and want.dtype.kind in "fV":
        relative = max(relative, 2 * float(ml_dtypes.finfo(want.dtype).eps))  # two units in the last place
    if want.dtype == np.float32:
        # what cancels to nearly nothing keeps the rounding of the terms that cancelled
        absolute = max(absolute, 1e-7 * float(np.max(np.abs(exact), where=np.isfinite(exact), initial=0)))
    close = np.isclose(got.astype(wide), exact, rtol=relative, atol=absolute, equal_nan=True)
    if close.all():
        return ""
    at = tuple(int(n) for n in np.argwhere(~close)[0])
    return f"{(~close).sum()} of {close.size} elements differ, first at {list(at)}: got {got[at]}, expected {want[at]}"


def _differs_in_kind(got: Any, want: Any, *_: float) -> str:
    return "" if _kind(got) == _kind(want) else f"got {_kind(got)}, expected {_kind(want)}"


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, list | tuple):
        return f"a sequence of {len(value)}"
    array = np.asarray(value)
    return f"{array.dtype}{list(array.shape)}"
