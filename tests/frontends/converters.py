"""Prints how long the converters of each frontend are: lines of code from `def` on, without docstrings and comments.

python tests/frontends/converters.py [FRONTEND ...]
"""

import ast
import inspect
import statistics
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from isthmus.frontends.keras.convert import TABLE as KERAS
from isthmus.frontends.onnx.convert import TABLE as ONNX
from isthmus.frontends.tensorflow.convert import TABLE as TENSORFLOW
from isthmus.frontends.tflite.convert import TABLE as TFLITE
from isthmus.frontends.torch.convert import TABLE as TORCH

TABLES: dict[str, list[tuple[str, Callable[..., Any]]]] = {
    "onnx": [(op, form.convert) for (_, op), forms in ONNX.forms.items() for form in forms if form.convert],
    "torch": [(form.op, form.convert) for forms in TORCH.forms.values() for form in forms.values()],
    "tensorflow": list(TENSORFLOW.converters.items()),
    "keras": [(kind, entry.converter) for (_, kind), entry in KERAS.entries.items()],
    "tflite": [
        (op, form.convert) for table in (TFLITE.floats, TFLITE.integers) for op, form in table.items()
    ],
}
"""By frontend, the forms of ops with their converters."""

LONGEST = 5
"""How many of the longest are named."""


def lines(function: Callable[..., Any]) -> int:
    """Lines of a converter that hold code."""
    source = textwrap.dedent(inspect.getsource(function)).lstrip()
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return 1  # a lambda in a table of them
    body = next((item for item in ast.walk(tree) if isinstance(item, ast.FunctionDef)), None)
    if body is None:
        return 1
    note = body.body[0] if ast.get_docstring(body) is not None else None
    skipped = range(note.lineno, note.end_lineno + 1) if note else ()
    text = source.splitlines()
    return sum(
        bool(line := text[n - 1].strip()) and not line.startswith("#")
        for n in range(body.lineno, body.end_lineno + 1)
        if n not in skipped
    )


def main(names: Sequence[str]) -> None:
    for name in names or TABLES:
        forms = TABLES[name]
        sizes = {function: lines(function) for _, function in forms}
        ranked = sorted(sizes, key=sizes.__getitem__)
        ninth = sizes[ranked[int(0.9 * (len(ranked) - 1))]]
        named = ", ".join(f"{f.__name__} {sizes[f]}" for f in ranked[: -LONGEST - 1 : -1])
        print(
            f"{name}: {len(forms)} forms of {len({op for op, _ in forms})} ops by {len(ranked)} functions; lines: "
            f"median {statistics.median(sizes.values())}, 90th percentile {ninth}, longest {named}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
