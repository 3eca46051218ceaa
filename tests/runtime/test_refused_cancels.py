"""Cancels of orders that are not there: asked once, then looked up, and never the beginning of another order."""

from dataclasses import dataclass, field
from decimal import Decimal
from types import SimpleNamespace
from typing import cast

import pytest

from tbot_bot.core.commands import CancelOrder, SubmitOrder
from tbot_bot.core.events import CancelRejected, OrderRejected
from tbot_bot.core.identity import Leg
from tbot_bot.core.instants import Instant
from tbot_bot.core.instruments import equity
from tbot_bot.core.orders import OrderRequest, OrderType, Side
from tbot_bot.core.protocols import Broker
from tbot_bot.journal.store import Journal
from tbot_bot.journal.tape import TapeWriter
from tbot_bot.runtime.reconcile import settle_order
from tbot_bot.runtime.shell import SessionShell
from tbot_bot.trading.orders_bot import Order, OrderState
from tbot_bot.trading.session_state import SessionState


class Wishes:
    """Wants two orders away, and says so of the one that it was not told of."""

    state = SimpleNamespace(at=Instant(1), ended=False)

    def handle(self, event):
        other = {"A": "B", "B": "A"}[event.client_order_id]
        return [CancelOrder(broker="x", client_order_id=other)] if isinstance(event, CancelRejected) else []


@dataclass
class Refusing:
    asked: list[str] = field(default_factory=list)

    async def perform(self, output):
        self.asked.append(output.client_order_id)
        assert len(self.asked) < 100, "asked for ever"
        return [refused(output.client_order_id)]


class Unwritten:
    """Stands for journal and tape, which are not what this is about."""

    def append(self, *_):
        pass

    def sync(self):
        pass

    def digest(self):
        return ""


def refused(order_id):
    return CancelRejected(at=Instant(1), client_order_id=order_id, reason="no such order")


async def test_two_orders_whose_cancels_are_refused_do_not_have_each_other_asked_for_ever():
    hands = Refusing()
    shell = SessionShell.__new__(SessionShell)
    shell._id, shell.session, shell.broken, shell.doubted = None, "x", "", {}  # type: ignore[assignment]
    shell._journal, shell._tape = cast(Journal, Unwritten()), cast(TapeWriter, Unwritten())
    shell._hands, shell._observers, shell._wall_clock = hands, (), lambda: 0
    shell._number, shell._pending, shell._stop_told = 0, [], False
    shell.engine = Wishes()  # type: ignore[assignment]
    await shell.take(refused("A"))
    assert hands.asked == ["B"]
    assert set(shell.doubted) == {"A", "B"}


WINDOW_ENDS, A_BAR = 1_000, 60


@pytest.mark.parametrize(
    ("order_state", "at", "exit_code", "sent_again"),
    [
        (OrderState.UNKNOWN, WINDOW_ENDS, "", True),
        (OrderState.UNKNOWN, WINDOW_ENDS + A_BAR, "", False),
        (OrderState.CANCEL_REQUESTED, WINDOW_ENDS, "", False),
        (OrderState.UNKNOWN, WINDOW_ENDS, "stop_request", False),
    ],
)
async def test_an_entry_that_is_not_there_is_sent_again_only_while_somebody_wants_it(
    order_state, at, exit_code, sent_again
):
    request = OrderRequest(
        client_order_id="t-entry1", trade_id="t", broker="x", instrument=equity("AAA"), side=Side.BUY,
        quantity=Decimal(1), order_type=OrderType.MARKET,
    )  # fmt: skip
    windows = SimpleNamespace(entry_end=WINDOW_ENDS, bar_span=A_BAR, bell=0)
    trade = SimpleNamespace(exit_code=exit_code, order_ids=[(Leg.ENTRY, "t-entry1")])
    state = SimpleNamespace(at=Instant(at), trades={"t": trade}, orders={}, spec=SimpleNamespace(windows=windows))

    class Empty:
        async def order_by_client_id(self, _):
            return None

    order = Order(request=request, state=order_state, created_at=Instant(0))
    events, commands = await settle_order(cast(SessionState, state), cast(Broker, Empty()), order)
    assert list(commands) == ([SubmitOrder(order=request)] if sent_again else [])
    assert [type(event) for event in events] == ([] if sent_again else [OrderRejected])
