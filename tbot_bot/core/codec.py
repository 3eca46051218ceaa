"""Frozen records to canonical JSON and back, exactly.

A record becomes `{"_": "ClassName", field: value, ...}` with fields in order of definition; fields at
their default are written too, so that a later change of a default cannot change an old record. Decimals
travel as strings, dates in ISO form, enums by value. Classes are found by name in a registry filled by
`@record`; an unknown name or field is an error, because it may be a fill.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from types import NoneType, UnionType
from typing import Final, TypeVar, Union, get_args, get_origin, get_type_hints

_NAME: Final = "_"
_REGISTRY: Final[dict[str, type]] = {}
_DECODERS: Final[dict[type, dict[str, Callable[[object], object]]]] = {}

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]
T = TypeVar("T")


class CodecError(ValueError):
    """A text is not the record it says it is."""


def record(cls: type[T]) -> type[T]:
    """Class decorator: make a dataclass or NamedTuple writable and readable by its name."""
    known = _REGISTRY.setdefault(cls.__name__, cls)
    if known is not cls and known.__module__ != cls.__module__:
        msg = f"two records are called {cls.__name__}: {known.__module__} and {cls.__module__}"
        raise TypeError(msg)
    _REGISTRY[cls.__name__] = cls
    return cls


def to_json(value: object) -> Json:
    """Return `value` as JSON-ready data.

    Raises:
        CodecError: a type that no record may hold.
    """
    match value:
        case Enum():
            return value.value if isinstance(value.value, int) else str(value.value)
        case None | bool() | int() | float() | str():
            return value
        case Decimal():
            return str(value)
        case date() if not isinstance(value, datetime):
            return value.isoformat()
        case tuple() if hasattr(value, "_fields"):
            body: dict[str, Json] = {_NAME: _known_name(type(value))}
            for name in value._fields:
                body[name] = to_json(getattr(value, name))
            return body
        case tuple() | list():
            return [to_json(item) for item in value]
        case _ if is_dataclass(value):
            body = {_NAME: _known_name(type(value))}
            for field in fields(value):
                body[field.name] = to_json(getattr(value, field.name))
            return body
        case _:
            pass
    msg = f"a record cannot hold {value!r} of type {type(value).__name__}"
    raise CodecError(msg)


def _known_name(cls: type) -> str:
    """Return the name of a registered class: what could not be read back must not be written."""
    if _REGISTRY.get(cls.__name__) is not cls:
        msg = f"{cls.__module__}.{cls.__name__} is not a record: decorate it with @record"
        raise CodecError(msg)
    return cls.__name__


def dumps(value: object) -> str:
    """Return `value` as one line of canonical JSON, in ASCII.

    Raises:
        CodecError: `value`, or something in it, is no record.
    """
    return json.dumps(to_json(value), separators=(",", ":"), allow_nan=True)


def loads(text: str) -> object:
    """Return the record that `dumps` wrote.

    Raises:
        CodecError: malformed, of an unknown class, or with fields that the class does not have.
    """
    try:
        return from_json(json.loads(text))
    except (ValueError, RecursionError) as error:
        msg = f"not a record: {error}"
        raise CodecError(msg) from None


def from_json(data: Json) -> object:
    """Return the record that JSON-ready `data` describes.

    Raises:
        CodecError: see `loads`.
    """
    if not isinstance(data, dict) or _NAME not in data:
        msg = f"not a record: {str(data)[:80]!r}"
        raise CodecError(msg)
    cls = _REGISTRY.get(str(data[_NAME]))
    if cls is None:
        msg = f"unknown record {data[_NAME]!r}: written by a newer version?"
        raise CodecError(msg)
    return _build(cls, data)


def _build(cls: type, data: Mapping[str, Json]) -> object:
    decoders = _decoders_of(cls)
    values: dict[str, object] = {}
    for name, raw in data.items():
        if name == _NAME:
            continue
        decode = decoders.get(name)
        if decode is None:
            msg = f"{cls.__name__} has no field {name!r}"
            raise CodecError(msg)
        try:
            values[name] = decode(raw)
        except (ValueError, TypeError, ArithmeticError) as error:
            msg = f"{cls.__name__}.{name}: {error}"
            raise CodecError(msg) from None
    try:
        return cls(**values)
    except TypeError as error:
        msg = f"{cls.__name__}: {error}"
        raise CodecError(msg) from None


def _decoders_of(cls: type) -> dict[str, Callable[[object], object]]:
    known = _DECODERS.get(cls)
    if known is None:
        hints = get_type_hints(cls)
        names = [field.name for field in fields(cls)] if is_dataclass(cls) else list(getattr(cls, "_fields", ()))
        known = {name: _decoder(hints[name]) for name in names}
        _DECODERS[cls] = known
    return known


def _decoder(hint: object) -> Callable[[object], object]:  # noqa: C901 - one return per kind of type
    origin = get_origin(hint)
    if origin in {Union, UnionType}:
        return _union_decoder(get_args(hint))
    if origin is tuple:
        items = get_args(hint)
        if len(items) == 2 and items[1] is Ellipsis:  # noqa: PLR2004 - tuple[X, ...]
            item = _decoder(items[0])
            return lambda raw: tuple(item(part) for part in _as_list(raw))
        each = [_decoder(part) for part in items]
        return lambda raw: tuple(decode(part) for decode, part in zip(each, _as_list(raw), strict=True))
    supertype = getattr(hint, "__supertype__", None)
    if supertype is not None:
        return _decoder(supertype)
    if hint is Decimal:
        return lambda raw: Decimal(_as_str(raw))
    if hint is date:
        return lambda raw: date.fromisoformat(_as_str(raw))
    if isinstance(hint, type):
        if issubclass(hint, Enum):
            return hint
        if is_dataclass(hint) or hasattr(hint, "_fields"):
            return _record_decoder((hint,))
        if hint in {int, float, str, bool}:
            return _primitive_decoder(hint)
    msg = f"no decoder for {hint!r}"
    raise TypeError(msg)


def _union_decoder(members: tuple[object, ...]) -> Callable[[object], object]:
    rest = [member for member in members if member is not NoneType]
    if len(rest) == 1:
        inner = _decoder(rest[0])
        return lambda raw: None if raw is None else inner(raw)
    kinds = tuple(member for member in rest if isinstance(member, type))
    if len(kinds) != len(rest) or not all(is_dataclass(kind) or hasattr(kind, "_fields") for kind in kinds):
        msg = f"a union of {members!r} cannot be told apart by name"
        raise TypeError(msg)
    inner = _record_decoder(kinds)
    optional = len(rest) != len(members)
    return lambda raw: None if optional and raw is None else inner(raw)


def _record_decoder(kinds: tuple[type, ...]) -> Callable[[object], object]:
    def decode(raw: object) -> object:
        value = from_json(raw) if isinstance(raw, dict) else raw
        if isinstance(value, kinds):
            return value
        names = " or ".join(kind.__name__ for kind in kinds)
        msg = f"{names} expected, not {str(raw)[:80]!r}"
        raise CodecError(msg)

    return decode


def _primitive_decoder(hint: type) -> Callable[[object], object]:
    def decode(raw: object) -> object:
        if hint is float and isinstance(raw, int) and not isinstance(raw, bool):
            return float(raw)
        if type(raw) is not hint:
            msg = f"{hint.__name__} expected, not {raw!r}"
            raise CodecError(msg)
        return raw

    return decode


def _as_list(raw: object) -> list[object]:
    if not isinstance(raw, list):
        msg = f"list expected, not {raw!r}"
        raise CodecError(msg)
    return raw


def _as_str(raw: object) -> str:
    if not isinstance(raw, str):
        msg = f"string expected, not {raw!r}"
        raise CodecError(msg)
    return raw


__all__ = ["CodecError", "Json", "dumps", "from_json", "loads", "record", "to_json"]
