"""Laws of the IBKR adapter's book: whatever order the gateway's facts come in, the story told is the same."""

from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.broker.ibkr_book import COMMISSION_WAIT_SECONDS, REASON_WAIT_SECONDS, Book
from tbot_bot.broker.ibkr_wire import Executed, Sighting, Standing
from tbot_bot.core.events import FillBusted, OrderAcknowledged, OrderEvent, OrderFilled, OrderRejected
from tbot_bot.core.instants import Instant
from tbot_bot.core.orders import BrokerOrderStatus
from tests.broker.ibkr_kit import CLIENT_ID, ENTRY, SHARE, order

NUMBER = 41


class Watch:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def book(watch: Watch | None = None, *, sent: bool = True) -> Book:
    made = Book(broker="ibkr", now=lambda: Instant(7), seconds=watch or Watch())
    if sent:
        made.sent(order(ENTRY, quantity="30"), NUMBER, CLIENT_ID)
    return made


def execution(count: int, revision: int = 1, quantity: str = "10", price: str = "38.80") -> Executed:
    return Executed(
        execution_id=f"0001f4e8.65{count:06d}.01.{revision:02d}",
        client_order_id=ENTRY,
        perm_id=9,
        instrument=SHARE,
        buys=True,
        price=Decimal(price),
        quantity=Decimal(quantity),
        at=Instant(count),
    )


def sight(standing: Standing, order_id: int = NUMBER) -> Sighting:
    return Sighting(
        client_order_id=ENTRY,
        order_id=order_id,
        client_id=CLIENT_ID,
        perm_id=9,
        standing=standing,
        request=order(ENTRY, quantity="30"),
        account="DU0000000",
    )


def told_quantity(events: list[OrderEvent]) -> Decimal:
    """Add up what a listener that books by execution id holds."""
    held: dict[str, Decimal] = {}
    for event in events:
        if isinstance(event, OrderFilled):
            held[event.fill.execution_id] = event.fill.quantity
        elif isinstance(event, FillBusted):
            held.pop(event.execution_id, None)
    return sum(held.values(), Decimal(0))


FACTS = st.permutations(
    [
        *(("execution", count, revision) for count in (1, 2, 3) for revision in (1, 2)),
        *(("commission", count, revision) for count in (1, 2, 3) for revision in (1, 2)),
        *(("status", standing, 0) for standing in ("pending", "working", "filled", "working")),
    ]
)


@given(FACTS, st.lists(st.integers(0, 15), max_size=8))
def test_late_repeated_and_swapped_facts_add_up_to_the_same(facts, again):
    watch = Watch()
    made, told = book(watch), []
    for kind, first, second in [*facts, *(facts[place] for place in again)]:
        if kind == "execution":
            told += made.executed(execution(first, second, "10" if second == 2 else "9"), live=True)
        elif kind == "commission":
            told += made.charged(execution(first, second).execution_id, Decimal(second))
        else:
            told += made.seen(sight(Standing(first)))
    watch.seconds = 2 * COMMISSION_WAIT_SECONDS
    told += made.overdue()
    assert told_quantity(told) == 30
    assert [(fill.quantity, fill.fees) for fill in made.fills(Instant(0))] == [(Decimal(10), Decimal(2))] * 3
    assert sum(isinstance(event, OrderAcknowledged) for event in told) == 1
    assert not made.waiting
    known = made.order(ENTRY)
    assert known is not None
    assert (known.status, known.filled_quantity) == (BrokerOrderStatus.FILLED, Decimal(30))


def test_an_execution_waits_for_its_commission_but_not_for_ever():
    watch = Watch()
    made = book(watch)
    assert made.executed(execution(1), live=True) == []
    watch.seconds = 0.9 * COMMISSION_WAIT_SECONDS
    assert made.overdue() == []
    watch.seconds = COMMISSION_WAIT_SECONDS
    [told] = made.overdue()
    assert isinstance(told, OrderFilled)
    assert told.fill.fees == Decimal("1.00")
    assert made.overdue() == []
    [again] = made.charged(told.fill.execution_id, Decimal("0.62"))
    assert isinstance(again, OrderFilled)
    assert (again.fill.execution_id, again.fill.fees) == (told.fill.execution_id, Decimal("0.62"))


def test_a_correction_to_nothing_is_a_bust():
    made = book()
    made.charged(execution(1).execution_id, Decimal(1))
    assert len(made.executed(execution(1), live=True)) == 1
    [busted] = made.executed(execution(1, 2, "0"), live=True)
    assert isinstance(busted, FillBusted)
    assert busted.execution_id == execution(1).execution_id
    assert made.fills(Instant(0)) == ()


def test_a_correction_that_another_process_missed_undoes_what_it_may_have_booked():
    made = book(sent=False)
    made.charged(execution(1, 3).execution_id, Decimal(1))
    told = made.executed(execution(1, 3), live=False)
    assert [event.execution_id for event in told if isinstance(event, FillBusted)] == [
        execution(1, 1).execution_id,
        execution(1, 2).execution_id,
    ]


def test_a_refusal_waits_a_moment_for_its_reason():
    for reason_comes in (True, False):
        watch = Watch()
        made = book(watch)
        assert made.seen(sight(Standing.INACTIVE)) == []
        watch.seconds = REASON_WAIT_SECONDS
        told = made.messaged(ENTRY, 201, "no money") if reason_comes else made.overdue()
        [rejected] = told
        assert isinstance(rejected, OrderRejected)
        assert rejected.reason == ("201: no money" if reason_comes else "inactive: IB refused it without a reason")
        assert made.overdue() == made.messaged(ENTRY, 201, "no money") == []


def test_an_order_that_works_after_its_end_was_told_is_to_be_cancelled():
    made = book()
    made.messaged(ENTRY, 201, "no money")
    assert made.seen(sight(Standing.WORKING)) == []
    assert made.revived == [ENTRY]


def test_an_older_order_of_the_same_name_says_nothing_of_the_present_one():
    made = book()
    made.seen(sight(Standing.WORKING))
    assert made.seen(sight(Standing.CANCELLED, order_id=12)) == []
    assert made.seen(replace(sight(Standing.CANCELLED, order_id=0), perm_id=3)) == []
    known = made.order(ENTRY)
    assert known is not None
    assert known.status is BrokerOrderStatus.WORKING


def test_what_only_executions_speak_of_is_over_and_as_large_as_they_are():
    made = book(sent=False)
    made.executed(execution(1), live=False)
    known = made.order(ENTRY)
    assert known is not None
    assert (known.status, known.request.quantity) == (BrokerOrderStatus.FILLED, Decimal(10))
