"""Implicit promotion, as torch.result_type gives it (each row was taken from torch 2.13)."""

import numpy as np
import pytest

from isthmus.compiler.ir.graph import constant
from isthmus.compiler.ir.types import DTYPES
from isthmus.frontends.torch.promotion import result_type


def value(text: str):
    """`i32[2]` or `f64[]` as a constant, anything else as the number that it spells."""
    name, bracket, rest = text.partition("[")
    if not bracket:
        return {"True": True}.get(text) or (float(text) if "." in text else int(text))
    return constant(np.zeros((2,) if rest != "]" else (), DTYPES[name].numpy))


@pytest.mark.parametrize(
    ("operands", "want"),
    [
        ("i64[2] 1.5", "f32"),
        ("i32[2] i64[2]", "i64"),
        ("i32[2] i64[]", "i32"),
        ("i32[2] 7", "i32"),
        ("u8[2] i8[2]", "i16"),
        ("bool[2] 1", "i64"),
        ("bool[2] True", "bool"),
        ("f16[2] 2.5", "f16"),
        ("f16[2] f64[]", "f16"),
        ("f16[2] bf16[2]", "f32"),
        ("f16[2] f32[2]", "f32"),
        ("i64[2] f64[]", "f64"),
        ("i64[2] f16[2]", "f16"),
        ("f32[] f64[]", "f64"),
        ("i64[] 0.5", "f32"),
        ("f32[2] c64[]", "c64"),
        ("f64[2] c64[2]", "c128"),
    ],
)
def test_result_type(operands, want) -> None:
    assert result_type(*map(value, operands.split())).name == want
