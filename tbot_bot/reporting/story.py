"""What one session came to, folded from its rows; summary, history and day report are functions of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Final

from tbot_bot.core import commands, events
from tbot_bot.core.commands import Decided, NonDecision, PhaseEntered, SignalDropped, SignalRaised, TradeRecord
from tbot_bot.core.identity import Mode, SessionId, StrategyName
from tbot_bot.core.instants import Instant
from tbot_bot.reporting.facts import Item
from tbot_bot.reporting.noted import DeadManReport, ErrorRaised, SessionSkipped
from tbot_bot.reporting.trade_logger import TradeRow, row_of, row_of_refusal
from tbot_bot.trading.spec import SessionSpec


@dataclass(slots=True, kw_only=True)
class SessionStory:
    """One run of one session so far; lists are in the order of the journal."""

    session: SessionId
    mode: Mode
    spec: SessionSpec | None = None
    phases: list[PhaseEntered] = field(default_factory=list)
    candidates: tuple[str, ...] = ()
    screened: int = 0
    description: str = ""
    signals: list[SignalRaised] = field(default_factory=list)
    drops: list[SignalDropped] = field(default_factory=list)
    opened: dict[str, Instant] = field(default_factory=dict)
    trades: list[TradeRecord] = field(default_factory=list)
    rows: list[TradeRow] = field(default_factory=list)
    """Trades and refusals in the order in which they came about."""
    floats: dict[str, Decimal] = field(default_factory=dict)
    """Broker to its float in dollars: as read at the start, then as fixed with the shares."""
    non_decisions: list[NonDecision] = field(default_factory=list)
    anomalies: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    ended: commands.SessionEnded | None = None
    first_at: Instant | None = None
    last_at: Instant | None = None

    @property
    def tags(self) -> tuple[str, ...]:
        """Return the tags under which the session trades."""
        return self.spec.tags if self.spec is not None else ()

    def feed(self, item: Item) -> None:  # noqa: C901 - one case for each kind of record
        """Take in the next row's record."""
        match item:
            case SessionSpec():
                self.spec, self.mode = item, item.mode
            case Decided():
                self._seen(item.at)
                for output in item.outputs:
                    self._decided(output)
            case events.AccountsRead():
                self._seen(item.at)
                for account in item.accounts:
                    self.floats.setdefault(account.broker, account.equity)
            case DeadManReport():
                self.errors.append(f"dead-man path: {item.why}")
                for trade in item.trades:
                    self.trades.append(trade)
                    self.rows.append(row_of(trade))
            case ErrorRaised():
                self.errors.append(f"{item.error_class} {item.code}: {item.text}")
            case events.OrderRejected():
                self.errors.append(f"order {item.client_order_id} rejected: {item.reason}")
            case events.AnswerLost():
                self.errors.append(f"no answer on order {item.client_order_id}: {item.reason}")
            case _:
                pass

    def _seen(self, at: Instant) -> None:
        self.first_at = at if self.first_at is None else self.first_at
        self.last_at = at

    def _decided(self, output: commands.Output) -> None:  # noqa: C901 - one case for each decision
        match output:
            case PhaseEntered():
                self.phases.append(output)
            case commands.CandidatesChosen():
                self.candidates, self.screened = output.symbols, output.screened
                self.description = output.description
            case commands.SharesFixed():
                self.floats[output.broker] = output.float_equity
            case SignalRaised():
                self.signals.append(output)
            case SignalDropped():
                self.drops.append(output)
                self.rows.append(row_of_refusal(output, self.session, self.mode, self.tags))
            case commands.TradeOpened():
                self.opened.setdefault(output.trade_id, output.at)
            case TradeRecord():
                self.trades.append(output)
                self.rows.append(row_of(output))
            case NonDecision():
                self.non_decisions.append(output)
            case commands.AnomalySeen():
                about = f"{output.client_order_id}: " if output.client_order_id else ""
                self.anomalies.append(about + output.text)
            case commands.SessionEnded():
                self.ended = output
            case _:
                pass


class Stories:
    """The stories of all sessions in the journal; of each day and strategy the latest run counts."""

    def __init__(self, mode: Mode) -> None:
        """Begin with none; `mode` is what a session is taken to be until its spec is known."""
        self._mode: Final = mode
        self._latest: dict[tuple[date, StrategyName], SessionStory] = {}
        self._skipped: dict[tuple[date, StrategyName], str] = {}

    def feed(self, session: SessionId, item: Item) -> bool:
        """Take in the next row's record and return whether the trade history is another one now.

        Rows of a run that a later one has replaced are passed over.
        """
        if isinstance(item, SessionSkipped):
            self._skipped[item.day, item.strategy] = item.reason
            return False
        key = (session.day, session.strategy)
        known = self._latest.get(key)
        before = len(known.rows) if known is not None else 0
        if known is None or known.session.run < session.run:
            known = self._latest[key] = SessionStory(session=session, mode=self._mode)
            if before:
                known.feed(item)
                return True
        if known.session == session:
            known.feed(item)
        return len(known.rows) != before

    def days(self) -> tuple[date, ...]:
        """Return the days with a session, run or skipped, in order."""
        return tuple(sorted({day for day, _ in (*self._latest, *self._skipped)}))

    def of(self, day: date) -> tuple[SessionStory, ...]:
        """Return the latest run of each of the day's sessions, in the order of the trading day."""
        found = (self._latest.get((day, strategy)) for strategy in StrategyName)
        return tuple(story for story in found if story is not None)

    def skipped(self, day: date) -> tuple[tuple[StrategyName, str], ...]:
        """Return the strategies of `day` that were planned, never ran, and why."""
        wanted = ((strategy, self._skipped.get((day, strategy))) for strategy in StrategyName)
        return tuple(
            (strategy, reason)
            for strategy, reason in wanted
            if reason is not None and (day, strategy) not in self._latest
        )

    def rows(self) -> Iterator[TradeRow]:
        """Yield the trade history: by day, by strategy, in the order of the decisions."""
        for day in self.days():
            for story in self.of(day):
                yield from story.rows


__all__ = ["SessionStory", "Stories"]
