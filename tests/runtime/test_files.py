"""Files appear whole or not at all."""

from pathlib import Path

import pytest

from isthmus.runtime.files import replacing


def test_a_file_is_replaced_when_all_is_written_and_kept_after_an_error(tmp_path: Path) -> None:
    file = tmp_path / "name.txt"
    with replacing(file) as temporary:
        temporary.write_text("first")
        assert not file.exists()
    with pytest.raises(ValueError, match="half"):
        _begin(file)
    assert file.read_text() == "first"
    assert list(tmp_path.iterdir()) == [file]


def test_what_can_not_be_written_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "no" / "folder") as temporary:
        temporary.write_text("")


def _begin(file: Path) -> None:
    with replacing(file) as temporary:
        temporary.write_text("second")
        raise ValueError("half")
