"""Packages that were compiled before, kept on disk by all that their bytes depend on.

A file a package, named by the SHA-256 of the model's content, of how it was compiled, of the compiler itself and of
this machine. Files appear whole or not at all, so any number of processes may share the folder; the longest unused ones
go first. Only models that are one file are kept: what else a model reads is not known before it is read.

What finds a package imports next to nothing: the command line copies one before numpy would be there.
"""

import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.runtime.files import replacing

if TYPE_CHECKING:
    from isthmus.runtime.artefact import Artefact

CACHE = "ISTHMUS_CACHE"
"""Names the folder of packages that were compiled before, or says "off"."""

LIMIT = 8 << 30
"""Bytes that the folder may hold."""

_PARTS = ("", ".compiler", ".frontends", ".backends", ".runtime")
_LIBRARIES = ("numpy", "llvmlite", "onnx")
_PIECE = 16 << 20
_SETTLED = 2 * 10**9
"""Nanoseconds for which a file must have been left alone before its times are taken for its content's."""


def folder() -> Path | None:
    """Where packages are kept, None if the cache is off or the folder is not this user's alone."""
    chosen = os.environ.get(CACHE, "")
    if chosen == "off":
        return None
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(chosen) if chosen else Path(base, "isthmus", "packages")
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.stat()
    except OSError:
        return None
    return path if found.st_uid == os.getuid() and not found.st_mode & 0o022 else None


def key(source: Path, sha256: str, how: Mapping[str, Any]) -> str:
    """The name of the package of a model under the keywords of `compile` that change its bytes."""
    given = {name: value for name, value in how.items() if value}
    facts = [source.name, sha256, given, list(_compiler()), _machine()]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=repr).encode()).hexdigest()


def name(source: Path, how: Mapping[str, Any]) -> tuple[str, str] | None:
    """The name of the package of a file, and the file's SHA-256.

    None where nothing is kept: the cache is off, there is no such file to read, or a chip's file is named, which may
    change.
    """
    if folder() is None or not source.is_file() or str(how["target"]).endswith(".toml"):
        return None
    try:
        sha256 = digest(source)
    except OSError:
        return None
    return key(source, sha256, how), sha256


def digest(source: Path) -> str:
    """The SHA-256 of a file, as hex: found once for as long as the file is the same by number, size and all its times.

    Only for a file that was last changed some seconds before: times may be too coarse to tell two changes apart.
    """
    base, now = folder(), time.time_ns()
    if base is None:
        return _sha256(source)
    found = source.stat()
    facts = [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]
    known = base / f"{hashlib.sha256(os.fsencode(source.absolute())).hexdigest()}.digest"
    try:
        *before, sha256 = json.loads(known.read_text())
        if before == facts:
            return str(sha256)
    except (OSError, ValueError, TypeError):
        pass
    sha256 = _sha256(source)
    if now - max(found.st_mtime_ns, found.st_ctime_ns) > _SETTLED:
        try:
            with replacing(known) as temporary:
                temporary.write_text(json.dumps([*facts, sha256]))
        except OSError:
            pass  # it is found again
    return sha256


def _sha256(source: Path) -> str:
    """In large pieces: between any two of them it may wait for the interpreter."""
    state, piece = hashlib.sha256(), bytearray(_PIECE)
    with source.open("rb", buffering=0) as file:
        while size := file.readinto(piece):
            state.update(memoryview(piece)[:size])
    return state.hexdigest()


def copy(name: str, output: Path) -> dict[str, Any] | None:
    """Copy a package that is kept; its number of kernels and its fallbacks.

    None where none is kept, or one that can't be read or does not list its kernels, and where it can't be written.
    """
    path = _path(name)
    if path is None or not path.exists():
        return None
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            manifest, program = (json.loads(archive.read(f"{part}.json")) for part in ("manifest", "program"))
        steps = [step for device in program["devices"] for run in device["meta"]["steps"] for step in run]
        with replacing(output) as temporary:
            shutil.copyfile(path, temporary)
        os.utime(path)
    except (OSError, zipfile.BadZipFile, KeyError, ValueError):
        return None
    return {"kernels": len(steps), "fallbacks": manifest["fallbacks"]}


def find(name: str) -> "Artefact | None":
    """A package that is kept; None for none, or for one that is damaged, which is then removed."""
    from isthmus.runtime.artefact import Artefact
    from isthmus.runtime.errors import PackageError

    path = _path(name)
    if path is None or not path.exists():
        return None
    try:
        os.utime(path)  # used now: the last to go
        artefact = Artefact.open(path)
    except OSError:
        return None
    except PackageError:
        path.unlink(missing_ok=True)
        return None
    artefact.location = artefact.manifest.model
    return artefact


def lists_kernels(artefact: "Artefact") -> bool:
    """Whether `copy` could tell the kernels of a package."""
    return all("steps" in device.meta for device in artefact.program.devices)


def keep(name: str, artefact: "Artefact", sha256: str) -> threading.Thread | None:
    """Write a package while its user goes on, if a file of that digest is its whole model.

    Gives the thread that does it, which ends before the process does.
    """
    path = _path(name)
    if path is None:
        return None
    writing = threading.Thread(target=_write, args=(path, artefact, sha256))
    writing.start()
    return writing


def _write(path: Path, artefact: "Artefact", sha256: str) -> None:
    from isthmus.runtime.errors import PackageError

    try:
        if artefact.manifest.model_sha256 != sha256:
            return
        artefact.save(path)
        shrink(path.parent, LIMIT)
    except (OSError, PackageError):
        return  # a full or vanished disk costs the next compilation some time, nothing else


def shrink(path: Path, limit: int) -> None:
    """Remove what was unused longest until the rest takes at most `limit` bytes: packages, and digests of models."""
    found = [file for kind in ("*.isth", "*.digest") for file in path.glob(kind)]
    files = sorted(((f.stat().st_mtime_ns, f.stat().st_size, f) for f in found), reverse=True)
    total = 0
    for _, size, file in files:
        total += size
        if total > limit:
            file.unlink(missing_ok=True)


def _path(name: str) -> Path | None:
    base = folder()
    return None if base is None else base / f"{name}.isth"


def _compiler() -> Iterator[tuple[str, int, int]]:
    """Name, size and time of every file that takes part in compiling; of libraries of their first file."""
    for part in _PARTS:
        spec = find_spec(f"isthmus{part}")
        for root in (spec.submodule_search_locations or ()) if spec else ():
            yield from _sources(root)
    for library in _LIBRARIES:
        spec = find_spec(library)
        if spec is not None and spec.origin:
            yield _stamp(spec.origin)


def _sources(folder: str) -> Iterator[tuple[str, int, int]]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name.endswith((".py", ".toml", ".lark")):
            yield _stamp(entry.path)
        elif entry.name != "__pycache__" and entry.is_dir():
            yield from _sources(entry.path)


def _stamp(file: str) -> tuple[str, int, int]:
    found = os.stat(file)
    return file, found.st_size, found.st_mtime_ns


def machine_digest() -> str:
    """What stands for this kind of machine in names of files."""
    return hashlib.sha256("\n".join(_machine()).encode()).hexdigest()[:16]


def _machine() -> list[str]:
    """What code for this machine depends on: its architecture, and on Linux its features and the sizes of its caches as
    the kernel lists them."""
    lines = [os.uname().machine]
    try:
        with open("/proc/cpuinfo") as text:
            lines += [line.strip() for line in text if line.startswith(("flags", "Features"))][:1]
    except OSError:
        pass
    for index in range(4):
        try:
            with open(f"/sys/devices/system/cpu/cpu0/cache/index{index}/size") as text:
                lines.append(text.read().strip())
        except OSError:
            break
    return lines
