"""A model compiled in several ways: their errors against the first."""

import numpy as np

import isthmus
from isthmus.accuracy import WAYS, compare, errors, lines
from isthmus.compiler.ir import Graph, constant, graph_input
from isthmus.compiler.ops.convolution import conv
from isthmus.compiler.ops.engine import parse_type


def test_every_way_is_compared_with_the_first() -> None:
    rng = np.random.default_rng(0)
    x = graph_input("x", parse_type("f32[1, 32, 8, 8]"))
    w = constant(rng.standard_normal((32, 32, 3, 3)).astype(np.float32))
    model = isthmus.Model(Graph([x], [conv(x, w, strides=(1, 1), pads=(1,) * 4, dilations=(1, 1))], ["y"]))
    data = {"x": rng.standard_normal((1, 32, 8, 8)).astype(np.float32)}
    exact, fast, narrow = compare(model, data, runs=1, threads=1)
    assert [each.title for each in (exact, fast, narrow)] == [way.title for way in WAYS]
    assert (exact.largest, exact.rms) == (0.0, 0.0)
    assert 0 < fast.rms < fast.largest < 2e-5
    assert 1e-4 < narrow.largest < 2e-2
    assert len(lines([exact, fast, narrow])) == 5


def test_the_worst_output_of_floats_counts() -> None:
    exact = {"a": np.float32([4, -2]), "n": np.arange(2), "zero": np.zeros(2, np.float32)}
    given = {"a": np.float32([4, -1]), "n": np.arange(2) + 1, "zero": np.float32([0, 0.125])}
    assert errors(given, exact) == (0.25, np.sqrt(1 / 20))
