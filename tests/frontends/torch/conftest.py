"""The recorded models and programs of torch, and archives made from them that are wrong in one place."""

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

FIXTURES = Path(__file__).parent / "fixtures"


def recorded(name: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """A fixture's inputs and torch's results, both in order."""
    with np.load(FIXTURES / f"{name}.npz") as arrays:
        inputs = [arrays[key] for key in arrays if key.startswith("in_")]
        return inputs, [arrays[key] for key in arrays if key.startswith("out_")]


def assert_close(got: Mapping[str, np.ndarray], want: list[np.ndarray], tolerance: float = 1e-4) -> None:
    """Same dtypes and shapes, and within `tolerance` of each result's largest value."""
    assert len(got) == len(want)
    for (name, mine), theirs in zip(got.items(), want, strict=True):
        assert (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape), name
        if theirs.dtype.kind in "biu":
            np.testing.assert_array_equal(mine, theirs, err_msg=name)
            continue
        finite = theirs[np.isfinite(theirs)]
        largest = float(abs(finite).max()) if finite.size else 1.0
        limit = max(tolerance, float(np.finfo(theirs.dtype).eps)) * max(largest, 1e-3)
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=limit, err_msg=name)


@pytest.fixture
def changed(tmp_path) -> Callable[..., Path]:
    """Makes a copy of a fixture with members replaced (bytes), edited (a function of bytes) or left out (None)."""

    def make(name: str, changes: Mapping[str, object]) -> Path:
        data = io.BytesIO((FIXTURES / name).read_bytes())
        path = tmp_path / name
        seen = set()
        with zipfile.ZipFile(data) as source, zipfile.ZipFile(path, "w") as target:
            for entry in source.infolist():
                inner = entry.filename.partition("/")[2]
                change = changes.get(inner, changes.get(entry.filename, source.read(entry)))
                seen |= {inner, entry.filename}
                if callable(change):
                    change = change(source.read(entry))
                if change is not None:
                    assert isinstance(change, bytes)
                    target.writestr(entry.filename, change)
        assert set(changes) <= seen
        return path

    return make
