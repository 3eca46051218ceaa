"""A journaled session traded once more at the simulated venue: its own specification, accounts, candidates and bars.

What the market did is as it was told then: bars, quotes, halts, imbalances, the VIX, quotes of puts. What happened to
the bot is left out: faults, late data, people. The decisions are this program's.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from tbot_bot.assembly.embedded_market import EmbeddedMarket, Step
from tbot_bot.backtest.day_side import Side
from tbot_bot.backtest.recorded_puts import QuotedPuts, RecordedPuts
from tbot_bot.backtest.session_driver import SessionDriver
from tbot_bot.broker.matching import Venue
from tbot_bot.broker.pricing import number
from tbot_bot.broker.venue_state import watched_share
from tbot_bot.core.bars import VixReading
from tbot_bot.core.commands import Decided, Output, ReadPutQuotes
from tbot_bot.core.events import (
    AccountsRead,
    BarsClosed,
    EarlierToday,
    Event,
    ImbalancesRead,
    OrderFilled,
    PutQuotesRead,
    QuotesRead,
    ScreenCompleted,
    VixRead,
)
from tbot_bot.core.halts import HaltsTold
from tbot_bot.core.identity import Leg, OrderName
from tbot_bot.core.instants import Instant, later
from tbot_bot.core.instruments import AssetClass
from tbot_bot.core.market_day import MarketDay
from tbot_bot.core.money import ZERO
from tbot_bot.core.orders import Fill
from tbot_bot.core.screening import Verdict
from tbot_bot.trading.session_state import Trade
from tbot_bot.trading.spec import SessionSpec

MarketFact = QuotesRead | HaltsTold | ImbalancesRead
_LEAVING: Final = (Leg.STOP, Leg.EXIT, Leg.DEAD_MAN)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSession:
    """What one session was made of, and what the market told it."""

    spec: SessionSpec
    accounts: AccountsRead
    earlier: EarlierToday
    screened: ScreenCompleted
    facts: tuple[MarketFact, ...]
    """In order of their instants."""
    vix: tuple[VixRead, ...]
    puts: Mapping[str, QuotedPuts]
    """By trade."""
    fills: Mapping[str, tuple[Fill, ...]]
    """By trade, the executions that stand; oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """What came of it."""

    side: Side
    beyond: frozenset[str]
    """Trades whose end lies behind the last bar: the executions of the day were taken for it."""
    worth: Mapping[str, Decimal]
    """By trade that is still held when the bars end: its last price per unit."""


class RecordedMarket(EmbeddedMarket):
    """A day's bars, with the day's own answers to what the engine asks for."""

    def __init__(self, day: MarketDay, recorded: RecordedSession, puts: RecordedPuts) -> None:
        """Stand on `day`."""
        super().__init__(day, _AsScreened(recorded.screened.verdicts))
        self._told, self._recorded_puts = recorded.vix, puts

    def vix(self, at: Instant) -> VixRead:
        """Return the VIX as it was told at `at`, or first after it: a live answer takes its time."""
        known = [one for one in self._told if one.at <= at]
        answer = known[-1] if known else next(iter(self._told), None)
        return VixRead(at=at, reading=None if answer is None else answer.reading)

    def put_quotes(self, request: ReadPutQuotes) -> PutQuotesRead:
        """Return the puts that were on offer."""
        return self._recorded_puts.quotes(request)


@dataclass(frozen=True, slots=True)
class _AsScreened:
    verdicts: tuple[Verdict, ...]

    def screen(self, day: MarketDay, at: Instant) -> tuple[Verdict, ...]:  # noqa: ARG002 - as it was then
        return self.verdicts


def trade_again(recorded: RecordedSession, day: MarketDay, until: Instant, vix: VixReading | None) -> Again:
    """Drive the session over the bars of `day` that end by `until`; `vix` is what the day knew of it."""
    spec = replace(recorded.spec, confirmation_required=False)  # there is nobody to ask
    hours = day.day
    puts = RecordedPuts(recorded.puts, day, vix)
    venues = {
        account.broker: Venue(
            broker=account.broker,
            cash=account.equity,
            pricer=puts,
            is_open=lambda at: hours.open_at <= at < hours.close_at,
        )
        for account in recorded.accounts.accounts
    }
    side = Side(spec.session, spec.mode)
    side.feed(spec)
    answered = 0

    def heard(event: Event, outputs: Sequence[Output]) -> None:
        nonlocal answered
        side.feed(event)
        answered += 1
        side.feed(Decided(number=answered, at=event.at, tape_digest="", outputs=tuple(outputs)))

    market = RecordedMarket(day, recorded, puts)
    driver = SessionDriver(spec, market, venues, heard=heard)
    for told in (recorded.accounts, recorded.earlier, recorded.screened):
        driver.take(told)
    telling = _Telling(driver, market, recorded.facts)
    telling.until(recorded.screened.at)
    ending = _Ending(driver, recorded.fills, day, until)
    steps = market.steps(later(recorded.screened.at, 1 - day.span))
    driver.run(ending.steps(steps), telling.closed)
    return Again(side=side, beyond=frozenset(ending.beyond), worth=ending.worth(puts))


class _Telling:
    """Tells what else the market told then, before the bars that it came before."""

    def __init__(self, driver: SessionDriver, market: EmbeddedMarket, facts: Sequence[MarketFact]) -> None:
        self._driver, self._market, self._facts = driver, market, facts
        self._next = 0

    def until(self, at: Instant) -> None:
        while self._next < len(self._facts) and self._facts[self._next].at <= at:
            fact = self._facts[self._next]
            self._next += 1
            self._driver.take(replace(fact, at=max(fact.at, self._driver.at)))

    def closed(self, step: Step) -> BarsClosed:
        self.until(step.end)
        return self._market.closed(step)


class _Ending:
    """Ends the steps with the last bar; what was being closed then is closed as it was on the day."""

    def __init__(
        self, driver: SessionDriver, fills: Mapping[str, tuple[Fill, ...]], day: MarketDay, until: Instant
    ) -> None:
        self._driver, self._fills, self._day, self._until = driver, fills, day, until
        self.beyond: set[str] = set()

    def steps(self, steps: Iterator[Step]) -> Iterator[Step]:
        for step in steps:
            if step.end > self._until:
                break
            yield step
        self._close_as_then()

    def worth(self, puts: RecordedPuts) -> dict[str, Decimal]:
        """Return the last price of what is still held."""
        state, found = self._driver.engine.state, dict[str, Decimal]()
        for trade in state.trades.values():
            if trade.instrument is None or state.held(trade) <= ZERO:
                continue
            spot = self._day.last_price(watched_share(trade.instrument), self._until)
            price = spot
            if spot is not None and trade.instrument.asset_class is AssetClass.OPTION:
                price = puts.price(trade.instrument, spot, self._until)
            if price is not None:
                found[trade.trade_id] = number(price)
        return found

    def _close_as_then(self) -> None:
        state = self._driver.engine.state
        for trade in state.active_trades():
            for fill in self._fills.get(trade.trade_id, ()):
                self._give(trade, fill)

    def _give(self, trade: Trade, fill: Fill) -> None:
        """Give an execution from behind the last bar to the order that waits for it here too."""
        state, name = self._driver.engine.state, OrderName.parse(fill.client_order_id)
        held = state.held(trade)
        if name is None or name.leg not in _LEAVING or trade.instrument is None or held <= ZERO:
            return
        if fill.transacted_at < self._last_end(watched_share(trade.instrument)):
            return
        leaving = state.open_orders_of(trade, Leg.EXIT) or (
            state.open_orders_of(trade, Leg.STOP) if name.leg is Leg.STOP else []
        )
        if not leaving:
            return
        others = [one for one in self._fills[trade.trade_id] if one.transacted_at > fill.transacted_at]
        quantity = min(fill.quantity, held) if others else held
        share = quantity / fill.quantity
        given = replace(
            fill,
            execution_id=f"{fill.execution_id} of then",
            client_order_id=leaving[-1].request.client_order_id,
            quantity=quantity,
            fees=fill.fees * share,
        )
        self.beyond.add(trade.trade_id)
        self._driver.take(OrderFilled(at=max(fill.transacted_at, self._driver.at), fill=given))

    def _last_end(self, symbol: str) -> Instant:
        bars = self._day.bars_until(symbol, self._until)
        return Instant(bars[-1].end) if bars else Instant(0)


__all__ = ["Again", "MarketFact", "RecordedMarket", "RecordedSession", "trade_again"]
