"""Bars, quotes and trades as Alpaca's market data writes them: numbers, not text; times in UTC."""

from tbot_bot.core.bars import Bar, Quote
from tbot_bot.core.instants import Instant, iso
from tbot_bot.sandbox.serving import Json
from tbot_bot.sandbox.tickets import Trade

_LOT = 100


def bar_json(bar: Bar) -> dict[str, Json]:
    """Return a bar; the mean price is its typical price, the count of trades one per round lot."""
    return {
        "t": iso(Instant(bar.start)),
        "o": bar.open,
        "h": bar.high,
        "l": bar.low,
        "c": bar.close,
        "v": int(bar.volume),
        "n": max(int(bar.volume) // _LOT, 1),
        "vw": round((bar.high + bar.low + bar.close) / 3, 4),
    }


def quote_json(quote: Quote) -> dict[str, Json]:
    """Return a share's quote; sizes in shares."""
    return option_quote_json(quote) | {"c": ["R"], "z": "C"}


def option_quote_json(quote: Quote) -> dict[str, Json]:
    """Return an option's quote; sizes in contracts."""
    return {
        "t": iso(Instant(quote.at)),
        "ax": "V",
        "ap": float(quote.ask),
        "as": int(quote.ask_size),
        "bx": "V",
        "bp": float(quote.bid),
        "bs": int(quote.bid_size),
        "c": " ",
    }


def trade_json(trade: Trade) -> dict[str, Json]:
    """Return a print."""
    return {
        "t": iso(trade.at),
        "x": "V",
        "p": float(trade.price),
        "s": int(trade.size),
        "c": ["@"],
        "i": trade.number,
        "z": "C",
    }
