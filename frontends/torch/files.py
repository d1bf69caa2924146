"""Which of torch's files a file is, from its bytes; those that hold no graph are answered with the way to one."""

from pathlib import Path

from ...compiler.diagnostics import ModelError
from ..source import SourceModel
from .archive import Archive

SUFFIXES = (".pt2", ".pt", ".pth", ".ptl", ".safetensors")

EXPORT = "in Python, torch.export.save(torch.export.export(model.eval(), (inputs,)), 'model.pt2'), then give model.pt2"


def looks_like_torch(path: Path, head: bytes) -> bool:
    """By suffix, or by the first member of a zip archive, which torch names so."""
    if path.suffix in SUFFIXES:
        return True
    return head.startswith(b"PK\x03\x04") and any(
        mark in head[:512]
        for mark in (b"/data.pkl", b"/data/weights/", b"serialized_exported_program", b"/archive_format")
    )


def read_file(path: Path) -> SourceModel:
    """The graph of a file. Raises ModelError for damaged files and for those that hold weights without a graph."""
    location = path.name
    try:
        with open(path, "rb") as stream:
            head = stream.read(16)
    except OSError as error:
        raise ModelError(
            f"can't be read: {error.strerror}", location=str(path), hint="check the path"
        ) from None
    if not head.startswith(b"PK\x03\x04"):
        raise _without_graph(location, path, head)
    archive = Archive(path, location)
    names = archive.names()
    if "serialized_exported_program.json" in archive or any(name.startswith("models/") for name in names):
        from .program import read_program

        return read_program(archive)
    if any(name.startswith("code/") for name in names):
        from .script import read_script

        return read_script(archive)
    if "data.pkl" in archive:
        raise ModelError(
            "holds weights (a state dict or a pickled module) and no graph", location=location, hint=EXPORT
        )
    raise ModelError("is a zip archive, but none that torch writes", location=location, hint=EXPORT)


def _without_graph(location: str, path: Path, head: bytes) -> ModelError:
    if not head:
        return ModelError("is empty", location=location, hint="copy it again")
    if path.suffix == ".safetensors" or head[8:9] == b"{":
        return ModelError("holds weights (safetensors) and no graph", location=location, hint=EXPORT)
    if head[0] == 0x80:
        return ModelError(
            "is a pickle, which holds code rather than a graph and is not opened",
            location=location,
            hint=EXPORT,
        )
    return ModelError(
        "is neither an archive of torch nor a file of weights",
        location=location,
        hint="copy it again; " + EXPORT,
    )
