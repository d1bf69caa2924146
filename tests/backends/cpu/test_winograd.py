"""Fast convolutions keep the meaning within their stated error, say no where they can't pay, and are switchable."""

import numpy as np
import pytest

import isthmus
from isthmus.backends.cpu import backend
from isthmus.backends.cpu.winograd import FORMS, Form, convolved, form_for, rules
from isthmus.compiler.diagnostics import CompileError
from isthmus.compiler.ir import Graph, Value, constant, graph_input
from isthmus.compiler.ir.verify import verify
from isthmus.compiler.ops import get
from isthmus.compiler.ops.engine import parse_type
from isthmus.compiler.rewrite import apply, sample_graphs

_RNG = np.random.default_rng(3)
_RULES = rules(backend.target({"level": "avx2"}))


def _conv(shape: str, outputs: int, size: int = 3, **changes: object) -> Value:
    x = graph_input("x", parse_type(shape))
    w = constant(_RNG.standard_normal((outputs, x.shape[1], size, size)).astype(np.float32))
    attributes = {"strides": (1, 1), "pads": (1, 1, 1, 1), "dilations": (1, 1), "groups": 1, **changes}
    return get("nn.conv")(x, w, **attributes)


def _graph(value: Value) -> Graph:
    return Graph([value.node.operands[0]], [value], ["y"])


def test_the_rule_keeps_the_meaning_of_its_samples() -> None:
    for number, before in enumerate(sample_graphs(_RULES[0])):
        after, hits = apply(before, _RULES)
        verify(after, get)
        assert hits == {_RULES[0].name: 1}
        inputs = [
            np.random.default_rng(number).standard_normal(v.type.static_shape).astype("f4")
            for v in before.inputs
        ]
        wanted, got = (isthmus.Model(g).evaluate(inputs)[before.output_names[0]] for g in (before, after))
        assert np.abs(got - wanted).max() <= 2e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"F{form.m}")
def test_compiled_code_errs_as_little_as_stated(form: Form) -> None:
    direct = _conv("f32[1, 32, 9, 13]", 40)
    x, w = direct.node.operands
    fast = convolved(x, w.constant, None, form, (1, 1, 1, 1), (9, 13))
    data = {"x": _RNG.standard_normal((1, 32, 9, 13)).astype(np.float32)}
    package = isthmus.compile(isthmus.Model(Graph([x], [fast], ["y"])), options={"winograd": "off"})
    wanted = isthmus.Model(_graph(direct)).evaluate(data)["y"]
    assert package.manifest.fallbacks == ()
    assert np.abs(package.run(data)["y"] - wanted).max() <= form.error * np.abs(wanted).max()


@pytest.mark.parametrize(
    ("y", "slower", "faster"),
    [
        (_conv("f32[1, 64, 56, 56]", 64), 4, 4),
        (_conv("f32[1, 256, 14, 14]", 256), 4, 2),  # weights that take long to fetch leave the smaller ones
        (_conv("f32[1, 512, 7, 7]", 512), 2, None),  # or none: products take less than the fetching
        (_conv("f32[4, 512, 7, 7]", 512), 4, 2),
        (_conv("f32[1, 16, 56, 56]", 64), None, None),
        (_conv("f32[1, 64, 3, 3]", 64), None, None),
        (_conv("f32[1, 64, 56, 56]", 64, 5, pads=(2, 2, 2, 2)), None, None),
        (_conv("f32[1, 64, 56, 56]", 64, strides=(2, 2)), None, None),
        (_conv("f32[1, 64, 56, 56]", 64, dilations=(2, 2)), None, None),
    ],
)
def test_it_is_used_where_it_pays(y: Value, slower: int | None, faster: int | None) -> None:
    forms = [form_for(y, y.node.operands[1], products) for products in (2.5, 5)]
    assert [form and form.m for form in forms] == [slower, faster]


def test_it_can_be_switched_off() -> None:
    model = isthmus.Model(_graph(_conv("f32[1, 32, 8, 8]", 32)))

    def ops(choice: str) -> set[str]:
        package = isthmus.compile(model, options={"winograd": choice})
        return {node.op for node in package.graph.graph.nodes}

    assert "nn.conv" in ops("off")
    assert "nn.conv" not in ops("on")
    with pytest.raises(CompileError, match="option 'winograd' is 'maybe'"):
        isthmus.compile(model, options={"winograd": "maybe"})
