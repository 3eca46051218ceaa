"""The embedded synthetic market: a seeded day of made-up stocks on which all three strategies find trades.

Forty fictional stocks (SYN01 to SYN40), each with a part to play that day: breaking out of the opening range, straying
from VWAP and coming back, running or overshooting into the close, or nothing in particular. Inverse ETFs move
against the mean of their sectors. Plain Python and exact arithmetic: a seed and a day give the same bars anywhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Final

from tbot_bot.config.inverse_etf import load_inverse_etf_map
from tbot_bot.core.bars import Bar
from tbot_bot.core.calendar import TradingDay, previous_trading_day, trading_day
from tbot_bot.core.instants import MINUTE
from tbot_bot.core.screening import Fundamentals
from tbot_bot.marketdata.dice import Dice
from tbot_bot.marketdata.recorded import History, RecordedDay, SymbolDay
from tbot_bot.marketdata.vix import DailyVix

STOCKS: Final = 40
SECTORS: Final = ("Technology", "Financials", "Energy", "Health Care", "Industrials", "Real Estate")
_NOTICE: Final = "synthetic market: made-up stocks, nothing here has ever been traded"
_HISTORY_DAYS: Final = 20
_LATE_BEFORE_CLOSE: Final = 90
"""Minutes before the closing bell at which CLOSE's analysis begins by default."""
_AFTER_MID: Final = 125
"""Minutes after the opening bell until which CLOSE waits for MID by default: on early-close days it begins there."""
_ETF_PRICE: Final = 24.0
_ETF_MINUTE_VOLUME: Final = 25_000.0
_PULL: Final = 0.90
"""How much of a stray from the path is left a minute later: without a part to play, prices revert."""


class Part(StrEnum):
    """What a stock does on this day."""

    QUIET = "quiet"
    OPEN_UP = "open_up"
    OPEN_DOWN = "open_down"
    MID_LOW = "mid_low"
    MID_HIGH = "mid_high"
    CLOSE_RUN_UP = "close_run_up"
    CLOSE_RUN_DOWN = "close_run_down"
    CLOSE_SPIKE = "close_spike"
    CLOSE_DIP = "close_dip"


_CAST: Final = (
    *(Part.OPEN_UP, Part.OPEN_DOWN) * 3,
    *(Part.MID_LOW, Part.MID_HIGH) * 3,
    *(Part.CLOSE_RUN_UP, Part.CLOSE_RUN_DOWN, Part.CLOSE_SPIKE, Part.CLOSE_DIP) * 2,
)
"""Played by the first stocks of the day's order, one minute after another; all others are quiet."""

Knot = tuple[float, float]
"""Minutes since the bell, and price as a multiple of the opening price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stock:
    symbol: str
    sector: str
    previous_close: float
    gap: float
    noise: float
    """Deviation of a minute's return."""
    daily_volume: float
    market_cap: Decimal


class SyntheticMarket(RecordedDay):
    """One synthetic trading day; a `MarketDay` like a recorded one."""

    def __init__(self, seed: int, day: date) -> None:
        """Make the day.

        Raises:
            NotATradingDay: New York does not trade on `day`.
        """
        session = trading_day(day)
        dice = Dice(seed, day.toordinal())
        stocks = [_stock(dice, number) for number in range(1, STOCKS + 1)]
        paths = _paths(dice, stocks, session)
        by_symbol = {stock.symbol: _symbol_day(dice, stock, paths[stock.symbol], session) for stock in stocks}
        etfs = _etfs(stocks, paths, session)
        super().__init__(
            day=session,
            span=MINUTE,
            by_symbol=by_symbol | etfs,
            history={stock.symbol: _history(dice, stock) for stock in stocks},
            fundamentals={stock.symbol: _facts(stock) for stock in stocks},
            vix=_vix(dice, session),
            notices=(_NOTICE,),
        )


def _stock(dice: Dice, number: int) -> _Stock:
    wild = number % 13 == 0  # a few fall through the screen: too big, or too dear
    return _Stock(
        symbol=f"SYN{number:02d}",
        sector=SECTORS[number % len(SECTORS)],
        previous_close=round(dice.uniform(110.0, 180.0) if wild else dice.uniform(9.0, 88.0), 2),
        gap=dice.bell() * 0.008,
        noise=dice.uniform(0.0005, 0.0007),
        daily_volume=round(dice.uniform(1_500_000.0, 6_000_000.0), 0),
        market_cap=Decimal(round(dice.uniform(2_200.0, 9_500.0))) * 1_000_000,
    )


def _paths(dice: Dice, stocks: Sequence[_Stock], session: TradingDay) -> Mapping[str, tuple[float, ...]]:
    """Return each stock's price at the bell and at the end of every minute."""
    length = (session.close_at - session.open_at) // MINUTE
    order = dice.shuffled(len(stocks))
    parts = {order[place]: (part, place) for place, part in enumerate(_CAST)}
    paths = {}
    for number, stock in enumerate(stocks):
        part, place = parts.get(number, (Part.QUIET, 0))
        paths[stock.symbol] = _path(dice, stock, _knots(part, place, length), length)
    return paths


def _knots(part: Part, place: int, length: int) -> tuple[Knot, ...]:
    late = float(max(length - _LATE_BEFORE_CLOSE, _AFTER_MID))
    at = float(place % 6)
    match part:
        case Part.OPEN_UP:
            return _open_break(21.0 + at, 1.0, stays=place > 1)
        case Part.OPEN_DOWN:
            return _open_break(21.0 + at, -1.0, stays=place > 1)
        case Part.MID_LOW:
            return _stray(71.0 + at, -1.0, returns=at != 0.0)
        case Part.MID_HIGH:
            return _stray(71.0 + at, 1.0, returns=True)
        case Part.CLOSE_RUN_UP:
            return _run(late, at, 1.0)
        case Part.CLOSE_RUN_DOWN:
            return _run(late, at, -1.0)
        case Part.CLOSE_SPIKE:
            return _overshoot(late, at, 1.0)
        case Part.CLOSE_DIP:
            return _overshoot(late, at, -1.0)
        case Part.QUIET:
            return ()


def _open_break(at: float, sign: float, *, stays: bool) -> tuple[Knot, ...]:
    """Leave the opening range; one that does not stay runs into its trailing stop."""
    top = (at + 12.0, 1.0 + 0.046 * sign)
    after = (at + 34.0, 1.0 + 0.040 * sign) if stays else (at + 20.0, 1.0 + 0.014 * sign)
    return ((at, 1.0), (at + 2.0, 1.0 + 0.036 * sign), top, after)


def _stray(at: float, sign: float, *, returns: bool) -> tuple[Knot, ...]:
    """Jump away from VWAP in one minute; then come back to it, or go on into the stop."""
    away = ((at, 1.0), (at + 1.0, 1.0 + 0.030 * sign), (at + 6.0, 1.0 + 0.029 * sign))
    if returns:
        return (*away, (at + 32.0, 1.0 - 0.002 * sign))
    return (*away, (at + 16.0, 1.0 + 0.058 * sign), (at + 60.0, 1.0 + 0.050 * sign))


def _run(late: float, at: float, sign: float) -> tuple[Knot, ...]:
    """Move with the day, through the window's edge and on."""
    return (
        (90.0, 1.0),
        (late, 1.0 + 0.018 * sign),
        (late + 10.0, 1.0 + 0.020 * sign),
        (late + 11.0 + at / 2.0, 1.0 + 0.020 * sign),
        (late + 14.0 + at / 2.0, 1.0 + 0.028 * sign),
        (late + 60.0, 1.0 + 0.036 * sign),
    )


def _overshoot(late: float, at: float, sign: float) -> tuple[Knot, ...]:
    """Move far within the window, and come back through its middle."""
    return (
        (late, 1.0),
        (late + 10.0, 1.0 + 0.018 * sign),
        (late + 12.0 + at / 3.0, 1.0 + 0.016 * sign),
        (late + 16.0 + at / 3.0, 1.0 + 0.004 * sign),
        (late + 50.0, 1.0 - 0.004 * sign),
    )


def _path(dice: Dice, stock: _Stock, knots: Sequence[Knot], length: int) -> tuple[float, ...]:
    opened = stock.previous_close * (1.0 + stock.gap)
    stray = 0.0
    prices = [round(opened, 2)]
    for minute in range(1, length + 1):
        stray = stray * _PULL + dice.bell() * stock.noise
        prices.append(round(opened * _factor(knots, float(minute)) * (1.0 + stray), 2))
    return tuple(prices)


def _factor(knots: Sequence[Knot], minute: float) -> float:
    """Return the path's height at `minute`: straight between knots, level outside."""
    before: Knot = (0.0, 1.0)
    for knot in knots:
        if minute < knot[0]:
            share = (minute - before[0]) / (knot[0] - before[0])
            return before[1] + (knot[1] - before[1]) * share
        before = knot
    return before[1]


def _symbol_day(dice: Dice, stock: _Stock, path: Sequence[float], session: TradingDay) -> SymbolDay:
    length = len(path) - 1
    bars = []
    for minute in range(length):
        opened, closed = path[minute], path[minute + 1]
        high = round(max(opened, closed) * (1.0 + dice.uniform(0.0, 0.0006)), 2)
        low = round(min(opened, closed) * (1.0 - dice.uniform(0.0, 0.0006)), 2)
        middle = 2.0 * minute / length - 1.0
        shape = (0.5 + 1.5 * middle * middle) * dice.uniform(0.7, 1.3)  # much at both ends of the day, little at noon
        volume = round(stock.daily_volume / length * shape, 0)
        bars.append(_bar(stock.symbol, session, minute, (opened, high, low, closed), volume))
    known = (session.open_at - 10 * MINUTE, *(bar.end for bar in bars))
    return SymbolDay(
        bars=tuple(bars),
        bar_ends=tuple(bar.end for bar in bars),
        known_ends=known,
        known_prices=(path[0], *(bar.close for bar in bars)),
    )


def _bar(
    symbol: str, session: TradingDay, minute: int, prices: tuple[float, float, float, float], volume: float
) -> Bar:
    start = session.open_at + minute * MINUTE
    return Bar(symbol, start, start + MINUTE, *prices, volume)


def _etfs(stocks: Sequence[_Stock], paths: Mapping[str, Sequence[float]], session: TradingDay) -> dict[str, SymbolDay]:
    """Return the inverse ETFs of the packaged map, each against the mean of the sectors that it stands for."""
    funds = load_inverse_etf_map()
    members: dict[str, list[str]] = {}
    for stock in stocks:
        fund = funds.etf_for(stock.symbol, stock.sector)
        if fund is not None:
            members.setdefault(fund, []).append(stock.symbol)
    return {fund: _etf(fund, [paths[symbol] for symbol in symbols], session) for fund, symbols in members.items()}


def _etf(fund: str, paths: Sequence[Sequence[float]], session: TradingDay) -> SymbolDay:
    price = _ETF_PRICE
    bars = []
    for minute in range(len(paths[0]) - 1):
        total = 0.0
        for path in paths:
            total += path[minute + 1] / path[minute] - 1.0
        after = price * (1.0 - total / len(paths))
        opened, closed = round(price, 2), round(after, 2)
        prices = (opened, max(opened, closed), min(opened, closed), closed)
        bars.append(_bar(fund, session, minute, prices, _ETF_MINUTE_VOLUME))
        price = after
    return SymbolDay(
        bars=tuple(bars),
        bar_ends=tuple(bar.end for bar in bars),
        known_ends=tuple(bar.end for bar in bars),
        known_prices=tuple(bar.close for bar in bars),
    )


def _history(dice: Dice, stock: _Stock) -> History:
    """Return twenty closes up to the previous one, by walking backward from it."""
    closes = [stock.previous_close]
    for _ in range(_HISTORY_DAYS - 1):
        closes.append(round(closes[-1] / (1.0 + dice.bell() * 0.016), 2))
    closes.reverse()
    return History(closes=tuple(closes), previous_close=stock.previous_close, average_volume=stock.daily_volume)


def _facts(stock: _Stock) -> Fundamentals:
    return Fundamentals(
        symbol=stock.symbol,
        market_cap=stock.market_cap,
        average_volume=Decimal(int(stock.daily_volume)),
        sector=stock.sector,
    )


def _vix(dice: Dice, session: TradingDay) -> DailyVix:
    before = previous_trading_day(session.day)
    level = round(dice.uniform(16.5, 26.0), 2)
    opened = round(level + dice.uniform(-0.6, 0.6), 2)
    return DailyVix(days=(before, session.day), opens=(level, opened), closes=(level, opened), source="synthetic")
