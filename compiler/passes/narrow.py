"""bf16: products take and give bf16 and sum in f32; norms, softmax and the borders of the model stay f32.

What is done elementwise to products' results on the way to other products is computed in f32 and kept in bf16 alone, so
that maps are written and read once, and short.
"""

from collections import Counter

from ...runtime.records import dataclass
from ..ir.graph import Graph, Node, Value
from ..ir.location import at
from ..ir.types import TensorType, bf16, boolean, f32
from ..ops import math
from ..ops.engine import get
from .base import PassResult
from .fold import folded

_PRODUCTS = frozenset({"nn.matmul", "nn.conv", "nn.conv_transpose", "nn.einsum", "nn.attention"})

_EXACT = frozenset(
    f"{family}.{name}"
    for family, names in (
        ("shape", "reshape transpose slice concat expand tile gather gather_elements gather_nd pad"),
        ("nn", "max_pool"),
        ("math", "relu max min neg abs"),
        ("reduce", "max min"),
    )
    for name in names.split()
)
"""Ops that give the same whether a value is rounded before them or after: they stay in bf16 between two products."""


def _is_real(value: Value | None) -> bool:
    return value is not None and isinstance(value.type, TensorType) and value.dtype == f32


@dataclass(frozen=True, slots=True)
class Narrow:
    """Rewrites f32 products to bf16 ones."""

    name: str = "narrow to bf16"

    def run(self, graph: Graph) -> PassResult:
        return _Narrowing(graph).run()


class _Narrowing:
    """Every value has up to two faces in the new graph: in its own dtype, and in bf16."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.hits: Counter[str] = Counter()
        self._own: dict[Value, Value] = {}
        self._narrow: dict[Value, Value] = {}
        self._made: set[Value] = set()
        """Values that came out in bf16."""
        self._between: set[Value] = set()
        """These, and what was made of them alone, element by element."""
        self._wanted = self._asked_for()

    def run(self) -> PassResult:
        for node in self.graph.nodes:
            if node.op in ("input", "constant"):
                self._own.update((value, value) for value in node.results)
                continue
            with at(node.location):
                if self._stays_narrow(node):
                    operands = [self.narrow(v) if _is_real(v) else self.own(v) for v in node.operands]
                    built = get(node.op)(*operands, **node.attributes)
                    self._narrow[node.result] = built
                    self._made.add(node.result)
                    self._between.add(node.result)
                    self.hits[f"{node.op} in bf16"] += 1
                    continue
                renewed = node.with_operands([self.own(v) for v in node.operands])
                if self._is_between(node):
                    self._between.add(node.result)
                    if node.result in self._wanted and node.result not in self.graph.outputs:
                        self._narrow[node.result] = math.cast(renewed.result, dtype=bf16)
                        self._made.add(node.result)
                        self.hits[f"{node.op} kept in bf16"] += 1
                        continue
            self._own.update(zip(node.results, renewed.results, strict=True))
        return PassResult(self.graph.replace([self._output(v) for v in self.graph.outputs]), self.hits)

    def _asked_for(self) -> set[Value]:
        """Values of which a product, or what is exact before one, takes the bf16 face."""
        wanted: set[Value] = set()
        for node in reversed(self.graph.nodes):
            exact = node.op in _EXACT and len(node.results) == 1 and node.result in wanted
            if node.op in _PRODUCTS or exact:
                wanted.update(v for v in node.operands if v is not None and _is_real(v))
        return wanted

    def _is_between(self, node: Node) -> bool:
        """Whether a result is made of products' results alone, element by element."""
        if not node.op.startswith("math.") or len(node.results) != 1 or not _is_real(node.result):
            return False
        reals = [v for v in node.operands if v is not None and _is_real(v) and v.constant is None]
        return bool(reals) and all(v in self._between for v in reals)

    def _stays_narrow(self, node: Node) -> bool:
        if len(node.results) != 1 or node.regions or not _is_real(node.result):
            return False
        reals = [v for v in node.operands if v is not None and _is_real(v)]
        if node.op in _PRODUCTS:
            others = [v for v in node.operands if v is not None and not _is_real(v)]
            return bool(reals) and all(v.dtype == boolean for v in others)
        moved = [v for v in reals if v.constant is None]
        return node.op in _EXACT and bool(moved) and all(v in self._made for v in moved)

    def own(self, value: Value | None) -> Value | None:
        """The value in its own dtype."""
        if value is not None and value not in self._own:
            with at(value.node.location):
                self._own[value] = math.cast(self._narrow[value], dtype=f32)
        return None if value is None else self._own[value]

    def narrow(self, value: Value | None) -> Value | None:
        """The value rounded to bf16."""
        if value is not None and value not in self._narrow:
            with at(value.node.location):
                cast = math.cast(self.own(value), dtype=bf16)
                self._narrow[value] = folded(cast) if value.constant is not None else cast
        return None if value is None else self._narrow[value]

    def _output(self, value: Value) -> Value:
        own = self.own(value)
        assert own is not None
        return own


NARROW = Narrow()
