"""Which trades a page shows on their candles, and the bars around them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final

from tbot_bot.backtest.model import BacktestTrade
from tbot_bot.core.bars import Bar
from tbot_bot.core.calendar import trading_day
from tbot_bot.core.instants import later, minutes
from tbot_bot.core.market_day import MarketDay

SHOWN: Final = 12
_EACH: Final = 4
_BEFORE, _AFTER = minutes(40), minutes(25)
_BARS_MAX: Final = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeCandles:
    """One trade and the market around it."""

    trade: BacktestTrade
    symbol: str
    """Whose bars these are: what was traded, or for an option the stock behind it."""
    bars: tuple[Bar, ...]


def chosen(trades: Iterable[BacktestTrade]) -> list[BacktestTrade]:
    """Return the best, the worst, and some evenly out of the rest, in order of time."""
    ranked = sorted(trades, key=lambda trade: (trade.record.pnl, trade.entered_at, trade.record.trade_id))
    if len(ranked) > SHOWN:
        rest = sorted(ranked[_EACH:-_EACH], key=lambda trade: (trade.entered_at, trade.record.trade_id))
        middle = [rest[(2 * number + 1) * len(rest) // (2 * _EACH)] for number in range(SHOWN - 2 * _EACH)]
        ranked = [*ranked[:_EACH], *middle, *ranked[-_EACH:]]
    return sorted(ranked, key=lambda trade: (trade.entered_at, trade.record.trade_id))


def candles_of(trade: BacktestTrade, day: MarketDay) -> TradeCandles | None:
    """Return the bars around `trade`; None where `day` has none."""
    record = trade.record
    symbol = record.instrument if record.instrument in day.symbols else record.underlying
    if symbol not in day.symbols:
        return None
    session = trading_day(trade.day)
    begin = max(session.open_at, later(trade.entered_at, -_BEFORE))
    end = min(session.close_at, later(trade.exited_at or session.close_at, _AFTER))
    bars = [bar for bar in day.bars_until(symbol, end) if bar.start >= begin]
    if not bars:
        return None
    return TradeCandles(trade=trade, symbol=symbol, bars=tuple(_merged(bars)))


def days_of(trades: Iterable[BacktestTrade]) -> list[date]:
    """Return the days of `trades`, each once, in order."""
    return sorted({trade.day for trade in trades})


def _merged(bars: list[Bar]) -> list[Bar]:
    """Return at most `_BARS_MAX` bars, several made into one where there are more."""
    size = -(-len(bars) // _BARS_MAX)
    if size == 1:
        return bars
    groups = [bars[place : place + size] for place in range(0, len(bars), size)]
    return [
        Bar(
            symbol=group[0].symbol,
            start=group[0].start,
            end=group[-1].end,
            open=group[0].open,
            high=max(bar.high for bar in group),
            low=min(bar.low for bar in group),
            close=group[-1].close,
            volume=sum(bar.volume for bar in group),
        )
        for group in groups
    ]


__all__ = ["SHOWN", "TradeCandles", "candles_of", "chosen", "days_of"]
