"""Kinds of variables: how a text becomes a value, how it is written back, what the owner is told to write.

A field of a settings model is `name: Annotated[type, kind("why", ...)] = default`. The kind does all the
validation, so that a message can say in one phrase what was expected, range and unit included.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import time
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar, cast

from pydantic import GetCoreSchemaHandler, SecretStr
from pydantic_core import CoreSchema, core_schema

from tbot_bot.config.error_handler import MASK
from tbot_bot.core.instants import MILLISECOND, MINUTE, SECOND, Duration
from tbot_bot.core.money import exact, plain

_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER: Final = re.compile(r"[+-]?([0-9]{1,20}(\.[0-9]{0,20})?|\.[0-9]{1,20})([eE][+-]?[0-9]{1,2})?")
_DURATION: Final = re.compile(r"([0-9]{1,12})(ms|s|m)")
_CLOCK: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
SYMBOL: Final = re.compile(r"[A-Z][A-Z0-9]{0,9}([./-][A-Z0-9]{1,4})?")
"""US ticker, class suffix included (BRK.B); upper case only, so that a map and a list cannot disagree."""
_UNITS: Final = {"ms": MILLISECOND, "s": SECOND, "m": MINUTE}
_UNIT_WORDS: Final = {SECOND: "seconds", MINUTE: "minutes"}

N = TypeVar("N", int, Decimal)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What is known of one variable besides its name and its default."""

    description: str
    """One sentence for the owner: what it does."""
    expected: str
    """What may be written, range and unit included; completes "expected ..."."""
    parse: Callable[[str], object]
    """Raises ValueError where the text is not as expected; its message is not shown."""
    render: Callable[[object], str]
    """Writes what `parse` reads."""
    secret: bool = False
    choices: tuple[str, ...] = ()
    """All that may be written, where that is a short list."""

    def __get_pydantic_core_schema__(self, _source: object, _handler: GetCoreSchemaHandler) -> CoreSchema:
        """Let this kind, and nothing else, validate the field it annotates."""
        return core_schema.no_info_plain_validator_function(self._validate)

    def _validate(self, raw: object) -> object:
        if not isinstance(raw, str):
            raise ValueError("text, as a line of a file would give it")  # noqa: TRY004 - pydantic collects ValueErrors
        return self.parse(raw)

    def shown(self, text: str) -> str:
        """Return `text` as an error may quote it: masked if secret, or if a URL may carry a login or a token."""
        if not text:
            return text
        return MASK if self.secret or ("/" in text and ("@" in text or "?" in text)) else text


def flag(description: str) -> Kind:
    """Return the kind of a switch: `true` or `false`, nothing else."""
    words = {"true": True, "false": False}
    return Kind(
        description=description,
        expected="true or false",
        parse=lambda text: _look_up(words, text),
        render=lambda value: "true" if value else "false",
        choices=tuple(words),
    )


def choice(words: type[StrEnum], description: str) -> Kind:
    """Return the kind of one word out of an enum's values."""
    names = tuple(member.value for member in words)
    return Kind(
        description=description,
        expected=f"one of {', '.join(names)}",
        parse=words,
        render=str,
        choices=names,
    )


def several(words: type[StrEnum], description: str, *, may_be_empty: bool = False) -> Kind:
    """Return the kind of a comma-separated list of an enum's values, in the written order, without repeats."""

    def parse(text: str) -> tuple[StrEnum, ...]:
        found = tuple(words(part) for part in _parts(text))
        if len(set(found)) != len(found) or not (found or may_be_empty):
            raise ValueError(text)
        return found

    names = ", ".join(member.value for member in words)
    some = "nothing, or some" if may_be_empty else "some"
    return Kind(
        description=description,
        expected=f"{some} of {names}, parted by commas, none twice",
        parse=parse,
        render=_joined,
    )


def whole(description: str, low: int, high: int, unit: str = "") -> Kind:
    """Return the kind of an integer within `low` and `high`, both included."""

    def parse(text: str) -> int:
        if not _WHOLE.fullmatch(text):
            raise ValueError(text)
        return _within(int(text), low, high)

    of = f" of {unit}" if unit else ""
    return Kind(description=description, expected=f"a whole number{of} from {low} to {high}", parse=parse, render=str)


def number(description: str, low: str, high: str, unit: str = "") -> Kind:
    """Return the kind of an exact decimal within `low` and `high`, both included."""
    bottom, top = Decimal(low), Decimal(high)
    of = f" of {unit}" if unit else ""
    return Kind(
        description=description,
        expected=f"a number{of} from {plain(bottom)} to {plain(top)}",
        parse=lambda text: _within(_decimal(text), bottom, top),
        render=_plain,
    )


def fraction(description: str, low: str, high: str, of: str) -> Kind:
    """Return the kind of a share of something: 0.02 is 2 %."""
    expected = f"a fraction {of} from {low} to {high} (0.02 is 2 %)"
    return replace(number(description, low, high), expected=expected)


def numbers(description: str) -> Kind:
    """Return the kind of a comma-separated list of exact decimals above 0, at most 1."""

    def parse(text: str) -> tuple[Decimal, ...]:
        found = tuple(_within(_decimal(part), Decimal("1e-9"), Decimal(1)) for part in _parts(text))
        if not found:
            raise ValueError(text)
        return found

    expected = "fractions above 0 and at most 1, parted by commas"
    return Kind(description=description, expected=expected, parse=parse, render=_joined)


def duration(description: str, low: Duration, high: Duration, plain_unit: Duration | None = None) -> Kind:
    """Return the kind of a span of time; a bare number counts `plain_unit`s, where there is such a unit."""

    def parse(text: str) -> Duration:
        if plain_unit is not None and _NUMBER.fullmatch(text):
            span = _decimal(text) * plain_unit
            if span != span.to_integral_value():
                raise ValueError(text)
            return Duration(_within(int(span), low, high))
        match = _DURATION.fullmatch(text)
        if match is None:
            raise ValueError(text)
        return Duration(_within(int(match[1]) * _UNITS[match[2]], low, high))

    def render(value: object) -> str:
        span = cast("Duration", value)
        return plain(Decimal(span) / plain_unit) if plain_unit is not None else duration_text(span)

    if plain_unit is None:
        expected = f"a duration such as 250ms, 1s or 5m, from {duration_text(low)} to {duration_text(high)}"
    else:
        bottom, top = (plain(Decimal(span) / plain_unit) for span in (low, high))
        expected = f"a number of {_UNIT_WORDS[plain_unit]} from {bottom} to {top}, or a duration such as 30s or 5m"
    return Kind(description=description, expected=expected, parse=parse, render=render)


def clock(description: str) -> Kind:
    """Return the kind of a time of day in UTC, to the minute."""

    def parse(text: str) -> time:
        match = _CLOCK.fullmatch(text)
        if match is None:
            raise ValueError(text)
        return time(int(match[1]), int(match[2]))  # naive on purpose: a time of day without a date has no offset

    return Kind(
        description=description,
        expected="a time as HH:MM, UTC, from 00:00 to 23:59",
        parse=parse,
        render=lambda value: f"{value:%H:%M}",
    )


def words(description: str, expected: str, pattern: str) -> Kind:
    """Return the kind of a text that `pattern` matches as a whole; `expected` says so in words."""
    compiled = re.compile(pattern)
    return Kind(description=description, expected=expected, parse=lambda text: _matched(compiled, text), render=str)


def secret(description: str, expected: str = "a secret text, or nothing", pattern: str = r"[^\x00-\x1f]*") -> Kind:
    """Return the kind of a text that is never shown."""
    compiled = re.compile(pattern)
    return Kind(
        description=description,
        expected=expected,
        parse=lambda text: SecretStr(_matched(compiled, text)),
        render=lambda value: cast("SecretStr", value).get_secret_value(),
        secret=True,
    )


def relative_path(description: str, *, may_be_empty: bool = False) -> Kind:
    """Return the kind of a path below the installation's folder; empty becomes None where it may be empty."""

    def parse(text: str) -> Path | None:
        if not text and may_be_empty:
            return None
        return checked_path(text)

    empty = "nothing, or " if may_be_empty else ""
    return Kind(
        description=description,
        expected=f"{empty}a path relative to TBOT_HOME, without `..`",
        parse=parse,
        render=lambda value: "" if value is None else cast("Path", value).as_posix(),
    )


def checked_path(text: str) -> Path:
    """Return the relative path `text` names.

    Raises:
        ValueError: empty, absolute, leading outside, relative to somebody's home, or with control characters.
    """
    path = Path(text)
    if not text or not text.isprintable() or path.is_absolute() or ".." in path.parts or text.startswith("~"):
        raise ValueError(text)
    return path


def duration_text(span: Duration) -> str:
    """Return `span` in the largest unit that divides it: `5m`, `1s`, `250ms`."""
    for unit in ("m", "s"):
        if span % _UNITS[unit] == 0 and span:
            return f"{span // _UNITS[unit]}{unit}"
    return f"{span // MILLISECOND}ms"


def _within(value: N, low: N, high: N) -> N:
    if not low <= value <= high:
        raise ValueError(value)
    return value


def _decimal(text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):  # Decimal itself also reads 1_000, NaN and digits of other scripts
        raise ValueError(text)
    return exact(text)


def _look_up(table: dict[str, bool], text: str) -> bool:
    if text not in table:
        raise ValueError(text)
    return table[text]


def _matched(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(text)
    return text


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",")) if text.strip() else ()


def _plain(value: object) -> str:
    return plain(cast("Decimal", value))


def _joined(value: object) -> str:
    items = cast("tuple[Decimal | StrEnum, ...]", value)
    return ",".join(plain(item) if isinstance(item, Decimal) else item.value for item in items)


@dataclass(frozen=True, slots=True)
class Universe:
    """What the screener looks at; both empty: every active tradable symbol."""

    symbols: tuple[str, ...] = ()
    file: Path | None = None
    """Relative to TBOT_HOME; one symbol a line."""


def symbols_or_file(description: str) -> Kind:
    """Return the kind of a list of symbols, or of a file with one symbol a line; empty means all."""

    def parse(text: str) -> Universe:
        if "/" in text or text.endswith((".txt", ".csv")):
            return Universe(file=checked_path(text))
        found = tuple(_matched(SYMBOL, part) for part in _parts(text))
        if len(set(found)) != len(found):
            raise ValueError(text)
        return Universe(symbols=found)

    def render(value: object) -> str:
        chosen = cast("Universe", value)
        return chosen.file.as_posix() if chosen.file else ",".join(chosen.symbols)

    expected = "nothing, symbols parted by commas (none twice), or a relative path to a .txt or .csv file"
    return Kind(description=description, expected=expected, parse=parse, render=render)


def secrets(description: str, expected: str, pattern: str) -> Kind:
    """Return the kind of a comma-separated list of texts that are never shown."""
    compiled = re.compile(pattern)
    return Kind(
        description=description,
        expected=expected,
        parse=lambda text: tuple(SecretStr(_matched(compiled, part)) for part in _parts(text)),
        render=lambda value: ",".join(part.get_secret_value() for part in cast("tuple[SecretStr, ...]", value)),
        secret=True,
    )
