"""LLVM: IR text to object code or assembly for one machine. No IR passes: the emitter writes final code."""

import threading
from functools import lru_cache

import llvmlite.binding as llvm

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


def module_text(machine: Machine, functions: list[str], declarations: set[str]) -> str:
    """A module of functions that all carry attribute group #0."""
    header = [f'target triple = "{machine.triple}"']
    attributes = 'attributes #0 = { nounwind "prefer-vector-width"="512" "frame-pointer"="none" }'
    return "\n".join([*header, *functions, *sorted(declarations), attributes, ""])


def object_code(machine: Machine, text: str) -> bytes:
    """The relocatable object file of a module."""
    with _lock:
        module = llvm.parse_assembly(text)
        tm = target_machine(machine)
        module.data_layout = str(tm.target_data)
        return tm.emit_object(module)


def assembly(machine: Machine, text: str) -> str:
    """The module as assembly text."""
    with _lock:
        module = llvm.parse_assembly(text)
        tm = target_machine(machine)
        module.data_layout = str(tm.target_data)
        return tm.emit_assembly(module)
