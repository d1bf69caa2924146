"""Control flow on small regions: values, types that differ between branches and turns, and refusals."""

import re
from collections.abc import Callable

import numpy as np
import pytest

from isthmus.compiler.diagnostics import CompileError, TypeRuleError
from isthmus.compiler.ir import Graph, TensorType, Type, Value, constant, graph_input, symbol
from isthmus.compiler.ir.dims import fresh
from isthmus.compiler.ir.types import boolean, f32, i64
from isthmus.compiler.ops import get
from isthmus.compiler.ops.interpret import evaluate

COUNT, FLAG = TensorType(i64, ()), TensorType(boolean, ())
VECTOR = TensorType(f32, (3,))

add, less, concat, square = get("math.add"), get("math.lt"), get("shape.concat"), get("math.mul")
if_, loop, scan = get("control.if"), get("control.loop"), get("control.scan")


def region(types: list[Type], body: Callable[..., list[Value]]) -> Graph:
    inputs = [graph_input(f"r{n}", type) for n, type in enumerate(types)]
    outputs = body(*inputs)
    return Graph(inputs, outputs, [f"o{n}" for n in range(len(outputs))], "region")


def run(inputs: list[Value], outputs: tuple[Value, ...], *arrays: object) -> list[np.ndarray]:
    results = evaluate(Graph(inputs, outputs, [f"y{n}" for n in range(len(outputs))]), list(arrays))
    return list(results.values())


def results_of(op: object, *operands: object, **attributes: object) -> tuple[Value, ...]:
    out = op(*operands, **attributes)  # type: ignore[operator]
    return out if isinstance(out, tuple) else (out,)


class TestIf:
    def build(self, then: Callable[..., list[Value]], otherwise: Callable[..., list[Value]]):
        c, x = graph_input("c", FLAG), graph_input("x", VECTOR)
        return [c, x], results_of(if_, c, x, regions=[region([VECTOR], then), region([VECTOR], otherwise)])

    @pytest.mark.parametrize(("condition", "want"), [(True, [2, 4, 6]), (False, [1, 4, 9])])
    def test_takes_one_branch(self, condition, want):
        inputs, outputs = self.build(lambda x: [add(x, x)], lambda x: [square(x, x)])
        assert outputs[0].type == VECTOR
        (got,) = run(inputs, outputs, np.array(condition), np.array([1, 2, 3], np.float32))
        np.testing.assert_array_equal(got, want)

    def test_extents_that_differ_become_unknown(self):
        inputs, (y,) = self.build(lambda x: [x], lambda x: [concat(x, x, axis=0)])
        assert y.type.dtype == f32
        assert y.type.rank == 1
        assert not y.type.is_static
        (got,) = run(inputs, (y,), np.array(False), np.zeros(3, np.float32))
        assert got.shape == (6,)

    @pytest.mark.parametrize(
        ("otherwise", "message"),
        [
            (lambda x: [x, x], "the branches have 1 and 2 results"),
            (lambda x: [get("shape.reshape")(x, shape=(3, 1))], "its rank must be known beforehand"),
            (lambda x: [get("math.cast")(x, dtype=i64)], r"result 0 is f32\[3\] or i64\[3\]"),
        ],
    )
    def test_refuses_branches_that_do_not_agree(self, otherwise, message):
        with pytest.raises(CompileError, match=message):
            self.build(lambda x: [x], otherwise)

    def test_refuses_a_condition_that_is_no_flag(self):
        x = graph_input("x", VECTOR)
        same = region([VECTOR], lambda x: [x])
        with pytest.raises(TypeRuleError, match="expected one bool"):
            if_(x, x, regions=[same, same])

    def test_refuses_operands_that_a_branch_does_not_take(self):
        c, x = graph_input("c", FLAG), graph_input("x", TensorType(f32, (symbol("n"),)))
        same = region([VECTOR], lambda x: [x])
        with pytest.raises(
            TypeRuleError, match=r"declares its input 'r0' as f32\[3\], but is given f32\[n\]"
        ):
            if_(c, x, regions=[same, same])


class TestLoop:
    def test_counts_stacks_and_uses_invariants(self):
        trip, x, step = graph_input("trip", COUNT), graph_input("x", VECTOR), graph_input("step", VECTOR)
        body = region(
            [COUNT, FLAG, VECTOR, VECTOR],
            lambda i, go, state, step: [
                go,
                add(state, step),
                get("math.cast")(i, dtype=f32),
                get("reduce.sum")(state, axes=(0,), keepdims=False),
            ],
        )
        last, turns, sums = loop(trip, None, x, step, states=1, scans=2, regions=[body])
        assert last.type == VECTOR
        assert turns.type.rank == 1
        inputs = [trip, x, step]
        got = run(inputs, (last, turns, sums), np.int64(4), np.zeros(3, np.float32), np.ones(3, np.float32))
        np.testing.assert_array_equal(got[0], [4, 4, 4])
        np.testing.assert_array_equal(got[1], [0, 1, 2, 3])
        np.testing.assert_array_equal(got[2], [0, 3, 6, 9])

        none = run(inputs, (last, turns, sums), np.int64(0), np.ones(3, np.float32), np.ones(3, np.float32))
        np.testing.assert_array_equal(none[0], [1, 1, 1])
        assert none[1].shape == (0,)
        assert none[1].dtype == np.float32

    def test_stops_when_its_condition_fails(self):
        x = graph_input("x", TensorType(f32, ()))
        body = region(
            [COUNT, FLAG, TensorType(f32, ())],
            lambda i, go, state: [less(add(state, state), constant(np.float32(100))), add(state, state)],
        )
        (last,) = results_of(loop, None, constant(np.array(True)), x, states=1, scans=0, regions=[body])
        (got,) = run([x], (last,), np.float32(3))
        assert got == 192

    def test_does_nothing_when_the_condition_fails_at_first(self):
        x = graph_input("x", VECTOR)
        body = region([COUNT, FLAG, VECTOR], lambda i, go, state: [go, add(state, state), state])
        outputs = loop(None, constant(np.array(False)), x, states=1, scans=1, regions=[body])
        last, rows = run([x], outputs, np.ones(3, np.float32))
        np.testing.assert_array_equal(last, [1, 1, 1])
        assert rows.shape == (0, 3)

    def test_a_state_may_grow_if_its_extent_is_the_body_s_own(self):
        trip, x = graph_input("trip", COUNT), graph_input("x", TensorType(f32, (2,)))
        body = region(
            [COUNT, FLAG, TensorType(f32, (fresh(),)), TensorType(f32, (2,))],
            lambda i, go, state, more: [go, concat(state, more, axis=0)],
        )
        (last,) = results_of(loop, trip, None, x, x, states=1, scans=0, regions=[body])
        assert not last.type.is_static
        (got,) = run([trip, x], (last,), np.int64(3), np.array([1, 2], np.float32))
        np.testing.assert_array_equal(got, [1, 2] * 4)

    def test_an_extent_that_turns_leave_as_it_is_stays_known(self):
        x = graph_input("x", TensorType(f32, (5,)))
        body = region(
            [COUNT, FLAG, TensorType(f32, (fresh(),))], lambda i, go, state: [go, add(state, state)]
        )
        (last,) = results_of(loop, constant(np.int64(2)), None, x, states=1, scans=0, regions=[body])
        assert last.type == x.type

    @pytest.mark.parametrize(
        ("types", "body", "attributes", "message"),
        [
            (
                [COUNT, FLAG, VECTOR],
                lambda i, go, s: [go, s],
                {"scans": 1},
                "do not fit 1 states and 1 scans",
            ),
            ([COUNT, FLAG], lambda i, go: [go, constant(np.float32(0))], {}, "has 2 inputs, expected 3"),
            ([COUNT, FLAG, VECTOR], lambda i, go, s: [s, s], {}, r"condition is f32\[3\], expected one bool"),
            (
                [COUNT, FLAG, VECTOR],
                lambda i, go, s: [go, concat(s, s, axis=0)],
                {},
                r"takes state 0 as f32\[3\], but gives it as f32\[6\]; declare symbols",
            ),
        ],
    )
    def test_refusals(self, types, body, attributes, message):
        x = graph_input("x", VECTOR)
        with pytest.raises(TypeRuleError) as raised:
            loop(
                constant(np.int64(1)),
                None,
                x,
                **{"states": 1, "scans": 0, **attributes},
                regions=[region(types, body)],
            )
        assert re.search(message, str(raised.value))

    def test_refuses_a_trip_count_of_another_dtype(self):
        body = region([COUNT, FLAG, VECTOR], lambda i, go, s: [go, s])
        with pytest.raises(TypeRuleError, match=r"trip count is f32\[\], expected one i64"):
            loop(constant(np.float32(1)), None, graph_input("x", VECTOR), states=1, scans=0, regions=[body])


class TestScan:
    def build(self, x: Value, element: Type, **attributes: object) -> tuple[Value, ...]:
        start = constant(np.zeros(element.shape, np.float32))  # type: ignore[union-attr]
        body = region([element, element], lambda state, row: [add(state, row), add(state, row)])
        return scan(start, x, states=1, inputs=1, regions=[body], **attributes)

    def test_is_a_running_sum(self):
        x = graph_input("x", TensorType(f32, (4, 3)))
        outputs = self.build(x, VECTOR)
        assert [value.type for value in outputs] == [VECTOR, x.type]
        data = np.arange(12, dtype=np.float32).reshape(4, 3)
        last, rows = run([x], outputs, data)
        np.testing.assert_array_equal(last, data.sum(0))
        np.testing.assert_array_equal(rows, data.cumsum(0))

    def test_axes_and_directions(self):
        x = graph_input("x", TensorType(f32, (3, 4)))
        outputs = self.build(x, VECTOR, axes=(1,), reverse=(True,), output_axes=(1,), output_reverse=(True,))
        assert [value.type for value in outputs] == [VECTOR, x.type]
        data = np.arange(12, dtype=np.float32).reshape(3, 4)
        last, rows = run([x], outputs, data)
        np.testing.assert_array_equal(last, data.sum(1))
        np.testing.assert_array_equal(rows, data[:, ::-1].cumsum(1)[:, ::-1])

    def test_no_elements_leave_the_state_and_no_rows(self):
        x = graph_input("x", TensorType(f32, (symbol("n"), 3)))
        outputs = self.build(x, VECTOR)
        assert outputs[1].type == x.type
        last, rows = run([x], outputs, np.zeros((0, 3), np.float32))
        np.testing.assert_array_equal(last, [0, 0, 0])
        assert rows.shape == (0, 3)

    def test_invariants_follow_the_scanned_inputs(self):
        x, factor = graph_input("x", TensorType(f32, (4,))), graph_input("f", TensorType(f32, ()))
        scalar = TensorType(f32, ())
        body = region([scalar, scalar], lambda row, factor: [square(row, factor)])
        (rows,) = results_of(scan, x, factor, states=0, inputs=1, regions=[body])
        (got,) = run([x, factor], (rows,), np.arange(4, dtype=np.float32), np.float32(3))
        np.testing.assert_array_equal(got, [0, 3, 6, 9])

    @pytest.mark.parametrize(
        ("attributes", "message"),
        [
            ({"axes": (2,)}, r"'axes\[0\]' is 2"),
            ({"axes": (0, 0)}, "'axes' has 2 entries, expected 1"),
            ({"output_axes": (5,)}, r"'output_axes\[0\]' is 5"),
        ],
    )
    def test_refusals(self, attributes, message):
        with pytest.raises(TypeRuleError, match=message):
            self.build(graph_input("x", TensorType(f32, (4, 3))), VECTOR, **attributes)

    def test_refuses_inputs_of_different_lengths(self):
        x, y = graph_input("x", TensorType(f32, (4,))), graph_input("y", TensorType(f32, (5,)))
        scalar = TensorType(f32, ())
        body = region([scalar, scalar], lambda a, b: [add(a, b)])
        with pytest.raises(TypeRuleError, match="have 4 and 5 elements"):
            scan(x, y, states=0, inputs=2, regions=[body])
