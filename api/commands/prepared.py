"""A package from what the user named, a package's file or a model's."""

from typing import Any

from isthmus.commands.options import AskedPrecision


def prepared(
    file: str, target: str, shapes: Any, precision: AskedPrecision, threads: int | None, options: Any
) -> Any:
    """The package in `file`, loaded; or of the model in it, compiled."""
    from isthmus.display import is_package
    from isthmus.package import load

    if is_package(file):
        return load(file, threads)
    from isthmus.compiling import compile
    from isthmus.model import read

    precision.check()
    model = read(file, shapes)
    model.require_bound()
    return compile(model, target, threads=threads, options=options, **precision.keywords(model))
