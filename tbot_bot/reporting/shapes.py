"""Records as plain JSON for people and other programs, and back.

Unlike the journal's codec this form carries no class names and spells instants in ISO 8601; decimals are
strings, so that no reader loses a cent to a binary float.
"""

import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from types import NoneType, UnionType
from typing import Final, TypeVar, Union, get_args, get_origin, get_type_hints

from tbot_bot.core.codec import Json
from tbot_bot.core.instants import Instant, iso, parse_iso
from tbot_bot.core.money import plain

T = TypeVar("T")
_COMPACT: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_HINTS: Final[dict[type, dict[str, object]]] = {}


def to_plain(record: object) -> dict[str, Json]:
    """Return the dataclass `record` as JSON-ready data, fields in order of definition."""
    return {name: _shown(getattr(record, name), hint) for name, hint in _hints_of(type(record)).items()}


def from_plain(cls: type[T], data: object) -> T:
    """Return the `cls` that `to_plain` wrote as `data`.

    Raises:
        ValueError: not that record: a field is missing, unknown or of another kind.
    """
    hints = _hints_of(cls)
    if not isinstance(data, dict):
        msg = f"{cls.__name__}: an object was expected"
        raise ValueError(msg)  # noqa: TRY004 - one kind of error for any malformed text
    if data.keys() != hints.keys():
        odd = ", ".join(sorted(data.keys() ^ hints.keys()))
        msg = f"{cls.__name__}: fields missing or unknown: {odd}"
        raise ValueError(msg)
    values: dict[str, object] = {}
    for name, hint in hints.items():
        try:
            values[name] = _read(data[name], hint)
        except (ValueError, TypeError, ArithmeticError) as error:
            msg = f"{cls.__name__}.{name}: {error}"
            raise ValueError(msg) from None
    return cls(**values)


def text_of(data: Json, *, indent: int | None = None) -> str:
    """Return `data` as JSON text with keys in the order given."""
    if indent is None:
        return _COMPACT.encode(data)
    return json.dumps(data, ensure_ascii=False, separators=(",", ": "), indent=indent)


def _hints_of(cls: type) -> dict[str, object]:
    known = _HINTS.get(cls)
    if known is None:
        if not is_dataclass(cls):
            msg = f"{cls.__name__} is no record"
            raise TypeError(msg)
        hints = get_type_hints(cls)
        known = {field.name: hints[field.name] for field in fields(cls)}
        _HINTS[cls] = known
    return known


def _shown(value: object, hint: object) -> Json:
    if value is None:
        return None
    hint = _without_none(hint)
    match value:
        case Enum():
            return str(value.value)
        case int() if hint is Instant:
            return iso(Instant(value))
        case bool() | int() | float() | str():
            return value
        case Decimal():
            return plain(value)
        case date():
            return value.isoformat()
        case tuple():
            return [_shown(item, get_args(hint)[0]) for item in value]
        case _:
            return to_plain(value)


def _read(raw: object, hint: object) -> object:
    inner = _without_none(hint)
    if raw is None and inner is not hint:
        return None
    if get_origin(inner) is tuple:
        if not isinstance(raw, list):
            msg = f"list expected, not {raw!r}"
            raise TypeError(msg)
        return tuple(_read(item, get_args(inner)[0]) for item in raw)
    if isinstance(inner, type) and is_dataclass(inner):
        return from_plain(inner, raw)
    if inner in {bool, int, float}:
        if type(raw) is not inner:
            msg = f"{inner} expected, not {raw!r}"
            raise TypeError(msg)
        return raw
    if not isinstance(raw, str):
        msg = f"text expected, not {raw!r}"
        raise TypeError(msg)
    return _from_text(inner)(raw)


def _from_text(hint: object) -> Callable[[str], object]:
    if hint is Instant:
        return parse_iso
    if hint is Decimal:
        return Decimal
    if hint is date:
        return date.fromisoformat
    if isinstance(hint, type) and (issubclass(hint, Enum) or hint is str):
        return hint
    msg = f"no reader for {hint!r}"
    raise TypeError(msg)


def _without_none(hint: object) -> object:
    if get_origin(hint) in {Union, UnionType}:
        rest = [member for member in get_args(hint) if member is not NoneType]
        if len(rest) == 1:
            return rest[0]
    return hint


__all__ = ["from_plain", "text_of", "to_plain"]
