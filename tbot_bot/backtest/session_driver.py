"""One session of a backtest: engine, venues and embedded market in one thread, without journal, tape or clock.

The order in which things are told is that of `runtime/session_run.py`; a test holds a dry run's trades against these.
Whoever gives the steps decides which are told: all of them, or those that can matter.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from tbot_bot.assembly.embedded_market import EmbeddedMarket, Step
from tbot_bot.broker.matching import Venue
from tbot_bot.core.commands import (
    BrokerHalted,
    CancelOrder,
    CandidatesChosen,
    EngageKillSwitch,
    Output,
    ReadPutQuotes,
    ReadVix,
    ReplaceOrder,
    SignalDropped,
    SubmitOrder,
    TradeApproved,
    TradeRecord,
    WatchSymbols,
)
from tbot_bot.core.events import (
    AccountsMarked,
    AccountsRead,
    BarsClosed,
    EarlierToday,
    Event,
    MarketOver,
    OrderFilled,
    ProtectionChecked,
    PutQuotesRead,
    ScreenCompleted,
)
from tbot_bot.core.instants import Instant
from tbot_bot.core.screening import Verdict
from tbot_bot.trading.engine import Engine
from tbot_bot.trading.protection import unprotected
from tbot_bot.trading.spec import SessionSpec
from tbot_bot.trading.symbol_states import SymbolStates

Closed = Callable[[Step], BarsClosed]
"""What the engine is told at a step's end."""
Heard = Callable[[Event, Sequence[Output]], None]
"""Listens to every input and what the engine answers to it."""

_DONE: Final = frozenset({SubmitOrder, CancelOrder, ReplaceOrder, ReadPutQuotes, ReadVix, WatchSymbols})
"""Outputs that ask for something."""
_KEPT: Final = frozenset({
    TradeRecord, SignalDropped, TradeApproved, BrokerHalted, EngageKillSwitch, CandidatesChosen,
})  # fmt: skip
"""Outputs that the result is made of; the others tell the story of the session, which nobody reads here."""


class SessionDriver:
    """Feeds one engine from the embedded market until its session is over."""

    def __init__(
        self,
        spec: SessionSpec,
        market: EmbeddedMarket,
        venues: Mapping[str, Venue],
        symbols: SymbolStates | None = None,
        heard: Heard | None = None,
    ) -> None:
        """Make the engine; `symbols` takes the place of its own. Nothing is told yet."""
        self.engine = Engine(spec)
        self.engine.state.tells = heard is not None
        if symbols is not None:
            self.engine.symbols = symbols
        self.records: Final[list[TradeRecord]] = []
        self.dropped: Final[list[SignalDropped]] = []
        self.halted: Final[dict[str, str]] = {}
        self.approved: Final[dict[str, None]] = {}
        """Symbols traded."""
        self.kill = ""
        self.candidates = 0
        self._spec, self._market, self._venues, self._heard = spec, market, venues, heard

    @property
    def at(self) -> Instant:
        """Return the market time of the last input."""
        return self.engine.state.at

    @property
    def ended(self) -> bool:
        """Return whether the session is over."""
        return self.engine.state.ended

    def begin(self, earlier: EarlierToday, verdicts: tuple[Verdict, ...]) -> None:
        """Tell accounts, what earlier sessions left, and the screen."""
        at = self._spec.windows.screen_at
        accounts = tuple(venue.account() for venue in self._venues.values())
        held = tuple(position for venue in self._venues.values() for position in venue.positions())
        self.take(AccountsRead(at=at, accounts=accounts, foreign_positions=held))
        self.take(earlier)
        self.take(ScreenCompleted(at=at, source="embedded", verdicts=verdicts))

    def run(self, steps: Iterable[Step], closed: Closed | None = None) -> None:
        """Tell `steps` until the session is over, then end it."""
        state, what_closed = self.engine.state, closed or self._market.closed
        for step in steps:
            if self.ended:
                break
            if step.start > state.at:
                self.take(BarsClosed(at=step.start, bars=()))
            for venue in self._venues.values():
                for event in venue.open_step(step.start, step.bars):
                    self.take(event)
            self._close(step, what_closed)
        if not self.ended:
            self.take(MarketOver(at=max(state.at, self._spec.windows.market_close)))

    def take(self, event: Event) -> None:
        """Take one input and everything that follows from it at once."""
        waiting: deque[Event] = deque([event])
        while waiting:
            told = waiting.popleft()
            outputs = self.engine.handle(told)
            if self._heard is not None:
                self._heard(told, outputs)
            for output in outputs:
                if type(output) in _DONE:
                    waiting.extend(self._perform(output))
                elif type(output) in _KEPT:
                    self._keep(output)

    def _close(self, step: Step, what_closed: Closed) -> None:
        """Tell the rest of a step, unless its opening prices have ended the session."""
        if self.ended:
            return
        self._range(step)
        self.take(what_closed(step))
        self._mark(step.end)
        self._check_protection(step.end)

    def _range(self, step: Step) -> None:
        for venue in self._venues.values():
            if step.end <= (venue.last_step or 0):
                continue
            while events := venue.range_step(step.end, step.bars):
                for event in events:
                    self.take(event)

    def _mark(self, at: Instant) -> None:
        """Tell what the accounts are worth while something is open."""
        active = self.engine.state.active_trades()
        if not active:
            return
        names = dict.fromkeys(trade.broker for trade in active if trade.entered_at is not None)
        if names:
            self.take(AccountsMarked(at=at, accounts=tuple(self._venues[name].account() for name in names)))

    def _check_protection(self, at: Instant) -> None:
        if not self.engine.state.trades:
            return
        lacking = unprotected(self.engine.state)
        if lacking:
            names = tuple(trade.trade_id for trade in lacking)
            self.take(ProtectionChecked(at=max(at, self.at), trade_ids=names))

    def _perform(self, output: Output) -> Sequence[Event]:
        """Do what `output` asks, and return what came of it at once."""
        match output:
            case SubmitOrder():
                venue = self._venues[output.order.broker]
                return venue.submit(output.order, venue.now)
            case CancelOrder():
                venue = self._venues[output.broker]
                return venue.cancel(output.client_order_id, venue.now)
            case ReplaceOrder():
                venue = self._venues[output.order.broker]
                return venue.replace(output.order, venue.now)
            case ReadPutQuotes():
                return [self._puts(output)]
            case ReadVix():
                return [self._market.vix(output.at)]
            case WatchSymbols():
                history = self._market.watch(output.symbols, max(self.at, self._spec.windows.screen_at))
                return [] if history is None else [history]
            case _:
                return []

    def _puts(self, asked: ReadPutQuotes) -> PutQuotesRead:
        """Return the puts that the venue's records have on offer, or else modelled ones."""
        facts = self._venues[asked.broker].facts
        if facts is not None:
            quotes = facts.puts_offered(asked.underlying, asked.spot, asked.at, asked.min_days)
            if quotes:
                return PutQuotesRead(at=asked.at, trade_id=asked.trade_id, quotes=quotes)
        return self._market.put_quotes(asked)

    def _keep(self, output: Output) -> None:
        match output:
            case SignalDropped():
                self.dropped.append(output)
            case TradeRecord():
                self.records.append(output)
            case TradeApproved():
                self.approved[output.symbol] = None
            case BrokerHalted():
                self.halted[output.broker] = output.reason
            case EngageKillSwitch():
                self.kill = output.reason
            case CandidatesChosen():
                self.candidates = len(output.symbols)
            case _:
                pass


def drive_alone(steps: Iterable[Step], venues: Iterable[Venue], until: Instant) -> list[OrderFilled]:
    """Let venues live through `steps` before `until` while no session listens; return what filled."""
    fills: list[OrderFilled] = []
    for step in steps:
        if step.start >= until:
            break
        for venue in venues:
            events = venue.open_step(step.start, step.bars)
            if step.end <= until:
                events = [*events, *venue.range_step(step.end, step.bars)]
            fills += [event for event in events if isinstance(event, OrderFilled)]
    return fills


__all__ = ["Heard", "SessionDriver", "drive_alone"]
