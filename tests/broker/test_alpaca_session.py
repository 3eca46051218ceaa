"""A whole session of the engine with its orders at Alpaca: real sockets, the production adapter, books to the cent."""

import asyncio
from collections import Counter
from decimal import Decimal

import pytest

from tbot_bot.broker.broker_api import BrokerRouter
from tbot_bot.config.inverse_etf import load_inverse_etf_map
from tbot_bot.config.settings import load_settings
from tbot_bot.core.commands import Output, RaiseAlert
from tbot_bot.core.events import AnswerLost, EarlierToday, Event, MarketOver, ScreenCompleted
from tbot_bot.core.identity import Mode, SessionId, StrategyName
from tbot_bot.core.instants import Duration, Instant
from tbot_bot.runtime.bootstrap import screener_for, session_spec
from tbot_bot.runtime.embedded_market import EmbeddedMarket
from tbot_bot.runtime.hands import SessionHands
from tbot_bot.runtime.reconcile import read_accounts, settle_order
from tbot_bot.runtime.schedule import plan_day, schedule_rules
from tbot_bot.sandbox.faults import FaultKind, FaultRule
from tbot_bot.trading.engine import Engine
from tests.broker.contract.alpaca_floor import AlpacaFloor
from tests.support.rehearsal import SENSITIVE
from tests.support.sandbox import DAY, SOURCE


class Session:
    """The engine, the hands and the sandbox, stepped together minute by minute."""

    def __init__(self, home, floor: AlpacaFloor, **changes: str) -> None:
        self.floor, self.broker = floor, floor.broker
        settings = load_settings(home, {**SENSITIVE, **changes}, defaults_if_absent=True)
        plan = plan_day(schedule_rules(settings.bot), DAY)
        planned = next(one for one in plan.due if one.strategy is StrategyName.OPEN)
        self.spec = session_spec(
            settings.bot,
            planned,
            session=SessionId(day=DAY, strategy=StrategyName.OPEN),
            mode=Mode.PAPER,
            bar_span=Duration(SOURCE.span),
            inverse=load_inverse_etf_map(None),
            settings_fingerprint="",
        )
        self.engine = Engine(self.spec)
        self.market = EmbeddedMarket(SOURCE, screener_for(settings, self.spec))
        self.alerts: list[str] = []
        self.hands = SessionHands(
            router=BrokerRouter([self.broker]), market=self.market, now=lambda: self.engine.state.at,
            alert=self._alert, engage=lambda _: None,
        )  # fmt: skip
        self.lost = 0
        self.next_look = 0.0

    def _alert(self, alert: RaiseAlert) -> None:
        self.alerts.append(f"{alert.title}: {alert.text}")

    async def run(self) -> None:
        """Live through the session, as the runner does it."""
        at = self.spec.windows.screen_at
        accounts, silent = await read_accounts(at, {"alpaca": self.broker})
        assert not silent
        await self.tell(accounts)
        await self.tell(EarlierToday(at=at, traded=(), open_trades=0))
        await self.tell(ScreenCompleted(at=at, source="embedded", verdicts=self.market.screen(at)))
        for step in self.market.steps(self.spec.windows.bell):
            if self.engine.state.ended:
                return
            await self.venue_lives_until(step.end)
            await self.tell(self.market.closed(step))
            await self.hears()
        await self.tell(MarketOver(at=self.spec.windows.market_close))

    async def venue_lives_until(self, at: Instant) -> None:
        exchange = self.floor.sandbox.exchange
        await asyncio.to_thread(self.floor.sandbox.do, lambda: exchange.advance_to(at))
        await self.hears()

    async def tell(self, event: Event) -> None:
        """Feed one event, do what the engine answers, and feed what comes of that."""
        for output in self.engine.handle(event):
            await self.does(output)

    async def does(self, output: Output) -> None:
        for event in await self.hands.perform(output):
            self.lost += isinstance(event, AnswerLost)
            await self.tell(event)

    async def hears(self) -> None:
        """Take the broker's news until there is none, and everything that the venue executed is known."""
        for _ in range(1000):
            news = self.broker.drain()
            for event in news:
                await self.tell(event)
            if not news and await self.settled():
                return
            await asyncio.sleep(0.005)
        raise AssertionError(f"news are missing; notes: {self.floor.notes[-5:]}")

    async def settled(self) -> bool:
        """Look up what is in doubt; return whether our books are the venue's, and every request is answered."""
        state = self.engine.state
        now = asyncio.get_running_loop().time()
        due = now >= self.next_look  # the allowance is the vendor's: 200 requests a minute
        self.next_look = now + 0.4 if due else self.next_look
        for order in list(state.orders.values()) if due else []:
            if order.state in {"unknown", "submitting", "cancel_requested"}:
                try:
                    events, again = await settle_order(state, self.broker, order)
                except Exception as error:  # noqa: BLE001 - asked again by the next look
                    self.floor.notes.append(str(error))
                    return False
                for event in events:
                    await self.tell(event)
                for output in again:
                    await self.does(output)
        truth = {order.ticket.label: order.filled for order in self.floor.orders()}
        same = all(truth.get(oid, Decimal(0)) == order.filled_quantity for oid, order in state.orders.items())
        return same and not any(order.state in {"unknown", "cancel_requested"} for order in state.orders.values())


def hold_against_the_venue(session: Session) -> None:
    state, venue = session.engine.state, session.floor.sandbox.exchange.desk("alpaca")
    assert state.ended
    assert venue.positions() == ()
    assert venue.open_orders() == ()
    labels = [order.ticket.label for order in venue.orders()]
    assert Counter(labels).most_common(1)[0][1] == 1
    filled = {oid: order.filled_quantity for oid, order in state.orders.items() if order.filled_quantity}
    assert {order.ticket.label: order.filled for order in venue.orders() if order.filled} == filled
    cash = sum(
        (fill.quantity * fill.price * (-1 if order.request.side.buys else 1) - fill.fees)
        for order in state.orders.values()
        for fill in order.fills
    )
    assert venue.truth().cash == 100_000 + cash, "cash differs"


@pytest.fixture
async def floor():
    made = AlpacaFloor(begin=0, look=0.5)
    try:
        await made.open()
        yield made
    finally:
        await made.close()


@pytest.mark.parametrize("fractional", ["true", "false"])
async def test_a_session_trades_and_ends_flat_with_books_equal_to_the_venues(floor, tmp_path, fractional):
    session = Session(tmp_path, floor, FRACTIONAL=fractional)
    await session.run()
    hold_against_the_venue(session)
    assert len(session.engine.state.orders) > 3
    assert not [alert for alert in session.alerts if "unprotected" in alert], session.alerts


async def test_the_same_with_answers_lost_and_news_mixed_up(floor, tmp_path, monkeypatch):
    monkeypatch.setattr("tbot_bot.broker.alpaca_orders._SETTLES_SECONDS", 0.3)
    floor.strikes(
        FaultRule(kind=FaultKind.STATUS_AFTER, place="POST /v2/orders", chance=0.3, status=504),
        FaultRule(kind=FaultKind.STATUS, place="POST /v2/orders", chance=0.2, status=503),
        FaultRule(kind=FaultKind.STATUS_AFTER, place="PATCH /v2/orders/*", chance=0.3, status=504),
        FaultRule(kind=FaultKind.DUPLICATED, place="trade_updates", chance=0.3),
        FaultRule(kind=FaultKind.REORDERED, place="trade_updates", chance=0.3),
    )
    session = Session(tmp_path, floor, FRACTIONAL="false")
    await session.run()
    hold_against_the_venue(session)
    assert session.lost
