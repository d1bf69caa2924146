"""From a float graph and the parameters of its values to integer arithmetic, node by node.

Every value has up to two faces in the new graph: reals, and 8-bit numbers. A node whose op has a lowering here and
whose operands have numbers becomes integer ops; all others compute in floats, and borders are quantised or dequantised.
"""

from collections.abc import Callable, Mapping
from dataclasses import field

import numpy as np

from ....runtime.records import dataclass
from ...ir.graph import Graph, Node, Value, constant
from ...ir.location import at
from ...ir.types import f32, i8
from ...ops import math, quant
from ...ops.engine import get
from .forms import Form, Stored, Sums, Unfit
from .parameters import Parameters

Lower = Callable[["Lowering", Node], Form | None]
LOWERINGS: dict[str, Lower] = {}
"""By op: the form of a node's only result, or None where it has to stay in floats."""


def lowers(*ops: str) -> Callable[[Lower], Lower]:
    """Registers the lowering of some ops."""

    def register(function: Lower) -> Lower:
        LOWERINGS.update(dict.fromkeys(ops, function))
        return function

    return register


@dataclass(frozen=True)
class Weights:
    """Weights that are integers already: codes from -128 to 127, and scales, one or one a slice along `axis`."""

    codes: np.ndarray
    scales: np.ndarray
    axis: int


@dataclass(frozen=True)
class Rounded:
    """What a product's weights have become, as reals, and what is added to its result to make up for that."""

    weights: np.ndarray
    shift: np.ndarray


@dataclass(frozen=True)
class Decisions:
    """What is known before lowering: parameters by value, weights that have theirs, nodes that stay in floats.

    `means`: of a contraction's input, the mean of each channel, from which biases are corrected.
    """

    parameters: Mapping[Value, Parameters]
    weights: Mapping[Value, Weights] = field(default_factory=dict)
    means: Mapping[Value, np.ndarray] = field(default_factory=dict)
    floats: frozenset[Node] = frozenset()
    shifts: Mapping[Node, np.ndarray] = field(default_factory=dict)
    """What is added to results of products that stay in floats, as what they compute in rounds their weights."""


class Lowering:
    """Builds the quantised graph; `run` gives it."""

    def __init__(self, graph: Graph, decisions: Decisions):
        self.graph = graph
        self.decisions = decisions
        self.rounded: dict[Node, Rounded] = {}
        """By product with constant weights."""
        self._forms: dict[Value, Form] = {}
        self._stored: dict[Value, Stored] = {}
        self._reals: dict[Value, Value] = {}

    def run(self) -> Graph:
        for node in self.graph.nodes:
            if node.op in ("input", "constant"):
                self._reals.update((value, value) for value in node.results)
                continue
            with at(node.location):
                form = self._form(node)
                if form is not None:
                    self._forms[node.result] = form
                    continue
                operands = [None if v is None else self.real(v) for v in node.operands]
                results = node.with_operands(operands).results
                if node in self.decisions.shifts:
                    results = (math.add(results[0], constant(self.decisions.shifts[node])),)
            self._reals.update(zip(node.results, results, strict=True))
        return self.graph.replace([self.real(value) for value in self.graph.outputs])

    def _form(self, node: Node) -> Form | None:
        lower = LOWERINGS.get(node.op)
        if lower is None or node in self.decisions.floats or len(node.results) != 1:
            return None
        try:
            form = lower(self, node)
            if form is None or isinstance(form, Stored):
                return form
            parameters = self.decisions.parameters.get(node.result)
            if parameters is not None:
                form.finish(parameters)  # what does not fit is told here, while there is a way back
            elif isinstance(form, Sums):
                form.total()
            else:
                return None  # nobody knows in which range it would have to be rounded
        except Unfit:
            return None
        return form

    def numbers(self) -> dict[Value, Stored]:
        """The values of the float graph that the quantised one has as 8-bit numbers; call it after `run`."""
        forms = {value: form for value, form in self._forms.items() if isinstance(form, Stored)}
        return forms | self._stored

    @property
    def lowered(self) -> frozenset[Node]:
        """The nodes that have become integer ops."""
        return frozenset(value.node for value in self._forms)

    # --- what lowerings ask for -------------------------------------------------------------------------------

    def parameters(self, value: Value) -> Parameters | None:
        """Those decided for a value; of a constant those that hold it, if none were."""
        known = self.decisions.parameters.get(value)
        array = value.constant
        if known is None and array is not None and value.dtype == f32 and np.isfinite(array).all():
            return Parameters.covering(array.min(initial=0.0), array.max(initial=0.0))
        return known

    def has_reals(self, value: Value) -> bool:
        """Whether nothing has to round a value to 8 bits before it is real."""
        form = self._forms.get(value)
        return not isinstance(form, Stored) and (form is None or form.real() is not None)

    def is_integer(self, value: Value | None) -> bool:
        """Whether the value has come from integer ops."""
        return value is not None and value in self._forms

    def alone(self, value: Value) -> bool:
        """Whether just one node reads the value."""
        return len(self.graph.users.get(value, ())) == 1 and value not in self.graph.outputs

    def form(self, value: Value) -> Form | None:
        """A form that the only reader of a value may take up; None for values that others read as well."""
        return self._forms.get(value) if self.alone(value) else None

    def stored(self, value: Value) -> Stored | None:
        """The value as 8-bit numbers, its own parameters; None where it has none."""
        known = self._stored.get(value)
        if known is not None:
            return known
        form = self._forms.get(value)
        if isinstance(form, Stored):
            return form
        parameters = self.parameters(value)
        if parameters is None or value.dtype != f32:
            return None
        return self._keep(value, form, parameters)

    def finished(self, value: Value, parameters: Parameters) -> Value | None:
        """The value as 8-bit numbers with parameters that its reader wants."""
        if value not in self._stored and (self.alone(value) or value.constant is not None):
            return self._keep(value, self._forms.get(value), parameters).value
        stored = self.stored(value)
        return None if stored is None else stored.finish(parameters)

    def _keep(self, value: Value, form: Form | None, parameters: Parameters) -> Stored:
        with at(value.node.location):
            array = value.constant
            if form is not None:
                made = form.finish(parameters)
            elif array is not None:
                made = constant(parameters.quantised(array))
            else:
                scale, zero = constant(np.float32(1 / parameters.scale)), constant(np.int8(parameters.zero))
                made = quant.quantize(self.real(value), scale, zero, axis=0, dtype=i8, inverse=True)
        self._stored[value] = Stored(made, parameters)
        return self._stored[value]

    def real(self, value: Value) -> Value:
        """The value in its own dtype: of sums from their 32 bits, so that no range cuts off what is greatest."""
        if value not in self._reals:
            form = self._forms[value]
            with at(value.node.location):
                reals = None if isinstance(form, Stored) else form.real()
                if reals is None:
                    stored = self.stored(value)
                    assert stored is not None
                    reals = stored.real()
                self._reals[value] = reals
        return self._reals[value]


def evaluated(node: Node, *arrays: np.ndarray | None) -> np.ndarray:
    """The numpy meaning of a node on other operands."""
    (result,) = get(node.op).evaluate(*arrays, **node.attributes)
    return result
