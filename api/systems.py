"""What is asked of a system beside its devices: the objective and pins, from options as users write them."""

from collections.abc import Mapping
from typing import Any

from isthmus.compiler.diagnostics import CompileError
from isthmus.compiler.partition.partition import OBJECTIVES
from isthmus.compiler.system_build import Wishes


def find_wishes(options: Mapping[str, Any]) -> Wishes:
    """The wishes that options hold: `objective`, and `pins` as a mapping or as texts PATTERN=DEVICE.

    CompileError for any other option, and for what is malformed.
    """
    for name in options.keys() - {"objective", "pins"}:
        hint = "it has: objective, pins; a device's own stand in the system's file"
        raise CompileError(f"a system has no option '{name}'", hint=hint)
    objective = options.get("objective", "latency")
    if objective not in OBJECTIVES:
        hint = f"expected one of {', '.join(OBJECTIVES)}"
        raise CompileError(f"the objective is {objective!r}", location="options", hint=hint)
    pins = options.get("pins", {})
    if isinstance(pins, Mapping):
        return Wishes(objective, dict(pins))
    pairs = [str(pin).rpartition("=")[::2] for pin in pins]
    for pattern, device in pairs:
        if not pattern or not device:
            hint = "write PATTERN=DEVICE, such as 'layer4*=cpu'"
            raise CompileError(f"'{pattern}{device}' is no pin", location="options", hint=hint)
    return Wishes(objective, dict(pairs))
