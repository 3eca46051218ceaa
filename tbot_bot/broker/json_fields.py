"""Reading a vendor's JSON field by field, exactly: numbers become Decimals from their text on. Pure.

Whatever must be there and is not, or cannot be read, raises `UnknownMessage`.
"""

import json
from collections.abc import Mapping
from decimal import Decimal

from tbot_bot.core.errors import UnknownMessage
from tbot_bot.core.instants import Instant, parse_iso
from tbot_bot.core.money import ZERO, exact, plain


def parsed(body: bytes | str) -> object:
    """Return the JSON in `body`, its numbers as Decimals and ints.

    Raises:
        UnknownMessage: it is none.
    """
    try:
        found: object = json.loads(body, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise UnknownMessage("an answer that is no JSON") from None
    return found


def fields(value: object, what: str) -> Mapping[str, object]:
    """Return `value`, which must be a JSON object."""
    if not isinstance(value, dict):
        raise UnknownMessage(f"{what}: {type(value).__name__} where an object should be")
    return value


def items(value: object, what: str) -> list[Mapping[str, object]]:
    """Return `value`, which must be a list of JSON objects."""
    if not isinstance(value, list):
        raise UnknownMessage(f"{what}: {type(value).__name__} where a list should be")
    return [fields(one, what) for one in value]


def _refuse_constant(text: str) -> object:
    raise ValueError(text)


def text(told: Mapping[str, object], name: str, what: str) -> str:
    """Return the text in `name`, which must be there."""
    value = told.get(name)
    if not isinstance(value, str) or not value:
        raise UnknownMessage(f"{what}: {name} is {value!r}")
    return value


def words(told: Mapping[str, object], name: str) -> str:
    """Return the text in `name`, empty where there is none: for what only describes."""
    value = told.get(name)
    return value if isinstance(value, str) else ""


def exact_number(value: object, what: str) -> Decimal:
    """Return the exact number that a text or a JSON number spells.

    Raises:
        UnknownMessage: it spells none.
    """
    if isinstance(value, str | int | Decimal) and not isinstance(value, bool):
        try:
            return exact(value)
        except ValueError:
            pass  # said below, with what it is
    raise UnknownMessage(f"{what} is {value!r}, no number")


def number(told: Mapping[str, object], name: str, what: str) -> Decimal:
    """Return the exact number in `name`."""
    return exact_number(told.get(name), f"{what}: {name}")


def number_or_none(told: Mapping[str, object], name: str, what: str) -> Decimal | None:
    """Return the exact number in `name`, None where it is absent or null."""
    return None if told.get(name) is None else number(told, name, what)


def above_zero(told: Mapping[str, object], name: str, what: str) -> Decimal:
    """Return the number in `name`, which must be above zero."""
    value = number(told, name, what)
    if value <= ZERO:
        raise UnknownMessage(f"{what}: {name} is {plain(value)}")
    return value


def moment(told: Mapping[str, object], name: str, what: str) -> Instant:
    """Return the instant in `name`."""
    try:
        return parse_iso(text(told, name, what))
    except ValueError:
        raise UnknownMessage(f"{what}: {name} is {told.get(name)!r}, no time with a zone") from None


def moment_or_none(told: Mapping[str, object], name: str) -> Instant | None:
    """Return the instant in `name`, None where there is none that could be read."""
    try:
        return parse_iso(words(told, name))
    except ValueError:
        return None
