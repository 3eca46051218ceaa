"""How each thing is booked."""

from decimal import Decimal

import pytest

from tbot_bot.accounting.entries import Template
from tbot_bot.core.identity import Leg, Mode, SessionId, StrategyName
from tbot_bot.core.instruments import equity
from tbot_bot.core.orders import Side
from tbot_bot.journal.closed import DeadManReport
from tbot_bot.journal.ledger_posting import LedgerPosting, PostingKind
from tbot_bot.trading.float_bot import RebalancePlan
from tbot_bot.treasury.records import AuthorizedTransfer, Outcome, TransfersAuthorized, TransferSettled
from tests.support.ledger_kit import DAY, NOW, PUT, D, Days, foreign

AAA = equity("AAA", fractional=True)
OPENING = {"Assets:One:Cash": D(100_000), "Equity:Opening-Equity-for-Scenario": D(-100_000)}


@pytest.fixture
def days(tmp_path):
    made = Days(tmp_path)
    made.begin("one")
    yield made
    made.close()


def booked(days, **expected):
    """Book, and hold the ledger to what it should have moved; cash is told as the change."""
    days.book()
    verdict = days.verdict()
    assert verdict.sound, verdict.faults
    moved = {name: amount - OPENING.get(name, D(0)) for name, amount in days.balances().items()}
    assert {name: amount for name, amount in moved.items() if amount} == {
        name.replace("__", "-").replace("_", ":"): D(amount) for name, amount in expected.items()
    }


def test_a_purchase_is_equities_and_fees_against_cash(days):
    days.trade("one", AAA, Side.BUY, 100, "10.50", "0.35")
    booked(days, Assets_One_Equities="1050", Expenses_Broker__Fees_One="0.35", Assets_One_Cash="-1050.35")


def test_a_sale_takes_the_oldest_lots_and_books_what_they_gained(days):
    days.trade("one", AAA, Side.BUY, 100, "10")
    days.trade("one", AAA, Side.BUY, 100, "12", attempt=2)
    days.trade("one", AAA, Side.SELL, 150, "13", "0.10", leg=Leg.EXIT)
    booked(
        days, Assets_One_Equities="600", Assets_One_Cash="-250.10", Expenses_Broker__Fees_One="0.10",
        Income_Realized__Gains_One="-350",
    )  # fmt: skip
    assert days.lots() == [("one", "AAA", D(50), D(600))]


def test_a_short_sale_is_a_negative_position_and_its_cover_a_gain(days):
    days.trade("one", AAA, Side.SELL_SHORT, 10, "20", "0.01")
    days.book()
    assert days.lots() == [("one", "AAA", D(-10), D(-200))]
    days.trade("one", AAA, Side.BUY_TO_COVER, 10, "18", leg=Leg.EXIT)
    booked(days, Assets_One_Cash="19.99", Expenses_Broker__Fees_One="0.01", Income_Realized__Gains_One="-20")


def test_selling_more_than_is_held_closes_it_and_opens_a_short_position(days):
    days.trade("one", AAA, Side.BUY, 10, "20")
    days.trade("one", AAA, Side.SELL, 15, "21", leg=Leg.EXIT)
    booked(days, Assets_One_Cash="115", Assets_One_Equities="-105", Income_Realized__Gains_One="-10")


def test_a_put_carries_its_multiplier(days):
    days.trade("one", PUT, Side.BUY, 2, "1.25", "1.30")
    days.trade("one", PUT, Side.SELL, 2, "1.75", "1.30", leg=Leg.EXIT)
    booked(days, Assets_One_Cash="97.40", Expenses_Broker__Fees_One="2.60", Income_Realized__Gains_One="-100")


def test_the_parts_of_a_fraction_add_up_to_the_whole_to_the_last_unit(days):
    days.trade("one", AAA, Side.BUY, "0.333333333", "9.9999")
    for number, part in enumerate(("0.111111111", "0.000000001", "0.222222221"), start=1):
        days.trade("one", AAA, Side.SELL, part, "9.9999", leg=Leg.EXIT, attempt=number)
    days.book()
    assert days.lots() == []
    left = days.balances()
    assert "Assets:One:Equities" not in left
    assert abs(left.get("Income:Realized-Gains:One", D(0))) <= D("0.000000002")


def test_gains_less_slippage_are_the_true_result(days):
    days.trade("one", AAA, Side.BUY, 100, "10.02")
    days.trade("one", AAA, Side.SELL, 100, "10.97", leg=Leg.EXIT)
    days.over("one", "AAA", slippage="5")  # decided at 10.00 and 11.00
    booked(
        days, Assets_One_Cash="95", Income_Realized__Gains_One="-100", Expenses_Slippage__Execution__Losses="5"
    )  # fmt: skip


def test_a_trade_that_was_told_again_books_the_difference_of_its_slippage(days):
    days.trade("one", AAA, Side.BUY, 100, "10")
    days.over("one", "AAA", slippage="5")
    days.over("one", "AAA", slippage="3")
    booked(
        days, Assets_One_Cash="-1000", Assets_One_Equities="1000", Income_Realized__Gains_One="-3",
        Expenses_Slippage__Execution__Losses="3",
    )  # fmt: skip


def test_an_execution_that_is_told_twice_is_booked_once(days):
    order = days.order("one", AAA, Side.BUY, 100)
    days.fill(order, 10, execution="same")
    days.fill(order, 10, execution="same")
    booked(days, Assets_One_Cash="-1000", Assets_One_Equities="1000")


def told_again(days, order, execution, price, fees):
    """Tell an execution of before with other fees, as Interactive Brokers does where its commission report is late."""
    days.fill(order, price, fees=fees, execution=execution)


def test_a_commission_that_comes_after_its_execution_was_booked_is_booked_exactly_once(days):
    order = days.order("one", AAA, Side.BUY, 100)
    first = days.fill(order, 10, fees="1.00")
    days.trade("one", AAA, Side.SELL, 100, 12, "0.50", leg=Leg.EXIT)
    days.book()
    told_again(days, order, first, 10, "0.35")
    final = {
        "Assets_One_Cash": "199.15",
        "Income_Realized__Gains_One": "-200",
        "Expenses_Broker__Fees_One": "0.85",
    }
    booked(days, **final)
    assert [one.template for one in days.entries()][-4:] == [Template.REVERSAL] * 2 + [Template.REBOOKING] * 2
    told_again(days, order, first, 10, "0.35")  # the same again, and once more after a restart of the booking
    assert days.book().entries == 0
    booked(days, **final)


def test_a_commission_that_comes_before_anything_is_booked_comes_to_the_same(days):
    order = days.order("one", AAA, Side.BUY, 100)
    first = days.fill(order, 10, fees="1.00")
    told_again(days, order, first, 10, "0.35")
    told_again(days, order, first, 10, "0.40")
    booked(days, Assets_One_Equities="1000", Assets_One_Cash="-1000.40", Expenses_Broker__Fees_One="0.40")
    assert days.lots() == [("one", "AAA", D(100), D(1000))]


def test_an_execution_that_is_undone_after_its_commission_leaves_nothing(days):
    order = days.order("one", AAA, Side.BUY, 100)
    first = days.fill(order, 10, fees="1.00")
    told_again(days, order, first, 10, "0.35")
    days.book()
    days.bust(first, order.client_order_id)
    booked(days)
    told_again(days, order, first, 10, "0.70")  # of what never was
    assert days.book().entries == 0
    booked(days)


def test_what_was_undone_is_reversed_and_what_came_after_it_is_booked_anew(days):
    first = days.order("one", AAA, Side.BUY, 100)
    wrong = days.fill(first, 10)
    days.trade("one", AAA, Side.BUY, 100, 12, attempt=2)
    days.trade("one", AAA, Side.SELL, 100, 13, leg=Leg.EXIT)
    days.bust(wrong, first.client_order_id)
    booked(days, Assets_One_Cash="100", Income_Realized__Gains_One="-100")
    told = [entry.template for entry in days.entries()][-5:]
    assert told == [Template.REVERSAL] * 3 + [Template.REBOOKING] * 2
    days.fill(first, 10, execution=wrong)  # told again, it stays undone
    assert days.book().entries == 0


def test_an_order_that_is_not_ours_is_told_and_not_booked(days):
    order = days.order("one", AAA, Side.BUY, 1)
    days.rows.pop()
    days.fill(order, 10)
    done = days.book()
    assert "has not sent" in done.not_booked[0].why
    booked(days)


def test_what_was_closed_without_an_engine_is_booked_from_its_result(days):
    days.trade("one", AAA, Side.BUY, 100, "10", "0.10")
    told = days.over("one", "AAA", pnl=D("-20.25"), fees=D("0.25"), exit_reason="dead_man", error_code="dead_man")
    days.rows.pop()
    days.error(DeadManReport(at=days.clock, why="test", cancelled=(), trades=(told,), left=()))
    booked(days, Assets_One_Cash="-20.25", Expenses_Broker__Fees_One="0.25", Income_Realized__Gains_One="20")
    assert days.lots() == []


def test_the_float_of_a_session_is_allocated_and_released(days):
    days.shares("one", "2000")
    days.book()
    assert days.balances()["Equity:Daily-Float-Allocation-History"] == D(-2000)
    days.ended()
    booked(days)


def test_a_rehearsal_begins_with_a_reset_that_takes_cash_and_positions_away(days):
    days.trade("one", AAA, Side.BUY, 100, "10", "1")
    days.begin("one", run=2, cash="50000")
    days.book()
    assert days.verdict().sound
    assert days.lots() == []
    left = days.balances()
    assert left["Assets:One:Cash"] == D(50_000)
    assert left["Equity:Reset-Marker"] == D(49_999)


def test_after_a_reset_an_execution_is_undone_as_if_nothing_had_been_before(days):
    before = days.order("one", AAA, Side.BUY, 100)
    old = days.fill(before, 10)
    days.begin("one", run=2)
    order = days.order("one", AAA, Side.BUY, 50)
    wrong = days.fill(order, 20)
    days.trade("one", AAA, Side.SELL, 50, 21, leg=Leg.EXIT)
    days.bust(wrong, order.client_order_id)
    days.book()
    assert days.verdict().sound
    assert days.lots() == [("one", "AAA", D(-50), D(-1050))]
    days.session = SessionId(day=DAY, strategy=StrategyName.OPEN)
    days.bust(old, before.client_order_id)  # of an account that is no more
    done = days.book()
    assert done.entries == 0
    assert "reset after it" in done.not_booked[0].why


def test_a_real_account_opens_once_with_what_it_held(tmp_path):
    days = Days(tmp_path, mode=Mode.LIVE, real=True)
    days.begin("one", foreign=(foreign("one", "ZZZ", 10, "5"),))
    days.begin("one", strategy=StrategyName.MID, cash="1")
    days.book()
    assert days.verdict().sound
    assert days.balances() == {
        "Assets:One:Cash": D(100_000), "Assets:One:Equities": D(50), "Equity:Opening-Balance": D(-100_050)
    }  # fmt: skip
    assert days.lots() == [("one", "ZZZ", D(10), D(50))]
    days.close()


def test_live_books_know_no_simulated_account(tmp_path):
    days = Days(tmp_path, mode=Mode.LIVE)
    days.begin("one")
    days.trade("one", AAA, Side.BUY, 1, 1)
    assert days.book().entries == 0
    days.close()


def posted(kind, amount="0", **rest):
    return LedgerPosting(
        at=NOW, by="me", why="a letter", kind=PostingKind(kind), day=DAY, amount=D(amount),
        **{"reference": "R1", "broker": "one"} | rest,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("posting", "expected"),
    [
        (posted("dividend", "3.50"), {"Assets_One_Cash": "3.50", "Income_Dividends_One": "-3.50"}),
        (posted("interest", "-2"), {"Assets_One_Cash": "-2", "Income_Interest_One": "2"}),
        (posted("borrow_fee", "1"), {"Assets_One_Cash": "-1", "Expenses_Borrow__Fees_One": "1"}),
        (posted("fee", "1"), {"Assets_One_Cash": "-1", "Expenses_Broker__Fees_One": "1"}),
        (posted("timeout_penalty", "1"), {"Assets_One_Cash": "-1", "Expenses_API__Timeout__Penalties": "1"}),
        (
            posted("infrastructure", "45.90", broker=""),
            {"Expenses_Platform__Access__Charges": "45.90", "Equity_Capital__Float": "-45.90"},
        ),
        (posted("float_in", "1000"), {"Assets_One_Cash": "1000", "Equity_Capital__Float": "-1000"}),
        (posted("float_out", "1000"), {"Assets_One_Cash": "-1000", "Equity_Capital__Float": "1000"}),
    ],
    ids=lambda part: part.kind.value if isinstance(part, LedgerPosting) else "",
)
def test_a_posting_is_booked_once_whoever_brings_it(days, posting, expected):
    days.control(posting)
    days.control(posting)
    booked(days, **expected)


def test_puts_that_expire_are_a_loss_of_what_they_cost(days):
    days.trade("one", PUT, Side.BUY, 2, "1.25")
    days.control(posted("expiry", instrument=PUT.symbol, quantity=D(2)))
    booked(days, Assets_One_Cash="-250", Income_Realized__Gains_One="250")


def test_an_exercised_put_sells_the_shares_at_its_strike_less_what_it_cost(days):
    days.trade("one", equity("AAA"), Side.BUY, 100, "40")
    days.trade("one", PUT, Side.BUY, 1, "2", attempt=2)
    days.control(posted("assignment", instrument=PUT.symbol, quantity=D(1), amount=D("0.50")))
    booked(
        days, Assets_One_Cash="799.50", Expenses_Broker__Fees_One="0.50", Income_Realized__Gains_One="-800"
    )  # fmt: skip
    assert days.lots() == []


def test_an_exercised_put_without_shares_leaves_a_short_position(days):
    days.trade("one", PUT, Side.BUY, 1, "2")
    days.control(posted("assignment", instrument=PUT.symbol, quantity=D(1)))
    days.book()
    assert days.verdict().sound
    assert days.lots() == [("one", "AAA", D(-100), D(-4800))]


def test_a_posting_can_be_taken_back_by_its_entry(days):
    days.control(posted("dividend", "3.50"))
    days.book()
    guid = days.entries()[-1].guid
    days.control(posted("reversal", reference=guid))
    booked(days)


def test_floats_move_as_the_bank_has_settled_them(days):
    def transfer(number, source, destination, amount):
        return AuthorizedTransfer(
            transfer_id=f"t{number}", source=source, destination=destination, source_account="changeme",
            destination_account="changeme", amount=Decimal(amount),
        )  # fmt: skip

    plan = RebalancePlan(day=DAY, lines=(), transfers=(), carried=(), from_reserve=D(0), reserve_needed=D(0),
                         excess=D(0), blocked=())  # fmt: skip
    transfers = (transfer(1, "reserve", "one", 500), transfer(2, "one", "two", 200), transfer(3, "one", "two", 9))
    days.control(
        TransfersAuthorized(
            at=NOW, authorization="fa", by="me", why="test", plan_id="p", plan=plan, transfers=transfers,
            from_reserve=D(500),
        )
    )  # fmt: skip
    for number, outcome in ((1, Outcome.DONE), (2, Outcome.DONE), (3, Outcome.REFUSED), (1, Outcome.DONE)):
        days.control(TransferSettled(at=NOW, transfer_id=f"t{number}", outcome=outcome, bank_id=f"b{number}", text=""))
    booked(days, Assets_One_Cash="300", Assets_Two_Cash="200", Equity_Capital__Float="-500")
