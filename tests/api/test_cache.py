"""The cache of packages: hits need the same content and options, damage and foreign folders count as nothing."""

import json
import os
import threading

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import isthmus
from isthmus import cache


@pytest.fixture
def folder(tmp_path, monkeypatch):
    path = tmp_path / "cache"
    monkeypatch.setenv(cache.CACHE, str(path))
    return path


@pytest.fixture
def model(tmp_path):
    return write(tmp_path / "model.onnx", "Relu")


def write(path, op):
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3]) for name in "xy")
    graph = helper.make_graph([helper.make_node(op, ["x"], ["y"])], "g", [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]), path)
    return path


def kept(folder):
    """The packages in the folder once all writers are done."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    return sorted(folder.glob("*.isth"))


def test_the_second_compilation_only_loads(folder, model, monkeypatch) -> None:
    first = isthmus.compile(model)
    (file,) = kept(folder)
    monkeypatch.setattr("isthmus.compilation.read_open", None)  # nothing is read again
    second = isthmus.compile(model, threads=1)
    assert kept(folder) == [file]
    assert {n: second.artefact.entry(n).tobytes() for n in second.artefact.names} == {
        n: first.artefact.entry(n).tobytes() for n in first.artefact.names
    }
    data = {"x": np.array([[-1, 2, 3], [4, -5, 6]], np.float32)}
    assert np.array_equal(second.run(data)["y"], np.maximum(data["x"], 0))


def test_the_command_line_shares_it(folder, model, tmp_path, monkeypatch, command) -> None:
    first = command("compile", model, "-o", tmp_path / "first.isth", "--json")
    assert len(kept(folder)) == 1
    monkeypatch.setattr("isthmus.commands.building._build", None)  # nothing is compiled again
    second = command("compile", model, "-o", tmp_path / "second.isth", "--json")
    assert (tmp_path / "second.isth").read_bytes() == (tmp_path / "first.isth").read_bytes()
    facts = ("bytes", "kernels", "fallbacks")
    told = [json.loads(each.out) for each in (first, second)]
    assert [told[0][name] for name in facts] == [told[1][name] for name in facts]
    monkeypatch.setattr("isthmus.compilation.read_open", None)
    assert isthmus.compile(model).artefact.manifest.model == "model.onnx"


@pytest.mark.parametrize(
    "options", [["--emit", "ir"], ["--report"], ["--strip"], ["--no-cache"], ["--option", "level=x86-64"]]
)
def test_another_file_is_not_copied(folder, model, tmp_path, monkeypatch, options, command) -> None:
    command("compile", model, "-o", tmp_path / "first.isth")
    kept(folder)
    monkeypatch.setattr(
        "isthmus.commands.building._build", lambda *_: {"kernels": 99, "fallbacks": [], "files": []}
    )
    assert "99 kernels" in command("compile", model, "-o", tmp_path / "second.isth", *options).out


def test_a_damaged_package_is_not_copied(folder, model, tmp_path, command) -> None:
    command("compile", model, "-o", tmp_path / "first.isth")
    (file,) = kept(folder)
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    command("compile", model, "-o", tmp_path / "second.isth")
    assert (tmp_path / "second.isth").read_bytes() == whole
    assert kept(folder)[0].read_bytes() == whole


def test_a_file_that_rests_is_hashed_once(folder, model, monkeypatch) -> None:
    before = cache.digest(model)
    monkeypatch.setattr(cache, "_SETTLED", -1)
    assert cache.digest(model) == before
    with monkeypatch.context() as patched:
        patched.setattr(cache, "_sha256", None)  # it is not read again
        assert cache.digest(model) == before
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    times = model.stat().st_atime_ns, model.stat().st_mtime_ns
    model.write_bytes(content)
    os.utime(model, ns=times)  # the same size and time of change, as far as a user can set them
    assert cache.digest(model) != before


def test_what_changes_the_bytes_changes_the_name(folder, model) -> None:
    isthmus.compile(model)
    isthmus.compile(model, strip=True)
    isthmus.compile(model, options={"level": "x86-64"})
    assert len(kept(folder)) == 3
    write(model, "Sigmoid")
    data = {"x": np.zeros((2, 3), np.float32)}
    assert isthmus.compile(model).run(data)["y"][0, 0] == 0.5
    assert len(kept(folder)) == 4


def test_nothing_is_kept_where_it_is_off(folder, model, monkeypatch) -> None:
    isthmus.compile(model, cache=False)
    isthmus.compile(model, observe=lambda *_: None)
    assert kept(folder) == []
    monkeypatch.setenv(cache.CACHE, "off")
    isthmus.compile(model)
    assert kept(folder) == []


def test_a_damaged_package_is_compiled_again(folder, model) -> None:
    isthmus.compile(model)
    (file,) = kept(folder)
    file.write_bytes(file.read_bytes()[:100])
    data = {"x": np.ones((2, 3), np.float32)}
    assert isthmus.compile(model).run(data)["y"].all()
    assert kept(folder)[0].stat().st_size > 100


def test_a_folder_that_others_may_write_is_not_used(folder, model) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    isthmus.compile(model)
    assert kept(folder) == []


def test_models_of_several_files_are_not_kept(folder, tmp_path) -> None:
    weights = numpy_helper.from_array(np.ones((64, 64), np.float32), "w")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [64, 64]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [x], [y], [weights])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    onnx.save(made, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    assert (tmp_path / "w.bin").exists()
    isthmus.compile(tmp_path / "m.onnx")
    assert kept(folder) == []


def test_the_longest_unused_go_first(tmp_path) -> None:
    for age, name in enumerate("abc"):
        file = tmp_path / f"{name}.isth"
        file.write_bytes(bytes(100))
        os.utime(file, (1000 - age, 1000 - age))
    cache.shrink(tmp_path, 250)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.isth", "b.isth"]
