"""The container: equal bytes, aligned entries, atomic saves, and one line for every kind of damage."""

import json
import os
import struct
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from isthmus.runtime import Artefact, LoadedPackage, PackageError, Slot, VersionError
from isthmus.runtime.manifest import FORMAT_VERSION


@pytest.fixture
def saved(make_artefact, tmp_path):
    make_artefact().save(tmp_path / "a.isth")
    return tmp_path / "a.isth"


def rewrite(path, entry: str, data: bytes | None, compression: int = zipfile.ZIP_STORED) -> None:
    """Replace or (None) leave out an entry, as a careless tool would."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    entries[entry] = data if data is not None else b""
    if data is None:
        del entries[entry]
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, contents in entries.items():
            archive.writestr(name, contents)


def refusal(path) -> str:
    with pytest.raises(PackageError) as caught:
        Artefact.open(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    return text


def test_open_gives_what_was_saved(make_artefact, saved):
    made, opened = make_artefact(), Artefact.open(saved)
    assert opened.program == made.program
    assert opened.manifest == made.manifest
    assert opened.names == ("program.json", "toy/code", "toy/constants")
    for name in opened.names:
        assert np.array_equal(opened.entry(name), made.entry(name))
    assert not opened.entry("toy/constants").flags.writeable
    opened.verify()
    opened.verify_once(["toy/constants", "toy/constants"])


def test_bytes_do_not_depend_on_order_time_or_place(make_artefact, saved, tmp_path, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 2e9)
    artefact = make_artefact()
    shuffled = Artefact(
        artefact.manifest,
        artefact.program,
        {name: artefact.entry(name) for name in ("toy/constants", "toy/code")},
    )
    (tmp_path / "elsewhere").mkdir()
    shuffled.save(tmp_path / "elsewhere" / "b.isth")
    assert (tmp_path / "elsewhere" / "b.isth").read_bytes() == saved.read_bytes()


def test_saving_what_was_opened_gives_the_same_bytes(saved, tmp_path):
    Artefact.open(saved).save(tmp_path / "b.isth")
    assert (tmp_path / "b.isth").read_bytes() == saved.read_bytes()


def test_any_zip_tool_reads_it(saved):
    with zipfile.ZipFile(saved) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["manifest.json", "program.json", "toy/code", "toy/constants"]
        manifest = json.loads(archive.read("manifest.json"))
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    assert manifest["format_version"] == FORMAT_VERSION
    assert manifest["passes"] == ["canonicalise", "fuse"]
    assert manifest["entries"]["toy/constants"]["size"] == 8192


def test_large_entries_start_on_pages_small_ones_on_lines(saved):
    opened = Artefact.open(saved)
    base = np.frombuffer(saved.read_bytes(), np.uint8)
    assert opened.entry("toy/constants").ctypes.data % 4096 == 0
    assert all(opened.entry(name).ctypes.data % 64 == 0 for name in opened.names)
    assert base.size < 4096 * 4


def test_sizes_beyond_4_gib_keep_their_alignment(make_artefact, tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 8000)
    make_artefact().save(tmp_path / "a.isth")
    opened = Artefact.open(tmp_path / "a.isth")
    assert opened.entry("toy/constants").ctypes.data % 4096 == 0
    opened.verify()


def test_save_replaces_whole_or_not_at_all(make_artefact, saved, tmp_path, monkeypatch):
    before = saved.read_bytes()
    opened = Artefact.open(saved)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(PackageError, match="can't be written: No space left on device; choose a folder"):
        make_artefact().save(saved)
    assert saved.read_bytes() == before
    monkeypatch.undo()
    make_artefact().save(saved)
    opened.verify()  # a mapping of the replaced file goes on
    assert os.listdir(tmp_path) == ["a.isth"]


def test_saved_file_obeys_the_umask(make_artefact, tmp_path):
    old = os.umask(0o027)
    try:
        make_artefact().save(tmp_path / "a.isth")
    finally:
        os.umask(old)
    assert (tmp_path / "a.isth").stat().st_mode & 0o777 == 0o640


def test_unwritable_places_are_refused(make_artefact, tmp_path):
    with pytest.raises(PackageError, match="can't be written: No such file or directory"):
        make_artefact().save(tmp_path / "no" / "a.isth")
    (tmp_path / "folder").mkdir()
    with pytest.raises(PackageError, match="can't be written: Is a directory"):
        make_artefact().save(tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"]


def test_missing_file(tmp_path):
    assert "no such file; give the path of an .isth package" in refusal(tmp_path / "none.isth")


def test_folder(tmp_path):
    assert "can't be read: Is a directory" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" + bytes(100), bytes(5000)])
def test_other_files(tmp_path, content):
    (tmp_path / "a.isth").write_bytes(content)
    assert "not a package, or a damaged one" in refusal(tmp_path / "a.isth")


def test_zip_that_is_no_package(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.isth", "w") as archive:
        archive.writestr("data.pkl", b"")
    assert "no manifest.json in it; expected an .isth package" in refusal(tmp_path / "a.isth")


def test_truncation_at_every_place(saved):
    whole = saved.read_bytes()
    for size in [*range(0, len(whole) - 1, 97), len(whole) - 1]:
        saved.write_bytes(whole[:size])
        refusal(saved)


def test_flipped_bytes_never_pass_unseen(saved, toy, resolve):
    """Whatever byte changes: open or the first run refuses, or nothing that is used changed."""
    whole = bytearray(saved.read_bytes())
    reference = LoadedPackage(Artefact.open(saved), {"toy": toy}, resolve=resolve)
    x = np.ones((2, 3), np.float32)
    expected = reference.run([x])["y"]
    refused = 0
    for position in range(0, len(whole), 13):
        whole[position] ^= 0x5A
        saved.write_bytes(whole)
        try:
            package = LoadedPackage(Artefact.open(saved), {"toy": toy}, resolve=resolve)
            assert np.array_equal(package.run([x])["y"], expected)
        except PackageError:
            refused += 1
        whole[position] ^= 0x5A
    assert refused > 600  # all of the weights' and most of the text's bytes


def test_weights_are_checked_at_the_first_run_only(saved, toy, resolve):
    content = bytearray(saved.read_bytes())
    start = Artefact.open(saved).entry("toy/constants").ctypes.data
    offset = content.index(np.arange(1, 9, dtype=np.float32).tobytes())
    assert start % 4096 == offset % 4096
    content[offset + 5000] ^= 1
    saved.write_bytes(content)
    package = LoadedPackage(Artefact.open(saved), {"toy": toy}, resolve=resolve)
    for _ in range(2):
        with pytest.raises(
            PackageError, match="toy/constants: its bytes changed since it was made; the file"
        ):
            package.run([np.ones((2, 3), np.float32)])
    with pytest.raises(PackageError, match="toy/constants: its SHA-256 differs from the manifest's"):
        package.verify()


def test_changed_code_is_refused(saved):
    rewrite(saved, "toy/code", b"CODE of the toy")
    assert "toy/code: its SHA-256 differs" in refusal(saved)


def test_changed_size_is_refused(saved):
    rewrite(saved, "toy/constants", b"1234")
    assert "toy/constants: 4 bytes, expected 8192; the file is damaged or cut short" in refusal(saved)


@pytest.mark.parametrize("name", ["program.json", "toy/code", "toy/constants"])
def test_missing_entries_are_named(saved, name):
    rewrite(saved, name, None)
    assert f"{name}: the entry is missing" in refusal(saved)


def test_surplus_entries_are_refused(saved):
    rewrite(saved, "surplus", b"1")
    assert "surplus: the manifest does not list it" in refusal(saved)


def test_compressed_entries_are_refused(saved):
    rewrite(saved, "toy/code", b"code of the toy", zipfile.ZIP_DEFLATED)
    assert "entry is compressed, encrypted or double" in refusal(saved)


def manifest_with(saved, **changes: object) -> None:
    with zipfile.ZipFile(saved) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    rewrite(saved, "manifest.json", json.dumps({**manifest, **changes}).encode())


def test_newer_formats_are_refused(saved):
    manifest_with(saved, format_version=FORMAT_VERSION + 1, tool_version="9.9")
    with pytest.raises(
        VersionError, match=r"format 2, made by isthmus 9.9; this version reads up to format 1; upgrade"
    ):
        Artefact.open(saved)


@pytest.mark.parametrize(
    "changes",
    [{"format": "zip"}, {"entries": 3}, {"entries": {"a": {}}}, {"format_version": "x"}, {"passes": None}],
)
def test_bad_manifests_are_refused(saved, changes):
    manifest_with(saved, **changes)
    assert "manifest.json: unreadable manifest" in refusal(saved)


def test_manifest_that_is_no_json(saved):
    rewrite(saved, "manifest.json", b"{")
    assert "manifest.json: unreadable manifest" in refusal(saved)


def test_programs_need_their_entries(make_artefact, make_program):
    program = make_program(slots=(Slot("t", "f32", (1,), "constant", entry="texts"),))
    with pytest.raises(PackageError, match=r"m.onnx: the program needs texts"):
        make_artefact(program)


def test_unknown_entries_are_refused(make_artefact):
    with pytest.raises(PackageError, match=r"no entry 'x'; it has toy/code, toy/constants, program.json"):
        make_artefact().entry("x")


def test_overlong_directory_sizes_are_refused(saved):
    """A directory that promises more bytes than the file has must not be believed."""
    content = bytearray(saved.read_bytes())
    directory = content.rindex(b"toy/constants") - 46
    for field in (20, 24):
        struct.pack_into("<I", content, directory + field, 1 << 30)
    saved.write_bytes(content)
    assert "cut short" in refusal(saved)


def test_manifest_is_computed_once(make_artefact):
    artefact = make_artefact()
    assert artefact.manifest is artefact.manifest
    assert replace(artefact.manifest, entries={}).entries == {}
