"""Everything at once, by seed: whatever breaks between us and Alpaca, each order is placed once and our books are its.

Asked as the runner asks: through the hands, and through the look-up of what they doubt.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from random import Random

import pytest

from tbot_bot.broker import alpaca_orders
from tbot_bot.broker.broker_api import BrokerRouter
from tbot_bot.core.commands import CancelOrder, Output, ReplaceOrder, SubmitOrder
from tbot_bot.core.errors import BrokerUnavailable
from tbot_bot.core.events import AnswerLost, Event, FillBusted, OrderFilled, OrderRejected
from tbot_bot.core.instants import Instant
from tbot_bot.core.orders import Fill, OrderRequest, Side
from tbot_bot.runtime.hands import SessionHands
from tbot_bot.sandbox.faults import FaultKind, FaultRule
from tests.broker.contract.alpaca_floor import AlpacaFloor
from tests.broker.contract.floor import Trader

PLACES = ("POST /v2/orders", "DELETE /v2/orders/*", "PATCH /v2/orders/*", "GET /v2/orders*", "GET /v2/account/*")


def plan(dice: Random) -> list[FaultRule]:
    """Return rules under which about every third request fails, one way or another."""
    rules = []
    for place in PLACES:
        rules += [
            FaultRule(kind=FaultKind.STATUS, place=place, chance=0.1, status=dice.choice([429, 500, 503, 504])),
            FaultRule(kind=FaultKind.STATUS_AFTER, place=place, chance=0.1, status=dice.choice([500, 504])),
            FaultRule(kind=FaultKind.LOST_BEFORE, place=place, chance=0.05),
            FaultRule(kind=FaultKind.LOST_AFTER, place=place, chance=0.05),
        ]
    rules += [
        FaultRule(kind=kind, place="trade_updates", chance=chance)
        for kind, chance in [
            (FaultKind.DUPLICATED, 0.3),
            (FaultKind.REORDERED, 0.3),
            (FaultKind.DROPPED, 0.05),
            (FaultKind.LATENCY, 0.2),
        ]
    ]
    return [replace(rule, seconds=0.1) if rule.kind is FaultKind.LATENCY else rule for rule in rules]


@dataclass
class Books:
    """What the runner would know: every event once more, by order."""

    fills: dict[str, Fill] = field(default_factory=dict)
    doubts: dict[str, Output] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)

    def take(self, events: Sequence[Event]) -> None:
        for event in events:
            match event:
                case OrderFilled(fill=fill):
                    assert self.fills.setdefault(fill.execution_id, fill) == fill
                case FillBusted():
                    raise AssertionError("nothing was undone")
                case OrderRejected():
                    self.refused.add(event.client_order_id)
                case _:
                    pass

    def quantity(self, request: OrderRequest) -> Decimal:
        found = (fill.quantity for fill in self.fills.values() if fill.client_order_id == request.client_order_id)
        return sum(found, Decimal(0))


class Runner:
    """Performs outputs, and looks up what it doubts until nothing is in doubt."""

    def __init__(self, floor: AlpacaFloor) -> None:
        self.floor, self.books = floor, Books()
        self.hands = SessionHands(
            router=BrokerRouter([floor.broker]),
            market=None,  # type: ignore[arg-type]  # nothing is asked of the market
            now=lambda: Instant(0),
            alert=lambda _: None,
            engage=lambda _: None,
        )

    async def does(self, output: Output, order_id: str) -> None:
        """Perform `output`; where its answer is lost look the order up, and send again only what is not there."""
        events = await self.hands.perform(output)
        self.books.take(events)
        while any(isinstance(event, AnswerLost) for event in events):
            await asyncio.sleep(0.05)
            try:
                found = await self.floor.broker.order_by_client_id(order_id)
            except BrokerUnavailable:
                continue
            if found is not None and (not isinstance(output, CancelOrder) or not found.status.open):
                return
            events = await self.hands.perform(output)
            self.books.take(events)

    async def lives(self, trader: Trader, number: int, dice: Random) -> list[OrderRequest]:
        """Let one trade live: in, protected, protected closer, perhaps cancelled and out."""
        self.floor.symbol = f"SYN{number:02}"  # two trades in one share would stand in each other's way
        entry = trader.order(f"entry{number}", quantity=dice.choice(["10", "2.5"]))
        await self.does(SubmitOrder(order=entry), entry.client_order_id)
        await self.filled(entry)
        stop = trader.order(f"stop{2 * number}", Side.SELL, str(entry.quantity), stop="0.5")
        await self.does(SubmitOrder(order=stop), stop.client_order_id)
        closer = trader.order(f"stop{2 * number + 1}", Side.SELL, str(entry.quantity), stop="0.6")
        closer = replace(closer, replaces=stop.client_order_id)
        await self.does(ReplaceOrder(order=closer), closer.client_order_id)
        if dice.random() < 0.5:
            await self.does(
                CancelOrder(broker="alpaca", client_order_id=closer.client_order_id), closer.client_order_id
            )
        return [entry, stop, closer]

    async def filled(self, request: OrderRequest) -> None:
        for _ in range(600):
            self.books.take(self.floor.broker.drain())
            if self.books.quantity(request) == request.quantity:
                return
            await self.floor.pass_time()
            await asyncio.sleep(0.02)
        raise AssertionError(f"{request.client_order_id} was not told as filled; notes: {self.floor.notes[-5:]}")


async def chaos(seed: int, trades: int) -> None:
    dice, floor = Random(seed), AlpacaFloor(deadline=0.5)
    try:
        await floor.open()
        trader, runner = Trader(floor), Runner(floor)
        floor.strikes(*plan(dice), seed=seed)
        asked: list[OrderRequest] = []
        for number in range(1, trades + 1):
            asked += await runner.lives(trader, number, dice)
        floor.mends()
        await asyncio.sleep(0.5)
        runner.books.take(floor.broker.drain())

        placed = floor.venue_orders()
        assert len(placed) == len(set(placed))
        assert set(placed) <= {request.client_order_id for request in asked}
        truth = {request.client_order_id: floor.venue_filled(request.client_order_id) for request in asked}
        assert {request.client_order_id: runner.books.quantity(request) for request in asked} == truth
        assert set(await floor.broker.fills_since(Instant(0))) == set(runner.books.fills.values())
        held = sum((position.quantity for position in await floor.broker.positions()), Decimal(0))
        assert held == sum(truth.values())
        resting = [order.request.instrument.symbol for order in await floor.broker.open_orders()]
        assert len(resting) == len(set(resting))
    finally:
        await floor.close()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    """Believe a "not there" sooner: the sandbox loses a request at once or not at all."""
    monkeypatch.setattr(alpaca_orders, "_SETTLES_SECONDS", 0.6)


async def test_each_order_is_placed_once_and_each_fill_is_known():
    await chaos(3, trades=2)


@pytest.mark.slow
@pytest.mark.timeout(1200)
async def test_the_same_for_many_seeds():
    for seed in range(20):
        await chaos(seed, trades=4)
