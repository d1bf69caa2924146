"""Verbs on models: check, compile, explain, show."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from isthmus.commands import options
from isthmus.commands.options import AskedPrecision, Settings, common
from isthmus.progress import observer, progress

EMITTED = {
    "package": "{}.isth",
    "ir": "{}.ir",
    "llvm": "{}.ll",
    "asm": "{}.s",
    "object": "{}.o",
    "library": "lib{}.so",
    "executable": "{}",
}
"""What `compile` writes, and how it names a model's file where nothing is said."""


@click.command(short_help="Tell what stands against compiling a model.")
@click.argument("model")
@options.target
@options.shapes
@options.precision
@options.backend_options
@common
def check(
    settings: Settings, model: str, target: str, shapes: Any, precision: AskedPrecision, options: Any
) -> int:
    """Tell everything in MODEL that stands against compiling it, by node, with a way out."""
    from isthmus.model import read
    from isthmus.report import check as find_problems

    precision.check()
    with progress(f"checking {Path(model).name}", 1, not (settings.quiet or settings.json)):
        source = read(model, shapes) if precision.files else model
        report = find_problems(source, target, shapes=shapes, options=options, **precision.keywords(source))
    settings.show(report.to_json(), report)
    return 0 if report.ok else 1


@click.command(short_help="Compile a model into a package or other files.")
@click.argument("model")
@options.target
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    help="The file to write.  [default: named as the model, in this folder]",
)
@click.option(
    "--emit",
    type=click.Choice(tuple(EMITTED)),
    default="package",
    show_default=True,
    help="What to write: a package, the graph after all passes, LLVM IR, assembly, an object file, or through the C "
    "compiler on PATH a library with its header or an executable.",
)
@options.shapes
@options.constants
@options.precision
@click.option("--report", is_flag=True, help="For int8: measure and print the error of every layer.")
@click.option("--strip", is_flag=True, help="Leave the graph's constants out; the package gets smaller.")
@click.option("--no-cache", is_flag=True, help="Compile also what was compiled before, and keep nothing.")
@options.backend_options
@options.system
@common
def compile(
    settings: Settings,
    model: str,
    target: str,
    output: str | None,
    emit: str,
    shapes: Any,
    constants: Any,
    precision: AskedPrecision,
    report: bool,
    strip: bool,
    no_cache: bool,
    options: Any,
) -> None:
    """Compile MODEL and write the result to a file, a package by default."""
    import time

    from isthmus import cache
    from isthmus.interpreter import resting

    begin = time.perf_counter()
    output = output or EMITTED[emit].format(Path(model.partition("#")[0]).stem)
    asked = precision.reporting(report)
    how = {
        "target": target,
        "shapes": shapes,
        **({"constants": constants} if constants else {}),
        "precision": asked.name or "f32",
        "strip": strip,
        "options": options,
    }
    wanted = emit == "package" and asked.is_plain and not no_cache
    kept = cache.name(Path(model), how) if wanted else None
    told = None if kept is None else cache.copy(kept[0], Path(output))
    if told is None:
        with resting():
            told = _build(settings, Path(model), emit, output, asked, how, kept)
    files = told.pop("files", [output])
    record: dict[str, Any] = {
        "files": files,
        "bytes": sum(Path(file).stat().st_size for file in files),
        "seconds": time.perf_counter() - begin,
        **told,
    }
    text = "\n".join(_lines(record))
    if "quantisation" in record:
        record["quantisation"] = record["quantisation"].to_json()
    settings.show(record, text)


def _build(
    settings: Settings,
    model: Path,
    emit: str,
    output: str,
    asked: AskedPrecision,
    how: Mapping[str, Any],
    kept: tuple[str, str] | None,
) -> dict[str, Any]:
    """Compile, write, and keep the package for the next time; what there is to tell."""
    from isthmus import batches, cache
    from isthmus.advice import idle_array
    from isthmus.compilation import build_model
    from isthmus.compiler.passes import GRAPH_PASSES
    from isthmus.compiler.pipeline import Built
    from isthmus.emission import write
    from isthmus.model import read
    from isthmus.precision import find_precision
    from isthmus.targets import find_backend, find_target

    target, options = how["target"], how["options"]
    asked.check()
    find_target(target)
    with progress(
        f"compiling {model.name}", len(GRAPH_PASSES) + 2, not (settings.quiet or settings.json)
    ) as advance:
        bound = read(str(model), how["shapes"], how.get("constants"))
        advance("read")
        wanted = find_precision(**asked.keywords(bound))
        listings = () if emit in ("package", "ir") else (emit if emit in ("llvm", "asm") else "object",)
        listed = {**options, "listings": listings} if listings else options
        plain = emit == "package" and wanted.name != "int8" and batches.serves(target)
        built = build_model(
            bound,
            target,
            batch=batches.whole(bound) if plain else None,
            strip=how["strip"],
            options=listed,
            observe=observer(advance),
            precision=wanted,
        )
        advance("write")
        if kept is not None and not bound.decisive and cache.lists_kernels(built.artefact):
            cache.keep(kept[0], built.artefact, kept[1])
        written = write(built, emit, output)
    told: dict[str, Any] = {
        "files": [str(path) for path in written],
        "kernels": len(built.reports),
        "fallbacks": list(built.artefact.manifest.fallbacks),
    }
    if isinstance(built, Built) and (advice := idle_array(built, find_backend(target).target(options))):
        told["advice"] = advice
    if wanted.report is not None:
        told["quantisation"] = wanted.report
    return told


def _lines(record: Mapping[str, Any]) -> list[str]:
    """What `compile` tells a person."""
    sizes = f"{record['bytes']:,} bytes, {record['kernels']} kernels, {record['seconds']:.2f} s"
    lines = [f"{', '.join(record['files'])}: {sizes}"]
    if record["fallbacks"]:
        lines.append(f"{len(record['fallbacks'])} nodes run by their reference meaning, slowly:")
        lines += [f"  {fallback}" for fallback in record["fallbacks"]]
    return lines + [str(record[name]) for name in ("advice", "quantisation") if name in record]


@click.command(short_help="Tell where every node runs, and at what cost.")
@click.argument("model")
@options.target
@click.option("--kernel", help="Only the step of that number or name, with its kernel, schedule and cost.")
@click.option(
    "--suggest", is_flag=True, help="In a system: compile edits that might move work to accelerators."
)
@click.option(
    "--html", type=click.Path(), help="In a system: write a page with the graph, the timeline and costs."
)
@options.shapes
@options.precision
@options.backend_options
@options.system
@common
def explain(
    settings: Settings,
    model: str,
    target: str,
    kernel: str | None,
    suggest: bool,
    html: str | None,
    shapes: Any,
    precision: AskedPrecision,
    options: Any,
) -> None:
    """Tell where every node of MODEL runs: kernels, schedules, predicted cost, and what falls back and why."""
    from isthmus.explanation import Explanation
    from isthmus.explanation import explain as find_out
    from isthmus.model import read
    from isthmus.targets import find_target

    precision.check()
    find_target(target)
    with progress(f"compiling {Path(model).name}", 1, not (settings.quiet or settings.json)):
        bound = read(model, shapes)
        explanation = find_out(
            bound, target, kernel=kernel, options=options, suggest=suggest, **precision.keywords(bound)
        )
    if html is not None:
        from isthmus.files import write_text
        from isthmus.system_page import system_page

        if isinstance(explanation, Explanation):
            raise click.UsageError(
                "--html is for systems; `isthmus profile --html` writes a page of a single chip"
            )
        write_text(html, system_page(explanation))
    settings.show(explanation.to_json(), explanation)


@click.command(short_help="Print a graph as text, also between passes.")
@click.argument("file")
@click.option(
    "--after", metavar="PASS", help="The graph of a model after this pass; `kernels` shows them all."
)
@options.target
@options.shapes
@common
def show(settings: Settings, file: str, after: str | None, target: str, shapes: Any) -> None:
    """Print the graph of a model or package as text."""
    from isthmus import display

    if display.is_package(file):
        if after is not None:
            raise click.UsageError("--after is for models; a package holds the graph after all passes")
        record, text = display.package(file)
    elif after is None:
        record, text = display.model(file, shapes)
    else:
        record, text = display.after(file, shapes, after, target)
    settings.show(record, text.rstrip())
