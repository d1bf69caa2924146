"""An entry's bytes in parts: joined, summed and written they are what one array would be."""

import hashlib
import zlib

import numpy as np
import pytest

from isthmus.runtime.content import Content

SIZES = ((), (0,), (64,), (1, 64, 65, 0, 7), (1 << 20, 3, (1 << 20) + 1), (500_000, 600_000, 5))


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("ahead", [False, True])
def test_parts_are_one_array(sizes, ahead) -> None:
    random = np.random.default_rng(0)
    parts = [random.integers(1, 256, size, np.uint8) for size in sizes]
    expected = b"".join(part.tobytes() + bytes(-part.size % 64) for part in parts)
    content = Content(parts)
    if ahead:
        content.sum_ahead()
        content.sum_ahead()
    assert content.size == len(expected)
    assert content.sha256 == hashlib.sha256(expected).hexdigest()
    assert content.crc32 == zlib.crc32(expected)
    assert content.joined.tobytes() == expected
    assert all(
        start % 64 == 0 and expected[start : start + p.size] == p.tobytes() for start, p in content.parts()
    )


def test_one_buffer_stays_as_it_is() -> None:
    array = np.arange(130, dtype=np.uint8)
    content = Content.of(array)
    assert content.size == 130
    assert content.joined.tobytes() == array.tobytes()
    assert content.sha256 == hashlib.sha256(array).hexdigest()
    assert Content.of(content) is content


def test_arrays_of_any_layout() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert Content([array.T]).joined[:48].tobytes() == np.ascontiguousarray(array.T).tobytes()
