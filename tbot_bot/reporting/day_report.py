"""The end report of a trading day: what a person wants to read when the last session is over."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Final

from tbot_bot.core.identity import Mode, StrategyName
from tbot_bot.core.instants import Instant
from tbot_bot.reporting.daily_summary import Counts, Share, counts_of, summary_of
from tbot_bot.reporting.shapes import text_of, to_plain
from tbot_bot.reporting.story import SessionStory, Stories
from tbot_bot.reporting.trade_logger import ALL_BROKERS

_NEAREST: Final = 3
"""Non-decisions shown for each session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseLine:
    """When a phase began and why."""

    at: Instant
    phase: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLine:
    """One session of the day."""

    session_id: str
    strategy: StrategyName
    description: str
    phases: tuple[PhaseLine, ...]
    counts: Counts
    candidates: tuple[str, ...]
    end_reason: str
    ended_at: Instant | None
    nearest: tuple[str, ...]
    """Candidates without a signal, and what they lacked, in the order in which the session told of them."""
    not_shown: int
    """Further candidates without a signal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalLine:
    """A signal and what became of it."""

    at: Instant
    strategy: StrategyName
    symbol: str
    side: str
    price: Decimal
    reason: str
    dropped: tuple[str, ...]
    """For each broker that did not take it: `broker: code, reason`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeLine:
    """One trade that is over; times in UTC, money in dollars after fees."""

    entered_at: Instant | None
    exited_at: Instant
    strategy: StrategyName
    broker: str
    ticker: str
    instrument: str
    side: str
    size: Decimal
    entry_price: Decimal | None
    exit_price: Decimal | None
    pnl: Decimal
    exit_reason: str
    error_code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DayReport:
    """Everything that the report shows."""

    day: date
    mode: Mode
    test_mode: bool
    defense_mode: bool
    sessions: tuple[SessionLine, ...]
    skipped: tuple[str, ...]
    """`strategy: reason` of planned sessions that never ran."""
    signals: tuple[SignalLine, ...]
    trades: tuple[TradeLine, ...]
    wins: int
    losses: int
    flats: int
    pnl: Decimal
    fees: Decimal
    slippage: Decimal
    by_strategy: tuple[Share, ...]
    by_broker: tuple[Share, ...]
    problems: tuple[str, ...]
    files: tuple[str, ...]
    took_seconds: float | None


def day_report_of(
    stories: Stories, day: date, *, files: Sequence[Path] = (), took_seconds: float | None = None
) -> DayReport:
    """Return the report of `day` from the latest run of each session; `took_seconds` of a real clock."""
    told = stories.of(day)
    summary = summary_of(stories, day)
    return DayReport(
        day=day,
        mode=summary.mode,
        test_mode=summary.test_mode,
        defense_mode=summary.defense_mode,
        sessions=tuple(map(_session, told)),
        skipped=tuple(f"{strategy}: {reason}" for strategy, reason in stories.skipped(day)),
        signals=tuple(line for story in told for line in _signals(story)),
        trades=tuple(line for story in told for line in _trades(story)),
        wins=summary.wins,
        losses=summary.losses,
        flats=summary.flats,
        pnl=summary.pnl,
        fees=summary.fees,
        slippage=summary.slippage,
        by_strategy=summary.by_strategy,
        by_broker=summary.by_broker,
        problems=summary.errors + summary.anomalies,
        files=tuple(map(str, files)),
        took_seconds=took_seconds,
    )


def to_json(report: DayReport) -> str:
    """Return the report for programs: the same facts, instants in ISO 8601, money as decimal strings."""
    return text_of(to_plain(report), indent=1)


def _session(story: SessionStory) -> SessionLine:
    ended = story.ended
    near = [f"{seen.symbol}: {seen.reason}" for seen in story.non_decisions]
    return SessionLine(
        session_id=str(story.session),
        strategy=story.session.strategy,
        description=story.description,
        phases=tuple(PhaseLine(at=seen.at, phase=seen.phase.value, reason=seen.reason) for seen in story.phases),
        counts=counts_of((story,)),
        candidates=story.candidates,
        end_reason=ended.reason if ended is not None else "not over",
        ended_at=ended.at if ended is not None else None,
        nearest=tuple(near[:_NEAREST]),
        not_shown=max(0, len(near) - _NEAREST),
    )


def _signals(story: SessionStory) -> Iterable[SignalLine]:
    for signal in story.signals:
        dropped = (drop for drop in story.drops if drop.symbol == signal.symbol and drop.at >= signal.at)
        yield SignalLine(
            at=signal.at,
            strategy=story.session.strategy,
            symbol=signal.symbol,
            side=signal.direction.value,
            price=signal.price,
            reason=signal.reason,
            dropped=tuple(f"{drop.broker or ALL_BROKERS}: {drop.code}, {drop.reason}" for drop in dropped),
        )


def _trades(story: SessionStory) -> Iterable[TradeLine]:
    for trade in story.trades:
        yield TradeLine(
            entered_at=trade.entered_at,
            exited_at=trade.at,
            strategy=trade.strategy,
            broker=trade.broker,
            ticker=trade.ticker,
            instrument=trade.instrument,
            side=trade.side.value,
            size=trade.size,
            entry_price=trade.entry_price,
            exit_price=trade.exit_price,
            pnl=trade.pnl,
            exit_reason=trade.exit_reason,
            error_code=trade.error_code,
        )


__all__ = [
    "DayReport", "PhaseLine", "SessionLine", "SignalLine", "TradeLine", "day_report_of", "to_json",
]  # fmt: skip
