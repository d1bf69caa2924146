"""What goes wrong with chips, their code and its assembly. All are the runtime's errors."""

from ..errors import DeviceError


class ChipError(DeviceError):
    """A chip's description asks for what the kit does not have."""


class EncodingError(DeviceError):
    """A field's value does not fit its bits, or bytes are no instruction; lists the first of each kind."""


class HazardError(DeviceError):
    """A stream that could deadlock, or whose result depends on timing; one problem a finding."""
