"""Random numbers: repeatable from a seed, distributed as named, never folded."""

import numpy as np
import pytest

from isthmus.compiler.diagnostics import TypeRuleError
from isthmus.compiler.ir import graph_input
from isthmus.compiler.ir.types import f32, i32, i64, u8
from isthmus.compiler.ops import REGISTRY, random
from isthmus.compiler.ops.engine import parse_type


def test_a_seed_repeats_and_no_seed_does_not() -> None:
    def draw(seed: int | None) -> np.ndarray:
        return random.normal.evaluate(shape=(9,), dtype=f32, seed=seed)[0]

    assert (draw(3) == draw(3)).all()
    assert (draw(3) != draw(4)).any()
    assert (draw(None) != draw(None)).any()


def test_distributions() -> None:
    uniform = random.uniform.evaluate(shape=(4000,), dtype=f32, low=2.0, high=4.0, seed=1)[0]
    assert 2 <= uniform.min() < uniform.max() <= 4
    assert uniform.mean() == pytest.approx(3, abs=0.1)
    normal = random.normal.evaluate(shape=(4000,), dtype=f32, mean=5.0, deviation=2.0, seed=1)[0]
    assert (normal.mean(), normal.std()) == (pytest.approx(5, abs=0.2), pytest.approx(2, abs=0.2))
    coin = random.bernoulli.evaluate(np.full(4000, 0.25, np.float32), dtype=i32, seed=1)[0]
    assert coin.mean() == pytest.approx(0.25, abs=0.03)
    logs = np.log(np.array([[0.1, 0.6, 0.3]], np.float32))
    classes = random.multinomial.evaluate(logs, dtype=i64, size=4000, seed=1)[0]
    assert np.bincount(classes[0]) / 4000 == pytest.approx([0.1, 0.6, 0.3], abs=0.03)


def test_no_random_op_is_folded() -> None:
    assert not any(op.foldable for name, op in REGISTRY.items() if name.startswith("random."))


def test_refused() -> None:
    with pytest.raises(TypeRuleError, match="random numbers are floats, not u8"):
        random.uniform(shape=(2,), dtype=u8)
    with pytest.raises(TypeRuleError, match=r"multinomial takes \[batch, classes\]"):
        random.multinomial(graph_input("x", parse_type("f32[3]")), dtype=i64, size=1)
