"""The public face of isthmus: read a model, check it, compile it into a package, run the package anywhere.

Names load on first use, so that `import isthmus` costs nothing and running a package never imports the compiler.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isthmus.compiling import compile
    from isthmus.explanation import Explanation, explain
    from isthmus.model import Model, read
    from isthmus.package import Package, load
    from isthmus.report import Report, check
    from isthmus.runtime.errors import IsthmusError, Problem
    from isthmus.runtime.profile import Profile

_HOMES = {
    "compile": "compiling",
    "Explanation": "explanation",
    "explain": "explanation",
    "Model": "model",
    "read": "model",
    "Package": "package",
    "load": "package",
    "Report": "report",
    "check": "report",
    "IsthmusError": "runtime.errors",
    "Problem": "runtime.errors",
    "Profile": "runtime.profile",
}

__all__ = [
    "Explanation",
    "IsthmusError",
    "Model",
    "Package",
    "Problem",
    "Profile",
    "Report",
    "check",
    "compile",
    "explain",
    "load",
    "read",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("isthmus")
    elif name in _HOMES:
        value = getattr(import_module(f"isthmus.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module 'isthmus' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
