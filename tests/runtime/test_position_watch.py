"""Somebody else trades in our account while a session runs: halted where it is ours to trade, left alone elsewhere."""

import asyncio
import json
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from tbot_bot.core.commands import RaiseAlert
from tbot_bot.core.errors import BrokerUnavailable, UnknownMessage
from tbot_bot.core.events import (
    AccountsMarked,
    AccountsRead,
    LinkImpaired,
    LinkState,
    OrderFilled,
    PositionAgrees,
    PositionDiffers,
)
from tbot_bot.core.foreign_orders import ForeignOrder, ForeignOrdersSeen
from tbot_bot.core.identity import Mode
from tbot_bot.core.instruments import equity
from tbot_bot.core.orders import Fill, Position
from tbot_bot.runtime.foreign_watch import ForeignOrders
from tbot_bot.runtime.link_health import LinkLimits
from tbot_bot.runtime.position_watch import PAUSES, PositionWatch
from tbot_bot.runtime.replay import replay_day
from tests.support.crafted_day import DAY
from tests.support.scenario import account
from tests.support.trading_floor import Floor, protected
from tests.trading.test_losses import holding

LIMITS = LinkLimits(timeout_seconds=30.0)
OURS = "AAA"


class Account:
    """A broker's account, as the test has it."""

    def __init__(self, held: dict[str, Decimal]) -> None:
        self.held, self.fills, self.asked = held, list[Fill](), 0
        self.others, self.power = list[ForeignOrder](), Decimal(90_000)
        self.problem: Exception | None = None
        self.hangs = False

    async def positions(self) -> tuple[Position, ...]:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.problem is not None:
            raise self.problem
        return tuple(
            Position(broker="one", instrument=equity(symbol), quantity=quantity, average_price=Decimal(9))
            for symbol, quantity in self.held.items()
        )

    async def fills_since(self, _: object) -> tuple[Fill, ...]:
        return tuple(self.fills)

    async def foreign_orders(self) -> tuple[ForeignOrder, ...]:
        return tuple(self.others)

    async def account(self) -> Any:
        return account("one", "500000", buying_power=self.power)


def order_of_another(number: int) -> ForeignOrder:
    return ForeignOrder(
        broker="one", broker_order_id=f"b{number}", name="", instrument=equity("ZZZ"), buys=True,
        quantity=Decimal(number), price=Decimal("12.50"),
    )  # fmt: skip


class Room:
    """A session that holds AAA at "one", and its watch; `pauses` lets time pass."""

    def __init__(self) -> None:
        self.told, self.now, self.events, self.doubted = holding(), 0.0, list[Any](), list[str]()
        self.state = self.told.engine.state
        self.trade = next(trade for trade in self.state.active_trades() if trade.broker == "one")
        self.ours = self.state.held(self.trade)
        self.account = Account({OURS: self.ours})
        self.begin()

    def begin(self, told_today: tuple[str, ...] = ()) -> None:
        shell: Any = SimpleNamespace(engine=self.told.engine, at=self.told.at, take=self.take)
        brokers: Any = {"one": self.account}
        foreign = ForeignOrders(shell, told_today)
        self.watch = PositionWatch(
            shell, brokers, limits=LIMITS, doubt=self.doubt, foreign=foreign, seconds=lambda: self.now
        )

    async def take(self, event: Any) -> None:
        self.events.append(event)
        self.told.tell(event)

    async def doubt(self, name: str, why: str) -> None:
        self.doubted.append(f"{name}: {why}")

    async def pauses(self, count: int = 3 * PAUSES) -> None:
        for _ in range(count):
            self.now += LIMITS.pause_seconds
            for _ in range(2):
                await self.watch.look()
                for _ in range(4):
                    await asyncio.sleep(0)

    def alerts(self) -> list[str]:
        return [alert.title for alert in self.told.of(RaiseAlert) if "differs" in alert.title]

    def told_of_others(self) -> list[tuple[str, str]]:
        alerts = [alert for alert in self.told.of(RaiseAlert) if "not ours" in alert.title]
        return [(alert.title, alert.text) for alert in alerts]


async def test_what_agrees_is_asked_every_third_time_and_nothing_is_told():
    room = Room()
    await room.pauses(30)
    assert room.events == []
    assert room.account.asked == 10


@pytest.mark.parametrize("by", [Decimal(-1), Decimal(5)])
async def test_another_quantity_of_what_we_trade_halts_the_symbol_once_until_it_agrees(by):
    room = Room()
    room.account.held[OURS] += by
    await room.pauses()
    (differs,) = room.events
    assert isinstance(differs, PositionDiffers)
    assert (differs.expected, differs.found) == (room.ours, room.ours + by)
    assert room.alerts() == ["AAA differs at one: halted"]

    room.account.held[OURS] -= by
    await room.pauses()
    assert isinstance(room.events[-1], PositionAgrees)
    assert len(room.events) == 2
    assert room.state.differing == {}


async def test_what_is_odd_once_only_is_not_told():
    room = Room()
    await room.pauses(1)
    for _ in range(6):
        room.account.held[OURS] += 1
        await room.pauses(1)
    assert room.events == []


async def test_what_is_not_ours_is_journaled_and_left_alone_and_so_is_its_end():
    room = Room()
    room.account.held["ZZZ"] = Decimal(7)
    await room.pauses()
    room.account.held["ZZZ"] = Decimal(9)
    await room.pauses()
    del room.account.held["ZZZ"]
    await room.pauses()

    assert all(isinstance(event, AccountsRead) and event.accounts == () for event in room.events)
    told = [(one.instrument.symbol, one.quantity) for event in room.events for one in event.foreign_positions]
    assert told == [("ZZZ", 7), ("ZZZ", 9), ("ZZZ", 0)]
    assert room.alerts() == []
    assert room.state.differing == {}


async def test_an_execution_that_nobody_told_is_booked_before_anything_is_compared():
    room = Room()
    entry = room.trade.order_ids[0][1]
    known = room.state.orders[entry].fills[0]
    room.account.fills = [known]
    more = Fill(**{name: getattr(known, name) for name in known.__slots__} | {"execution_id": "late", "quantity": 1})
    room.account.fills.append(more)
    room.account.held[OURS] += 1
    await room.pauses()
    assert [type(event) for event in room.events] == [OrderFilled]
    assert room.alerts() == []


async def test_an_order_of_another_is_told_once_alerted_once_and_what_it_takes_is_not_counted_on():
    room = Room()
    first, second = order_of_another(10), order_of_another(20)
    room.account.others, room.account.power = [first], Decimal(80_000)
    await room.pauses()
    seen, marked = room.events
    assert isinstance(seen, ForeignOrdersSeen)
    assert (seen.broker, seen.orders, seen.gone, seen.alert) == ("one", (first,), (), True)
    assert isinstance(marked, AccountsMarked)
    assert room.state.marks["one"].buying_power == 80_000
    (told,) = room.told_of_others()
    assert told[0] == "orders that are not ours rest at one"
    assert told[1].startswith("buy 10 ZZZ at 12.5. Not touched")

    room.account.others = [first, second]
    await room.pauses()
    room.account.others = [second]
    await room.pauses()
    seen = [one for one in room.events if isinstance(one, ForeignOrdersSeen)]
    assert [(one.orders, one.gone, one.alert) for one in seen[1:]] == [((second,), (), False), ((), ("b10",), False)]
    assert len(room.told_of_others()) == 1

    count = len(room.events)
    room.begin()  # another process, after a replay: the engine's state is the same
    await room.pauses()
    assert len(room.events) == count


async def test_what_an_earlier_session_of_the_day_has_told_is_not_alerted_again():
    room = Room()
    room.begin(told_today=("one",))
    room.account.others = [order_of_another(10)]
    await room.pauses()
    assert [type(event) for event in room.events] == [ForeignOrdersSeen, AccountsMarked]
    assert room.told_of_others() == []


async def test_an_account_that_may_not_know_of_an_entry_yet_is_asked_again_before_it_is_believed():
    room = Room()
    room.account.others = [order_of_another(10)]
    room.now += LIMITS.pause_seconds
    await room.watch.look()
    room.state.approved_since_mark["one"] = Decimal(5_000)
    for _ in range(4):
        await asyncio.sleep(0)
    await room.watch.look()
    assert room.events == []
    await room.pauses(PAUSES)
    assert [type(event) for event in room.events] == [ForeignOrdersSeen, AccountsMarked]


async def test_an_impaired_broker_is_left_to_the_watchdog():
    room = Room()
    room.told.tell(LinkImpaired(at=room.told.at, link="one", state=LinkState.DEGRADED, reason="slow"))
    await room.pauses()
    assert room.account.asked == 0


async def test_no_answer_an_unreadable_one_and_one_that_never_comes_halt_nothing():
    room = Room()
    room.account.problem = BrokerUnavailable("a reset line")
    await room.pauses()
    room.account.problem = UnknownMessage("a position that is none")
    await room.pauses(PAUSES)
    room.account.hangs = True
    await room.pauses(20)
    assert room.events == []
    assert room.doubted[0] == "one: its positions cannot be read: a position that is none"
    room.account.problem, room.account.hangs = None, False
    room.account.held[OURS] += 1
    await room.pauses()
    assert [type(event) for event in room.events] == [PositionDiffers]
    room.watch.close()


# --- over real sockets -----------------------------------------------------------------------------------------------

DAY_LONG = {"OPEN_MONITORING_TIME": "9m", "API_TIMEOUT": "6s"}


@pytest.fixture
def floor(tmp_path):
    made = []

    def _floor(**words):
        made.append(Floor(tmp_path, **words))
        return made[-1]

    yield _floor
    for one in made:
        one.close()


def buys_at_alpaca(floor, symbol, asked=None):
    body: dict[str, Any] = {"symbol": symbol, "qty": "5", "side": "buy", "type": "market", "time_in_force": "day"}
    body |= {"order_class": "oto", "take_profit": {"limit_price": "99"}}  # a simple one could wash with our stop
    body = asked or body
    keys = {"APCA-API-KEY-ID": "changeme", "APCA-API-SECRET-KEY": "changeme"}
    url = f"http://127.0.0.1:{floor.told['ports']['alpaca']}/v2/orders"
    answer = requests.post(url, json=body, headers=keys, timeout=10)
    assert answer.ok, answer.text


def buys_at_ibkr(floor, symbol, limit=None):
    from ib_async import IB, Contract, LimitOrder, MarketOrder, Stock  # noqa: PLC0415 - heavy

    async def buy():
        line = IB()
        await line.connectAsync("127.0.0.1", floor.told["ports"]["tws"], clientId=77, timeout=10)
        (contract,) = await line.qualifyContractsAsync(Stock(symbol, "SMART", "USD"))
        assert isinstance(contract, Contract)
        trade = line.placeOrder(contract, MarketOrder("BUY", 5) if limit is None else LimitOrder("BUY", 5, limit))
        done = asyncio.Event()
        (trade.filledEvent if limit is None else trade.statusEvent).connect(lambda _: done.set())
        await asyncio.wait_for(done.wait(), 20)
        line.disconnect()

    asyncio.run(buy())


def log_of(floor):
    return (floor.home / "output" / "logs" / "open_paper.log").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("broker", ["alpaca", "ibkr"])
def test_a_stranger_who_trades_during_the_session_halts_what_we_trade_and_keeps_what_they_bought(floor, broker):
    alone = {f"{name.upper()}_ENABLED": str(name == broker).lower() for name in ("alpaca", "ibkr")}
    one = floor(speed=40, begin="09:22", FRACTIONAL="false", **alone, **DAY_LONG)
    one.start()
    one.until(protected, broker)
    buys = {"alpaca": buys_at_alpaca, "ibkr": buys_at_ibkr}[broker]
    buys(one, "AAA")
    buys(one, "BBB")
    assert one.end() == 0

    held = {symbol: Decimal(quantity) for symbol, quantity, _ in one.truth(broker)["positions"]}
    assert held == {"AAA": 5, "BBB": 5}
    said = log_of(one)
    assert f"AAA differs at {broker}: halted" in said
    assert "position_differs" in said
    assert any("foreign_position" in line and "BBB" in line for line in said.splitlines())
    (trade,) = one.trades()
    assert (trade["ticker"], trade["exit_reason"], trade["error_code"]) == ("AAA", "time", "")


@pytest.mark.slow
def test_orders_of_others_rest_through_a_session_and_a_kill_and_are_told_in_log_status_and_journal(floor):
    both = {"ALPACA_ENABLED": "true", "IBKR_ENABLED": "true", "ROUTING": "each"}
    one = floor(speed=40, begin="09:22", FRACTIONAL="false", **both, **DAY_LONG)
    body: dict[str, Any] = {"symbol": "BBB", "qty": "5", "side": "buy", "type": "limit", "time_in_force": "day"}
    buys_at_alpaca(one, "BBB", body | {"limit_price": "10"})
    buys_at_ibkr(one, "BBB", limit=10.0)
    one.start()
    one.until(protected, "alpaca")
    one.until(protected, "ibkr")
    status = json.loads((one.home / "output" / "status_bot.json").read_text(encoding="utf-8"))
    shown = {(order["broker"], order["symbol"], order["side"]): order for order in status["foreign_orders"]}
    assert set(shown) == {("alpaca", "BBB", "buy"), ("ibkr", "BBB", "buy")}
    one.kill()
    one.start()
    assert one.end() == 0

    for name in ("alpaca", "ibkr"):
        orders = one.truth(name)["orders"]
        theirs = [order for order in orders if order["ticket"]["instrument"]["symbol"] == "BBB"]
        assert [(order["phase"], order["filled"]) for order in theirs] == [("working", "0")], theirs
        assert not [order for order in orders if order not in theirs and order["phase"] in {"working", "held"}]
    said = [line for line in log_of(one).splitlines() if '"foreign_order"' in line]
    assert sorted(json.loads(line)["broker"] for line in said) == ["alpaca", "ibkr"]
    alerts = [line for line in log_of(one).splitlines() if "orders that are not ours rest at" in line]
    assert len(alerts) == 2
    assert replay_day(one.home, DAY, Mode.PAPER).identical
