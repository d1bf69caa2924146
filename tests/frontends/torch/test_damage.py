"""Files that can't be read: errors name the place, what was found and the way out, and nothing of a pickle runs."""

import io
import json
import pickle
import re
import zipfile
from pathlib import Path

import pytest

import isthmus
from isthmus import IsthmusError

from .conftest import FIXTURES

MODEL = "models/model.json"


def refused(path: Path, **shapes) -> str:
    with pytest.raises(IsthmusError) as caught:
        isthmus.read(path, shapes=shapes or None)
    assert "Traceback" not in str(caught.value)
    return str(caught.value)


def edited(change):
    """A function of a member's bytes that changes the JSON in it."""

    def edit(data: bytes) -> bytes:
        program = json.loads(data)
        change(program)
        return json.dumps(program).encode()

    return edit


def nodes(program) -> list:
    return program["graph_module"]["graph"]["nodes"]


class Bomb:
    """Unpickled by Python itself, this would write a file."""

    def __reduce__(self):
        return open, (Bomb.path, "w")


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(f"net/{name}", content)
    return path


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated_archive(tmp_path, share) -> None:
    data = (FIXTURES / "gru.pt2").read_bytes()
    path = tmp_path / "cut.pt2"
    path.write_bytes(data[: int(len(data) * share)])
    assert refused(path).startswith("cut.pt2: the archive is damaged or cut short")


def test_damaged_directory(tmp_path) -> None:
    """No format that looks into the archive falls over it."""
    path = tmp_path / "cut.pt2"
    path.write_bytes((FIXTURES / "gru.pt2").read_bytes().replace(b"PK\x01\x02", b"PK\x01\x03", 1))
    assert refused(path).startswith("cut.pt2: the archive is damaged or cut short")


def test_flipped_bits(tmp_path) -> None:
    data = bytearray((FIXTURES / "gru.pt2").read_bytes())
    place = data.index(b"weight_0") + 40
    data[place] ^= 0xFF
    path = tmp_path / "bits.pt2"
    path.write_bytes(bytes(data))
    assert "data/weights/weight_0' in the archive is damaged" in refused(path)


def test_other_schema_version(changed) -> None:
    path = changed("gru.pt2", {MODEL: edited(lambda p: p["schema_version"].update(major=9))})
    text = refused(path)
    assert text.startswith("gru.pt2: its schema has version 9, this build reads 8")
    assert "torch.export.save" in text


def test_newer_minor_version_and_unknown_keys_are_read(changed) -> None:
    def newer(program) -> None:
        program["schema_version"]["minor"] = 99
        program["future"] = {"x": 1}
        nodes(program)[0]["future"] = []

    assert isthmus.read(changed("gru.pt2", {MODEL: edited(newer)})).outputs


def test_missing_weight(changed) -> None:
    def without(config) -> None:
        config["config"].pop("layer.weight_ih_l0")
        config["config"].pop("head.bias")

    path = changed("gru.pt2", {"data/weights/model_weights_config.json": edited(without)})
    text = refused(path)
    assert "layer.weight_ih_l0: the archive has no data for the parameter" in text
    assert "head.bias" in text


def test_missing_storage(changed) -> None:
    assert "the archive has no 'data/weights/weight_0'" in refused(
        changed("gru.pt2", {"data/weights/weight_0": None})
    )


def test_short_storage(changed) -> None:
    text = refused(changed("gru.pt2", {"data/weights/weight_0": b"abcd"}))
    assert "it has 4 bytes, its tensors need" in text


def test_pickled_weight_is_not_read(changed) -> None:
    def pickled(config) -> None:
        config["config"]["head.bias"]["use_pickle"] = True

    path = changed("gru.pt2", {"data/weights/model_weights_config.json": edited(pickled)})
    assert "'head.bias' is stored as a pickle, which is not read" in refused(path)


def test_no_json(changed) -> None:
    assert "'models/model.json' is no JSON" in refused(changed("gru.pt2", {MODEL: b"{"}))


WEIGHTS = "data/weights/model_weights_config.json"


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (b"{", "'data/weights/model_weights_config.json' is no JSON"),
        (b"{}", "does not fit torch's schema: KeyError: 'config'"),
        (b"[]", "does not fit torch's schema: TypeError"),
    ],
)
def test_table_of_weights_of_another_form(changed, table, reason) -> None:
    assert reason in refused(changed("gru.pt2", {WEIGHTS: table}))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda meta: meta.pop("sizes"), "does not fit torch's schema: KeyError: 'sizes'"),
        (lambda meta: meta["sizes"][0].update(as_int=-3), "a tensor of sizes [-3"),
        (
            lambda meta: meta.update(sizes=[{"as_int": 2**40}], strides=[{"as_int": 0}]),
            f"a tensor of sizes [{2**40}] repeats",
        ),
    ],
    ids=["no sizes", "negative", "repeated"],
)
def test_stored_tensor_of_another_form(changed, change, reason) -> None:
    def edit(table) -> None:
        change(table["config"]["head.bias"]["tensor_meta"])

    assert reason in refused(changed("gru.pt2", {WEIGHTS: edited(edit)}))


def test_json_of_another_form(changed) -> None:
    assert "does not fit torch's schema" in refused(
        changed("gru.pt2", {MODEL: edited(lambda p: p.pop("graph_module"))})
    )


def test_complex_numbers_stay_inside(changed) -> None:
    """Pairs stand for them while a graph is read: none comes in or goes out, and not every op knows them."""

    def given(program) -> None:
        program["graph_module"]["graph"]["tensor_values"]["inputs_1"]["dtype"] = 10

    def returned(program) -> None:
        (spec, *_) = program["graph_module"]["signature"]["output_specs"]
        spec["user_output"]["arg"]["as_tensor"]["name"] = "view_as_complex"

    def strange(program) -> None:
        target = {node["target"]: node for node in nodes(program)}
        target["torch.ops.aten.abs.default"]["target"] = "torch.ops.aten.tanh.default"

    for change, reason in (
        (given, "inputs of complex numbers are not supported"),
        (returned, "results of complex numbers are not supported; return torch.view_as_real"),
        (strange, "complex numbers are not supported by it; compute with torch.view_as_real's pairs"),
    ):
        assert reason in refused(changed("complexes.pt2", {MODEL: edited(change)}))


def test_several_models(changed, tmp_path) -> None:
    path = archive(tmp_path / "two.pt2", {"models/a.json": b"{}", "models/b.json": b"{}"})
    assert "the archive holds the models a, b, expected one" in refused(path)


def test_every_unsupported_op_is_listed_with_module_and_line(changed) -> None:
    def strange(program) -> None:
        for node in nodes(program)[-2:]:
            node["target"] = "torch.ops.acme.wave.default"
        nodes(program)[0]["target"] = "torch.ops.aten.bernoulli.p"

    text = refused(changed("resnet.pt2", {MODEL: edited(strange)}))
    assert "acme.wave is not supported" in text
    assert "aten.bernoulli.p is not supported" in text
    assert "called in module 'model.classifier.1' at modeling_resnet.py:" in text


def test_unknown_argument_and_form(changed) -> None:
    def argument(program) -> None:
        nodes(program)[-1]["inputs"].append({"name": "twist", "arg": {"as_int": 1}, "kind": 1})

    assert "its argument 'twist' is not supported; known are" in refused(
        changed("resnet.pt2", {MODEL: edited(argument)})
    )


def test_changed_input_is_refused(changed) -> None:
    def mutation(program) -> None:
        program["graph_module"]["signature"]["output_specs"][0] = {
            "buffer_mutation": {"arg": {"name": "linear"}, "buffer_name": "count"}
        }

    assert "it changes 'count' when it runs, and packages keep no state" in refused(
        changed("gru.pt2", {MODEL: edited(mutation)})
    )


def test_number_as_input(changed) -> None:
    def number(program) -> None:
        program["graph_module"]["signature"]["input_specs"][-1] = {
            "user_input": {"arg": {"as_sym_int": {"as_name": "n"}}}
        }

    assert "gru.pt2:n: an input that is a number is not supported" in refused(
        changed("gru.pt2", {MODEL: edited(number)})
    )


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("Symbol('s0') ** 2", "no expression over sizes"),
        ("__import__('os')", "__import__"),
        ("Sin(1)", "Sin is not known"),
    ],
)
def test_sizes_are_parsed_not_run(changed, expression, reason) -> None:
    def size(program) -> None:
        values = program["graph_module"]["graph"]["tensor_values"]
        values["x"]["sizes"][0] = {"as_expr": {"expr_str": expression}}

    assert reason in refused(changed("gru.pt2", {MODEL: edited(size)}))


def test_pickle_alone_is_not_opened(tmp_path) -> None:
    Bomb.path = str(tmp_path / "ran")
    for name, data in (("net.pth", pickle.dumps(Bomb(), 2)), ("net.pt", pickle.dumps(Bomb(), 5))):
        (tmp_path / name).write_bytes(data)
        assert f"{name}: is a pickle, which holds code rather than a graph" in refused(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_state_dict_is_answered_with_the_export(tmp_path) -> None:
    Bomb.path = str(tmp_path / "ran")
    path = archive(tmp_path / "weights.pt", {"data.pkl": pickle.dumps(Bomb(), 2), "version": b"3\n"})
    text = refused(path)
    assert text.startswith("weights.pt: holds weights (a state dict or a pickled module) and no graph")
    assert "torch.export.save(torch.export.export(model.eval(), (inputs,)), 'model.pt2')" in text
    assert not (tmp_path / "ran").exists()


def test_safetensors_is_answered_with_the_export(tmp_path) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0\0\0")
    assert "holds weights (safetensors) and no graph" in refused(path)


@pytest.mark.parametrize(("data", "reason"), [(b"", "is empty"), (b"hello", "neither an archive of torch")])
def test_other_files(tmp_path, data, reason) -> None:
    path = tmp_path / "net.pt2"
    path.write_bytes(data)
    assert reason in refused(path)


def test_other_archive(tmp_path) -> None:
    assert "none that torch writes" in refused(archive(tmp_path / "net.pt2", {"notes.txt": b"x"}))


def test_old_layout_runs_no_pickle(changed, tmp_path) -> None:
    Bomb.path = str(tmp_path / "ran")
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps({"head.bias": Bomb()}, 2))
    text = refused(changed("gru.old.pt2", {"serialized_state_dict.pt": inner.getvalue()}))
    assert "its pickle asks for" in text
    assert "which would run code: it is refused" in text
    assert not (tmp_path / "ran").exists()


def test_script_runs_no_pickle(changed, tmp_path) -> None:
    Bomb.path = str(tmp_path / "ran")
    text = refused(changed("gru.pt", {"data.pkl": pickle.dumps(Bomb(), 2)}))
    assert "its pickle asks for" in text
    assert not (tmp_path / "ran").exists()


def test_damaged_pickle(changed) -> None:
    assert "'data.pkl' is a damaged pickle" in refused(changed("gru.pt", {"data.pkl": b"\x80\x02]q\x00(K"}))


def test_lists_count_what_has_no_place(changed) -> None:
    def many(program) -> None:
        for node in nodes(program):
            if node["target"] == "torch.ops.aten.batch_norm.default":
                node["target"], node["metadata"] = "torch.ops.acme.wave.default", {}

    text = refused(changed("resnet.pt2", {MODEL: edited(many)}))
    assert "this build has no converter for it (" in text


@pytest.mark.parametrize(
    "change",
    [
        lambda program: nodes(program)[0]["inputs"].append(
            {"name": "x", "arg": {"as_tensor": {}}, "kind": 1}
        ),
        lambda program: nodes(program)[0]["outputs"][0]["as_tensor"].update(name=7),
        lambda program: nodes(program)[-1]["inputs"][0]["arg"].update(as_tensor={"name": 7}),
        lambda program: program["graph_module"]["graph"]["tensor_values"]["x"]["sizes"][0].update(
            as_int="3 x"
        ),
        lambda program: program["graph_module"]["graph"]["tensor_values"]["x"]["sizes"][0].update(
            as_int=1e999
        ),
    ],
    ids=["no name", "name of a result", "name of an operand", "size that is text", "size without end"],
)
def test_values_of_another_kind(changed, change) -> None:
    assert "does not fit torch's schema" in refused(changed("gru.pt2", {MODEL: edited(change)}))


def test_stored_tensor_without_end(changed) -> None:
    def edit(table) -> None:
        table["config"]["head.bias"]["tensor_meta"]["sizes"][0]["as_int"] = 1e999

    assert "does not fit torch's schema" in refused(changed("gru.pt2", {WEIGHTS: edited(edit)}))


LAYER = "code/__torch__/models.py"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"layer = self.layer", b"layer = self - self.layer"),
        (b"layer = self.layer", b"layer = -self"),
        (b"layer = self.layer", b"layer = CONSTANTS.c9"),
        (b"layer = self.layer", b"layer = torch.add(torch.relu, x)"),
        (b"_0, _1, = (layer).forward(x, )", b"_0, _1, = 3"),
        (b"layer = self.layer", b"layer = self.layer[x]"),
    ],
)
def test_code_that_does_not_fit(changed, before, after) -> None:
    def edit(code: bytes) -> bytes:
        assert before in code
        return code.replace(before, after)

    text = refused(changed("gru.pt", {LAYER: edit}))
    assert text.startswith("gru.pt:forward: '")
    assert "does not fit what it is given" in text


@pytest.mark.parametrize(
    ("target", "argument"),
    [("logspace", "steps"), ("bartlett_window", "window_length")],
    ids=lambda name: name,
)
def test_constants_that_a_file_only_asks_for(changed, target, argument) -> None:
    def edit(program) -> None:
        (node,) = (n for n in nodes(program) if n["target"] == f"torch.ops.aten.{target}.default")
        (entry,) = (entry for entry in node["inputs"] if entry["name"] == argument)
        entry["arg"]["as_int"] = 2**40

    text = refused(changed("seldom.pt2", {MODEL: edited(edit)}))
    assert f"it asks for a constant of shape [{2**40}], more than" in text


def test_names_with_line_breaks_make_one_line(changed) -> None:
    def edit(program) -> None:
        nodes(program)[-1]["target"] = "torch.ops.acme.wave\nof.default"

    assert len(refused(changed("gru.pt2", {MODEL: edited(edit)})).splitlines()) == 1


def test_packed_sequences_are_known_to_few(changed) -> None:
    def edit(code: bytes) -> bytes:
        changed = re.sub(
            rb"torch._pad_packed_sequence\((\w+), .*\)", rb"torch.sort(\1, 0, False)", code, count=1
        )
        assert changed != code
        return changed

    text = refused(changed("ragged.pt", {"code/__torch__/rarer.py": edit}))
    assert "packed sequences are not supported by it; pad them first, by pad_packed_sequence" in text
