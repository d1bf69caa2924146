"""What isthmus says when something can't be done: one class tree, location first, a way out last.

Every error is one line per problem; several problems are collected and raised together. The runtime, which must not
import the compiler, has a tree of the same shape in `runtime/errors.py`.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where (`model.onnx:Conv_3`), what was got and expected, and the way out."""

    location: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.location}: {self.message}" if self.location else self.message
        return f"{text}; {self.hint}" if self.hint else text


class IsthmusError(Exception):
    """Base of all errors that a user may see; holds one or more problems."""

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


class CompileError(IsthmusError):
    """The model can't be compiled as asked."""


class ModelError(CompileError):
    """The model file is unreadable, inconsistent or unsafe."""


class TypeRuleError(CompileError):
    """Operands do not satisfy an op's type rule."""


class UnsupportedError(CompileError):
    """The model is fine, but this build or target lacks something; lists every node concerned."""


class VerifyError(CompileError):
    """An internal invariant does not hold; a defect of isthmus or of an out-of-tree extension."""


@contextmanager
def located(location: str) -> Iterator[None]:
    """Give errors that are raised inside a location when they carry none."""
    try:
        yield
    except CompileError as error:
        if any(not problem.location for problem in error.problems):
            error.problems = tuple(
                problem if problem.location else Problem(location, problem.message, problem.hint)
                for problem in error.problems
            )
        raise
