"""Text written to a file whole or not at all."""

import os
import secrets
from pathlib import Path

from isthmus.runtime.errors import ExecutionError


def write_text(path: str, text: str) -> None:
    """Replace the file, or leave it as it was; ExecutionError, with its path, when it can't be written."""
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        try:
            temporary.write_text(text, encoding="utf-8")
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ExecutionError(
            f"can't be written: {error.strerror or error}", location=path, hint="choose a writable folder"
        ) from None
