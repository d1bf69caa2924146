"""Input checks: every problem at once, one line each, with what was expected and the way out."""

import numpy as np
import pytest

from isthmus.runtime import InputError, Port, Program, Slot
from isthmus.runtime.inputs import Ports


def program(*ports: tuple[str, str, tuple | None], symbols: tuple[str, ...] = ()) -> Program:
    return Program(
        slots=tuple(Slot(f"s_{name}", dtype, shape, "input") for name, dtype, shape in ports),
        steps=(),
        devices=(),
        inputs=tuple(Port(name, f"s_{name}", dtype, shape) for name, dtype, shape in ports),
        outputs=(),
        symbols=symbols,
    )


def bind(model: Program, given):
    return Ports(model).bind(given)


TWO = program(("image", "f32", (1, 3)), ("mask", "bool", (2,)))
IMAGE, MASK = np.zeros((1, 3), np.float32), np.zeros(2, bool)


def lines(given, model=TWO) -> list[str]:
    with pytest.raises(InputError) as caught:
        bind(model, given)
    return str(caught.value).splitlines()


def test_dicts_and_lists():
    for given in ({"mask": MASK, "image": IMAGE}, [IMAGE, MASK], (IMAGE, MASK)):
        values, symbols = bind(TWO, given)
        assert values["s_image"] is IMAGE
        assert values["s_mask"] is MASK
        assert symbols == {}


def test_all_problems_at_once():
    assert lines({"imgae": IMAGE, "mask": np.zeros(3), "extra": 1}) == [
        "input 'image': is missing; the model takes: 'image' f32[1, 3], 'mask' bool[2]",
        "input 'imgae': the model has no such input; did you mean 'image'?",
        "input 'extra': the model has no such input; the model takes: 'image' f32[1, 3], 'mask' bool[2]",
        "input 'mask': got float64[3], expected bool[2]; convert it with .astype('bool')",
    ]


def test_shapes():
    for shape in ((3,), (1, 4), (1, 3, 1), ()):
        (line,) = lines([np.zeros(shape, np.float32), MASK])
        assert line == (
            f"input 'image': got float32[{', '.join(map(str, shape))}], expected f32[1, 3]; "
            "pass that shape, or recompile for this one with shapes="
        )


def test_byte_order_matters():
    (line,) = lines([IMAGE.astype(">f4"), MASK])
    assert "got >f4[1, 3], expected f32[1, 3]; convert it with .astype('float32')" in line


def test_wrong_number():
    assert lines([IMAGE]) == [
        "inputs: got 1 arrays, expected 2; the model takes: 'image' f32[1, 3], 'mask' bool[2]"
    ]


@pytest.mark.parametrize("given", [IMAGE, 3, None, "image"])
def test_what_is_no_collection(given):
    assert "expected a dict of arrays or a list of them" in lines(given)[0]


def test_ragged_lists():
    (line,) = lines([[[1.0, 2.0], [3.0]], MASK])
    assert line.startswith("input 'image': is no array")


def test_dense_copies_only_where_needed():
    values, _ = bind(TWO, {"image": np.zeros((3, 1), np.float32).T, "mask": MASK})
    assert values["s_image"].flags.c_contiguous
    wide = np.zeros((1, 6), np.float32)[:, ::2]
    values, _ = bind(TWO, {"image": wide, "mask": MASK})
    assert values["s_image"].strides == (12, 4)


def test_scalars_keep_rank_zero():
    values, _ = bind(program(("n", "i64", ())), [np.int64(3)])
    assert values["s_n"].shape == ()


def test_symbols_are_bound_and_compared():
    model = program(("a", "f32", ("N", 2)), ("b", "f32", ("N", "M")), symbols=("N", "M"))
    _, symbols = bind(model, [np.zeros((5, 2), np.float32), np.zeros((5, 7), np.float32)])
    assert symbols == {"N": 5, "M": 7}
    given = [np.zeros((5, 2), np.float32), np.zeros((6, 7), np.float32)]
    assert lines(given, model) == [
        "input 'b': dimension 'N' is 6 here and 5 in 'a'; give arrays that agree",
    ]


def test_expressions_are_compared():
    model = program(("a", "f32", ("2*N",)), ("b", "f32", ("N",)), symbols=("N",))
    bind(model, [np.zeros(6, np.float32), np.zeros(3, np.float32)])
    assert lines([np.zeros(7, np.float32), np.zeros(3, np.float32)], model) == [
        "input 'a': dimension 0 is 7, expected 2*N = 6 with N = 3; give arrays that agree"
    ]


def test_expressions_of_unknown_symbols_are_not_compared():
    bind(program(("a", "f32", ("2*N",)), symbols=("N",)), [np.zeros(7, np.float32)])


def test_strings_sequences_and_extended_types():
    import ml_dtypes

    model = program(
        ("t", "string", ("N",)), ("s", "sequence<f32>", None), ("h", "bf16", (2,)), symbols=("N",)
    )
    values, _ = bind(model, [np.array(["a", "bc"]), [IMAGE], np.zeros(2, ml_dtypes.bfloat16)])
    assert values["s_t"].tolist() == ["a", "bc"]
    assert values["s_t"].dtype == object
    assert values["s_s"] == [IMAGE]
    (line,) = lines([np.array(["a"]), [], np.zeros(2, np.float16)], model)
    assert "got float16[2], expected bf16[2]; convert it with .astype('bfloat16')" in line
