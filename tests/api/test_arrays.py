"""Array files: types that numpy lacks, strings, sequences, names; written whole or not at all."""

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from isthmus.arrays import load_arrays, random_arrays, save_arrays
from isthmus.runtime.errors import InputError
from isthmus.runtime.program import Port


def port(name: str, dtype: str = "f32", shape: tuple | None = (2, 3)) -> Port:
    return Port(name, name, dtype, shape)


def test_what_is_saved_loads_again(tmp_path: Path) -> None:
    arrays = {
        "file": np.arange(6, dtype=np.int8).reshape(2, 3),
        "a/b:0": np.ones((2, 3), ml_dtypes.bfloat16),
        "text": np.array(["a", "äöü"], object),
        "scalar": np.float32(3),
    }
    path = str(tmp_path / "arrays.npz")
    save_arrays(path, arrays)
    loaded = load_arrays([path], [port("a/b:0", "bf16")])
    assert set(loaded) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)
    assert loaded["a/b:0"].dtype == ml_dtypes.bfloat16
    save_arrays(str(tmp_path / "again.npz"), arrays)
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "arrays.npz").read_bytes()


def test_sequences_are_numbered_and_absent_values_left_out(tmp_path: Path) -> None:
    save_arrays(str(tmp_path / "out.npz"), {"s": [np.zeros(1), np.ones(2)], "none": None})
    assert sorted(np.load(tmp_path / "out.npz").files) == ["s.0", "s.1"]


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "evil.npy", np.array([print], object), allow_pickle=True)
    with pytest.raises(InputError, match=r"evil\.npy: is no \.npz or \.npy file .* plain arrays only"):
        load_arrays([str(tmp_path / "evil.npy")], [port("x")])


def test_unnamed_array_needs_a_name_among_several_inputs(tmp_path: Path) -> None:
    path = str(tmp_path / "x.npy")
    np.save(path, np.zeros((2, 3), np.float32))
    with pytest.raises(
        InputError, match=r"holds one array without a name; write NAME=.*x\.npy, NAME being one of x, y"
    ):
        load_arrays([path], [port("x"), port("y")])
    assert set(load_arrays([f"x={path}", f"y={path}"], [port("x"), port("y")])) == {"x", "y"}


def test_nothing_is_left_of_a_file_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "taken.npz").mkdir()
    for place in ("nowhere/out.npz", "taken.npz"):
        with pytest.raises(InputError, match=r"can't be written: .*; choose a folder"):
            save_arrays(str(tmp_path / place), {"x": np.zeros(3)})
    assert [path.name for path in tmp_path.iterdir()] == ["taken.npz"]


def test_random_arrays_suit_every_type() -> None:
    types = ("f64", "f32", "f16", "bf16", "f8e4m3fn", "i64", "i8", "u8", "i4", "bool", "c64")
    arrays = random_arrays([port(dtype, dtype) for dtype in types])
    assert all(array.shape == (2, 3) for array in arrays.values())
    assert arrays["bool"].dtype == bool
    assert arrays["bf16"].dtype == ml_dtypes.bfloat16
    assert set(np.unique(arrays["i64"])) <= {0, 1}
    assert np.unique(arrays["bf16"].astype(np.float32)).size > 2
    for wrong in (port("x", "string"), port("x", "f32", ("n",)), port("x", "f32", None)):
        with pytest.raises(InputError, match=r"input 'x': no random value is known .*; give --input"):
            random_arrays([wrong])
