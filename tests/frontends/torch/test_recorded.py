"""Models and programs as torch wrote them, read where there is no torch, against the results that torch gave."""

import subprocess
import sys

import numpy as np
import pytest

import isthmus

from .conftest import FIXTURES, assert_close, recorded

FILES = sorted(path.name for path in FIXTURES.iterdir() if path.suffix in (".pt2", ".pt"))


@pytest.mark.parametrize("name", FILES)
def test_meaning_is_torchs(name: str) -> None:
    inputs, want = recorded(name.partition(".")[0])
    model = isthmus.read(FIXTURES / name)
    assert_close(model.evaluate(inputs), want)


@pytest.mark.parametrize("name", ["resnet.pt2", "gru.pt", "in_place.pt2"])
def test_package_is_torchs(name: str) -> None:
    inputs, want = recorded(name.partition(".")[0])
    package = isthmus.compile(FIXTURES / name)
    assert_close(package.run(inputs), want)


def test_files_are_read_without_torch() -> None:
    """The tests above would prove little if reading had loaded the framework."""
    script = (
        "import sys, isthmus; [isthmus.read(path) for path in sys.argv[1:]]; print('torch' in sys.modules)"
    )
    paths = [str(FIXTURES / name) for name in ("gru.old.pt2", "gru.pt2", "gru.pt")]
    done = subprocess.run(
        [sys.executable, "-P", "-c", script, *paths], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_open_dimensions_stay_symbols() -> None:
    model = isthmus.read(FIXTURES / "open_sizes.pt2")
    assert len(model.symbols) == 3
    x, y = np.ones((3, 4, 4), np.float32), np.ones((3, 6, 4), np.float32)
    outputs = model.evaluate([x, y])
    assert outputs["output_1"].shape == (3, 7, 4)
    np.testing.assert_array_equal(outputs["output_3"], np.full((3, 8), 4, np.float32))


def test_package_of_open_dimensions_takes_other_shapes() -> None:
    package = isthmus.compile(FIXTURES / "open_sizes.pt2")
    for batch, length, more in ((2, 5, 3), (1, 3, 2)):
        inputs = [np.ones((batch, length, 4), np.float32), np.ones((batch, more, 4), np.float32)]
        assert_close(package.run(inputs), list(package.model.evaluate(inputs).values()))


def test_traced_script_takes_other_shapes_than_it_was_traced_with() -> None:
    """Time runs forwards, so the first steps of a longer sequence give the same."""
    (x,), (y, _) = recorded("gru")
    model = isthmus.read(FIXTURES / "gru.pt", shapes={"x": (1, 4, 5)})
    np.testing.assert_allclose(model.evaluate([x[:1, :4]])["output_0"], y[:1, :4], atol=1e-6)


def test_outputs_take_the_names_of_a_dict() -> None:
    model = isthmus.read(FIXTURES / "in_place.pt2")
    assert list(model.outputs) == ["y", "row", "part", "corner", "flat"]


def test_nodes_are_located_by_module() -> None:
    names = [node.location.names for node in isthmus.read(FIXTURES / "gru.pt2").graph.nodes]
    assert ("head/linear",) in names
    assert ("layer/gru",) in names
