"""The node tests that the `onnx` package ships, as cases for whatever runs models: one op or two each.

Running them all says which ops and forms of ops a build reads, and whether it gives them the standard's meaning.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from onnx import ModelProto, TensorProto

from ...compiler.diagnostics import CompileError, UnsupportedError
from .tensors import TensorReader


@dataclass(frozen=True, slots=True)
class Case:
    """A model, data sets of (named inputs, named expected outputs), and the tolerance |got - want| <= a + r|want|."""

    name: str
    model: ModelProto
    data: tuple[tuple[dict[str, Any], dict[str, Any]], ...]
    relative: float
    absolute: float

    @property
    def ops(self) -> tuple[str, ...]:
        """The op types of its nodes."""
        return tuple(dict.fromkeys(node.op_type for node in self.model.graph.node))


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a case went: passed, refused (a form that is not supported), failed (an error) or wrong (other values)."""

    case: Case
    verdict: str
    reason: str = ""


Run = Callable[[ModelProto, Mapping[str, Any]], Mapping[str, Any]]
"""What is tested: outputs by name for a model and inputs by name."""


def cases(pattern: str = "") -> Iterator[Case]:
    """Every node test whose name contains `pattern`, in the package's order."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = collect_testcases(None)
    for test in found:
        if pattern not in test.name or test.model is None or test.data_sets is None:
            continue
        inputs = [entry.name for entry in test.model.graph.input]
        outputs = [entry.name for entry in test.model.graph.output]
        data = tuple(
            (
                dict(zip(inputs, map(_plain, given), strict=False)),
                dict(zip(outputs, map(_plain, want), strict=True)),
            )
            for given, want in test.data_sets
        )
        yield Case(test.name, test.model, data, test.rtol, test.atol)


def _plain(value: Any) -> Any:
    return TensorReader(b"", None).array(value) if isinstance(value, TensorProto) else value


def judge(case: Case, run: Run) -> Outcome:
    """Run a case and compare. Errors of the compiler's own tree are outcomes; any other is a defect and is one too."""
    try:
        for inputs, expected in case.data:
            got = run(case.model, inputs)
            for name, want in expected.items():
                difference = differs(got[name], want, case.relative, case.absolute)
                if difference:
                    return Outcome(case, "wrong", f"{name}: {difference}")
    except UnsupportedError as error:
        return Outcome(case, "refused", str(error))
    except CompileError as error:
        return Outcome(case, "failed", str(error))
    except Exception as error:
        return Outcome(case, "failed", f"{type(error).__name__}: {error}")
    return Outcome(case, "passed")


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


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, list | tuple):
        return f"a sequence of {len(value)}"
    array = np.asarray(value)
    return f"{array.dtype}{list(array.shape)}"
