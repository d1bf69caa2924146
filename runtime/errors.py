"""What isthmus says when something can't be done: location first, then what was got and expected, then the way out; one
line a problem. `IsthmusError` is the root of all errors; `compiler/diagnostics.py` adds the compiler's.
"""

from collections.abc import Iterable

from .records import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where (`model.isth:manifest.json`), what was got and expected, and the way out.
    `detail` is a text of several lines to follow, such as a table; all else is one line."""

    location: str
    message: str
    hint: str = ""
    detail: str = ""

    def __str__(self) -> str:
        text = f"{self.location}: {self.message}" if self.location else self.message
        # names from files may hold anything, line breaks too
        line = " ".join((f"{text}; {self.hint}" if self.hint else text).splitlines())
        return f"{line}\n{self.detail}" if self.detail else line


class IsthmusError(Exception):
    """Base of all errors that a user may see; holds one or more problems.

    `defect` marks errors that no input should cause: the fault is isthmus's own, or a plug-in's.
    """

    defect = False

    def __init__(self, message: str, *, location: str = "", hint: str = "", problems: Iterable[Problem] = ()):
        self.problems: tuple[Problem, ...] = tuple(problems) or (Problem(location, message, hint),)
        super().__init__(message)

    @property
    def location(self) -> str:
        return self.problems[0].location

    @property
    def message(self) -> str:
        return self.problems[0].message

    @property
    def hint(self) -> str:
        return self.problems[0].hint

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class PackageError(IsthmusError):
    """The `.isth` file is missing, truncated, corrupt, or not a package."""


class VersionError(PackageError):
    """The package follows a newer format than this runtime reads."""


class DeviceError(IsthmusError):
    """This machine lacks what the package was compiled for: a device, a CPU feature, executable memory."""


class InputError(IsthmusError):
    """Names, dtypes or shapes of the arrays given to a run differ from what the model takes; lists them all."""


class ExecutionError(IsthmusError):
    """A step produced what its declaration does not allow, or can't be executed here."""
