"""`dataclass` and `replace` for what is imported often: as the standard ones, as far as this project uses them.

The standard one writes and compiles six methods for every class while it is imported, which for the compiler's classes
takes longer than all of their modules' own code. Here a method is written when it is first called. Frozen classes store
their fields directly besides, in half the time.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, FrozenInstanceError
from reprlib import recursive_repr
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, get_origin

T = TypeVar("T")

_OWN = "__record__"
"""Names the table of a class's fields, those of its bases first."""


def _decorate(cls: Any = None, /, *, frozen: bool = False, slots: bool = False, eq: bool = True) -> Any:
    def decorate(cls: type[T]) -> type[T]:
        return _record(cls, frozen, slots, eq)

    return decorate if cls is None else decorate(cls)


def _record(cls: type[T], frozen: bool, slots: bool, eq: bool) -> type[T]:
    own = {
        name: _field(cls, name, kind) for name, kind in cls.__annotations__.items() if not _is_shared(kind)
    }
    fields = {**getattr(cls, _OWN, {}), **own}
    record = _with_slots(cls, own, getattr(cls, _OWN, {})) if slots else _with_defaults(cls, own)
    methods: dict[str, Any] = {"__init__": _init, "__repr__": _repr}
    if eq:
        methods |= {"__eq__": _eq, **({"__hash__": _hash} if frozen else {})}
    for name, build in methods.items():
        if name not in cls.__dict__:
            setattr(record, name, _later(record, name, build))
    if eq and not frozen and "__hash__" not in cls.__dict__:
        record.__hash__ = None  # type: ignore[assignment]
    attributes: dict[str, Any] = {
        _OWN: fields,
        "__frozen__": frozen,
        "__dataclass_fields__": _Standard(record),
        "__match_args__": tuple(fields),
        "__copied__": tuple(name for name, field in fields.items() if field.init),
    }
    if frozen:
        attributes |= {"__setattr__": _refuse_set(record), "__delattr__": _refuse_delete(record)}
        if slots:
            attributes |= {"__getstate__": _state, "__setstate__": _set_state}
    for name, value in attributes.items():
        setattr(record, name, value)
    return record


def _is_shared(kind: Any) -> bool:
    """Whether an annotation is that of the class's own attribute, not of a field."""
    return kind is ClassVar or get_origin(kind) is ClassVar


def _field(cls: type, name: str, kind: Any) -> "Field[Any]":
    given = cls.__dict__.get(name, MISSING)
    if isinstance(given, MemberDescriptorType):
        given = MISSING
    found: Field[Any] = given if isinstance(given, Field) else dataclasses.field(default=given)
    found.name, found.type = name, kind
    return found


def _with_slots(cls: type[T], own: Mapping[str, "Field[Any]"], inherited: Mapping[str, Any]) -> type[T]:
    """The class anew: slots can't be added to one that exists."""
    left = {"__dict__", "__weakref__", *own}
    namespace = {name: value for name, value in cls.__dict__.items() if name not in left}
    namespace["__slots__"] = tuple(name for name in own if name not in inherited)
    make: Any = type(cls)
    record: type[T] = make(cls.__name__, cls.__bases__, namespace)
    record.__qualname__ = cls.__qualname__
    return record


def _with_defaults(cls: type[T], own: Mapping[str, "Field[Any]"]) -> type[T]:
    for name, field in own.items():
        if field.default is not MISSING:
            setattr(cls, name, field.default)
        elif name in cls.__dict__:
            delattr(cls, name)
    return cls


def _later(record: type, name: str, build: Callable[[type], Callable[..., Any]]) -> Callable[..., Any]:
    """A method that has itself written when it is first called."""

    def first(self: Any, *args: Any, **named: Any) -> Any:
        method = build(record)
        method.__qualname__ = f"{record.__qualname__}.{name}"
        setattr(record, name, method)
        return method(self, *args, **named)

    return first


def _init(record: type) -> Callable[..., None]:
    scope: dict[str, Any] = {"_made": object()}
    parameters, body, stored = ["self"], [], False
    for name, field in getattr(record, _OWN).items():
        if not field.init:
            continue
        parameter = name
        if field.default is not MISSING:
            scope[f"_default_{name}"] = field.default
            parameter = f"{name}=_default_{name}"
        elif field.default_factory is not MISSING:
            scope[f"_make_{name}"] = field.default_factory
            parameter = f"{name}=_made"
            body.append(f"if {name} is _made: {name} = _make_{name}()")
        parameters.append(parameter)
        slot = getattr(record, name, None)
        if not record.__frozen__:  # type: ignore[attr-defined]
            body.append(f"self.{name} = {name}")
        elif isinstance(slot, MemberDescriptorType):
            scope[f"_set_{name}"] = slot.__set__
            body.append(f"_set_{name}(self, {name})")
        else:
            stored = True
            body.append(f"_stored[{name!r}] = {name}")
    if stored:
        body.insert(0, "_stored = self.__dict__")
    if hasattr(record, "__post_init__"):
        body.append("self.__post_init__()")
    return _written("__init__", parameters, body or ["pass"], scope)


def _eq(record: type) -> Callable[..., bool]:
    def listed(of: str) -> str:
        return "".join(f"{of}.{name}," for name in _compared(record))

    same = f"({listed('self')}) == ({listed('other')})" if listed("self") else "True"
    body = [f"return {same} if other.__class__ is self.__class__ else NotImplemented"]
    return _written("__eq__", ["self", "other"], body, {})


def _hash(record: type) -> Callable[..., int]:
    listed = "".join(f"self.{name}," for name in _compared(record))
    return _written("__hash__", ["self"], [f"return hash(({listed}))"], {})


def _compared(record: type) -> Iterator[str]:
    return (name for name, field in getattr(record, _OWN).items() if field.compare)


def _repr(record: type) -> Callable[..., str]:
    shown = [name for name, field in getattr(record, _OWN).items() if field.repr]

    @recursive_repr()
    def method(self: Any) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
        return f"{type(self).__qualname__}({values})"

    return method


def _written(name: str, parameters: list[str], body: list[str], scope: dict[str, Any]) -> Callable[..., Any]:
    exec("\n ".join([f"def {name}({', '.join(parameters)}):", *body]), scope)
    method: Callable[..., Any] = scope[name]
    return method


def _refuse_set(record: Any) -> Callable[..., None]:
    def __setattr__(self: Any, name: str, value: Any) -> None:
        if type(self) is record or name in getattr(record, _OWN):
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        super(record, self).__setattr__(name, value)

    return __setattr__


def _refuse_delete(record: Any) -> Callable[..., None]:
    def __delattr__(self: Any, name: str) -> None:
        if type(self) is record or name in getattr(record, _OWN):
            raise FrozenInstanceError(f"cannot delete field {name!r}")
        super(record, self).__delattr__(name)

    return __delattr__


def _state(self: Any) -> list[Any]:
    return [getattr(self, name) for name in getattr(self, _OWN)]


def _set_state(self: Any, state: list[Any]) -> None:
    for name, value in zip(getattr(self, _OWN), state, strict=True):
        object.__setattr__(self, name, value)


class _Standard:
    """What `fields`, `replace` and `asdict` of the standard module look for, made by it when they do."""

    def __init__(self, record: type):
        self._record = record

    def __get__(self, _: object, owner: type) -> dict[str, "Field[Any]"]:
        fields = getattr(self._record, _OWN)
        kinds = {name: field.type for name, field in fields.items()}
        # with a text of its own, or one is made of the signature, which takes longer than all else
        namespace = {"__doc__": "fields", "__annotations__": kinds, **fields}
        standard: Any = dataclasses.dataclass(init=False, repr=False, eq=False)(type("Fields", (), namespace))
        found: dict[str, Field[Any]] = standard.__dataclass_fields__
        self._record.__dataclass_fields__ = found  # type: ignore[attr-defined]
        return found


def _replace(record: Any, /, **changes: Any) -> Any:
    """As the standard one, without asking the standard module what the fields are."""
    for name in record.__copied__:
        if name not in changes:
            changes[name] = getattr(record, name)
    return type(record)(**changes)


if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
    from dataclasses import replace as replace
else:
    dataclass = _decorate
    replace = _replace
