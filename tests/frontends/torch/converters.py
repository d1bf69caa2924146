"""Prints how long the converters are: lines of code, without decorators, docstrings, blank lines and comments."""

import ast
import inspect
import statistics
import textwrap

from isthmus.frontends.torch.convert import TABLE


def lines(function) -> int:
    """Lines of a converter from `def` on that hold code."""
    source = textwrap.dedent(inspect.getsource(function))
    tree = ast.parse(source.lstrip())
    body = next((item for item in ast.walk(tree) if isinstance(item, ast.FunctionDef)), None)
    if body is None:
        return 1  # a lambda that a loop registers for many ops
    held = {
        n
        for item in ast.walk(body)
        if hasattr(item, "lineno")
        for n in range(item.lineno, item.end_lineno + 1)
    }
    if ast.get_docstring(body) is not None:
        note = body.body[0]
        held -= set(range(note.lineno, note.end_lineno + 1))
    text = source.lstrip().splitlines()
    decorators = {n for item in body.decorator_list for n in range(item.lineno, item.end_lineno + 1)}
    return sum(
        1 for n in held - decorators if text[n - 1].strip() and not text[n - 1].strip().startswith("#")
    )


def main() -> None:
    forms = [form for group in TABLE.forms.values() for form in group.values()]
    functions = {form.convert for form in forms}
    sizes = sorted(map(lines, functions))
    ninth = sizes[int(0.9 * (len(sizes) - 1))]
    longest = max(functions, key=lines).__name__
    print(f"{len(forms)} forms of {len(TABLE.forms)} ops by {len(functions)} functions")
    print(
        f"lines of code: median {statistics.median(sizes)}, 90th percentile {ninth}, longest {sizes[-1]} ({longest})"
    )


if __name__ == "__main__":
    main()
