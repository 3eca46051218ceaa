"""What Alpaca says about the market: assets, its clock, bars, quotes, trades, snapshots, option contracts. Pure.

Lenient: one symbol's unreadable line is left out, not the whole answer; what decides whether an order may be sent
(an asset, the clock) is read strictly. Prices of bars become floats, as kernels want them; those of quotes and
trades stay exact.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from tbot_bot.broker.alpaca_wire import option_of
from tbot_bot.broker.json_fields import fields, items, moment, number, text, words
from tbot_bot.core.bars import Bar, Quote
from tbot_bot.core.errors import UnknownMessage
from tbot_bot.core.instants import Duration, Instant
from tbot_bot.core.instruments import Instrument, OptionRight
from tbot_bot.core.money import ZERO
from tbot_bot.core.options import PutQuote


@dataclass(frozen=True, slots=True, kw_only=True)
class WireAsset:
    """What may be done with a share."""

    symbol: str
    tradable: bool
    fractionable: bool
    shortable: bool
    easy_to_borrow: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WireTrade:
    """The last trade of a symbol."""

    symbol: str
    at: Instant
    price: Decimal
    size: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The newest of everything about one symbol; None where Alpaca has none."""

    symbol: str
    trade: WireTrade | None
    quote: Quote | None
    minute: Bar | None
    today: Bar | None
    yesterday: Bar | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WireContract:
    """A listed option."""

    instrument: Instrument
    tradable: bool


def asset_of(value: object) -> WireAsset:
    """Return the asset in `value`; what it does not say, it does not allow.

    `borrow_status` came in 2026 and goes before `easy_to_borrow`, which it replaces.
    """
    told = fields(value, "asset")
    borrow = words(told, "borrow_status")
    easy = borrow == "easy_to_borrow" if borrow else told.get("easy_to_borrow") is True
    return WireAsset(
        symbol=text(told, "symbol", "asset"),
        tradable=told.get("tradable") is True and words(told, "status") in {"", "active"},
        fractionable=told.get("fractionable") is True,
        shortable=told.get("shortable") is True,
        easy_to_borrow=easy,
    )


def clock_of(value: object) -> Instant:
    """Return the broker's time."""
    return moment(fields(value, "clock"), "timestamp", "clock")


def bar_of(symbol: str, value: object, span: Duration) -> Bar:
    """Return the bar in `value`, `span` nanoseconds long.

    Raises:
        UnknownMessage: it cannot be read.
    """
    told = fields(value, "bar")
    start = moment(told, "t", "bar")
    prices = [float(number(told, name, "bar")) for name in ("o", "h", "l", "c", "v")]
    return Bar(symbol, start, start + span, *prices)


def quote_of(symbol: str, value: object) -> Quote:
    """Return the quote in `value`; sizes are shares, or contracts.

    Raises:
        UnknownMessage: it cannot be read.
    """
    told = fields(value, "quote")
    bid, ask, bid_size, ask_size = (number(told, name, "quote") for name in ("bp", "ap", "bs", "as"))
    at = moment(told, "t", "quote")
    return Quote(symbol=symbol, at=at, bid=bid, ask=ask, bid_size=bid_size, ask_size=ask_size, modelled=False)


def trade_of(symbol: str, value: object) -> WireTrade:
    """Return the trade in `value`.

    Raises:
        UnknownMessage: it cannot be read.
    """
    told = fields(value, "trade")
    at = moment(told, "t", "trade")
    return WireTrade(symbol=symbol, at=at, price=number(told, "p", "trade"), size=number(told, "s", "trade"))


def snapshots_of(value: object, minute: Duration, day: Duration) -> dict[str, Snapshot]:
    """Return the snapshots in `value`, by symbol; `minute` and `day` are the spans of their bars."""
    return {symbol: _snapshot(symbol, one, minute, day) for symbol, one in fields(value, "snapshots").items()}


def _snapshot(symbol: str, value: object, minute: Duration, day: Duration) -> Snapshot:
    told = value if isinstance(value, dict) else {}
    return Snapshot(
        symbol=symbol,
        trade=_trade_or_none(symbol, told),
        quote=_quote_or_none(symbol, told),
        minute=_bar_or_none(symbol, told, "minuteBar", minute),
        today=_bar_or_none(symbol, told, "dailyBar", day),
        yesterday=_bar_or_none(symbol, told, "prevDailyBar", day),
    )


def _trade_or_none(symbol: str, told: Mapping[str, object]) -> WireTrade | None:
    try:
        return trade_of(symbol, told.get("latestTrade"))
    except UnknownMessage:
        return None


def _quote_or_none(symbol: str, told: Mapping[str, object]) -> Quote | None:
    try:
        return quote_of(symbol, told.get("latestQuote"))
    except UnknownMessage:
        return None


def _bar_or_none(symbol: str, told: Mapping[str, object], name: str, span: Duration) -> Bar | None:
    try:
        return bar_of(symbol, told.get(name), span)
    except UnknownMessage:
        return None


def contracts_of(value: object) -> tuple[tuple[WireContract, ...], str]:
    """Return the option contracts in `value` and the token of the next page, empty after the last one.

    Contracts of another form than the standard one (100 shares, an OCC symbol) are left out: nobody could size them.
    """
    told = fields(value, "option contracts")
    found = []
    for one in items(told.get("option_contracts"), "option contracts"):
        try:
            instrument = option_of(text(one, "symbol", "contract"))
        except UnknownMessage:
            continue  # a contract whose name we cannot read is none that we would buy
        if words(one, "multiplier") in {"", "100"} and words(one, "size") in {"", "100"}:
            found.append(WireContract(instrument=instrument, tradable=one.get("tradable") is True))
    return tuple(found), words(told, "next_page_token")


def put_quotes_of(value: object) -> tuple[PutQuote, ...]:
    """Return the puts in `value`, snapshots of options, that have a bid and an ask, by symbol.

    A delta that is missing or unreadable is none; a put that cannot be read is not offered.
    """
    found = []
    for symbol, one in sorted(fields(fields(value, "option snapshots").get("snapshots"), "snapshots").items()):
        told = one if isinstance(one, dict) else {}
        try:
            instrument, quote = option_of(symbol), quote_of(symbol, told.get("latestQuote"))
        except UnknownMessage:
            continue  # without a quote nobody could buy it
        if instrument.right is OptionRight.PUT and quote.bid > ZERO and quote.ask > ZERO:
            found.append(PutQuote(instrument=instrument, quote=quote, delta=_delta_or_none(told.get("greeks"))))
    return tuple(found)


def _delta_or_none(value: object) -> Decimal | None:
    try:
        return number(fields(value, "greeks"), "delta", "greeks")
    except UnknownMessage:
        return None


def trades_of(value: object) -> dict[str, WireTrade]:
    """Return the latest trades in `value`, by symbol; one that cannot be read is left out."""
    told = fields(fields(value, "latest trades").get("trades"), "latest trades")
    found = {}
    for symbol, one in told.items():
        try:
            found[symbol] = trade_of(symbol, one)
        except UnknownMessage:
            continue  # no price of this symbol, which whoever asked has to notice
    return found


__all__ = [
    "Snapshot",
    "WireAsset",
    "WireContract",
    "WireTrade",
    "asset_of",
    "bar_of",
    "clock_of",
    "contracts_of",
    "put_quotes_of",
    "quote_of",
    "snapshots_of",
    "trade_of",
    "trades_of",
]
