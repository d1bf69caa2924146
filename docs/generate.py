"""Writes the pages that the code itself knows: ops, what is read of each format, the instructions of chips."""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import defs

from isthmus.backends.fpga.isa import F1
from isthmus.backends.fpga.isa import MICRO_OPS as F1_OPERATIONS
from isthmus.backends.npu.isa import N1
from isthmus.backends.npu.micro import MICRO_OPS
from isthmus.compiler.ops import REGISTRY
from isthmus.compiler.ops.docs import entries, markdown
from isthmus.frontends.keras.convert import TABLE as KERAS
from isthmus.frontends.keras.layers import OPERATIONS
from isthmus.frontends.onnx.convert import TABLE
from isthmus.frontends.onnx.opsets import NEWEST, OLDEST
from isthmus.frontends.onnx.table import Form
from isthmus.frontends.tensorflow.convert import TABLE as TENSORFLOW
from isthmus.frontends.tflite.convert import TABLE as TFLITE_TABLE
from isthmus.frontends.tflite.convert.control import MOST_UNROLLED
from isthmus.frontends.tflite.reader import IDENTITY
from isthmus.runtime.sim.isa import Isa
from isthmus.runtime.sim.manual import manual
from isthmus.runtime.sim.operations import Operation

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

TFLITE = """# TFLite models

*Generated from the converter table by `make docs`.*

`.tflite` files are read without TensorFlow. {count} ops have a converter, {integers} of them on quantised operands.
Custom ops, TensorFlow's own ops (Flex), variables and hash tables are refused, as are 16-bit activations:
`isthmus check MODEL` lists all that stands against a model.

- **Inputs and outputs** are called as the model's signature calls them and keep their types and layout: images stay
  [N, H, W, C], a quantised model takes and gives the integers that are in the file. A model with several signatures
  is asked for by `model.tflite#NAME`; without a name it is `serving_default`.
- **Open extents** (the batch, as a rule) are symbols; `shapes=` binds them. TFLite itself takes 1 for them.
- **Quantised models keep their integer meaning.** The results are, number by number, those of TFLite's reference
  kernels (`OpResolverType.BUILTIN_REF`): rounding of multipliers, tables of activations and the order of sums
  included. TFLite's faster kernels round some ops another way and differ from their own reference here and there.
- **Where weights alone are integers** (dynamic-range quantisation), the model is computed in floats with the numbers
  that they stand for. TFLite rounds what they are multiplied with to 8 bits besides.
- **Loops** are unrolled where their turns are known when the model is read and come to no more than {unrolled} nodes;
  others run turn by turn on the host.
- **Spectra**, which are complex, are computed in pairs of real numbers; inputs and results can't be complex.
- An op is read up to the version in the table; a newer one is refused.

| op | on floats and plain integers | on quantised operands | newest version |
|---|---|---|---|
{rows}
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

{code}

{manual}
## Operations of vector programs

"Special" ones take `lanes / special_per_cycle` cycles a vector, `lookup` one more, the others one, or two in i64. A
vector takes no less than its operands: a memory gives one a cycle, or one in `transpose_factor` cycles when elements
lie apart, and none that stays where it is. A program of one `mul` in i32 that is combined by `sum`, and one of a `copy`
in i32 that is combined, takes `lanes / mac_per_cycle`. A sum of
f32 adds one after another, the outermost dimension first.

{operations}
"""

CODE = """\
**Code** is a sequence of words of 128 bits, each two lanes of 64, little-endian; bits are numbered from the lowest of
the first word. A field lies whole within a lane. The fields take whole words, of which those at the end that only hold
defaults are left out, unless lists follow. The items of lists follow the words of the fields, each list from the next
lane on: items of 32 bits two to a lane, items of 64 bits one, items of 128 bits two lanes each. In a loop follow, again
from the next lane on, a signed 32-bit step for each field that advances: first the fields, then those of each item."""

OVERLAY = """# The instructions of f1

*Generated from the declarations in `backends/fpga/isa.py` by `make docs`.*

Every overlay of the f1 family runs these instructions; a chip file (`backends/fpga/chips/`) says how large it is and on
which device. `isthmus disasm PACKAGE` lists those of a package. What the overlay is: [FPGAs](fpga.md).

**Engines.** `load` and `weights` load feature maps and weights from DRAM, `conv` is the array, `misc` does depthwise
convolutions, pooling and all else, `save` stores. Each has a queue; instructions of one queue start and complete in
order, and read and write memory as if each were complete before the next one starts. Between queues only semaphores
order: an instruction starts when each semaphore of its `wait` list has a token, which it takes, and gives one to each
of its `signal` list when it is complete.

**Memories.** `dram`, `fm`, `wgt` and `psum` are addressed in bytes; sums have 32 bits. All are little-endian. What was
never written has no value.

{code}

{manual}
## Operations of programs

"Special" ones take `lanes / special_per_cycle` cycles a vector, the others one, or two in i64.

{operations}
"""

EXPANDED = ("nn.resize", "shape.of")
"""Ops without stages that no kernel needs: others stand in their place once shapes are known."""

TITLES = {"": "The standard domain"}
COLUMNS = "| op | forms since opset | refused | on the host |\n|---|---|---|---|"


TENSORFLOW_PAGE = """# TensorFlow and Keras models

*The lists are generated from the converter tables by `make docs`.*

No file here needs TensorFlow or Keras to be installed. Keras's own files need h5py: `pip install isthmus[keras]`.

| what you have | how to read it | what is read |
|---|---|---|
| a SavedModel, also of TensorFlow 1 | the folder | a signature, its functions, `While` and `If`, its variables |
| a frozen graph, `.pb` | the file | placeholders are inputs, results that nobody reads are outputs |
| `.keras`, or the older `.h5` | the file | layers, so that an LSTM stays one op; nested models, shared layers |
| a `keras.Model` | the object | the same, with any backend of Keras 3 |
| a `tf.function` or a loaded SavedModel | the object | its concrete function with its variables' present values |

```sh
isthmus compile resnet/ --shapes keras_tensor=1,224,224,3 -o resnet.isth
isthmus compile 'model/#predict' -o model.isth          # one of several signatures
```
Inputs and outputs of a SavedModel have the signature's names, those of Keras files the names of layers. Of several
signatures `serving_default` is read; where there is none of that name, one must be named.

Images stay in the layout that the model was written for (NHWC unless it says otherwise); inside, convolutions work on
the layout that the target likes.

**Refused**, each node with its name and a way out: loops and branches of TensorFlow 1 (Switch, Merge, Enter; write
the graph with control flow v2, and freeze it with `lower_control_flow=False`), tables and text, variables that a run
changes, normalisation by the batch's own statistics; in Keras files custom layers, Lambda, mixed precision, and masks
unless a functional model of Keras 3 gives them to recurrent layers and averages (`model.export()` writes a SavedModel,
which has no layers, and does with masks what the code says). A loop of few turns is written out and compiled; one whose
turns come to more than 1,024 nodes, or are counted by the data, runs by its numpy meaning on the host.

`python tests/frontends/tensorflow/compare.py` has TensorFlow write nine of Keras's applications, recurrent classifiers,
a transformer and a U-Net in every form, and compares logits of what is compiled from the files, where no TensorFlow is
loaded, with its own; and their 8-bit TFLite versions, for the CPU and the chips n1-16 and f1-b4096, with TFLite's
reference kernels. Of the nine applications, the transformer and the U-Net all results are the same there, not only
within a step.

## Operators of TensorFlow
{ops}.

## Layers of Keras
{layers}.

## Operations of Keras
{operations}.
"""


def tensorflow_page() -> str:
    """docs/tensorflow.md."""

    def names(domain: str) -> str:
        return ", ".join(sorted(kind for found, kind in KERAS.entries if found == domain))

    ops = ", ".join(sorted(TENSORFLOW.converters))
    return TENSORFLOW_PAGE.format(ops=ops, layers=names(""), operations=names(OPERATIONS))


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


def instructions_page(text: str, isa: Isa, operations: Mapping[str, Operation]) -> str:
    """docs/n1.md and docs/f1.md."""
    heads = ["| number | operation | types | operands | value | cost |", "|---|---|---|---|---|---|"]
    rows = [
        f"| {number} | {op.name} | {', '.join(op.types)} | {op.arity} | {op.meaning} | {op.cost} |"
        for number, op in enumerate(operations.values())
    ]
    return text.format(code=CODE, manual=manual(isa), operations="\n".join([*heads, *rows]))


def tflite_page() -> str:
    """docs/tflite.md."""
    tables = (TFLITE_TABLE.floats, TFLITE_TABLE.integers, TFLITE_TABLE.complexes)
    rows = []
    for op in sorted(set().union(*tables) - {IDENTITY}):
        plain, integer, paired = (table.get(op) for table in tables)
        newest = max(form.newest for form in (plain, integer, paired) if form)
        numbers = ", ".join(text for form, text in ((plain, "yes"), (paired, "complex")) if form is not None)
        quantised = "own arithmetic" if integer else "same elements" if plain and plain.moves else "-"
        rows.append(f"| {op} | {numbers or '-'} | {quantised} | {newest} |")
    integers = sum(row.split(" | ")[2] != "-" for row in rows)
    return TFLITE.format(count=len(rows), integers=integers, unrolled=MOST_UNROLLED, rows="\n".join(rows))


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
    """The syntax of a converter and of the functions of its package, and of `signals`, that it calls."""
    own = ("isthmus.frontends.onnx", "isthmus.frontends.signals")
    if not inspect.isfunction(function) or not function.__module__.startswith(own):
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


PAGES = {
    "ops.md": ops_page,
    "onnx.md": onnx_page,
    "tensorflow.md": tensorflow_page,
    "tflite.md": tflite_page,
    "n1.md": lambda: instructions_page(INSTRUCTIONS, N1, MICRO_OPS),
    "f1.md": lambda: instructions_page(OVERLAY, F1, F1_OPERATIONS),
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page())
        print(f"docs/{name} is written")
