"""Alpaca's market data, as its stream and its REST interface spell it. Pure.

Numbers are read exactly; bars become floats here and nowhere else, as kernels want them, quotes stay exact. Lenient:
a message that cannot be read is left out and counted, the rest of the frame counts.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

from tbot_bot.core.bars import Bar, Quote
from tbot_bot.core.errors import UnknownMessage
from tbot_bot.core.halts import TradingHalt
from tbot_bot.core.instants import MINUTE, Instant, parse_iso
from tbot_bot.core.money import exact

Message = Mapping[str, object]
_STOPPED: Final = frozenset({"2", "H", "P"})
"""Status codes: trading halt (CTA), trading halt and volatility pause (UTP)."""
_GOES_ON: Final = frozenset({"3", "T"})
"""Resume (CTA), trading resumption (UTP). Quotation resumption (Q) lets nobody trade yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamError:
    """The vendor objects; `code` as its documents number them (402 auth failed, 405 too many symbols, ...)."""

    code: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """Everything that is subscribed to now: the symbols of which both bars and quotes come."""

    symbols: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """`connected`, then `authenticated`."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What one frame holds."""

    bars: tuple[Bar, ...] = ()
    quotes: tuple[Quote, ...] = ()
    halts: tuple[TradingHalt, ...] = ()
    said: tuple[StreamError | Subscription | Greeting, ...] = ()
    unread: int = 0
    """Messages that could not be read."""


def auth(key: str, secret: str) -> str:
    """Return the message that authenticates."""
    return json.dumps({"action": "auth", "key": key, "secret": secret})


def subscribing(action: str, symbols: Sequence[str]) -> str:
    """Return the message that begins (`subscribe`) or ends (`unsubscribe`) bars, quotes and statuses of `symbols`."""
    named = list(symbols)
    return json.dumps({"action": action, "bars": named, "quotes": named, "statuses": named})


def frame_of(text: str | bytes) -> Frame:
    """Return what is in a frame of the stream.

    Raises:
        UnknownMessage: it is no list of messages.
    """
    told = _parsed(text)
    if not isinstance(told, list):
        raise UnknownMessage("a frame that is no list")
    bars: list[Bar] = []
    quotes: list[Quote] = []
    halts: list[TradingHalt] = []
    said: list[StreamError | Subscription | Greeting] = []
    unread = 0
    for one in told:
        try:
            match _fields(one).get("T"):
                case "b":
                    bars.append(bar_of(str(one.get("S")), one))
                case "q":
                    quotes.append(quote_of(str(one.get("S")), one))
                case "s":
                    halts += halts_of(one)
                case "error":
                    said.append(StreamError(code=_whole(one, "code"), text=str(one.get("msg"))))
                case "success":
                    said.append(Greeting(text=str(one.get("msg"))))
                case "subscription":
                    said.append(Subscription(symbols=_names(one, "bars") & _names(one, "quotes")))
                case _:
                    pass  # channels that were not asked for
        except UnknownMessage:
            unread += 1
    return Frame(bars=tuple(bars), quotes=tuple(quotes), halts=tuple(halts), said=tuple(said), unread=unread)


def halts_of(told: Message) -> list[TradingHalt]:
    """Return what a status says of halts: one, or none where it is about something else.

    Raises:
        UnknownMessage: it cannot be read.
    """
    code = str(told.get("sc"))
    if code not in _STOPPED | _GOES_ON:
        return []
    words = [str(told.get(name) or "") for name in ("sm", "rm")]
    reason = ", ".join(word for word in words if word)
    return [TradingHalt(symbol=str(told.get("S")), at=_moment(told), halted=code in _STOPPED, reason=reason)]


def bars_of(value: object) -> tuple[tuple[Bar, ...], str]:
    """Return the minute bars in an answer of REST, and the token of its next page (empty: it was the last).

    Raises:
        UnknownMessage: it is no such answer.
    """
    told = _fields(value)
    found: list[Bar] = []
    for symbol, rows in _fields(told.get("bars") or {}).items():
        if not isinstance(rows, list):
            raise UnknownMessage(f"bars of {symbol} that are no list")
        found += [bar_of(symbol, row) for row in rows]
    token = told.get("next_page_token")
    return tuple(found), token if isinstance(token, str) else ""


def quotes_of(value: object) -> tuple[Quote, ...]:
    """Return the quotes in an answer of REST; what cannot be read of one symbol is missing.

    Raises:
        UnknownMessage: it is no such answer.
    """
    found: list[Quote] = []
    for symbol, one in _fields(_fields(value).get("quotes") or {}).items():
        try:
            found.append(quote_of(symbol, one))
        except UnknownMessage:
            continue  # a share without a quote is not opened: the spread check says so
    return tuple(found)


def bar_of(symbol: str, value: object) -> Bar:
    """Return a minute bar.

    Raises:
        UnknownMessage: it cannot be read, or is none: prices that are not positive, a high below its low.
    """
    told = _fields(value)
    start = _moment(told)
    opened, high, low, close, volume = (float(_number(told, name)) for name in ("o", "h", "l", "c", "v"))
    if not (0 < low <= min(opened, close) and max(opened, close) <= high and volume >= 0):
        raise UnknownMessage(f"a bar of {symbol} that is none")
    return Bar(symbol, start, start + MINUTE, opened, high, low, close, volume)


def quote_of(symbol: str, value: object) -> Quote:
    """Return a quote; a side without a price stands as 0, which no check takes for a market.

    Raises:
        UnknownMessage: it cannot be read.
    """
    told = _fields(value)
    bid, ask, bid_size, ask_size = (_number(told, name) for name in ("bp", "ap", "bs", "as"))
    at = _moment(told)
    return Quote(symbol=symbol, at=at, bid=bid, ask=ask, bid_size=bid_size, ask_size=ask_size, modelled=False)


def _parsed(text: str | bytes) -> object:
    try:
        found: object = json.loads(text, parse_float=Decimal, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise UnknownMessage("a frame that is no JSON") from None
    return found


def _refuse(text: str) -> object:
    raise ValueError(text)


def _fields(value: object) -> Message:
    if not isinstance(value, dict):
        raise UnknownMessage(f"{type(value).__name__} where an object should be")
    return value


def _names(told: Message, channel: str) -> frozenset[str]:
    given = told.get(channel)
    return frozenset(str(name) for name in given) if isinstance(given, list) else frozenset()


def _whole(told: Message, name: str) -> int:
    value = told.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise UnknownMessage(f"{name} is {value!r}")
    return value


def _number(told: Message, name: str) -> Decimal:
    value = told.get(name)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise UnknownMessage(f"{name} is {value!r}, no number")
    try:
        return exact(value)
    except (ValueError, InvalidOperation):
        raise UnknownMessage(f"{name} is {value!r}, no number") from None


def _moment(told: Message) -> Instant:
    try:
        return parse_iso(str(told.get("t")))
    except (ValueError, OverflowError):
        raise UnknownMessage(f"t is {told.get('t')!r}, no time with a zone") from None


__all__ = [
    "Frame", "Greeting", "StreamError", "Subscription", "auth", "bar_of", "bars_of", "frame_of", "halts_of",
    "quote_of", "quotes_of", "subscribing",
]  # fmt: skip
