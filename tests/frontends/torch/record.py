"""Records the fixtures of these tests: small models and programs as torch writes them, with torch's own results.

    python tests/frontends/torch/record.py [NAME ...]

The archives are packed anew: compressed, dated 1980, without sample inputs, and with base names for source files.
"""

import io
import json
import re
import runpy
import sys
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
import models
import programs

FOLDER = Path(__file__).parent / "fixtures"

SCRIPTED = ("bert", "gpt2", "gru", "resnet", "swin", "t5")
"""Models that are recorded as TorchScript too; `make test-frameworks` traces all of them."""


def main(names: Sequence[str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    warnings.filterwarnings("ignore")
    for name in names or [*models.MODELS, *programs.CASES]:
        module, inputs = make(name)
        results(FOLDER / f"{name}.npz", module, inputs)
        if name in models.MODELS or programs.CASES[name].exported:
            program = export(name, module, inputs)
            (FOLDER / f"{name}.pt2").write_bytes(packed(saved(program)))
        if name in SCRIPTED or (name in programs.CASES and programs.CASES[name].traced):
            (FOLDER / f"{name}.pt").write_bytes(packed(traced(module, inputs)))
        if name == "gru":
            (FOLDER / "gru.old.pt2").write_bytes(packed(saved_before_2_8(program)))
        print(name)
    if not names:
        record_example()


def record_example() -> None:
    """The archive of examples/add_an_op, packed as the fixtures are."""
    folder = Path(__file__).resolve().parents[3] / "examples" / "add_an_op"
    runpy.run_path(str(folder / "export.py"), run_name="__main__")
    path = folder / "soft_limit.pt2"
    path.write_bytes(packed(path.read_bytes()))


def make(name: str) -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    """A model or program, and its inputs by name."""
    if name in models.MODELS:
        return models.MODELS[name].make()
    module, inputs = programs.make(name)
    return module, {f"input_{n}": value for n, value in enumerate(inputs)}


def export(
    name: str, module: torch.nn.Module, inputs: dict[str, torch.Tensor]
) -> torch.export.ExportedProgram:
    """What torch.export makes of it, the dimensions that its case names left open."""
    with torch.no_grad():
        if name in models.MODELS:
            return torch.export.export(module, (), inputs)
        dims: dict[str, Any] = {}
        shapes = tuple(
            {axis: dims.setdefault(dim, torch.export.Dim(dim, min=2, max=64)) for axis, dim in entry.items()}
            for entry in programs.CASES[name].dynamic
        )
        return torch.export.export(
            module, tuple(inputs.values()), dynamic_shapes=(shapes,) if shapes else None
        )


def results(path: Path, module: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> None:
    """The inputs and torch's results, in order."""
    arrays = {f"in_{name}": value.numpy() for name, value in inputs.items()}
    arrays |= {f"out_{n}": value for n, value in enumerate(outputs(module, inputs))}
    np.savez_compressed(path, **arrays)


def outputs(module: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> list[np.ndarray]:
    """Torch's results, flattened."""
    named = isinstance(module, models.Tensors | models.Recurrent)
    with torch.no_grad():
        found = module(**inputs) if named else module(*inputs.values())
    return [value.numpy() for value in torch.utils._pytree.tree_leaves(found)]


def saved(program: torch.export.ExportedProgram) -> bytes:
    stream = io.BytesIO()
    torch.export.save(program, stream)
    return stream.getvalue()


def traced(module: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> bytes:
    """The module as TorchScript."""
    if isinstance(module, models.Tensors):
        module = models.Positional(module, tuple(inputs))
    with torch.no_grad():
        script = torch.jit.trace(module, tuple(inputs.values()), strict=False, check_trace=False)
    stream = io.BytesIO()
    torch.jit.save(script, stream)
    return stream.getvalue()


def saved_before_2_8(program: torch.export.ExportedProgram) -> bytes:
    """The layout that torch.export.save wrote before 2.8, by the serialiser that is still there."""
    from torch._export.serde.serialize import serialize

    found = serialize(program)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("version", "8.8")
        file.writestr("serialized_exported_program.json", found.exported_program)
        file.writestr("serialized_state_dict.pt", found.state_dict)
        file.writestr("serialized_constants.pt", found.constants)
        file.writestr("serialized_example_inputs.pt", found.example_inputs)
    return stream.getvalue()


def packed(data: bytes) -> bytes:
    """An archive with the same members, as small and as stable as they can be."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w") as target:
        for entry in source.infolist():
            if re.search(r"sample_inputs|example_inputs|\.debug_pkl$|/\.data/", entry.filename):
                continue
            content = source.read(entry)
            if entry.filename.endswith(("models/model.json", "serialized_exported_program.json")):
                content = _shortened(json.loads(content))
            name = zipfile.ZipInfo(entry.filename, (1980, 1, 1, 0, 0, 0))
            target.writestr(name, content, zipfile.ZIP_DEFLATED, 9)
    return out.getvalue()


def _shortened(part: Any) -> bytes:
    """The program with stack traces of one frame, its file without the folder."""
    return json.dumps(_without_folders(part), separators=(",", ":")).encode()


def _without_folders(part: Any) -> Any:
    if isinstance(part, list):
        return [_without_folders(item) for item in part]
    if not isinstance(part, dict):
        return part
    short = {key: _without_folders(item) for key, item in part.items()}
    if isinstance(part.get("stack_trace"), str):
        frames = re.findall(r'File "[^"]*?([^"/]+)", line (\d+), in (\w+)', part["stack_trace"])
        own = [frame for frame in frames if "modeling_" in frame[0] or frame[0] == "programs.py"] or frames
        short["stack_trace"] = "".join('File "{}", line {}, in {}'.format(*frame) for frame in own[-1:])
    return short


if __name__ == "__main__":
    main(sys.argv[1:])
