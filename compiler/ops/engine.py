"""The op engine: one declaration gives builder, checks, folding, interpretation, documentation and tests.

`@op(name, infer=..., stages=...)` decorates the op's numpy meaning. Positional parameters are operands (default None:
optional; `*rest`: variadic), keyword-only ones are typed attributes. Calling the result on values builds a node and
returns its result(s); calling it on pattern variables (anything with `build_pattern`) makes a pattern.
"""

import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from functools import cached_property
from typing import Any

import numpy as np

from ...runtime.records import dataclass
from ..diagnostics import TypeRuleError, located
from ..ir.dims import Dim
from ..ir.graph import Attribute, Graph, Node, Tensor, Value, constant
from ..ir.location import here
from ..ir.types import DType, TensorType, Type
from ..tile.stage import CONSTANT, INPUT, Kernel
from ..tile.writer import Stages


@dataclass(frozen=True, slots=True)
class Operand:
    name: str
    optional: bool = False
    variadic: bool = False


@dataclass(frozen=True, slots=True)
class AttributeSpec:
    """An attribute's name, annotated type and default (`required` when it has none)."""

    name: str
    annotation: Any
    default: Any = inspect.Parameter.empty

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class Cost:
    """Work of one node: multiply-accumulates of contractions, and other scalar operations."""

    macs: Dim = 0
    operations: Dim = 0


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Largest allowed |got - want| of compiled code, as absolute + relative * |want|, for f32 data."""

    relative: float = 1e-5
    absolute: float = 1e-6


_USUAL = Tolerance()


@dataclass(frozen=True, slots=True)
class Sample:
    """One test case of an op: operands as type texts (`f32[2, 3]`, filled from a seed), arrays, None, or lists."""

    operands: tuple[Any, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)


def case(*operands: Any, **attributes: Any) -> Sample:
    """A sample: `case("f32[2, 3]", "f32[3]", axis=1)`. A pair (text, low, high) bounds the values."""
    return Sample(operands, attributes)


REGISTRY: dict[str, "Op"] = {}

_KEPT_KERNELS = 64
"""Kernels of distinct nodes that each op remembers: a model repeats its nodes, and they are asked for twice."""


class Op:
    """A declared operation. See the module docstring; made by `op`."""

    def __init__(
        self,
        name: str,
        meaning: Callable[..., Any],
        infer: Callable[..., Type | tuple[Type, ...]],
        stages: Callable[..., None] | None,
        cost: Callable[..., Cost] | None,
        tolerance: Tolerance,
        samples: Sequence[Sample],
        regions: int,
        foldable: bool,
    ):
        self.name = name
        self.meaning = meaning
        self.infer = infer
        self.stages = stages
        self.cost_rule = cost
        self.tolerance = tolerance
        self.samples = tuple(samples)
        self.regions = regions
        self.foldable = foldable
        self._kernels: dict[Any, Kernel | None] = {}
        self.__doc__ = meaning.__doc__
        self.__name__ = name.rpartition(".")[2]

    @cached_property
    def operands(self) -> tuple[Operand, ...]:
        """The positional parameters of the meaning; looked at when the op is first used, as few of all ops are."""
        return tuple(
            Operand(each.name, each.default is None, each.kind is each.VAR_POSITIONAL)
            for each in inspect.signature(self.meaning).parameters.values()
            if each.kind is not each.KEYWORD_ONLY
        )

    @cached_property
    def attributes(self) -> tuple[AttributeSpec, ...]:
        """The keyword-only parameters of the meaning."""
        hints = typing.get_type_hints(self.meaning)
        return tuple(
            AttributeSpec(each.name, hints.get(each.name, Any), each.default)
            for each in inspect.signature(self.meaning).parameters.values()
            if each.kind is each.KEYWORD_ONLY and not (each.name == "regions" and self.regions)
        )

    def __call__(self, *operands: Any, regions: Sequence[Graph] = (), **attributes: Any) -> Any:
        for operand in operands:
            if hasattr(operand, "build_pattern"):
                return operand.build_pattern(self, operands, attributes)
        values = self._lift(operands)
        node = self.build(values, attributes, regions)
        return node.results[0] if len(node.results) == 1 else node.results

    def build(
        self, operands: Sequence[Value | None], attributes: Mapping[str, Any], regions: Sequence[Graph] = ()
    ) -> Node:
        """The checked node; raises TypeRuleError with the current location."""
        with located(str(here())):
            operands = self._check_operands(operands)
            bound = self.bind(attributes)
            if len(regions) != self.regions:
                raise TypeRuleError(f"{self.name} takes {self.regions} regions, got {len(regions)}")
            extra = {"regions": tuple(regions)} if self.regions else {}
            inferred = self.infer(*(None if v is None else v.type for v in operands), **bound, **extra)
        results = inferred if isinstance(inferred, tuple) else (inferred,)
        while operands and operands[-1] is None:
            operands.pop()
        return Node(self.name, operands, bound, results, regions)

    def _lift(self, operands: Sequence[Any]) -> list[Value | None]:
        types = (v.type for v in operands if isinstance(v, Value))
        dtype = next((type.dtype for type in types if isinstance(type, TensorType)), None)
        return [
            v
            if v is None or isinstance(v, Value)
            else constant(v, dtype if isinstance(v, int | float | bool) else None)
            for v in operands
        ]

    def _check_operands(self, operands: Sequence[Value | None]) -> list[Value | None]:
        values = list(operands)
        fixed = [o for o in self.operands if not o.variadic]
        if len(values) > len(fixed) and not self.operands[-1].variadic:
            raise TypeRuleError(f"{self.name} takes at most {len(fixed)} operands, got {len(values)}")
        while len(values) < len(fixed):
            values.append(None)
        for spec, value in zip(fixed, values, strict=False):
            if value is None and not spec.optional:
                raise TypeRuleError(f"{self.name} needs operand '{spec.name}'")
        return values

    def bind(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """Attributes with defaults filled in, normalised (lists to tuples) and type-checked."""
        known = {spec.name for spec in self.attributes}
        for name in attributes:
            if name not in known:
                raise TypeRuleError(
                    f"{self.name} has no attribute '{name}'",
                    hint=f"it has: {', '.join(sorted(known)) or 'none'}",
                )
        bound = {}
        for spec in self.attributes:
            if spec.name not in attributes and spec.required:
                raise TypeRuleError(f"{self.name} needs attribute '{spec.name}'")
            value = _normalise(attributes.get(spec.name, spec.default))
            if not _matches(value, spec.annotation):
                raise TypeRuleError(
                    f"{self.name}: attribute '{spec.name}' is {value!r}, expected {spell(spec.annotation)}"
                )
            bound[spec.name] = float(value) if spec.annotation is float and isinstance(value, int) else value
        return bound

    def evaluate(self, *arrays: Any, regions: Sequence[Any] = (), **attributes: Any) -> tuple[Any, ...]:
        """The numpy meaning, always as a tuple of results."""
        extra = {"regions": regions} if self.regions else {}
        with np.errstate(all="ignore"):
            out = self.meaning(*arrays, **attributes, **extra)
        results = out if isinstance(out, tuple) else (out,)
        # numpy gives scalars for rank 0
        return tuple(np.asarray(value) if isinstance(value, np.generic) else value for value in results)

    def cost(self, node: Node) -> Cost:
        """Work of `node`; one operation per result element unless the op declares more."""
        if self.cost_rule is not None:
            operands = [None if v is None else v.type for v in node.operands]
            return self.cost_rule(node.types, *operands, **node.attributes)
        return Cost(operations=sum((t.elements for t in node.types if isinstance(t, TensorType)), 0))

    def kernel(self, node: Node) -> Kernel | None:
        """The node's stages over buffers x0.. (operands) and y0.. (results), or None if it is opaque."""
        if self.stages is None:
            return None
        tensors = [v for v in (*node.operands, *node.results) if v is not None]
        # strings and complex numbers have no machine form
        if not all(
            isinstance(v.type, TensorType) and v.dtype.kind not in ("string", "complex") for v in tensors
        ):
            return None
        operands = tuple(None if v is None else v.type for v in node.operands)
        roles = tuple(CONSTANT if v is not None and v.node.op == "constant" else INPUT for v in node.operands)
        scalars = tuple(None if v is None else _uniform(v.constant) for v in node.operands)
        spelt = repr((scalars, node.attributes))  # unlike equality, it tells -0.0 from 0.0 and 1 from True
        key = (operands, node.types, roles, spelt)
        if "Tensor(" in spelt:  # not spelt whole
            return self._written(node, operands, roles, scalars)
        if key not in self._kernels:
            if len(self._kernels) >= _KEPT_KERNELS:
                self._kernels.clear()
            self._kernels[key] = self._written(node, operands, roles, scalars)
        return self._kernels[key]

    def _written(
        self, node: Node, types: Sequence[Any], roles: Sequence[str], scalars: Sequence[Any]
    ) -> Kernel | None:
        """The kernel as the op's `stages` writes it."""
        assert self.stages is not None
        stages = Stages(types, [v.type for v in node.results], roles, scalars)
        operands = list(stages.operands)
        if not (self.operands and self.operands[-1].variadic):
            operands += [None] * (len(self.operands) - len(operands))
        if self.stages(stages, *operands, **node.attributes) is NotImplemented:
            return None
        return stages.kernel(self.name)

    def __repr__(self) -> str:
        return f"<op {self.name}>"


def op(
    name: str,
    *,
    infer: Callable[..., Type | tuple[Type, ...]],
    stages: Callable[..., Any] | None = None,
    cost: Callable[..., Cost] | None = None,
    tolerance: Tolerance = _USUAL,
    samples: Sequence[Sample] = (),
    regions: int = 0,
    foldable: bool = True,
) -> Callable[[Callable[..., Any]], Op]:
    """Declare an op from its numpy meaning.

    infer(*operand types, **attributes) gives the result type(s). stages(writer, *operand refs, **attributes) writes
    the op's stages, or returns NotImplemented where a case has none (it is then opaque). cost(result types, *operand
    types, **attributes) gives the work. foldable=False keeps constant folding away (random numbers).
    """

    def declare(meaning: Callable[..., Any]) -> Op:
        if name in REGISTRY:
            raise ValueError(f"op '{name}' is declared twice")
        REGISTRY[name] = Op(name, meaning, infer, stages, cost, tolerance, samples, regions, foldable)
        return REGISTRY[name]

    return declare


def _uniform(array: np.ndarray | None) -> Any:
    """The number that a small array holds throughout; None where it holds several."""
    if array is None or not 0 < array.size <= 4096 or not (array == array.flat[0]).all():
        return None
    return array.flat[0].item()


def get(name: str) -> Op:
    """The declared op; KeyError names it when there is none."""
    return REGISTRY[name]


def _normalise(value: Any) -> Attribute:
    if isinstance(value, np.ndarray):
        return Tensor(value)
    if isinstance(value, list | tuple):
        return tuple(_normalise(item) for item in value)
    return value.item() if isinstance(value, np.generic) else value


def _matches(value: Any, annotation: Any) -> bool:
    if annotation is Any:
        return True
    origin = typing.get_origin(annotation)
    if origin in (types.UnionType, typing.Union):
        return any(_matches(value, option) for option in typing.get_args(annotation))
    if origin is tuple:
        items = typing.get_args(annotation)
        if len(items) == 2 and items[1] is Ellipsis:
            return isinstance(value, tuple) and all(_matches(item, items[0]) for item in value)
        return isinstance(value, tuple) and len(value) == len(items) and all(map(_matches, value, items))
    if annotation is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if annotation is type(None):
        return value is None
    return isinstance(value, annotation)


def spell(annotation: Any) -> str:
    """An attribute's type as users read it: `tuple[int, ...]`, `dim`, `dtype`."""
    if annotation in (DType, Tensor):
        return annotation.__name__.lower()
    if annotation is Ellipsis or annotation is type(None):
        return "..." if annotation is Ellipsis else "None"
    options = [spell(option) for option in typing.get_args(annotation)]
    if typing.get_origin(annotation) is tuple:
        return f"tuple[{', '.join(options)}]"
    if "Expr" in options:  # a Dim: an int or an expression over symbols
        options = ["dim", *(option for option in options if option not in ("int", "Expr"))]
    return " | ".join(options) or getattr(annotation, "__name__", str(annotation))


def parse_type(text: str) -> TensorType:
    """A static tensor type from its text, such as `f32[2, 3]`."""
    from ..ir.types import DTYPES

    name, _, rest = text.partition("[")
    dims = rest.rstrip("]").strip()
    return TensorType(DTYPES[name], tuple(int(part) for part in dims.split(",")) if dims else ())


def sample_arrays(sample: Sample, seed: int = 0) -> list[Any]:
    """The sample's operands as arrays, a list of them for a sequence.

    Floats are normal, integers small, strings short, all from the seed.
    """
    rng = np.random.default_rng(seed)
    return [_sample_array(operand, rng) for operand in sample.operands]


def _sample_array(operand: Any, rng: "np.random.Generator") -> Any:
    if isinstance(operand, list):
        return [_sample_array(item, rng) for item in operand]
    if operand is None or isinstance(operand, np.ndarray | np.generic):
        return operand if operand is None else np.asarray(operand)
    text, low, high = operand if isinstance(operand, tuple) else (operand, None, None)
    tensor = parse_type(text)
    shape, dtype = tensor.static_shape, tensor.dtype
    if dtype.kind == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.kind == "string":
        return np.array([f"s{n}" for n in rng.integers(0, 9, max(1, int(np.prod(shape))))], object).reshape(
            shape
        )
    if dtype.is_integer:
        bound = min(2 ** (dtype.bits - 1) - 1, 100)
        start = (0 if dtype.kind == "uint" else -bound) if low is None else low
        return rng.integers(start, bound if high is None else high, shape).astype(dtype.numpy)
    values = rng.standard_normal(shape) if low is None else rng.uniform(low, high, shape)
    if dtype.kind == "complex":
        values = values + 1j * rng.standard_normal(shape)
    return np.asarray(values).astype(dtype.numpy)


def shapes_of(tensors: Iterable[TensorType | None]) -> str:
    """Types as text for messages."""
    return ", ".join("absent" if tensor is None else str(tensor) for tensor in tensors)
