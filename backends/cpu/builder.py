"""Writes LLVM IR text in which every pure value sits at the outermost loop level where its operands exist.

So loop-invariant code motion and common subexpressions need no pass: a value has a level (the number of loops around
it), and `pure` appends to the open block of that level, whose inner loops are still being written.
"""

from collections.abc import Callable, Sequence
from dataclasses import field

from ...runtime.records import dataclass


@dataclass(frozen=True, slots=True)
class Register:
    """An SSA value or literal: its text, LLVM type and the loop level at which it is defined."""

    text: str
    type: str
    level: int = 0

    def __str__(self) -> str:
        return f"{self.type} {self.text}"


@dataclass
class _Block:
    label: str
    lines: list[str] = field(default_factory=list)
    cache: dict[object, Register] = field(default_factory=dict)


class Builder:
    """One function under construction; `declarations` collects the intrinsics it calls."""

    def __init__(self, declarations: set[str], constants: "dict[str, str] | None" = None) -> None:
        self.declarations = declarations
        self._stack = [_Block("entry")]
        self._names = 0
        self.entry_lines: list[str] = []

    @property
    def level(self) -> int:
        """How many loops or branches are open."""
        return len(self._stack) - 1

    def name(self, prefix: str = "v") -> str:
        self._names += 1
        return f"%{prefix}{self._names}"

    def pure(self, type: str, text: str, operands: Sequence[Register] = (), level: int = 0) -> Register:
        """A value without side effects: `text` with {0}, {1}.. for operands; placed and shared as early as can be, but
        not outside the loop of that `level`."""
        for operand in operands:
            if operand.level > level:
                level = operand.level
        block = self._stack[level]
        body = text.format(*[operand.text for operand in operands])
        found = block.cache.get(body)
        if found is None:
            found = Register(self.name(), type, level)
            block.lines.append(f"{found.text} = {body}")
            block.cache[body] = found
        return found

    def here(self, type: str, text: str) -> Register:
        """A value computed at this point (a load, an atomic operation)."""
        register = Register(self.name(), type, self.level)
        self._stack[-1].lines.append(f"{register.text} = {text}")
        return register

    def line(self, text: str) -> None:
        """An instruction without a result at this point."""
        self._stack[-1].lines.append(text)

    def alloca(self, bytes: int, align: int = 64) -> Register:
        """Stack memory for the whole call."""
        register = Register(self.name("a"), "ptr", 0)
        self.entry_lines.append(f"{register.text} = alloca [{bytes} x i8], align {align}")
        return register

    def intrinsic(self, name: str, result: str, arguments: Sequence[str]) -> str:
        """Declare an intrinsic and return its name."""
        self.declarations.add(f"declare {result} @{name}({', '.join(arguments)})")
        return f"@{name}"

    def loop(
        self,
        start: int,
        step: int,
        count: int,
        carried: Sequence[Register],
        body: Callable[[Register, list[Register]], Sequence[Register]],
    ) -> list[Register]:
        """`count` >= 1 turns of `body(variable, carried values) -> next values`; returns the last values."""
        parent = self._stack[-1]
        header = f"l{self._names}h"
        exit_label = f"l{self._names}x"
        self._names += 1
        variable = Register(self.name("i"), "i64", self.level + 1)
        phis = [Register(self.name("p"), value.type, self.level + 1) for value in carried]
        self._stack.append(_Block(header))
        following = list(body(variable, phis))
        block = self._stack.pop()
        advanced = self.name("n")
        done = self.name("c")
        lines = [
            f"br label %{header}",
            f"{header}:",
            f"{variable.text} = phi i64 [ {start}, %{parent.label} ], [ {advanced}, %{block.label} ]",
        ]
        for phi, first, next_value in zip(phis, carried, following, strict=True):
            lines.append(
                f"{phi.text} = phi {phi.type} [ {first.text}, %{parent.label} ], [ {next_value.text}, %{block.label} ]"
            )
        lines += block.lines
        lines += [
            f"{advanced} = add nuw nsw i64 {variable.text}, {step}",
            f"{done} = icmp ult i64 {advanced}, {start + step * count}",
            f"br i1 {done}, label %{header}, label %{exit_label}",
            f"{exit_label}:",
        ]
        parent.lines += lines
        parent.label = exit_label
        return [Register(value.text, value.type, min(value.level, self.level)) for value in following]

    def branch(
        self, condition: Register, yes: Callable[[], None], no: Callable[[], None] | None = None
    ) -> None:
        """Run `yes` where the condition holds, else `no`; neither yields values."""
        parent = self._stack[-1]
        number = self._names
        self._names += 1
        labels = (f"b{number}y", f"b{number}n", f"b{number}x")
        bodies = []
        for label, body in zip(labels[:2], (yes, no), strict=True):
            self._stack.append(_Block(label))
            if body is not None:
                body()
            block = self._stack.pop()
            bodies += [f"{label}:", *block.lines, f"br label %{labels[2]}"]
        parent.lines += [
            f"br i1 {condition.text}, label %{labels[0]}, label %{labels[1]}",
            *bodies,
            f"{labels[2]}:",
        ]
        parent.label = labels[2]

    def function(
        self,
        name: str,
        parameters: Sequence[Register],
        attributes: str,
        linkage: str = "",
        result: Register | None = None,
    ) -> str:
        """The finished function's text; the builder must be back at level 0."""
        assert self.level == 0, "a loop is still open"
        signature = ", ".join(
            f"{p.type} noundef {p.text}" if p.type != "ptr" else f"ptr noalias {p.text}" for p in parameters
        )
        end = "ret void" if result is None else f"ret {result}"
        body = "\n  ".join(["entry:", *self.entry_lines, *self._stack[0].lines, end])
        type = "void" if result is None else result.type
        return f"define {linkage} {type} @{name}({signature}) {attributes} {{\n{body}\n}}\n"


def integer(value: int, type: str = "i64") -> Register:
    """A literal integer."""
    return Register(str(value), type)
