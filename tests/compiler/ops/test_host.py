"""Every op's samples survive the way into a package and back: same results as the op's meaning itself."""

import numpy as np
import pytest

from isthmus.compiler.diagnostics import CompileError
from isthmus.compiler.ir.dims import symbol
from isthmus.compiler.ir.graph import Graph, Node, Tensor, constant, graph_input
from isthmus.compiler.ir.types import SequenceType, TensorType, Type, dtype_of, f32
from isthmus.compiler.ops import REGISTRY, host
from isthmus.compiler.ops.engine import sample_arrays
from isthmus.compiler.ops.interpret import run_graph

X = np.linspace(-2, 2, 6, dtype=np.float32).reshape(2, 3)


def test_absent_operands_and_attributes():
    x = graph_input("x", TensorType(f32, (2, 3)))
    node = REGISTRY["math.clip"].build([x, None, constant(np.float32(1))], {})
    meaning = host.prepare("math.clip", host.encode(node))
    (result,) = meaning([X, None, np.float32(1)], {})
    assert np.array_equal(result, np.minimum(X, 1))


def test_the_same_value_twice():
    x = graph_input("x", TensorType(f32, (2, 3)))
    meaning = host.prepare("math.add", host.encode(REGISTRY["math.add"].build([x, x], {})))
    assert np.array_equal(meaning([X, X], {})[0], 2 * X)
    assert np.array_equal(meaning([X, -X], {})[0], 0 * X)


def test_symbols_of_the_program_reach_the_attributes():
    n = symbol("N")
    x = graph_input("x", TensorType(f32, (2, 3)))
    node = REGISTRY["shape.expand"].build([x], {"shape": (n, 2, 3)})
    (result,) = host.prepare("shape.expand", host.encode(node))([X], {"N": 4})
    assert np.array_equal(result, np.broadcast_to(X, (4, 2, 3)))


def test_large_constant_attributes():
    values = np.arange(100, dtype=np.float32)
    node = Node("constant", (), {"value": Tensor(values)}, (TensorType(f32, (100,)),))
    assert np.array_equal(host.prepare("constant", host.encode(node))([], {})[0], values)


def test_equal_nodes_give_equal_text():
    texts = set()
    for name in ("x", "other"):
        x = graph_input(name, TensorType(f32, (2, 3)))
        texts.add(host.encode(REGISTRY["math.add"].build([x, x], {})))
    assert len(texts) == 1


def test_other_ops_are_refused():
    x = graph_input("x", TensorType(f32, (2, 3)))
    text = host.encode(REGISTRY["math.add"].build([x, x], {}))
    with pytest.raises(CompileError, match=r"math.sub: expected one math.sub, got math.add; recompile"):
        host.prepare("math.sub", text)


@pytest.mark.parametrize(
    ("op", "sample"),
    [
        pytest.param(op, sample, id=f"{op.name}-{n}")
        for op in REGISTRY.values()
        for n, sample in enumerate(op.samples)
    ],
)
def test_samples(op, sample):
    arrays = sample_arrays(sample)
    operands = [
        None if array is None else graph_input(f"x{i}", type_of(array)) for i, array in enumerate(arrays)
    ]
    node = op.build(operands, sample.attributes)
    given = [value for value in node.operands if value is not None]
    graph = Graph(given, node.results, [str(i) for i in range(len(node.results))])
    expected = run_graph(graph, [array for array in arrays if array is not None])
    got = host.prepare(op.name, host.encode(node))(arrays, {})
    assert len(got) == len(expected)
    drawn_afresh = node.attributes.get("seed", 0) is None
    for a, b in zip(got, expected, strict=True):
        if isinstance(b, np.ndarray) and b.dtype != object:
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            assert drawn_afresh or a.tobytes() == b.tobytes()
        else:
            assert repr(a) == repr(b)


def type_of(value: object) -> Type:
    if isinstance(value, list):
        return SequenceType(
            TensorType(dtype_of(value[0].dtype), tuple(symbol(f"n{i}") for i in range(value[0].ndim)))
        )
    assert isinstance(value, np.ndarray)
    return TensorType(dtype_of(value.dtype), value.shape)
