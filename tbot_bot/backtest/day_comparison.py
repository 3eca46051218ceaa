"""The trades of a day beside those of its backtest: what matches, what is missing, what it cost. Pure.

Slippage is positive where the day was worse for us than its backtest, in basis points of the backtest's price and in
dollars over what both executed. Delays are seconds by which the day was later. Results are the day's less the
backtest's: negative dollars are money that the day did not make.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum
from statistics import median
from typing import Final

from tbot_bot.backtest.day_side import Side, TradeSide
from tbot_bot.backtest.outcomes import is_option
from tbot_bot.backtest.session_again import Again
from tbot_bot.core.commands import TradeRecord
from tbot_bot.core.identity import Mode, StrategyName
from tbot_bot.core.instants import SECOND, Instant
from tbot_bot.core.money import ZERO, plain, to_cents
from tbot_bot.core.orders import Direction

FORM: Final = 1
_CONTRACT: Final = Decimal(100)
"""Shares that an option contract stands for."""
_BASIS_POINTS: Final = Decimal(10_000)
_HUNDREDTH: Final = Decimal("0.01")
_MILLISECOND: Final = Decimal("0.001")
_Price = Callable[[TradeSide], Decimal | None]
_Time = Callable[[TradeSide], Instant | None]


class Fate(StrEnum):
    """Who made a trade."""

    MATCHED = "matched"
    """Both: the same session, broker, symbol and side."""
    MISSED = "missed"
    """The backtest only."""
    EXTRA = "extra"
    """The day only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedTrade:
    """One trade on both sides; figures are None where one side has nothing to compare."""

    fate: Fate
    trade_id: str
    strategy: StrategyName
    broker: str
    symbol: str
    """That signalled; what was bought or sold for it is the sides' `instrument`."""
    side: Direction
    day: TradeSide | None
    backtest: TradeSide | None
    why: str
    """Why the other side did not make it, or what else parts the two; empty where nothing does."""
    entry_slippage_bps: Decimal | None
    exit_slippage_bps: Decimal | None
    entry_slippage: Decimal | None
    exit_slippage: Decimal | None
    signal_delay: Decimal | None
    entry_delay: Decimal | None
    exit_delay: Decimal | None
    quantity: Decimal
    """The day's less the backtest's."""
    result: Decimal
    beyond_bars: bool
    """It ended behind the last recorded bar: the backtest was given the day's own executions there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonSums:
    """Trades added up: dollars are sums, basis points and seconds are medians."""

    strategy: str
    """Empty for all."""
    broker: str
    """Empty for all."""
    matched: int
    missed: int
    extra: int
    slippage: Decimal
    entry_slippage_bps: Decimal | None
    exit_slippage_bps: Decimal | None
    signal_delay: Decimal | None
    entry_delay: Decimal | None
    exit_delay: Decimal | None
    day_result: Decimal
    backtest_result: Decimal
    difference: Decimal
    """The sum of the next three."""
    by_matched: Decimal
    by_missed: Decimal
    by_extra: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedSession:
    """A session of the day, and what is to be known of its comparison."""

    session: str
    strategy: StrategyName
    compared: bool
    note: str
    """Why it is not compared, or what to bear in mind; empty where nothing is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayComparison:
    """A day beside its backtest, as `tbot backtest compare` tells it."""

    form: int
    mode: Mode
    day: date
    at: Instant
    """When it was made, real time."""
    bars: str
    """`tape`, or the file or folder they were taken from."""
    same_code: bool
    """Today's decisions are made by the code of the day."""
    verdict: str
    total: ComparisonSums
    strategies: tuple[ComparisonSums, ...]
    brokers: tuple[ComparisonSums, ...]
    sessions: tuple[ComparedSession, ...]
    trades: tuple[ComparedTrade, ...]


def compare_session(then: Side, again: Again) -> list[ComparedTrade]:
    """Pair the trades of one session, in order of their entries."""
    real = {_key(one): one for one in then.records()}
    simulated = {_key(one): one for one in again.side.records()}
    names = sorted({**real, **simulated}, key=lambda key: _first_entry(real.get(key), simulated.get(key)))
    return [_compared(then, again, real.get(key), simulated.get(key)) for key in names]


def sums(
    trades: Sequence[ComparedTrade], strategy: StrategyName | None = None, broker: str | None = None
) -> ComparisonSums:
    """Add up the trades of `strategy` at `broker`, or all."""
    mine = [one for one in trades if strategy in {None, one.strategy} and broker in {None, one.broker}]
    fates = [one.fate for one in mine]
    slipped = (dollars for one in mine for dollars in (one.entry_slippage, one.exit_slippage))
    return ComparisonSums(
        strategy=strategy or "",
        broker=broker or "",
        matched=fates.count(Fate.MATCHED),
        missed=fates.count(Fate.MISSED),
        extra=fates.count(Fate.EXTRA),
        slippage=_total(slipped),
        entry_slippage_bps=_median(one.entry_slippage_bps for one in mine),
        exit_slippage_bps=_median(one.exit_slippage_bps for one in mine),
        signal_delay=_median(one.signal_delay for one in mine),
        entry_delay=_median(one.entry_delay for one in mine),
        exit_delay=_median(one.exit_delay for one in mine),
        day_result=_total(one.day.pnl for one in mine if one.day),
        backtest_result=_total(one.backtest.pnl for one in mine if one.backtest),
        difference=_total(one.result for one in mine),
        by_matched=_total(one.result for one in mine if one.fate is Fate.MATCHED),
        by_missed=_total(one.result for one in mine if one.fate is Fate.MISSED),
        by_extra=_total(one.result for one in mine if one.fate is Fate.EXTRA),
    )


def is_same(trade: ComparedTrade) -> bool:
    """Return whether nothing parts the two sides of a trade, its times included."""
    figures = (trade.entry_slippage, trade.exit_slippage, trade.signal_delay, trade.entry_delay, trade.exit_delay)
    return trade.fate is Fate.MATCHED and not any((*figures, trade.quantity, trade.result)) and not trade.why


def verdict_of(trades: Sequence[ComparedTrade]) -> str:
    """Return in one sentence how the day went beside its backtest."""
    if not trades:
        return "Neither the day nor its backtest made a trade."
    total = sums(trades)
    if all(map(is_same, trades)):
        return f"The day traded as its backtest does: {_count(total.matched, 'trade')}, the same to the cent."
    made = total.matched + total.missed
    head = f"The day made {total.matched} of the {_count(made, 'trade')} of its backtest"
    if not made:
        head = "Its backtest makes no trade"
    if total.extra:
        head += f", and {total.extra} that it does not make"
    parts = [
        f"{_signed(dollars)} by {words}"
        for dollars, words in (
            (total.by_matched, "other prices, sizes or ends of the same trades"),
            (total.by_missed, "missed trades"),
            (total.by_extra, "trades of its own"),
        )
        if dollars
    ]
    if not total.difference and not parts:
        return f"{head}; the results are equal."
    more = "more" if total.difference > 0 else "less"
    tail = f"{abs(total.difference):.2f} dollars {more}" if total.difference else "the same"
    listed = f" ({', '.join(parts)})" if parts else ""
    return f"{head}; it came to {tail} than the backtest{listed}." if total.difference else f"{head}; {tail}{listed}."


def _compared(then: Side, again: Again, real: TradeRecord | None, simulated: TradeRecord | None) -> ComparedTrade:
    known = real or simulated
    assert known is not None, "a key comes from a record"  # noqa: S101
    day = None if real is None else then.trade(real)
    backtest = None if simulated is None else _valued(again, simulated)
    fate = Fate.MATCHED if day and backtest else Fate.MISSED if backtest else Fate.EXTRA
    if day is None:
        why = then.why_not(known.ticker, known.broker, known.entered_at or known.at)
    elif backtest is None:
        why = again.side.why_not(known.ticker, known.broker, known.entered_at or known.at)
    else:
        why = "; ".join(_parted(day, backtest))
    bought = not _sold_short(known)
    entry = _slipped(day, backtest, lambda one: one.entry_price, buys=bought)
    out = _slipped(day, backtest, lambda one: None if one.held else one.exit_price, buys=not bought)
    both = min(day.quantity, backtest.quantity) if day and backtest else ZERO
    unit = both * (_CONTRACT if is_option(known) else 1)
    return ComparedTrade(
        fate=fate, trade_id=known.trade_id, strategy=known.strategy, broker=known.broker, symbol=known.ticker,
        side=known.side, day=day, backtest=backtest, why=why,
        entry_slippage_bps=entry.points, exit_slippage_bps=out.points,
        entry_slippage=entry.dollars(unit), exit_slippage=out.dollars(unit),
        signal_delay=_delay(day, backtest, lambda one: one.signal_at),
        entry_delay=_delay(day, backtest, lambda one: one.entered_at),
        exit_delay=_delay(day, backtest, lambda one: one.exited_at),
        quantity=(day.quantity if day else ZERO) - (backtest.quantity if backtest else ZERO),
        result=(day.pnl if day else ZERO) - (backtest.pnl if backtest else ZERO),
        beyond_bars=known.trade_id in again.beyond,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slip:
    """How much worse the day's price was, per unit and in basis points; None where there are not two prices."""

    unit: Decimal | None = None
    points: Decimal | None = None

    def dollars(self, units: Decimal) -> Decimal | None:
        return None if self.unit is None else to_cents(self.unit * units)


def _slipped(day: TradeSide | None, backtest: TradeSide | None, leg: _Price, *, buys: bool) -> _Slip:
    if day is None or backtest is None or day.instrument != backtest.instrument:
        return _Slip()
    paid, expected = leg(day), leg(backtest)
    if paid is None or not expected:
        return _Slip()
    worse = paid - expected if buys else expected - paid
    return _Slip(unit=worse, points=(worse / expected * _BASIS_POINTS).quantize(_HUNDREDTH))


def _parted(day: TradeSide, backtest: TradeSide) -> list[str]:
    """Return in words what a price cannot tell."""
    found = []
    if day.instrument != backtest.instrument:
        found.append(f"traded {day.instrument}, the backtest {backtest.instrument}")
    if day.quantity != backtest.quantity:
        part = f" of {plain(day.asked)} asked" if day.quantity < day.asked else ""
        found.append(f"filled {plain(day.quantity)}{part}, the backtest {plain(backtest.quantity)}")
    if day.exit_reason != backtest.exit_reason:
        found.append(f"left by {day.exit_reason}, the backtest by {backtest.exit_reason}")
    if day.held:
        found.append("still held at the end of the day's session")
    if backtest.held:
        found.append("the backtest still holds it where the recorded bars end")
    return found


def _valued(again: Again, record: TradeRecord) -> TradeSide:
    """Return the backtest's side; what it still holds counts at the last price."""
    side = again.side.trade(record)
    worth = again.worth.get(record.trade_id)
    if not side.held or worth is None or side.entry_price is None:
        return side
    sign = -1 if _sold_short(record) else 1
    units = side.quantity * (_CONTRACT if is_option(record) else 1)
    pnl = to_cents(sign * units * (worth - side.entry_price)) - side.fees
    return replace(side, exit_price=worth, pnl=pnl)


def _key(record: TradeRecord) -> tuple[str, str, str]:
    return record.broker, record.ticker, record.side.value


def _sold_short(record: TradeRecord) -> bool:
    """Return whether the trade sold first: other bearish ones buy a put or an inverse ETF."""
    return record.side is Direction.BEARISH and record.instrument == record.ticker


def _first_entry(*records: TradeRecord | None) -> tuple[int, str]:
    return min((one.entered_at or one.at, one.trade_id) for one in records if one is not None)


def _delay(day: TradeSide | None, backtest: TradeSide | None, of: _Time) -> Decimal | None:
    at, expected = None if day is None else of(day), None if backtest is None else of(backtest)
    if at is None or expected is None:
        return None
    return (Decimal(at - expected) / SECOND).quantize(_MILLISECOND)


def _total(amounts: Iterable[Decimal | None]) -> Decimal:
    return sum((one for one in amounts if one is not None), ZERO)


def _median(numbers: Iterable[Decimal | None]) -> Decimal | None:
    known = [one for one in numbers if one is not None]
    return median(known) if known else None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _signed(dollars: Decimal) -> str:
    return f"{dollars:+.2f}"


__all__ = [
    "FORM", "ComparedSession", "ComparedTrade", "ComparisonSums", "DayComparison", "Fate", "compare_session", "is_same",
    "sums", "verdict_of",
]  # fmt: skip
