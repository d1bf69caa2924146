"""What goes wrong with chips, their code and its assembly. All are the runtime's errors."""

from typing import Any

from ..errors import DeviceError


class ChipError(DeviceError):
    """A chip's description asks for what the kit does not have."""


class EncodingError(DeviceError):
    """A field's value does not fit its bits, or bytes are no instruction; lists the first of each kind. `instruction`:
    the number of the one that can't be decoded, once loops are run out."""

    def __init__(self, message: str, *, instruction: int | None = None, **details: Any):
        super().__init__(message, **details)
        self.instruction = instruction


class HazardError(DeviceError):
    """A stream that could deadlock, or whose result depends on timing; one problem a finding."""
