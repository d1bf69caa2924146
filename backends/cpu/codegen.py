"""LLVM: IR text to object code or assembly for one machine. No IR passes: the emitter writes final code."""

import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from queue import SimpleQueue

import llvmlite.binding as llvm

from ...runtime.background import Background
from .machine import Machine

_lock = threading.Lock()


@lru_cache(maxsize=1)
def _initialise() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


def target_machine(machine: Machine) -> llvm.TargetMachine:
    """LLVM's code generator for position-independent code at its default optimisation level."""
    _initialise()
    target = llvm.Target.from_triple(machine.triple)
    return target.create_target_machine(
        cpu=machine.cpu, features=machine.feature_string, opt=2, reloc="pic", codemodel="small"
    )


@lru_cache(maxsize=4)
def _generator(machine: Machine) -> tuple[llvm.TargetMachine, str]:
    """The machine's code generator for all modules, and its data layout: fewer calls that wait for the interpreter."""
    generator = target_machine(machine)
    return generator, str(generator.target_data)


_DECLARED = re.compile(r"@([\w.]+)\(")


def _defined(text: str) -> Iterator[str]:
    """Names of the functions that a text defines, each at the start of a line."""
    start = 0 if text.startswith("define ") else text.find("\ndefine ")
    while start >= 0:
        name = text.index("@", start) + 1
        yield text[name : text.index("(", name)]
        start = text.find("\ndefine ", name)


def module_text(machine: Machine, functions: Sequence[str], declarations: Iterable[str]) -> str:
    """A module of functions that all carry attribute group #0. What they define is not declared besides."""
    defined = {name for text in functions for name in _defined(text)}
    declarations = {text for text in declarations if defined.isdisjoint(_DECLARED.findall(text))}
    header = [f'target triple = "{machine.triple}"']
    attributes = 'attributes #0 = { nounwind "prefer-vector-width"="512" "frame-pointer"="none" }'
    return "\n".join([*header, *functions, *sorted(declarations), attributes, ""])


def _left_out(machine: Machine) -> tuple[str, ...]:
    """Names of what LLVM is not to do: the emitter writes addresses as they should be computed, and where.

    The search for other induction variables takes half of the time to generate code, moving addresses to their uses and
    preparing branches a sixth of the rest; what they find is no faster. Other machines than x86 have further work done
    with the latter.
    """
    return ("lsr", "cgp") if machine.triple.startswith("x86_64") else ("lsr",)


@contextmanager
def _generating(machine: Machine, text: str) -> Iterator[tuple[llvm.TargetMachine, llvm.ModuleRef]]:
    """A module and its code generator, one at a time, without the passes that are left out.

    These are switches of the whole process, which other users of LLVM find as they were.
    """
    with _lock:
        tm, layout = _generator(machine)
        names = _left_out(machine)
        for name in names:
            llvm.set_option("isthmus", f"-disable-{name}=true")
        try:
            module = llvm.parse_assembly(text)
            module.data_layout = layout
            yield tm, module
        finally:
            for name in names:
                llvm.set_option("isthmus", f"-disable-{name}=false")


def object_code(machine: Machine, text: str) -> bytes:
    """The relocatable object file of a module."""
    with _generating(machine, text) as (tm, module):
        return tm.emit_object(module)


_MODULE = 100_000
"""Characters after which functions go to LLVM: three kernels or so, beside which setting up its passes takes little."""


class Compiler:
    """Compiles functions in a thread of its own, a few at a time, while the next ones are being written.

    A context: the thread ends with it. LLVM gives up the interpreter's lock, so on two cores it costs no time of its
    own as long as writing takes longer.
    """

    def __init__(self, machine: Machine):
        self._machine = machine
        self._functions: list[str] = []
        self._declarations: set[str] = set()
        self._texts: SimpleQueue[str | None] = SimpleQueue()
        self._objects = Background(self._run)

    def __enter__(self) -> "Compiler":
        return self

    def __exit__(self, *_: object) -> None:
        self._texts.put(None)

    def add(self, functions: Sequence[str], declarations: Iterable[str]) -> None:
        """Functions for the same module, and what they may call."""
        self._functions += functions
        self._declarations.update(declarations)
        if sum(map(len, self._functions)) >= _MODULE:
            self._flush()

    def _flush(self) -> None:
        if self._functions:
            self._texts.put(module_text(self._machine, self._functions, self._declarations))
        self._functions, self._declarations = [], set()

    def close(self) -> None:
        """No more functions come: those that are left go to LLVM."""
        self._flush()
        self._texts.put(None)

    def objects(self) -> list[bytes]:
        """The objects of all modules, in their order, once it is closed; what LLVM raised is raised."""
        return self._objects.result()

    def _run(self) -> list[bytes]:
        objects = []
        while (text := self._texts.get()) is not None:
            objects.append(object_code(self._machine, text))
        return objects


def assembly(machine: Machine, text: str) -> str:
    """The module as assembly text."""
    with _generating(machine, text) as (tm, module):
        return tm.emit_assembly(module)
