"""Graphs that torch.compile hands to a backend: traced to ATen calls, open dimensions kept, nothing decomposed."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch._guards import tracing
from torch.fx.experimental.proxy_tensor import make_fx

from ...compiler.diagnostics import UnsupportedError
from ...runtime.records import dataclass
from ..source import SourceGraph, SourceModel, SourceNode
from .functional import functionalised
from .nodes import Ref, aten
from .objects import Walk, copied
from .trees import output


@dataclass(frozen=True)
class Captured:
    """A graph for a backend: its model, and which of the call's arguments are inputs and which became constants."""

    model: SourceModel
    inputs: tuple[int, ...]
    constants: tuple[int, ...]


def read_captured(module: torch.fx.GraphModule, values: Sequence[Any], name: str) -> Captured:
    """The model of a captured graph; `values` are its present arguments, of which weights become constants.

    Raises UnsupportedError for graphs whose results share memory, and for what the frontend can't read.
    """
    traced = trace(module)
    places = traced.graph.find_nodes(op="placeholder")
    walk = Walk(traced)
    tensors = [n for n, value in enumerate(values) if isinstance(value, torch.Tensor)]
    weights = tuple(n for n in tensors if is_weight(places[n].name, module, n, values[n]))
    inputs = tuple(n for n in tensors if n not in weights)
    given = tuple(walk.input(places[n]) for n in inputs)
    constants = {places[n].name: partial(copied, values[n]) for n in weights}
    sizes = _sizes(places, inputs)
    results = traced.graph.find_nodes(op="output")[0].args[0]
    results = results if isinstance(results, tuple | list) else (results,)
    if not all(isinstance(result, torch.fx.Node) and result.meta["val"] is not None for result in results):
        raise UnsupportedError("a result is no tensor", location=name, hint="return tensors only")
    names = tuple(f"output_{n}" for n in range(len(results)))
    aliases = tuple(output(out, value.name) for out, value in zip(names, results))
    nodes = (*sizes, *walk.nodes(traced.graph), *aliases)
    graph = functionalised(SourceGraph("captured", given, names, nodes, constants), name)
    content = partial(_content, traced, [values[n] for n in weights])
    return Captured(SourceModel(name, graph, len(nodes), content), inputs, weights)


def is_weight(name: str, module: torch.fx.GraphModule, place: int, value: torch.Tensor) -> bool:
    """Whether an argument is a parameter or buffer of the user's modules, by the source that dynamo names it after."""
    target = str(module.graph.find_nodes(op="placeholder")[place].target)
    return isinstance(value, torch.nn.Parameter) or "_parameters_" in target or "_buffers_" in target


def trace(module: torch.fx.GraphModule) -> torch.fx.GraphModule:
    """The graph as ATen calls on the shapes that were recorded, before anything is decomposed."""
    places = module.graph.find_nodes(op="placeholder")
    examples = [place.meta["example_value"] for place in places]
    modes = [example.fake_mode for example in examples if hasattr(example, "fake_mode")]
    if not modes:
        raise UnsupportedError("it takes no tensor", hint="compile a function of tensors")

    def run(*arguments: Any) -> Any:
        results = torch.fx.Interpreter(module).run(*arguments)
        _refuse_shared(arguments, results)
        return results

    with tracing(None), modes[0], torch.no_grad():
        return make_fx(run, pre_dispatch=True)(*examples)


def _refuse_shared(arguments: Sequence[Any], results: Any) -> None:
    """Results that look into one another or into an argument: what is written to one would be seen in the other."""
    seen = {_memory(value) for value in arguments if isinstance(value, torch.Tensor)}
    for result in results if isinstance(results, tuple | list) else (results,):
        if isinstance(result, torch.Tensor):
            if _memory(result) in seen:
                raise UnsupportedError("a result shares memory with an input or another result")
            seen.add(_memory(result))


def _memory(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _sizes(places: Sequence[torch.fx.Node], inputs: Sequence[int]) -> tuple[SourceNode, ...]:
    """Sizes that the caller gives as numbers, read off the tensors that have them."""
    found: list[SourceNode] = []
    for place in places:
        value = place.meta["val"]
        if isinstance(value, torch.Tensor):
            continue
        axes = [
            (places[n].name, axis)
            for n in inputs
            for axis, size in enumerate(places[n].meta["val"].shape)
            if str(size) == str(value)
        ]
        if not axes:
            raise UnsupportedError(
                f"the number '{place.name}' is the size of no input", hint="make it a tensor"
            )
        tensor, axis = axes[0]
        found.append(aten("sym_size.int", (place.name,), (Ref(tensor), axis)))
    return tuple(found)


def _content(traced: torch.fx.GraphModule, weights: Sequence[torch.Tensor]) -> list[bytes]:
    return [str(traced.graph).encode(), *(copied(weight).tobytes() for weight in weights)]
