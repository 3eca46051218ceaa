"""The figures of each day, from the latest run of each of its sessions.

The file is one JSON object keyed by day (`"2025-09-02": {...}`). Money is in dollars as decimal strings,
PnL after fees; times are milliseconds.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from tbot_bot.core.codec import Json
from tbot_bot.core.commands import TradeRecord
from tbot_bot.core.identity import Mode, StrategyName
from tbot_bot.core.instants import MILLISECOND
from tbot_bot.core.money import ZERO
from tbot_bot.reporting.shapes import text_of, to_plain
from tbot_bot.reporting.story import SessionStory, Stories

DEFENSE_TAG: Final = "DEFENSE_MODE_ACTIVE"
_STILL_RUNNING: Final = "not over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many symbols and trades came how far."""

    screened: int
    candidates: int
    signaled: int
    entered: int
    exited: int
    rejected: int
    """Signals refused and trades that never filled, one for each broker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one broker, strategy or symbol contributed."""

    name: str
    trades: int
    wins: int
    losses: int
    pnl: Decimal
    fees: Decimal
    slippage: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Milliseconds over the day's filled trades; None without any."""

    mean_ms: float | None
    max_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyDay:
    """What a strategy did on the day."""

    strategy: StrategyName
    session_id: str
    triggered: bool
    reason: str
    """Where it was not triggered: why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerFloat:
    """A broker's float at its first reading of the day, and at the last, in dollars."""

    broker: str
    first: Decimal
    last: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class DaySummary:
    """One day. Wins, losses and flats count trades that were entered and are over, by their PnL after fees."""

    day: date
    mode: Mode
    test_mode: bool
    counts: Counts
    wins: int
    losses: int
    flats: int
    pnl: Decimal
    fees: Decimal
    slippage: Decimal
    """Positive is worse than the decision prices."""
    by_broker: tuple[Share, ...]
    by_strategy: tuple[Share, ...]
    by_symbol: tuple[Share, ...]
    best_symbol: str
    """Empty where nothing was traded; the first by name where several are equal."""
    worst_symbol: str
    signal_to_order: Speed
    """By market time, as the engine knows it: 0 where an order is decided on in the step that brought its signal, more
    where a person, a put's quotes or a limit on orders was waited for. It does not measure this machine."""
    order_to_fill: Speed
    strategies: tuple[StrategyDay, ...]
    errors: tuple[str, ...]
    anomalies: tuple[str, ...]
    defense_mode: bool
    floats: tuple[BrokerFloat, ...]


def summary_of(stories: Stories, day: date) -> DaySummary:
    """Return the figures of `day`."""
    told = stories.of(day)
    closed = [trade for story in told for trade in story.trades if trade.entered_at is not None]
    symbols = shares_by(closed, lambda trade: trade.underlying)
    ranked = sorted(symbols, key=lambda share: (-share.pnl, share.name))
    worst = sorted(symbols, key=lambda share: (share.pnl, share.name))
    whole = share_of("all", closed)
    return DaySummary(
        day=day,
        mode=told[0].mode if told else Mode.PAPER,
        test_mode=any(story.spec is not None and story.spec.test_mode for story in told),
        counts=counts_of(told),
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
        strategies=_strategies(told, stories.skipped(day)),
        errors=tuple(error for story in told for error in story.errors),
        anomalies=tuple(text for story in told for text in story.anomalies),
        defense_mode=any(DEFENSE_TAG in story.tags for story in told),
        floats=_floats(told),
    )


def json_of(stories: Stories) -> bytes:
    """Return the whole summary file."""
    days: dict[str, Json] = {day.isoformat(): to_plain(summary_of(stories, day)) for day in stories.days()}
    return f"{text_of(days, indent=1)}\n".encode()


def counts_of(told: Iterable[SessionStory]) -> Counts:
    """Return the counts over the sessions in `told`."""
    told = tuple(told)
    unfilled = sum(trade.entered_at is None for story in told for trade in story.trades)
    return Counts(
        screened=sum(story.screened for story in told),
        candidates=sum(len(story.candidates) for story in told),
        signaled=sum(len(story.signals) for story in told),
        entered=sum(len(story.opened) for story in told),
        exited=sum(trade.entered_at is not None for story in told for trade in story.trades),
        rejected=unfilled + sum(len(story.drops) for story in told),
    )


def share_of(name: str, trades: Sequence[TradeRecord]) -> Share:
    """Return what `trades` came to together."""
    return Share(
        name=name,
        trades=len(trades),
        wins=sum(trade.pnl > 0 for trade in trades),
        losses=sum(trade.pnl < 0 for trade in trades),
        pnl=sum((trade.pnl for trade in trades), ZERO),
        fees=sum((trade.fees for trade in trades), ZERO),
        slippage=sum((trade.slippage for trade in trades), ZERO),
    )


def shares_by(trades: Sequence[TradeRecord], key: Callable[[TradeRecord], str]) -> tuple[Share, ...]:
    """Return the contributions of `trades` grouped by `key`, by name."""
    groups: dict[str, list[TradeRecord]] = {}
    for trade in trades:
        groups.setdefault(key(trade), []).append(trade)
    return tuple(share_of(name, groups[name]) for name in sorted(groups))


def why_not(story: SessionStory) -> str:
    """Return why a session raised no signal: its end, and how near its candidates came."""
    ended = story.ended.reason if story.ended is not None else _STILL_RUNNING
    near = "; ".join(f"{seen.symbol}: {seen.reason}" for seen in story.non_decisions)
    return f"{ended}; {near}" if near else ended


def _strategies(told: Iterable[SessionStory], skipped: Iterable[tuple[StrategyName, str]]) -> tuple[StrategyDay, ...]:
    run = [
        StrategyDay(
            strategy=story.session.strategy,
            session_id=str(story.session),
            triggered=bool(story.signals),
            reason="" if story.signals else why_not(story),
        )
        for story in told
    ]
    never = [
        StrategyDay(strategy=strategy, session_id="", triggered=False, reason=reason) for strategy, reason in skipped
    ]
    order = tuple(StrategyName)
    return tuple(sorted((*run, *never), key=lambda entry: order.index(entry.strategy)))


def _floats(told: Iterable[SessionStory]) -> tuple[BrokerFloat, ...]:
    first: dict[str, Decimal] = {}
    last: dict[str, Decimal] = {}
    for story in told:
        for broker, equity in story.floats.items():
            first.setdefault(broker, equity)
            last[broker] = equity
    return tuple(BrokerFloat(broker=broker, first=first[broker], last=last[broker]) for broker in sorted(first))


def speed_of(spans: Sequence[int]) -> Speed:
    """Return mean and longest of `spans`, given in nanoseconds."""
    if not spans:
        return Speed(mean_ms=None, max_ms=None)
    return Speed(mean_ms=round(sum(spans) / len(spans) / MILLISECOND, 3), max_ms=round(max(spans) / MILLISECOND, 3))


__all__ = [
    "DEFENSE_TAG", "BrokerFloat", "Counts", "DaySummary", "Share", "Speed", "StrategyDay", "counts_of", "json_of",
    "share_of", "shares_by", "speed_of", "summary_of", "why_not",
]  # fmt: skip
