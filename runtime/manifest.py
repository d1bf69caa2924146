"""The package's manifest: what it was made from, for what, by what, and the hashes of all that it holds."""

import json
from dataclasses import field, fields
from typing import Any

from .errors import PackageError, VersionError
from .program import fields_of
from .records import dataclass

FORMAT = "isthmus-package"
FORMAT_VERSION = 1

OPEN = "open"
"""The key of `extra` under which a package without code lists the dimensions that a run's inputs decide."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the package: its size in bytes and the SHA-256 of its bytes as hexadecimal text."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """`features` lists, for each device, what its code needs of the machine; `fallbacks` the nodes that run by their
    reference meaning, with the reason; `options` and `extra` hold JSON values."""

    tool_version: str
    model: str = ""
    model_sha256: str = ""
    target: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    passes: tuple[str, ...] = ()
    features: dict[str, Any] = field(default_factory=dict)
    fallbacks: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)

    def to_json(self) -> str:
        """Canonical, indented text."""
        record = {"format": FORMAT, "format_version": FORMAT_VERSION, **fields_of(self)}
        return json.dumps(record, default=fields_of, sort_keys=True, indent=1, ensure_ascii=True) + "\n"

    @staticmethod
    def from_json(text: str | bytes, location: str) -> "Manifest":
        """What `to_json` wrote; VersionError for a newer format, PackageError for anything else that is wrong."""
        try:
            record = json.loads(text)
            if record["format"] != FORMAT:
                raise ValueError(f"format is '{record['format']}', expected '{FORMAT}'")
            version = int(record["format_version"])
            if version > FORMAT_VERSION:
                raise VersionError(
                    f"package format {version}, made by isthmus {record.get('tool_version', '?')}; this version reads"
                    f" up to format {FORMAT_VERSION}",
                    location=location,
                    hint="upgrade isthmus, or recompile the model with this version",
                )
            known = {each.name for each in fields(Manifest)}
            values = {key: value for key, value in record.items() if key in known}
            values["entries"] = {
                name: Entry(int(entry["size"]), str(entry["sha256"]))
                for name, entry in record["entries"].items()
            }
            values["passes"], values["fallbacks"] = tuple(record["passes"]), tuple(record["fallbacks"])
            return Manifest(**values)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PackageError(
                f"unreadable manifest: {type(error).__name__}: {error}",
                location=location,
                hint="the package is damaged; recompile the model",
            ) from None
