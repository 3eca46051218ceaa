"""From Alpaca's messages to our events: each told once, executions before an end, whatever the order of arrival."""

from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.broker.alpaca_book import AlpacaBook
from tbot_bot.broker.alpaca_wire import execution_of, order_of, update_of
from tbot_bot.core.events import FillBusted, OrderEvent, OrderFilled, OrderRejected
from tbot_bot.core.instants import Instant
from tbot_bot.core.orders import Side
from tests.broker.venue_kit import names, order

ENTRY = "20250902-open-alpaca-XYZ-entry1"
STOP, NEXT = "20250902-open-alpaca-XYZ-stop1", "20250902-open-alpaca-XYZ-stop2"
TIME = "2025-09-02T14:30:00Z"


class Desk:
    """A book, and what it has told."""

    def __init__(self) -> None:
        self.anomalies: list[str] = []
        self.book = AlpacaBook("alpaca", now=lambda: Instant(7), anomaly=self.anomalies.append)
        self.told: list[OrderEvent] = []

    def hears(self, *messages: dict[str, object]) -> list[OrderEvent]:
        """Feed updates, orders and activities, told apart by their form."""
        new: list[OrderEvent] = []
        for message in messages:
            if "event" in message:
                new += self.book.on_update(update_of(message))
            elif "transaction_time" in message:
                new += self.book.on_execution(execution_of(message), "activities")
            else:
                new += self.book.on_order(order_of(message))
        self.told += new
        return new

    @property
    def filled(self) -> list[tuple[str, str]]:
        return [(e.fill.execution_id, str(e.fill.quantity)) for e in self.told if isinstance(e, OrderFilled)]


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    made.book.asked(order(ENTRY))
    return made


def shape(status: str, filled: int = 0, name: str = ENTRY, **more: object) -> dict[str, object]:
    base: dict[str, object] = {"id": f"id of {name}", "client_order_id": name, "symbol": "XYZ", "side": "buy"}
    return base | {"qty": "100", "filled_qty": str(filled), "status": status, "type": "market", **more}


def update(event: str, status: str, filled: int = 0, name: str = ENTRY, **more: object) -> dict[str, object]:
    told: dict[str, object] = {"event": event, "execution_id": f"{event} {filled}", "timestamp": TIME}
    return told | {"order": shape(status, filled, name)} | more


def fill(quantity: int, filled: int, name: str = ENTRY, **more: object) -> dict[str, object]:
    done = filled == 100
    event, status = ("fill", "filled") if done else ("partial_fill", "partially_filled")
    return update(event, status, filled, name, price="40.01", qty=str(quantity), **more)


def activity(quantity: int, filled: int, name: str = ENTRY) -> dict[str, object]:
    spelled: dict[str, object] = {"id": f"20250902::other {filled}", "order_id": f"id of {name}", "price": "40.01"}
    return spelled | {"qty": str(quantity), "cum_qty": str(filled), "transaction_time": TIME}


def test_a_whole_life_is_told_once(desk):
    messages = [update("pending_new", "pending_new"), update("new", "new"), fill(30, 30), fill(70, 100)]
    desk.hears(*messages, *messages, shape("filled", 100), activity(30, 30), activity(70, 100))
    assert names(desk.told) == ["OrderAcknowledged", "OrderFilled", "OrderFilled"]
    assert desk.filled == [(f"id of {ENTRY}:30", "30"), (f"id of {ENTRY}:100", "70")]
    assert (desk.book.unfinished(), desk.book.gaps(), desk.anomalies) == ((), (), [])


def test_an_order_that_is_only_pending_is_no_acknowledged_one(desk):
    assert desk.hears(shape("pending_new")) == []
    assert names(desk.hears(shape("accepted"))) == ["OrderAcknowledged"]


def test_an_end_waits_for_the_executions_that_it_claims(desk):
    assert names(desk.hears(update("canceled", "canceled", 30))) == ["OrderAcknowledged"]
    assert [gap.client_order_id for gap in desk.book.gaps()] == [ENTRY]
    assert names(desk.hears(fill(30, 30))) == ["OrderFilled", "OrderCancelled"]
    assert desk.hears(shape("canceled", 30), update("new", "new")) == []


def test_an_execution_after_the_end_still_counts(desk):
    desk.hears(update("canceled", "canceled", 0))
    assert names(desk.hears(activity(10, 10))) == ["OrderFilled"]


@pytest.mark.parametrize(
    ("status", "event"),
    [("canceled", "OrderCancelled"), ("expired", "OrderExpired"), ("rejected", "OrderRejected")],
)
def test_each_end_is_told_once_and_for_all(desk, status, event):
    assert names(desk.hears(shape(status), shape(status), shape("new")))[-1] == event
    assert desk.hears(shape(status)) == []


def test_a_rejection_gives_a_reason_in_any_case(desk):
    (told,) = desk.hears(update("rejected", "rejected", reason="halted"))
    assert told.reason == "halted"
    other = Desk()
    (silent,) = other.hears(shape("rejected", name=STOP))
    assert isinstance(silent, OrderRejected)
    assert "no reason" in silent.reason


def test_a_replaced_order_names_its_successor(desk):
    desk.hears(shape("new", name=STOP))
    desk.book.asked(order(NEXT, replaces=STOP))
    desk.book.replacing(STOP, NEXT)
    (told,) = desk.hears(update("replaced", "replaced", name=STOP))
    assert (told.client_order_id, told.by) == (STOP, NEXT)


def test_an_order_that_somebody_else_replaced_is_gone(desk):
    desk.hears(shape("new", name=STOP))
    (told,) = desk.hears(shape("replaced", name=STOP, replaced_by="id of theirs"))
    assert "not ours" in told.reason


def test_a_cancel_that_makes_room_is_told_as_a_replacement_or_not_at_all(desk):
    desk.hears(shape("new", name=STOP))
    desk.book.hold(STOP)
    assert desk.hears(update("canceled", "canceled", name=STOP)) == []
    assert names(desk.book.release(STOP, NEXT)) == ["OrderReplaced"]
    assert desk.book.release(STOP) == []
    desk.hears(shape("new"))
    desk.book.hold(ENTRY)
    desk.hears(shape("canceled"))
    assert names(desk.book.release(ENTRY)) == ["OrderCancelled"]


def test_a_refused_cancel_is_told(desk):
    (told,) = desk.hears(update("order_cancel_rejected", "filled", reason="TOO_LATE_TO_CANCEL"))[:1]
    assert (names([told]), told.reason) == (["CancelRejected"], "TOO_LATE_TO_CANCEL")


def test_a_bust_names_the_execution_as_we_told_it_and_once(desk):
    desk.hears(update("new", "new"), fill(100, 100))
    bust = update("trade_bust", "canceled", previous_execution_id="fill 100", reason="TRADE_BUST")
    told = desk.hears(bust, bust)
    assert told == [
        FillBusted(at=Instant(7), execution_id=f"id of {ENTRY}:100", client_order_id=ENTRY, reason="TRADE_BUST")
    ]


def test_after_a_bust_the_same_quantity_can_be_reached_again(desk):
    desk.hears(fill(100, 100), update("trade_bust", "partially_filled", 0, previous_execution_id="fill 100"))
    again = fill(100, 100) | {"execution_id": "second"}
    assert names(desk.hears(again, again)) == ["OrderFilled"]
    assert desk.filled[-1] == (f"id of {ENTRY}:100:second", "100")


def test_a_correction_undoes_one_execution_and_tells_another(desk):
    desk.hears(fill(100, 100))
    corrected = update("trade_correct", "filled", 100, previous_execution_id="fill 100", price="39.99", qty="100")
    told = desk.hears(corrected | {"execution_id": "corrected"})
    assert names(told) == ["FillBusted", "OrderFilled"]
    assert (told[1].fill.price, told[1].fill.quantity) == (Decimal("39.99"), 100)


def test_what_nobody_understands_is_noted_and_stops_nothing(desk):
    desk.hears(update("teleported", "frozen"), update("teleported", "frozen"))
    assert any("teleported" in said for said in desk.anomalies)
    assert sum("frozen" in said for said in desk.anomalies) == 1
    desk.hears(update("trade_bust", "frozen", previous_execution_id="never"))
    assert "never" in desk.anomalies[-1]
    assert names(desk.hears(fill(100, 100))) == ["OrderFilled"]


def test_orders_of_others_are_not_our_news(desk):
    assert desk.hears(shape("new", name="by hand"), fill(5, 5, name="by hand"), activity(5, 5, name="by hand")) == []
    assert desk.book.client_order_id("id of by hand") == "by hand"
    assert desk.book.unfinished() == ()


def test_an_order_of_an_earlier_process_is_known_by_its_name():
    desk = Desk()
    assert names(desk.hears(shape("new", name=STOP, side="sell"))) == ["OrderAcknowledged"]
    request = desk.book.request(STOP)
    assert request is not None
    assert (request.side, request.trade_id) == (Side.SELL, "20250902-open-alpaca-XYZ")


def test_an_order_that_was_refused_is_forgotten_and_one_that_is_there_is_not(desk):
    desk.book.forget(ENTRY)
    assert desk.book.request(ENTRY) is None
    desk.book.asked(order(ENTRY))
    desk.hears(shape("new"))
    desk.book.forget(ENTRY)
    assert desk.book.unfinished() == (ENTRY,)


def test_sales_carry_the_fees_that_regulators_take(desk):
    desk.book.asked(order(STOP, Side.SELL))
    desk.hears(fill(100, 100, name=STOP), fill(100, 100))
    sale, purchase = [event.fill for event in desk.told if isinstance(event, OrderFilled)]
    assert sale.fees > 0
    assert purchase.fees == 0


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[int], str, list[dict[str, object]]]:
    """Return the quantities executed, the order's end, and its messages: repeated, shuffled, from every source."""
    parts = draw(st.lists(st.integers(1, 40), max_size=4).filter(lambda found: sum(found) <= 100))
    total, messages = 0, [update("pending_new", "pending_new"), update("new", "new"), shape("accepted")]
    for part in parts:
        total += part
        sources = draw(st.sampled_from(["updates", "activities", "both"]))
        messages += [fill(part, total)] if sources != "activities" else [shape("partially_filled", total)]
        messages += [activity(part, total)] if sources != "updates" else []
    end = "filled" if total == 100 else draw(st.sampled_from(["canceled", "expired"]))
    messages.append(shape(end, total))
    doubled = messages + draw(st.lists(st.sampled_from(messages), max_size=6))
    return parts, end, draw(st.permutations(doubled))


@given(histories())
def test_however_the_messages_come_the_story_is_the_same(history):
    parts, end, messages = history
    desk = Desk()
    desk.book.asked(order(ENTRY))
    desk.book.saw(order_of(shape("new")))  # activities name Alpaca's id only
    desk.hears(*messages)
    told = names(desk.told)
    assert sorted(int(quantity) for _, quantity in desk.filled) == sorted(parts)
    assert len({execution for execution, _ in desk.filled}) == len(parts)
    ends = {"canceled": "OrderCancelled", "expired": "OrderExpired", "filled": "OrderFilled"}
    assert told.count("OrderAcknowledged") == 1
    assert told[0] == "OrderAcknowledged"
    if end != "filled":
        assert told.count(ends[end]) == 1
        assert told[-1] == ends[end]
    assert (desk.book.unfinished(), desk.book.gaps()) == ((), ())


def executions(events: Sequence[OrderEvent]) -> list[str]:
    return [event.fill.execution_id for event in events if isinstance(event, OrderFilled)]


def test_two_processes_call_an_execution_by_the_same_name(desk):
    streamed = executions(desk.hears(fill(30, 30), fill(70, 100)))
    later = Desk()
    later.book.on_order(order_of(shape("new")))
    looked_up = executions(later.hears(activity(30, 30), activity(70, 100)))
    assert streamed == looked_up
