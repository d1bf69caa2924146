"""The text form: every graph prints and parses back to itself, bit for bit; what is not a graph is refused by line."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.compiler.diagnostics import ModelError
from isthmus.compiler.ir import (
    DTYPES,
    Graph,
    Location,
    Node,
    OptionalType,
    SequenceType,
    Tensor,
    TensorType,
    constant,
    dtype_of,
    graph_input,
    symbol,
)
from isthmus.compiler.ir.compare import attribute_key, same_graph
from isthmus.compiler.ir.dims import extreme, floordiv
from isthmus.compiler.ir.text import parse_graph, print_graph
from isthmus.compiler.ir.verify import verify
from isthmus.compiler.ops import REGISTRY, Op, get
from isthmus.compiler.ops.engine import Sample, sample_arrays

F32 = DTYPES["f32"]


def node_graph(attributes=None, operands=()) -> Graph:
    node = Node("test.op", operands, attributes or {}, [TensorType(F32, (2,))])
    return Graph([], node.results, ["y"])


def assert_round_trip(graph: Graph) -> Graph:
    text = print_graph(graph)
    parsed = parse_graph(text.text, text.tensors)
    assert same_graph(graph, parsed, locations=True)
    assert parsed.name == graph.name
    assert print_graph(parsed).text == text.text
    return parsed


@pytest.mark.parametrize(
    ("op", "sample"),
    [
        pytest.param(op, sample, id=f"{op.name}-{n}")
        for op in REGISTRY.values()
        for n, sample in enumerate(op.samples)
        if not op.regions
    ],
)
def test_every_op_sample_round_trips(op: Op, sample: Sample) -> None:
    values = []
    for n, array in enumerate(sample_arrays(sample)):
        if isinstance(array, list):
            element = TensorType(
                dtype_of(array[0].dtype), tuple(symbol(f"n{k}") for k in range(array[0].ndim))
            )
            values.append(graph_input(f"x{n}", SequenceType(element)))
        elif array is None:
            values.append(None)
        elif n % 2:
            values.append(constant(array))
        else:
            values.append(graph_input(f"x{n}", TensorType(dtype_of(array.dtype), array.shape)))
    node = op.build(values, sample.attributes)
    inputs = [v for v in values if v is not None and v.node.op == "input"]
    graph = Graph(inputs, node.results, [f"y{n}" for n in range(len(node.results))])
    verify(graph, get)
    verify(assert_round_trip(graph), get)


def test_the_text_is_what_people_read() -> None:
    n = symbol("N")
    x = graph_input("x", TensorType(F32, (n, 3)))
    c = constant(np.array([0.1, -0.0, np.inf], np.float32), location=Location("m.onnx", ("w",)))
    node = Node(
        "test.op",
        (x, None, c),
        {
            "axes": (0, 1),
            "one": (1,),
            "shape": (n * 2 + 1, 4),
            "dtype": DTYPES["bf16"],
            "mode": 'a"b',
            "no": None,
        },
        (TensorType(F32, (n, 3)), TensorType(DTYPES["i64"], ())),
        location=Location("m.onnx", ("Conv_1", "Relu_2")),
    )
    graph = Graph([x], node.results, ["y", "the indices"], "main")
    assert print_graph(graph).text == (
        'graph "main"(%x: f32[N, 3]) {\n'
        '  %1 = constant f32[3](0.1, -0.0, inf) loc("m.onnx", "w")\n'
        "  %2, %3 = test.op(%x, _, %1) {axes = (0, 1), one = (1), shape = (<2*N + 1>, 4), dtype = bf16, "
        'mode = "a\\"b", no = none} : f32[N, 3], i64[] loc("m.onnx", "Conv_1", "Relu_2")\n'
        '  return %2 as y, %3 as "the indices"\n'
        "}\n"
    )
    assert_round_trip(graph)


def test_large_constants_stay_outside_and_shared_arrays_are_named_once() -> None:
    weights = np.arange(17, dtype=np.float32)
    weights.flags.writeable = False
    a, b, c = constant(weights), constant(weights), constant(weights + 1)
    text = print_graph(node_graph(operands=(a, b, c)))
    assert text.text.count("@w0") == 2
    assert text.text.count("@w1") == 1
    assert {name: tensor.array.tolist() for name, tensor in text.tensors.items()} == {
        "w0": weights.tolist(),
        "w1": (weights + 1).tolist(),
    }


def test_strings_are_written_out_whatever_their_number() -> None:
    words = constant(np.array([f"word {n}\n" for n in range(100)]))
    text = print_graph(node_graph(operands=(words,)))
    assert not text.tensors
    assert_round_trip(node_graph(operands=(words,)))


def test_regions_nest_and_have_names_of_their_own() -> None:
    inner_x = graph_input("x", TensorType(F32, ()))
    inner = Graph([inner_x], [Node("test.neg", (inner_x,), {}, (inner_x.type,)).result], ["y"], "inner")
    middle_x = graph_input("x", TensorType(F32, ()))
    choice = Node("test.if", (middle_x,), {"a": 1}, (middle_x.type,), (inner, inner))
    middle = Graph([middle_x], choice.results, ["y"], "middle")
    x = graph_input("x", TensorType(F32, ()))
    assert_round_trip(Graph([x], [Node("test.do", (x,), {}, (x.type,), (middle,)).result], ["y"]))


def test_value_names_do_not_depend_on_the_process() -> None:
    x = graph_input("weird name", TensorType(F32, ()))
    z = graph_input("x", TensorType(F32, ()))
    y = Node("test.op", (x, z), {}, (x.type,)).result
    assert print_graph(Graph([x, z], [y, y], ["a", "b"])).text == (
        'graph "graph"(%0 "weird name": f32[], %x: f32[]) {\n'
        "  %2 = test.op(%0, %x) : f32[]\n"
        "  return %2 as a, %2 as b\n"
        "}\n"
    )


def test_locations_can_be_left_out() -> None:
    x = graph_input("x", TensorType(F32, ()), Location("m.onnx", ("x",)))
    assert "loc(" in print_graph(Graph([x], [x], ["y"])).text
    assert "loc(" not in print_graph(Graph([x], [x], ["y"]), locations=False).text


finite_or_not = st.floats(allow_nan=True, allow_infinity=True)
words = st.text(max_size=8)
symbols = st.sampled_from(["N", "batch size", "u$3", "max", "inf", "none", "f32", "é"]).map(symbol)
dims = st.recursive(
    st.one_of(st.integers(0, 99), symbols),
    lambda inner: st.one_of(
        st.builds(lambda a, b: a + b, inner, inner),
        st.builds(lambda a, b: a * b, inner, inner),
        st.builds(lambda a, b: a - b, inner, inner),
        st.builds(lambda a, n: floordiv(a, n), inner, st.integers(2, 7)),
        st.builds(lambda f, a, b: extreme(f, a, b), st.sampled_from(["max", "min"]), inner, inner),
    ),
    max_leaves=5,
)
dtypes = st.sampled_from(list(DTYPES.values()))
tensor_types = st.builds(
    lambda dtype, shape: TensorType(dtype, tuple(shape)),
    st.sampled_from(list(DTYPES.values())),
    st.lists(dims, max_size=3),
)
all_types = st.recursive(
    tensor_types, lambda inner: st.one_of(inner.map(SequenceType), inner.map(OptionalType)), max_leaves=2
)


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    dtype = draw(st.sampled_from([d for d in DTYPES.values() if d.kind != "string"]))
    shape = tuple(draw(st.lists(st.integers(0, 5), max_size=3)))
    size = math.prod(shape) * dtype.numpy.itemsize
    raw = np.frombuffer(draw(st.binary(min_size=size, max_size=size)), np.uint8)
    if dtype.kind == "bool":
        raw = raw & 1
    if dtype.bits < 8:
        # elements of less than a byte have no meaning in their upper bits
        return Tensor((raw & (2**dtype.bits - 1)).astype(np.int64).astype(dtype.numpy).reshape(shape))
    return Tensor(raw.view(dtype.numpy).reshape(shape))


attributes = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        finite_or_not,
        words,
        dims,
        all_types,
        tensors(),
        st.sampled_from(list(DTYPES.values())),
    ),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=6,
)


@given(
    st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_]{0,5}", fullmatch=True), attributes, max_size=3),
    st.lists(all_types, min_size=1, max_size=3),
    words,
    words,
)
def test_any_attribute_type_and_name_round_trips(named, types, text, name) -> None:
    x = graph_input(name, types[0], Location(text, (name, text)))
    node = Node("test.op", (x, None, x), named, types, location=Location(name, (text,)))
    assert_round_trip(Graph([x], node.results, [f"{text}{n}" for n in range(len(types))], name))


def test_payloads_of_nan_survive() -> None:
    (payload,) = struct.unpack("<d", struct.pack("<Q", 0xFFF0000000000123))
    graph = node_graph(
        {"a": payload, "b": math.nan, "t": Tensor(np.array([0x7FC00001], np.uint32).view(np.float32))}
    )
    parsed = assert_round_trip(graph)
    assert struct.pack("<d", parsed.outputs[0].node.attributes["a"]) == struct.pack("<d", payload)


def test_keys_tell_apart_what_python_holds_equal() -> None:
    values = [0, 0.0, -0.0, False, 1, 1.0, True, "1", None, (1,), (1.0,), math.nan]
    assert len({attribute_key(value) for value in values}) == len(values)
    assert attribute_key(math.nan) == attribute_key(float("nan"))


def test_equality_sees_sharing_and_content() -> None:
    x = graph_input("x", TensorType(F32, ()))

    def twice(shared: bool, number: float = 1.0) -> Graph:
        a = constant(number, F32)
        b = a if shared else constant(number, F32)
        return Graph([x], [Node("test.op", (x, a, b), {}, (x.type,)).result], ["y"])

    assert same_graph(twice(True), twice(True))
    assert not same_graph(twice(True), twice(False))
    assert not same_graph(twice(True), twice(True, 2.0))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "end of text: the text breaks off"),
        ('graph "a"() {\n  return', "end of text: the text breaks off"),
        ('graph "a"() {\n  %0 = $ }', "line 2, column 8: unexpected text: $ }"),
        ('graph "a"() { return %3 as y }', "line 1, column 22: %3 is used before it is defined"),
        ('graph "a"(%x: f33[2]) { return %x as y }', "no such dtype: f33"),
        ('graph "a"(%x: f32[], %x: f32[]) { return %x as y }', "%x is defined twice"),
        ('graph "a"() { %0 = constant f32[2](1) return %0 as y }', "f32[2] has 2 elements, 1 are given"),
        ('graph "a"() { %0 = constant f32[N](1) return %0 as y }', "a constant can't have type f32[N]"),
        ('graph "a"() { %0 = constant @w7 : f32[2] return %0 as y }', "the table of constants has no '@w7'"),
        ('graph "a"() { %0 = constant f32[](1) : i32[] return %0 as y }', "declared i32[], but it is f32[]"),
        ('graph "a"() { %0, %1 = t.op() : f32[] return %0 as y }', "2 results are named, 1 typed"),
        (
            'graph "a"() { %0 = t.op() {a = <f(N)>} : f32[] return %0 as y }',
            "no function of dimensions: f of 1",
        ),
        ('graph "a"() { %0 = t.op() {a = 1, a = 2} : f32[] return %0 as y }', "attribute 'a' is given twice"),
    ],
)
def test_what_is_no_graph_is_refused_by_line(text: str, says: str) -> None:
    with pytest.raises(ModelError) as caught:
        parse_graph(text)
    assert says in str(caught.value)


def test_comments_and_layout_do_not_count() -> None:
    graph = parse_graph('graph "a"( %x : f32 [2] ) { // inputs\n return %x as y }')
    assert print_graph(graph).text == 'graph "a"(%x: f32[2]) {\n  return %x as y\n}\n'
