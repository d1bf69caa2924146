"""Writes the pages that the code itself knows: the IR's ops, the ONNX ops that are read, the NPU's instructions."""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import defs

from isthmus.backends.npu.isa import N1
from isthmus.backends.npu.micro import MICRO_OPS
from isthmus.compiler.ops import REGISTRY
from isthmus.compiler.ops.docs import entries, markdown
from isthmus.frontends.onnx.convert import TABLE
from isthmus.frontends.onnx.opsets import NEWEST, OLDEST
from isthmus.frontends.onnx.table import Form
from isthmus.runtime.sim.manual import manual

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
defines itself are expanded whatever their domain.

A converter is chosen by the opset that the node is written in: the newest form that is not newer than it. An op with
a converter may still be refused in some form: what its converter says then is in the table (`...` stands for names and
numbers). What must be known of an operand when a model is compiled is known when it is a constant or follows from
shapes; where it follows from small inputs, the model is compiled for their values ([open dimensions](api.md)).
*On the host* lists the IR's ops that it may need and that have no machine code: they run by their numpy meaning.
`isthmus check MODEL` lists all that stands against a model; `isthmus conformance` counts the standard's own tests.

{tables}
## Refused
{refused}.
"""

INSTRUCTIONS = """# The instructions of n1

*Generated from the declarations in `backends/npu/isa.py` and `micro.py` by `make docs`.*

Every chip of the n1 family runs these instructions; a chip file (`backends/npu/chips/`) says how large and how fast it
is. `isthmus disasm PACKAGE` lists those of a package. What they cost in cycles: [the simulator](design/simulator.md).

**Engines.** `lda` and `ldw` load activations and weights from DRAM, `mxu` multiplies matrices, `vec` does everything
else, `sto` stores. Each has a queue; instructions of one queue start and complete in order, and read and write memory
as if each were complete before the next one starts. Between queues only semaphores order: an instruction starts when
each semaphore of its `wait` list has a token, which it takes, and gives one to each of its `signal` list when it is
complete.

**Memories.** `dram`, `spa` and `spw` are addressed in bytes, `acc` in lanes of 32 bits. All are little-endian. What was
never written has no value.

**Code** is a sequence of words of 128 bits, each two lanes of 64, little-endian; bits are numbered from the lowest of
the first word. A field lies whole within a lane. Words at the end that only hold defaults are left out. The items of
lists follow the fields, each list from the next lane on: items of 32 bits two to a lane, items of 64 bits one, items of
128 bits two lanes each. In a loop follow, again from the next lane on, a signed 32-bit step for each field that
advances: first the fields, then those of each item.

{manual}
## Operations of vector programs

"Special" ones take `lanes / special_per_cycle` cycles a vector, the others one, or two in i64. A program of one `mul`
in i32 that is combined by `sum`, and one of a `copy` in i32 that is combined, takes `lanes / mac_per_cycle`. A sum of
f32 adds one after another, the outermost dimension first.

| number | operation | types | operands | value | cost |
|---|---|---|---|---|---|
{operations}
"""

EXPANDED = ("nn.resize", "shape.of")
"""Ops without stages that no kernel needs: others stand in their place once shapes are known."""

TITLES = {"": "The standard domain"}
COLUMNS = "| op | forms since opset | refused | on the host |\n|---|---|---|---|"


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
    rows: dict[str, dict[str, str]] = {}
    for (domain, name), forms in TABLE.forms.items():
        rows.setdefault(domain, {})[name] = _row(name, forms)
    refused = []
    for name, schema in newest.items():
        if name in rows[""]:
            continue
        if schema.has_function or schema.has_context_dependent_function:
            rows[""][name] = f"| {name} | {schema.since_version}, by the standard's body | | |"
        else:
            refused.append(name)
    converted = sum(("", name) in TABLE.forms for name in newest)
    tables = "\n".join(
        f"## {TITLES.get(domain, domain)}\n{COLUMNS}\n{_listed(found)}\n"
        for domain, found in sorted(rows.items())
    )
    return ONNX.format(
        version=onnx.__version__,
        oldest=OLDEST,
        newest=NEWEST,
        standard=len(newest),
        converted=converted,
        expanded=len(newest) - converted - len(refused),
        missing=len(refused),
        tables=tables,
        refused=", ".join(sorted(refused)),
    )


def instructions_page() -> str:
    """docs/n1.md."""
    operations = [
        f"| {number} | {op.name} | {', '.join(op.types)} | {op.arity} | {op.meaning} | {op.cost} |"
        for number, op in enumerate(MICRO_OPS.values())
    ]
    return INSTRUCTIONS.format(manual=manual(N1), operations="\n".join(operations))


def _listed(rows: dict[str, str]) -> str:
    return "\n".join(rows[name] for name in sorted(rows))


def _row(name: str, forms: Sequence[Form]) -> str:
    since = [f"{form.since}" if form.convert else f"withdrawn in {form.since}" for form in reversed(forms)]
    sentences, ops = dict[str, None](), dict[str, None]()
    for form in forms:
        for node in _code(form.convert):
            if _calls(node) == "UnsupportedError" and node.args:
                sentences[_sentence(node.args[0])] = None
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                ops[f"{node.value.id}.{node.attr.removesuffix('_')}"] = None
    opaque = [
        f"`{op}`" for op in ops if op in REGISTRY and REGISTRY[op].stages is None and op not in EXPANDED
    ]
    refused = "; ".join(sentence for sentence in sentences if sentence != "...")
    return f"| {name} | {', '.join(since)} | {refused} | {', '.join(opaque)} |"


def _code(function: Any, seen: frozenset[Any] = frozenset()) -> Iterator[Any]:
    """The syntax of a converter and of the functions of its package that it calls."""
    if not inspect.isfunction(function) or not function.__module__.startswith("isthmus.frontends.onnx"):
        return
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        yield node
        called = getattr(inspect.getmodule(function), _calls(node), None)
        if called is not None and called not in seen:
            yield from _code(called, seen | {function, called})


def _calls(node: Any) -> str:
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""


def _sentence(node: Any) -> str:
    """A message as its converter has it, with dots for what is put in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "..." for part in node.values)
    return str(node.value) if isinstance(node, ast.Constant) else "..."


PAGES = {"ops.md": ops_page, "onnx.md": onnx_page, "n1.md": instructions_page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page())
        print(f"docs/{name} is written")
