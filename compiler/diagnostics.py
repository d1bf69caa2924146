"""What isthmus says when something can't be done: one class tree, location first, a way out last.

Every error is one line per problem; several problems are collected and raised together. The root of the tree is the
runtime's (`runtime/errors.py`), which must not import the compiler.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from ..runtime.errors import IsthmusError, Problem

__all__ = [
    "CompileError",
    "IsthmusError",
    "ModelError",
    "Problem",
    "TypeRuleError",
    "UnsupportedError",
    "VerifyError",
    "located",
]


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

    defect = True


@contextmanager
def located(location: str) -> Iterator[None]:
    """Give errors that are raised inside a location when they carry none."""
    try:
        yield
    except CompileError as error:
        if any(not problem.location for problem in error.problems):
            error.problems = tuple(
                problem if problem.location else replace(problem, location=location)
                for problem in error.problems
            )
        raise
