"""The backend of `torch.compile(model, backend="isthmus")`, which torch finds through its own entry point.

Each graph that dynamo captures is compiled once for all shapes that its guards let through; what can't be compiled
runs in PyTorch, and the log says which graph and why.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isthmus.dynamic import DynamicPackage
from isthmus.frontends.torch import frontend
from isthmus.model import from_source
from isthmus.package import Package
from isthmus.runtime.errors import IsthmusError

if TYPE_CHECKING:
    import torch

    from isthmus.frontends.torch.captured import Captured

log = logging.getLogger("isthmus.dynamo")

SHAPES = 32
"""Sets of shapes of one graph that code is kept for."""


def backend(
    module: "torch.fx.GraphModule", values: Sequence[Any], *, options: Mapping[str, Any] | None = None
) -> Callable[..., Any]:
    """What dynamo calls in place of a captured graph.

    Args:
        module: the graph.
        values: its arguments at the first call.
        options: of torch.compile: `target`, `threads`, and `shapes`, how many sets of shapes code is kept for.

    Raises:
        IsthmusError: options that are not known. Graphs that can't be compiled run in PyTorch instead.
    """
    chosen = {"target": "cpu", "threads": None, "shapes": SHAPES, **(options or {})}
    if set(chosen) - {"target", "threads", "shapes"}:
        unknown = ", ".join(sorted(set(chosen) - {"target", "threads", "shapes"}))
        raise IsthmusError(f"unknown options: {unknown}", hint="known are target, threads and shapes")
    reason = _obstacle(values)
    if reason is None:
        try:
            return Compiled(module, values, chosen)
        except IsthmusError as error:
            reason = str(error)
        except Exception as error:  # whatever torch's tracing meets must not stop the user's program
            reason = f"{type(error).__name__}: {error}"
    count = sum(node.op.startswith("call") for node in module.graph.nodes)
    log.warning("a graph of %d calls runs in PyTorch: %s", count, reason)
    return module.forward


def _obstacle(values: Sequence[Any]) -> str | None:
    """What keeps a graph out, as far as its arguments tell."""
    import torch

    tensors = [value for value in values if isinstance(value, torch.Tensor)]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        return "gradients are asked for: call it under torch.no_grad() or torch.inference_mode()"
    devices = {tensor.device.type for tensor in tensors} - {"cpu"}
    if devices:
        return f"its tensors are on {', '.join(sorted(devices))}: move them to the CPU"
    if torch.is_autocast_enabled("cpu"):
        return "autocast is on: cast the model instead"
    return None


class Compiled:
    """One captured graph. Weights are constants of the code; when one is changed, the code is made anew."""

    def __init__(self, module: "torch.fx.GraphModule", values: Sequence[Any], options: Mapping[str, Any]):
        self._module, self._options = module, options
        self._build(values)

    def _build(self, values: Sequence[Any]) -> None:
        from isthmus.frontends.torch.captured import read_captured

        captured = read_captured(self._module, values, "torch.compile")
        self._captured: Captured = captured
        self._stamps = self._stamped(values)
        self._package = self._compiled(captured)

    def _compiled(self, captured: "Captured") -> Package | DynamicPackage:
        from isthmus.compilation import compile_model

        model = from_source(frontend.converters, captured.model)
        options = self._options
        return compile_model(model, options["target"], threads=options["threads"], kept=options["shapes"])

    def _stamped(self, values: Sequence[Any]) -> tuple[tuple[int, int], ...]:
        """What changes when somebody writes to a weight or puts another one in its place."""
        return tuple((values[n].data_ptr(), values[n]._version) for n in self._captured.constants)

    def __call__(self, *values: Any) -> "tuple[torch.Tensor, ...]":
        """The graph's results for these arguments: inputs and results share memory with arrays where they can."""
        from isthmus.frontends.torch.objects import as_array, as_tensor

        if self._stamped(values) != self._stamps:
            self._build(values)
        arrays = [as_array(values[n].detach()) for n in self._captured.inputs]
        return tuple(map(as_tensor, self._package.run(arrays).values()))
