"""Text written to a file whole or not at all."""

from isthmus.runtime.errors import ExecutionError
from isthmus.runtime.files import replacing


def write_text(path: str, text: str) -> None:
    """Replace the file, or leave it as it was; ExecutionError, with its path, when it can't be written."""
    try:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ExecutionError(
            f"can't be written: {error.strerror or error}", location=path, hint="choose a writable folder"
        ) from None
