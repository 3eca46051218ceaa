"""A backtest's result in the terms of its figures and files: days and trades as outcomes, rows, daily summaries."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from heapq import merge
from typing import Final

from tbot_bot.backtest.model import BacktestResult, BacktestTrade, DayFacts, SessionFacts
from tbot_bot.backtest.performance_metrics import DayOutcome, Performance, TradeOutcome, performance_of
from tbot_bot.core.calendar import exchange_time, trading_day
from tbot_bot.core.codec import Json
from tbot_bot.core.commands import SignalDropped, TradeRecord
from tbot_bot.core.identity import Mode, SessionId, StrategyName
from tbot_bot.core.instants import MINUTE, Instant
from tbot_bot.core.money import ZERO, plain
from tbot_bot.reporting.daily_summary import (
    DEFENSE_TAG,
    BrokerFloat,
    Counts,
    DaySummary,
    StrategyDay,
    share_of,
    shares_by,
    speed_of,
)
from tbot_bot.reporting.shapes import text_of, to_plain
from tbot_bot.reporting.trade_logger import TradeRow, row_of, row_of_refusal

_CONTRACT: Final = 100
"""Shares that an option contract stands for."""
_DEFENSE: Final = "DEFENSE_MODE_ACTIVE=true"


@dataclass(frozen=True, slots=True, kw_only=True)
class DayPoint:
    """One point of the equity curve, at a day's end; dollars, fractions."""

    day: date
    equity: Decimal
    result: Decimal
    ret: float
    drawdown: float
    """Fall from the highest end so far, positive."""
    trades: int


def performance(result: BacktestResult) -> Performance:
    """Return the figures of `result`."""
    return performance_of(day_outcomes(result), trade_outcomes(result))


def day_outcomes(result: BacktestResult) -> list[DayOutcome]:
    """Return the days of `result`."""
    found = []
    for facts in result.days:
        session = trading_day(facts.day)
        found.append(
            DayOutcome(
                day=facts.day,
                before=float(total(facts.equity_before)),
                after=float(total(facts.equity_after)),
                open_ns=session.close_at - session.open_at,
            )
        )
    return found


def trade_outcomes(result: BacktestResult) -> list[TradeOutcome]:
    """Return the trades of `result`; one that is still held counts until its day's close."""
    return [_outcome(trade) for trade in result.trades]


def is_option(record: TradeRecord) -> bool:
    """Return whether the trade was in an option, whose symbol is not its underlying's."""
    return record.instrument not in {record.underlying, record.ticker, ""}


def curve_of(result: BacktestResult) -> list[DayPoint]:
    """Return the equity curve."""
    points = []
    trades: dict[date, int] = {}
    for trade in result.trades:
        trades[trade.day] = trades.get(trade.day, 0) + 1
    peak = total(result.days[0].equity_before) if result.days else ZERO
    for facts, outcome in zip(result.days, day_outcomes(result), strict=True):
        equity = total(facts.equity_after)
        peak = max(peak, equity)
        points.append(
            DayPoint(
                day=facts.day,
                equity=equity,
                result=facts.result,
                ret=outcome.ret,
                drawdown=float(1 - equity / peak) if peak > 0 else 0.0,
                trades=trades.get(facts.day, 0),
            )
        )
    return points


def curve_csv(result: BacktestResult) -> bytes:
    """Return the equity curve as a CSV file: all brokers together, then each."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    brokers = [name for name, _ in result.days[0].equity_after] if result.days else []
    writer.writerow(
        ["day", "equity", "result", "return", "drawdown", "trades", *(f"equity_{name}" for name in brokers)]
    )
    for point, facts in zip(curve_of(result), result.days, strict=True):
        own = dict(facts.equity_after)
        cells = (point.day.isoformat(), plain(point.equity), plain(point.result), f"{point.ret:.8f}")
        writer.writerow([*cells, f"{point.drawdown:.8f}", point.trades, *(plain(own[name]) for name in brokers)])
    return text.getvalue().encode()


def rows_of(result: BacktestResult) -> Iterator[TradeRow]:
    """Yield the trade history: what live trading would have written of the same days, mode apart."""
    tags = (DEFENSE_TAG,) if _DEFENSE in result.settings else ()
    records: dict[str, list[TradeRecord]] = {}
    drops: dict[str, list[SignalDropped]] = {}
    sessions: dict[str, None] = {}
    for facts in result.days:
        sessions.update(dict.fromkeys(str(session_of(facts.day, one)) for one in facts.sessions))
    days = {session: SessionId.parse(session) for session in sessions}
    for record in (*(trade.record for trade in result.trades), *(one.record for one in result.unfilled)):
        records.setdefault(record.session_id, []).append(record)
    places = {(one.strategy, SessionId.parse(name).day): name for name, one in days.items()}
    for skipped in result.skipped_signals:
        name = places[skipped.strategy, _day_of(skipped.dropped)]
        drops.setdefault(name, []).append(skipped.dropped)
    for name, session in days.items():
        trades = (row_of(record) for record in sorted(records.get(name, ()), key=lambda one: one.at))
        refusals = (row_of_refusal(drop, session, Mode.BACKTEST, tags) for drop in drops.get(name, ()))
        yield from merge(trades, refusals, key=lambda row: row.timestamp)


def summaries_json(result: BacktestResult) -> bytes:
    """Return the file of daily summaries, in the shape of every mode."""
    by_day: dict[date, list[BacktestTrade]] = {}
    unfilled: dict[date, int] = {}
    drops: dict[date, int] = {}
    for trade in result.trades:
        by_day.setdefault(trade.day, []).append(trade)
    for one in result.unfilled:
        day = SessionId.parse(one.record.session_id).day
        unfilled[day] = unfilled.get(day, 0) + 1
    for skipped in result.skipped_signals:
        day = _day_of(skipped.dropped)
        drops[day] = drops.get(day, 0) + 1
    defense = _DEFENSE in result.settings
    days: dict[str, Json] = {}
    for facts in result.days:
        rejected = unfilled.get(facts.day, 0) + drops.get(facts.day, 0)
        summary = _summary(facts, by_day.get(facts.day, []), rejected, defense=defense)
        days[facts.day.isoformat()] = to_plain(summary)
    return f"{text_of(days, indent=1)}\n".encode()


def session_of(day: date, facts: SessionFacts) -> SessionId:
    """Return the id of a session of `day`."""
    return SessionId(day=day, strategy=facts.strategy)


def total(accounts: tuple[tuple[str, Decimal], ...]) -> Decimal:
    """Return the dollars of all accounts together."""
    return sum((dollars for _, dollars in accounts), ZERO)


def _outcome(trade: BacktestTrade) -> TradeOutcome:
    record = trade.record
    until = trade.exited_at or trading_day(trade.day).close_at
    prices = (record.entry_price or ZERO) + (record.exit_price or ZERO)
    return TradeOutcome(
        day=trade.day,
        pnl=float(record.pnl),
        minutes=(until - trade.entered_at) / MINUTE,
        traded=float(prices * record.size * (_CONTRACT if is_option(record) else 1)),
        held=(trade.entered_at, until),
    )


def _day_of(drop: SignalDropped) -> date:
    """Return the trading day of a refusal: regular sessions lie within one day of UTC."""
    return _date_of(drop.at)


@lru_cache(maxsize=4096)
def _date_of(at: Instant) -> date:
    return exchange_time(at).date()


def _summary(facts: DayFacts, trades: list[BacktestTrade], rejected: int, *, defense: bool) -> DaySummary:
    closed = [trade.record for trade in trades]
    whole = share_of("all", closed)
    symbols = shares_by(closed, lambda trade: trade.underlying)
    ranked = sorted(symbols, key=lambda share: (-share.pnl, share.name))
    worst = sorted(symbols, key=lambda share: (share.pnl, share.name))
    candidates = sum(one.candidates for one in facts.sessions)
    return DaySummary(
        day=facts.day,
        mode=Mode.BACKTEST,
        test_mode=True,
        counts=Counts(
            screened=candidates,
            candidates=candidates,
            signaled=sum(one.signals for one in facts.sessions),
            entered=len(trades),
            exited=sum(trade.exited_at is not None for trade in trades),
            rejected=rejected,
        ),
        wins=whole.wins,
        losses=whole.losses,
        flats=whole.trades - whole.wins - whole.losses,
        pnl=whole.pnl,
        fees=whole.fees,
        slippage=whole.slippage,
        by_broker=shares_by(closed, lambda trade: trade.broker),
        by_strategy=shares_by(closed, lambda trade: trade.strategy.value),
        by_symbol=symbols,
        best_symbol=ranked[0].name if ranked else "",
        worst_symbol=worst[0].name if worst else "",
        signal_to_order=speed_of([trade.signal_to_order_ns for trade in closed]),
        order_to_fill=speed_of([trade.order_to_fill_ns for trade in closed]),
        strategies=tuple(_strategy(facts.day, one) for one in sorted(facts.sessions, key=_place)),
        errors=(),
        anomalies=tuple(f"kill switch: {one.kill}" for one in facts.sessions if one.kill),
        defense_mode=defense,
        floats=_floats(facts),
    )


def _strategy(day: date, facts: SessionFacts) -> StrategyDay:
    reason = "" if facts.signals else facts.skipped or facts.ended or "no candidate signalled"
    session = "" if facts.skipped else str(session_of(day, facts))
    return StrategyDay(strategy=facts.strategy, session_id=session, triggered=bool(facts.signals), reason=reason)


def _place(facts: SessionFacts) -> int:
    return tuple(StrategyName).index(facts.strategy)


def _floats(facts: DayFacts) -> tuple[BrokerFloat, ...]:
    after = dict(facts.equity_after)
    return tuple(BrokerFloat(broker=name, first=first, last=after[name]) for name, first in facts.equity_before)


__all__ = [
    "DayPoint", "curve_csv", "curve_of", "day_outcomes", "is_option", "performance", "rows_of", "session_of",
    "summaries_json", "total", "trade_outcomes",
]  # fmt: skip
