"""The versions of the standard domain (opsets) and of the file format that are read."""

from ...compiler.diagnostics import UnsupportedError

OLDEST, NEWEST = 6, 28
NEWEST_IR = 14


def check_opset(version: int) -> None:
    """Raise UnsupportedError for an opset of the standard domain that is not known."""
    if not OLDEST <= version <= NEWEST:
        raise UnsupportedError(
            f"it is written in opset {version}, known are opsets {OLDEST} to {NEWEST}",
            hint=f"export it again with an opset from {OLDEST} to {NEWEST}",
        )
