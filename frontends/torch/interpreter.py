"""Follows TorchScript's code, a small subset of Python: parsed, never run.

Modules and literals are known, tensors and what is computed from them are references into the graph. Branches and
loops are followed where their conditions are known without data.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field
from typing import Any

from ...compiler.diagnostics import ModelError, UnsupportedError, located
from ...runtime.records import dataclass
from .archive import Archive
from .nodes import Ref, references
from .pickles import Module
from .script_graph import WAY_OUT, ScriptGraph, tuples

DEEPEST = 64
"""Calls of methods inside one another that are followed."""

MOST_STEPS = 200_000
"""Statements that are followed: loops may ask for any number."""


class Returned(Exception):
    """A method has come to its end; `args[0]` is its result."""


@dataclass
class Interpreter:
    """One archive under interpretation: its code by qualified name, the paths of its modules, the graph so far."""

    archive: Archive
    graph: ScriptGraph
    code: dict[str, Mapping[str, ast.stmt]] = field(default_factory=dict)
    paths: dict[int, str] = field(default_factory=dict)
    steps: int = 0
    depth: int = 0

    def declared(self, name: str) -> ast.stmt:
        """The class or function of a qualified name. Raises ModelError where the archive has no code for it."""
        place, _, own = name.rpartition(".")
        if place not in self.code:
            member = f"code/{place.replace('.', '/')}.py"
            try:
                tree = ast.parse(self.archive.text(member))
            except (SyntaxError, ValueError, RecursionError) as error:
                raise ModelError(f"'{member}' is damaged: {error}", hint=WAY_OUT) from None
            self.code[place] = {
                item.name: item for item in tree.body if isinstance(item, ast.ClassDef | ast.FunctionDef)
            }
        if own not in self.code[place]:
            raise ModelError(f"the archive's code lacks '{name}'", hint=WAY_OUT)
        return self.code[place][own]

    def method(self, module: Module, name: str) -> ast.FunctionDef:
        declared = self.declared(module.kind)
        for item in getattr(declared, "body", ()):
            if isinstance(item, ast.FunctionDef) and item.name == name:
                return item
        raise ModelError(f"'{module.kind}' has no method '{name}'", hint=WAY_OUT)

    def call(
        self, function: ast.FunctionDef, given: Sequence[Any], named: Mapping[str, Any], path: str
    ) -> Any:
        """The result of a method or function of the archive."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise UnsupportedError(f"its methods call one another more than {DEEPEST} deep", hint=WAY_OUT)
        parameters = [argument.arg for argument in function.args.args]
        scope = {**dict(zip(parameters, given)), **named}
        defaults = function.args.defaults
        for name, default in zip(parameters[len(parameters) - len(defaults) :], defaults):
            scope.setdefault(name, self.value(default, scope, path))
        try:
            self.run(function.body, scope, path)
            return None
        except Returned as returned:
            return returned.args[0]
        finally:
            self.depth -= 1

    def run(self, statements: Sequence[ast.stmt], scope: dict[str, Any], path: str) -> None:
        for statement in statements:
            self.steps += 1
            if self.steps > MOST_STEPS:
                raise UnsupportedError(f"it takes more than {MOST_STEPS} steps", hint=WAY_OUT)
            with located(f"{self.archive.location}:{path or 'forward'}"), _fitting(statement):
                self.statement(statement, scope, path)

    def statement(self, statement: ast.stmt, scope: dict[str, Any], path: str) -> None:
        if isinstance(statement, ast.Assign):
            self.assign(statement.targets[0], self.value(statement.value, scope, path), scope)
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            self.assign(statement.target, self.value(statement.value, scope, path), scope)
        elif isinstance(statement, ast.Expr):
            self.value(statement.value, scope, path)
        elif isinstance(statement, ast.Return):
            raise Returned(None if statement.value is None else self.value(statement.value, scope, path))
        elif isinstance(statement, ast.If):
            self.branch(statement, scope, path)
        elif isinstance(statement, ast.While):
            while self.decided(self.value(statement.test, scope, path), statement):
                self.run(statement.body, scope, path)
        elif isinstance(statement, ast.For):
            for item in self.decided(self.value(statement.iter, scope, path), statement):
                self.assign(statement.target, item, scope)
                self.run(statement.body, scope, path)
        elif not isinstance(statement, ast.Pass | ast.AnnAssign):
            raise UnsupportedError(f"'{ast.unparse(statement)[:60]}' is not followed", hint=WAY_OUT)

    def branch(self, statement: ast.If, scope: dict[str, Any], path: str) -> None:
        """A branch whose condition is known, that only checks its input, or that chooses between known values."""
        condition = self.value(statement.test, scope, path)
        if isinstance(condition, Ref) and _refuses(statement.body):
            condition = False
        if isinstance(condition, Ref) and _refuses(statement.orelse):
            condition = True
        if not isinstance(condition, Ref) or not _chooses(statement):
            holds = self.decided(condition, statement)
            self.run(statement.body if holds else statement.orelse, scope, path)
            return
        sides = [dict(scope), dict(scope)]
        for side, body in zip(sides, (statement.body, statement.orelse), strict=True):
            self.run(body, side, path)
        for name in sides[0].keys() & sides[1].keys():
            one, other = sides[0][name], sides[1][name]
            if one is not scope.get(name) or other is not scope.get(name):
                scope[name] = self.graph.emit("where", [condition, one, other], {}, path)

    def decided(self, value: Any, statement: ast.stmt) -> Any:
        """A condition or a range that does not depend on tensors."""
        if isinstance(value, Ref) or any(True for _ in references(tuples(value))):
            line = ast.unparse(statement).partition("\n")[0]
            raise UnsupportedError(
                f"its control flow depends on data or shapes: '{line[:80]}'",
                hint=f"write it with torch.cond, or {WAY_OUT}",
            )
        return value

    def assign(self, target: ast.expr, value: Any, scope: dict[str, Any]) -> None:
        if isinstance(target, ast.Name):
            scope[target.id] = value
        elif isinstance(target, ast.Tuple | ast.List):
            parts = self.graph.parts(value, len(target.elts)) if isinstance(value, Ref) else value
            if len(parts) != len(target.elts):
                raise ModelError(f"{len(parts)} values meet {len(target.elts)} names", hint=WAY_OUT)
            for each, part in zip(target.elts, parts):
                self.assign(each, part, scope)
        else:
            raise UnsupportedError(f"'{ast.unparse(target)}' is set, and modules keep no state", hint=WAY_OUT)

    def value(self, tree: ast.expr, scope: Mapping[str, Any], path: str) -> Any:
        if isinstance(tree, ast.Constant):
            return tree.value
        if isinstance(tree, ast.Name):
            return self.named(tree.id, scope)
        if isinstance(tree, ast.Attribute):
            return self.attribute(self.value(tree.value, scope, path), tree.attr)
        if isinstance(tree, ast.Tuple):
            return tuple(self.value(item, scope, path) for item in tree.elts)
        if isinstance(tree, ast.List):
            return [self.value(item, scope, path) for item in tree.elts]
        if isinstance(tree, ast.Dict):
            keys = [self.value(key, scope, path) for key in tree.keys if key is not None]
            return dict(zip(keys, (self.value(item, scope, path) for item in tree.values)))
        if isinstance(tree, ast.UnaryOp):
            inner = self.value(tree.operand, scope, path)
            if isinstance(tree.op, ast.Not):
                return not self.decided(inner, ast.Expr(tree))
            return self.graph.emit("neg", [inner], {}, path) if isinstance(inner, Ref) else -inner
        if isinstance(tree, ast.IfExp):
            holds = self.decided(self.value(tree.test, scope, path), ast.Expr(tree))
            return self.value(tree.body if holds else tree.orelse, scope, path)
        if isinstance(tree, ast.Subscript):
            return self.item(self.value(tree.value, scope, path), self.value(tree.slice, scope, path))
        if isinstance(tree, ast.BoolOp | ast.Compare | ast.BinOp):
            return self.operation(tree, scope, path)
        if isinstance(tree, ast.Call):
            return self.called(tree, scope, path)
        raise UnsupportedError(f"'{ast.unparse(tree)[:60]}' is not followed", hint=WAY_OUT)

    def named(self, name: str, scope: Mapping[str, Any]) -> Any:
        if name in scope:
            return scope[name]
        if name in ("torch", "ops", "CONSTANTS", "__torch__", "inf", "nan"):
            return float(name) if name in ("inf", "nan") else Place(name)
        return Place(name)

    def attribute(self, owner: Any, name: str) -> Any:
        if isinstance(owner, Place):
            if owner.name == "CONSTANTS":
                return self.graph.literal(int(name[1:]))
            return Place(f"{owner.name}.{name}")
        if not isinstance(owner, Module) or name not in owner.attributes:
            return Bound(owner, name)
        path = self.paths.get(id(owner), "")
        found = owner.attributes[name]
        own = f"{path}.{name}" if path else name
        if isinstance(found, Module):
            self.paths.setdefault(id(found), own)
        return self.graph.constant(found, own)

    def item(self, value: Any, key: Any) -> Any:
        if isinstance(value, Ref):
            if not isinstance(key, int) or key < 0:
                raise UnsupportedError(
                    f"element {key} of a list of unknown length is not followed", hint=WAY_OUT
                )
            return self.graph.parts(value, key + 1)[key]
        return value[key]

    def operation(self, tree: ast.expr, scope: Mapping[str, Any], path: str) -> Any:
        """Python's own operators, which the code uses on what is known."""
        if isinstance(tree, ast.BoolOp):
            parts = [self.decided(self.value(item, scope, path), ast.Expr(tree)) for item in tree.values]
            return all(parts) if isinstance(tree.op, ast.And) else any(parts)
        if isinstance(tree, ast.BinOp):
            left, right, kind = tree.left, tree.right, type(tree.op).__name__
        else:
            assert isinstance(tree, ast.Compare)
            left, right, kind = tree.left, tree.comparators[0], type(tree.ops[0]).__name__
        given = [self.value(left, scope, path), self.value(right, scope, path)]
        if kind not in _PYTHON:
            raise UnsupportedError(f"'{ast.unparse(tree)[:60]}' is not followed", hint=WAY_OUT)
        return self.graph.emit(_PYTHON[kind], given, {}, path)

    def called(self, tree: ast.Call, scope: Mapping[str, Any], path: str) -> Any:
        function = self.value(tree.func, scope, path)
        if isinstance(function, Place) and function.name in ("annotate", "unchecked_cast", "uninitialized"):
            return self.value(tree.args[1], scope, path) if len(tree.args) > 1 else None
        given = [self.value(item, scope, path) for item in tree.args]
        named = {word.arg: self.value(word.value, scope, path) for word in tree.keywords if word.arg}
        if isinstance(function, Bound):
            return self.invoked(function, given, named)
        if not isinstance(function, Place):
            raise UnsupportedError(f"'{ast.unparse(tree)[:60]}' is not followed", hint=WAY_OUT)
        if function.name == "getattr":
            return self.attribute(given[0], given[1])
        if function.name.startswith("__torch__."):
            return self.call(self.function(function.name), given, named, path)
        return self.graph.emit(function.name.removeprefix("torch.").removeprefix("ops."), given, named, path)

    def function(self, name: str) -> ast.FunctionDef:
        found = self.declared(name)
        if not isinstance(found, ast.FunctionDef):
            raise UnsupportedError(f"an object of '{name}' is made, which is not followed", hint=WAY_OUT)
        return found

    def invoked(self, function: "Bound", given: list[Any], named: Mapping[str, Any]) -> Any:
        """A method of a module or of a list."""
        owner = function.owner
        if isinstance(owner, Module):
            path = self.paths.get(id(owner), "")
            return self.call(self.method(owner, function.name), [owner, *given], named, path)
        raise UnsupportedError(f"the method '{function.name}' is not followed", hint=WAY_OUT)


@dataclass(frozen=True)
class Place:
    """A dotted name that is no value: `torch.add`, `__torch__.model.Net`."""

    name: str


@dataclass(frozen=True)
class Bound:
    """A method of an object, to be called."""

    owner: Any
    name: str


@contextmanager
def _fitting(statement: ast.stmt) -> Iterator[None]:
    """A statement that is followed: what damaged code does with the wrong values is a ModelError that shows it."""
    try:
        yield
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        line = ast.unparse(statement).partition("\n")[0]
        raise ModelError(f"'{line[:80]}' does not fit what it is given: {error}", hint=WAY_OUT) from None


def _refuses(body: Sequence[ast.stmt]) -> bool:
    """Whether a branch does nothing but raise: what torch checks there, the ops' own type rules check here."""
    text = "\n".join(map(ast.unparse, body))
    return bool(body) and "RaiseException" in text and not any(isinstance(item, ast.Return) for item in body)


def _chooses(statement: ast.If) -> bool:
    """Whether both branches only name values that are conditions: comparisons, literals."""
    return all(
        isinstance(item, ast.Assign) and _is_condition(item.value)
        for item in (*statement.body, *statement.orelse)
    )


def _is_condition(tree: ast.expr) -> bool:
    if isinstance(tree, ast.Constant):
        return isinstance(tree.value, bool)
    return isinstance(tree, ast.Call) and ast.unparse(tree.func) in _CONDITIONS


_PYTHON = {
    "Add": "add",
    "Sub": "sub",
    "Mult": "mul",
    "Div": "div",
    "FloorDiv": "floordiv",
    "Mod": "remainder",
    "Eq": "eq",
    "NotEq": "ne",
    "Lt": "lt",
    "LtE": "le",
    "Gt": "gt",
    "GtE": "ge",
    "Is": "__is__",
    "IsNot": "__isnot__",
}

_CONDITIONS = tuple(
    f"torch.{name}" for name in ("eq", "ne", "lt", "le", "gt", "ge", "__not__", "__contains__")
)
