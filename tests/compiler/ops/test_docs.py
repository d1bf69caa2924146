"""The derived table of ops."""

from isthmus.compiler.ops import REGISTRY, math, quant, shape
from isthmus.compiler.ops.docs import entries, entry, markdown


def test_every_op_has_a_row() -> None:
    rows = entries()
    assert [row.name for row in rows] == sorted(REGISTRY)
    assert all(row.summary.endswith((".", ":")) for row in rows)


def test_row() -> None:
    assert entry(math.clip).operands == "x, low=None, high=None"
    assert entry(shape.concat).operands == "*xs"
    assert entry(shape.pad).attributes == "pads: tuple[int, ...], mode: str = 'constant'"
    assert entry(shape.reshape).attributes == "shape: tuple[dim, ...]"
    assert (
        entry(quant.quantize).attributes
        == "axis: int, dtype: dtype, block: int = 0, saturate: bool = True, inverse: bool = False"
    )
    assert entry(shape.shape_of).stages is False
    assert entry(shape.pad).stages


def test_markdown_keeps_its_columns() -> None:
    lines = markdown().splitlines()
    assert len(lines) == len(REGISTRY) + 2
    assert {line.replace("\\|", "").count("|") for line in lines} == {6}
