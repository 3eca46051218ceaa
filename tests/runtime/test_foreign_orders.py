"""Orders of others: who was told of them today, and what a broker that cannot tell says."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from tbot_bot.core.foreign_orders import ForeignOrder, ForeignOrdersSeen
from tbot_bot.core.identity import Mode, SessionId, StrategyName
from tbot_bot.core.instants import Instant
from tbot_bot.core.instruments import Instrument, equity
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import Entry, Journal
from tbot_bot.runtime.foreign_watch import foreign_orders_of, told_today

DAY = date(2025, 12, 2)
OPEN, MID, CLOSE = (SessionId(day=DAY, strategy=strategy) for strategy in StrategyName)
THEIRS = ForeignOrder(
    broker="alpaca", broker_order_id="a1", name="", instrument=equity("ZZZ"), buys=True, quantity=Decimal(4),
    price=Decimal("2.50"),
)  # fmt: skip


def test_a_person_is_told_of_a_broker_by_one_session_of_a_day_and_run_only(tmp_path):
    told = [(OPEN, "alpaca", True), (OPEN, "ibkr", False), (MID, "ibkr", True), (replace(OPEN, run=2), "sim", True)]
    with Journal.open(tmp_path / "journal.sqlite3", Mode.PAPER) as journal:
        for number, (session, broker, alert) in enumerate(told, 1):
            event = ForeignOrdersSeen(at=Instant(number), broker=broker, orders=(THEIRS,), alert=alert)
            row = Entry.of(event, kind=Kind.INPUT, at=number, recorded_at=1, session=str(session), input_number=number)
            journal.append([row])
        assert told_today(journal, CLOSE) == {"alpaca", "ibkr"}
        assert told_today(journal, MID) == {"alpaca"}
        assert told_today(journal, replace(CLOSE, run=2)) == {"sim"}
        assert told_today(journal, replace(CLOSE, day=date(2025, 12, 3))) == frozenset()


@pytest.mark.parametrize(
    ("changes", "notional"),
    [
        ({}, "10"),
        ({"buys": False}, "0"),
        ({"quantity": None}, "0"),
        ({"price": None}, "0"),
        ({"price": Decimal(-3)}, "0"),
        ({"instrument": Instrument(symbol="CASH:EUR.CHF", currency="CHF")}, "0"),
        ({"instrument": Instrument(symbol="FUT:MESZ5", multiplier=Decimal(5))}, "50"),
    ],
)
def test_what_an_order_of_another_may_take_is_its_full_price_in_dollars(changes, notional):
    assert replace(THEIRS, **changes).notional == Decimal(notional)


async def test_a_broker_that_cannot_list_them_has_none():
    mute: Any = object()
    assert await foreign_orders_of(mute) == ()
