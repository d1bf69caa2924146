"""Writes the pages that the code itself knows: the IR's ops and the ONNX ops that are read. `make docs` runs it."""

from pathlib import Path

import onnx
from onnx import defs

from isthmus.compiler.ops.docs import entries, markdown
from isthmus.frontends.onnx.convert import TABLE
from isthmus.frontends.onnx.opsets import NEWEST, OLDEST

FOLDER = Path(__file__).parent

OPS = """# The ops of the IR

*Generated from the declarations under `compiler/ops/` by `make docs`. `isthmus ops [PATTERN]` prints the same.*

{count} ops, {staged} of which have stages, the form that kernels are made of; the others are opaque: they run by their
numpy meaning, on the host. `=None` marks an operand that may be absent, `*` any number of them. A target may lack
code for some stages; `isthmus explain MODEL` tells where each node runs, and why. How to declare one:
[adding an op](add-an-op.md).

{table}"""

ONNX = """# Which ONNX ops are read

*Generated from the converter table by `make docs`, with onnx {version}.*

Opsets {oldest} to {newest} of the standard domain: {converted} of the {standard} ops in it have a converter,
{expanded} are expanded into the body that the standard gives them, {missing} are refused. Functions that the model
defines itself are expanded whatever their domain. Of other domains, such as `ai.onnx.ml`, no op has a converter.

A converter is chosen by the opset that the node is written in: the newest form that is not newer than it. An op with
a converter may still be refused in some form, or need an operand to be known when it is compiled; the message says
so. `isthmus check MODEL` lists all that stands against a model; `isthmus conformance` counts the standard's own node
tests.

| op | how | forms since opset |
|---|---|---|
{rows}

## Refused
{refused}.
"""


def ops_page() -> str:
    """docs/ops.md."""
    rows = entries()
    return OPS.format(count=len(rows), staged=sum(row.stages for row in rows), table=markdown(rows))


def onnx_page() -> str:
    """docs/onnx.md, for the installed version of the onnx package."""
    newest = {
        schema.name: schema
        for schema in sorted(defs.get_all_schemas_with_history(), key=lambda schema: schema.since_version)
        if not schema.domain
    }
    rows, refused = [], []
    for name, schema in sorted(newest.items()):
        forms = TABLE.forms.get(("", name), [])
        if forms:
            since = [
                f"{form.since}" if form.convert else f"withdrawn in {form.since}" for form in reversed(forms)
            ]
            rows.append(f"| {name} | converter | {', '.join(since)} |")
        elif schema.has_function or schema.has_context_dependent_function:
            rows.append(f"| {name} | the standard's body | {schema.since_version} |")
        else:
            refused.append(name)
    converted = sum("| converter |" in row for row in rows)
    return ONNX.format(
        version=onnx.__version__,
        oldest=OLDEST,
        newest=NEWEST,
        standard=len(newest),
        converted=converted,
        expanded=len(rows) - converted,
        missing=len(refused),
        rows="\n".join(rows),
        refused=", ".join(refused),
    )


PAGES = {"ops.md": ops_page, "onnx.md": onnx_page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page())
        print(f"docs/{name} is written")
