"""The shape of the tree: imports point one way, and the core names no chip and no framework.

Read from the source with `ast`, so that an import inside a function or under TYPE_CHECKING counts as well.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {
    "isthmus": "api",
    "isthmus.compiler": "compiler",
    "isthmus.frontends": "frontends",
    "isthmus.backends": "backends",
    "isthmus.runtime": "runtime",
}

# Inside the compiler each layer sees itself and those before it; the longest name that fits decides.
COMPILER_LAYERS = (
    "diagnostics",
    "ir",
    "tile.stage",
    "tile.writer",  # how an op's declaration spells its stages
    "tile.schedule",  # pure data, as stages are
    "ops",
    "rewrite",
    "target",
    "tile",
    "stream",
    "passes",
    "assemble",
    "partition",
    "stored_graph",
    "distribution",
    "pipeline",
    "system_build",
)
FRONTENDS_SEE = ("compiler.diagnostics", "compiler.ir", "compiler.ops", "frontends", "runtime.records")
BACKENDS_SEE = (
    "compiler.diagnostics",
    "compiler.ir",
    "compiler.ops",
    "compiler.rewrite",
    "compiler.tile",
    "compiler.stream",
    "compiler.target",
    "compiler.stream",
    "runtime",
)
# The first name that fits a module decides which packages from outside it may import.
THIRD_PARTY = {
    "runtime": {"numpy"},
    "compiler.target": {"numpy", "lark"},
    "compiler": {"numpy", "ml_dtypes", "networkx", "lark"},
    "frontends.keras": {"numpy", "ml_dtypes", "h5py"},
    "frontends.onnx": {"numpy", "ml_dtypes", "onnx", "google"},
    "frontends.tflite": {"numpy", "ml_dtypes", "tflite"},
    "frontends.tensorflow": {"numpy", "ml_dtypes", "google"},
    "frontends.torch": {"numpy", "ml_dtypes", "torch", "sympy"},
    "frontends": {"numpy", "ml_dtypes"},
    "dynamo": {"torch"},
    "exploration": {"distributed"},
    "backends.cpu": {"numpy", "ml_dtypes", "llvmlite"},
    "backends": {"numpy", "ml_dtypes"},
    "": {"numpy", "ml_dtypes", "rich", "click"},
}
FRAMEWORKS = {
    "onnx",
    "tflite",
    "torch",
    "pytorch",
    "tensorflow",
    "keras",
    "jax",
    "flax",
    "paddle",
    "caffe",
    "mxnet",
}
CHIPS = {
    "cpu",
    "npu",
    "fpga",
    "gpu",
    "tpu",
    "x86",
    "avx",
    "avx2",
    "avx512",
    "amx",
    "neon",
    "llvm",
    "llvmlite",
}


@dataclass(frozen=True)
class Module:
    """One module of the tree; `name` is dotted and lacks the leading "isthmus.", the root package is ""."""

    name: str
    is_package: bool
    tree: ast.Module

    @property
    def package(self) -> str:
        """What a relative import of one dot starts from."""
        return self.name if self.is_package else self.name.rpartition(".")[0]


def parse(name: str, source: str, is_package: bool = False) -> Module:
    return Module(name, is_package, ast.parse(source))


def modules() -> dict[str, Module]:
    """Every module of the five folders, by name."""
    found = {}
    for package, folder in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = (*package.split("."), *path.relative_to(ROOT / folder).with_suffix("").parts)
            is_package = parts[-1] == "__init__"
            name = ".".join(parts[1:-1] if is_package else parts[1:])
            found[name] = parse(name, path.read_text(), is_package)
    return found


MODULES = modules()


def within(name: str, prefix: str) -> bool:
    """Whether a module is `prefix` or lies below it; everything lies below the root, ""."""
    return not prefix or name == prefix or name.startswith(prefix + ".")


def imported(module: Module) -> Iterator[tuple[str, int, bool]]:
    """What a module imports, as (absolute dotted name, line, whether it was written relative).

    `from a import b` gives a.b, since b may be a module; a layer contains both or neither.
    """
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno, False
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = ("isthmus." + module.package).rstrip(".").split(".")
                base = ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])
            for alias in node.names:
                yield f"{base}.{alias.name}", node.lineno, bool(node.level)


def internal(module: Module) -> Iterator[tuple[str, int]]:
    """The imports that stay inside isthmus, without the leading "isthmus."."""
    for name, line, _ in imported(module):
        if within(name, "isthmus"):
            yield name.removeprefix("isthmus").removeprefix("."), line


def layer(name: str) -> int | None:
    """The place of a compiler module in COMPILER_LAYERS; None for the compiler's own __init__."""
    fitting = [part for part in COMPILER_LAYERS if within(name, f"compiler.{part}")]
    return COMPILER_LAYERS.index(max(fitting, key=len)) if fitting else None


def forbidden(module: Module) -> Iterator[str]:
    """One sentence for each import that points the wrong way."""
    name = module.name
    for target, line in internal(module):
        if within(name, "runtime"):
            allowed = within(target, "runtime")
        elif within(name, "compiler"):
            here, there = layer(name), layer(target)
            allowed = within(target, "runtime") or (here is not None and there is not None and there <= here)
        elif within(name, "frontends"):
            allowed = any(within(target, prefix) for prefix in FRONTENDS_SEE)
        elif within(name, "backends"):
            own = ".".join(name.split(".")[:2])
            allowed = any(within(target, prefix) for prefix in (*BACKENDS_SEE, own))
        else:
            allowed = True
        if not allowed:
            yield f"{name}:{line}: imports {target}"


def listed(problems: Iterator[str] | list[str]) -> None:
    """Fails with all problems at once."""
    problems = list(problems)
    assert not problems, "\n" + "\n".join(problems)


def test_every_compiler_module_has_a_layer() -> None:
    listed(
        f"{name}: in no layer of COMPILER_LAYERS"
        for name in MODULES
        if within(name, "compiler") and name != "compiler" and layer(name) is None
    )


@pytest.mark.parametrize("folder", ["compiler", "frontends", "backends", "runtime"])
def test_imports_point_one_way(folder: str) -> None:
    listed(
        problem for name, module in MODULES.items() if within(name, folder) for problem in forbidden(module)
    )


def test_devices_see_the_runtime_only() -> None:
    """What a backend's isa and device modules reach, through modules of their own folder too, is the runtime."""
    pending = [name for name in MODULES if re.fullmatch(r"backends\.\w+\.(isa|device)(\..*)?", name)]
    reached, problems = set(pending), []
    while pending:
        name = pending.pop()
        own = ".".join(name.split(".")[:2])
        for target, line in internal(MODULES[name]):
            module = target if target in MODULES else target.rpartition(".")[0]
            if within(module, own) and module not in reached:
                reached.add(module)
                pending.append(module)
            elif not within(module, own) and not within(module, "runtime"):
                problems.append(f"{name}:{line}: imports {target}, and a device needs {name}")
    listed(problems)


def test_folders_import_relatively_and_the_api_absolutely() -> None:
    """Editors follow relative imports without an install; api/ is the package root only once installed."""
    for name, module in MODULES.items():
        in_api = not any(within(name, folder) for folder in ("compiler", "frontends", "backends", "runtime"))
        listed(
            f"{name}:{line}: {target} is imported {'relatively' if relative else 'absolutely'}"
            for target, line, relative in imported(module)
            if within(target, "isthmus") and relative == in_api
        )


def test_third_party_imports_stay_where_they_belong() -> None:
    problems = []
    for name, module in MODULES.items():
        allowed = next(packages for prefix, packages in THIRD_PARTY.items() if within(name, prefix))
        for target, line, _ in imported(module):
            top = target.partition(".")[0]
            if top != "isthmus" and top not in sys.stdlib_module_names and top not in allowed:
                problems.append(f"{name}:{line}: imports {top}, allowed here are {sorted(allowed)}")
    listed(problems)


@pytest.mark.parametrize(
    ("loaded", "absent"),
    [
        (
            "isthmus.runtime",
            ("isthmus.compiler", "isthmus.frontends", "isthmus.backends", "onnx", "llvmlite"),
        ),
        ("isthmus.compiler.ops", ("isthmus.compiler.passes", "isthmus.backends", "onnx", "llvmlite", "lark")),
        ("isthmus.frontends", ("isthmus.compiler.tile.tiler", "isthmus.backends", "onnx", "llvmlite")),
    ],
)
def test_importing_a_layer_loads_nothing_above_it(loaded: str, absent: tuple[str, ...]) -> None:
    """What the source says holds in a process too: a package's __init__ pulls in what it names."""
    script = f"import {loaded}, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True, cwd="/"
    )
    listed(
        f"import {loaded} loads {name}"
        for name in done.stdout.split()
        for each in absent
        if within(name, each)
    )


def words(text: str) -> set[str]:
    """The lower-case words of an identifier or a sentence: "OnnxReader_v2" has onnx, reader and v2."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+(?![a-z])", text)}


def spoken(module: Module) -> Iterator[tuple[str, int]]:
    """Every identifier and string of a module, docstrings excepted: a source may be cited, not coded for."""
    prose = {node.value for node in ast.walk(module.tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(module.tree):
        for value in vars(node).values():
            if isinstance(value, str) and node not in prose:
                yield value, getattr(node, "lineno", 0)


def named(module: Module) -> Iterator[str]:
    """One sentence for each chip or framework that a module's code names."""
    for text, line in spoken(module):
        for word in sorted(words(text) & (FRAMEWORKS | CHIPS)):
            yield f"{module.name}:{line}: names {word} in {text!r}"


@pytest.mark.parametrize("folder", ["compiler", "runtime"])
def test_core_names_no_chip_and_no_framework(folder: str) -> None:
    listed(sentence for name, module in MODULES.items() if within(name, folder) for sentence in named(module))


@pytest.mark.parametrize(
    ("name", "source", "complaint"),
    [
        (
            "runtime.artefact",
            "from ..compiler.ops import matmul",
            "runtime.artefact:1: imports compiler.ops.matmul",
        ),
        (
            "compiler.ops.math",
            "def f():\n    from ..passes import fold",
            "compiler.ops.math:2: imports compiler.passes.fold",
        ),
        (
            "compiler.ops.math",
            "from ..tile.lower import lower",
            "compiler.ops.math:1: imports compiler.tile.lower.lower",
        ),
        (
            "compiler.passes.fold",
            "from ...backends import cpu",
            "compiler.passes.fold:1: imports backends.cpu",
        ),
        (
            "frontends.onnx.reader",
            "from ...compiler import pipeline",
            "frontends.onnx.reader:1: imports compiler.pipeline",
        ),
        ("backends.npu.isa", "from ..cpu import device", "backends.npu.isa:1: imports backends.cpu.device"),
    ],
)
def test_wrong_way_is_noticed(name: str, source: str, complaint: str) -> None:
    assert list(forbidden(parse(name, source))) == [complaint]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("compiler.ops.math", "from ..tile.stage import Stage\nfrom .engine import op"),
        ("compiler.tile.tiler", "from ..target import Target\nfrom .stage import Stage"),
        (
            "backends.cpu.emit",
            "from ...compiler.tile import Kernel\nfrom . import abi\nfrom ...runtime import Device",
        ),
    ],
)
def test_right_way_is_allowed(name: str, source: str) -> None:
    assert list(forbidden(parse(name, source))) == []


def test_named_chip_is_noticed_and_a_citation_is_not() -> None:
    module = parse(
        "compiler.ops.math",
        '"""As ONNX defines it."""\ndef onnx_pad(x):\n    "Also TFLite."\n    return "cpu"',
    )
    assert [sentence.split(" in ")[0] for sentence in named(module)] == [
        "compiler.ops.math:2: names onnx",
        "compiler.ops.math:4: names cpu",
    ]
