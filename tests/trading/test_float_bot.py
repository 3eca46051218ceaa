"""Floats: what each broker should have, when that is looked at, and who sends how much to whom."""

from collections import Counter
from datetime import date, time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.core.calendar import new_york, trading_day
from tbot_bot.core.codec import dumps, loads
from tbot_bot.core.instants import MINUTE, later
from tbot_bot.core.money import CENT
from tbot_bot.trading.float_bot import (
    RESERVE,
    CarriedTransfer,
    FloatReading,
    FloatRules,
    FloatState,
    KeptBy,
    float_target,
    is_check_day,
    next_check_day,
    rebalance,
    reserve_of,
)

NAMES = ("alpaca", "ibkr", "tradier", "webull", "robinhood")
DAY = date(2025, 9, 4)
"""A Thursday."""
BELL = trading_day(DAY).open_at
NOON = later(BELL, 150 * MINUTE)
WEEK = (0, 1, 2, 3, 4)


def rules(count=2, *, capital="400000", tolerance="0.10", reserve="0.5", defense=False, checked=(0, 3)):
    return FloatRules(
        brokers=NAMES[:count],
        total_capital=Decimal(capital),
        reserve_fraction=Decimal(reserve),
        tolerance=Decimal(tolerance),
        check_weekdays=checked,
        trading_weekdays=WEEK,
        defense=defense,
    )


def read(*equities, cash=None, at=BELL):
    """Return readings; `None` is a broker that was never read, `cash` the settled part of all."""
    return {
        name: FloatReading(broker=name, equity=Decimal(equity), settled_cash=Decimal(cash or equity), read_at=at)
        for name, equity in zip(NAMES, equities, strict=False)
        if equity is not None
    }


def plan_for(*equities, limits=None, reserve="0", cash=None, **chosen):
    return rebalance(
        rules(len(equities), **chosen),
        read(*equities, cash=cash),
        at=NOON,
        limits={name: Decimal(limit) for name, limit in (limits or {}).items()},
        from_reserve=Decimal(reserve),
    )


def sent(plan):
    return [(one.source, one.destination, str(one.amount)) for one in plan.transfers]


# --- targets ----------------------------------------------------------------------------------------------------------


def test_the_target_is_an_equal_share_of_what_is_not_reserve():
    assert float_target(Decimal(1_000_000), Decimal("0.5"), 2) == Decimal(250_000)


def test_cents_that_do_not_divide_stay_with_the_reserve():
    three = rules(3, capital="100.01")
    assert float_target(three.total_capital, three.reserve_fraction, 3) == Decimal("16.66")
    assert reserve_of(three) == Decimal("50.03")


def test_one_broker_more_makes_every_target_smaller():
    targets = [rebalance(rules(count), {}, at=NOON, limits={}).lines[0].target for count in (1, 2, 4)]
    assert targets == [Decimal(200_000), Decimal(100_000), Decimal(50_000)]


@given(
    capital=st.decimals(1, 10**12, places=2),
    fraction=st.decimals(0, Decimal("0.99"), places=4),
    count=st.integers(1, 5),
)
def test_shares_and_reserve_are_the_capital_and_never_more(capital, fraction, count):
    chosen = rules(count, capital=str(capital), reserve=str(fraction))
    shares = float_target(capital, fraction, count) * count
    assert shares + reserve_of(chosen) == capital
    assert shares <= capital * (1 - fraction) < shares + CENT * count


# --- when -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "checked", "why"),
    [
        (date(2025, 9, 4), True, "a Thursday"),
        (date(2025, 9, 3), False, "a Wednesday"),
        (date(2025, 9, 1), False, "Labor Day: nothing trades"),
        (date(2025, 9, 2), True, "the Tuesday after it takes the Monday's place"),
        (date(2025, 9, 6), False, "a Saturday"),
    ],
)
def test_floats_are_checked_on_the_named_weekdays_or_the_first_trading_day_after(day, checked, why):
    assert is_check_day(rules(), day) is checked, why


def test_the_next_check_day_follows_the_trading_calendar():
    assert next_check_day(rules(), date(2025, 8, 29)) == date(2025, 9, 2)
    assert next_check_day(rules(), date(2025, 9, 3)) == date(2025, 9, 4)
    assert next_check_day(rules(checked=()), date(2025, 9, 3)) is None


def test_defense_mode_checks_twice_a_week_whatever_the_settings_say():
    assert next_check_day(rules(checked=(), defense=True), date(2025, 9, 3)) == date(2025, 9, 4)
    assert next_check_day(rules(checked=(4,), defense=True), date(2025, 9, 3)) == date(2025, 9, 4)


# --- what is not known ------------------------------------------------------------------------------------------------


def test_there_is_no_plan_while_a_broker_was_never_read():
    plan = plan_for("150000", None)
    assert not plan.transfers
    assert plan.blocked == ("ibkr was never read; its first session's open will read it",)
    assert plan.lines[1].state is FloatState.UNKNOWN


@pytest.mark.parametrize(
    ("at", "state"),
    [
        (later(BELL, -1), FloatState.FRESH),
        (BELL, FloatState.STALE),
        (new_york(date(2025, 9, 6), time(12)), FloatState.STALE),
    ],
)
def test_a_reading_of_the_day_before_is_stale_from_the_bell_on(at, state):
    wednesday = trading_day(date(2025, 9, 3)).open_at
    plan = rebalance(rules(), read("150000", "50000", at=wednesday), at=at, limits={})
    assert {line.state for line in plan.lines} == {state}
    assert bool(plan.transfers) is (state is FloatState.FRESH)


def test_a_friday_reading_is_good_over_the_weekend():
    friday = trading_day(date(2025, 9, 5)).open_at
    sunday = new_york(date(2025, 9, 7), time(12))
    assert rebalance(rules(), read("150000", "50000", at=friday), at=sunday, limits={}).transfers


# --- who sends how much to whom ---------------------------------------------------------------------------------------


def test_the_richer_sends_the_poorer_half_the_difference():
    assert sent(plan_for("150000", "50000")) == [("alpaca", "ibkr", "50000.00")]


def test_the_tolerance_itself_is_within_it():
    assert sent(plan_for("110000", "90000")) == []
    assert sent(plan_for("110000.01", "90000")) == [("alpaca", "ibkr", "10000.00")]


def test_who_is_within_tolerance_is_left_alone():
    plan = plan_for("130000", "70000", "101000", "99000", capital="800000")
    assert sent(plan) == [("alpaca", "ibkr", "30000.00")]


def test_one_transfer_is_made_where_one_is_enough():
    # Levelling all four would take three.
    plan = plan_for("124000", "88000", "94000", "94000", capital="800000")
    assert len(plan.transfers) == 2
    assert all(abs(value - 100_000) <= 10_000 for value in plan.after().values())


def test_the_banks_daily_limit_cuts_a_transfer_and_carries_the_rest():
    plan = plan_for("150000", "50000", limits={"alpaca": "20000"})
    assert sent(plan) == [("alpaca", "ibkr", "20000.00")]
    assert plan.carried == (
        CarriedTransfer(source="alpaca", destination="ibkr", amount=Decimal(30_000), why=KeptBy.BANK_LIMIT),
    )


def test_nothing_is_sent_that_has_not_settled():
    plan = plan_for("150000", "50000", cash="15000")
    assert sent(plan) == [("alpaca", "ibkr", "15000.00")]
    assert [(str(one.amount), one.why) for one in plan.carried] == [("35000.00", KeptBy.CASH)]


def test_a_plan_stops_at_the_reserve_and_says_what_it_lacks():
    plan = plan_for("60000", "80000")
    assert sent(plan) == [("ibkr", "alpaca", "10000.00")]
    assert plan.reserve_needed == 60_000


def test_the_reserve_gives_what_it_was_asked_for_and_no_more_than_is_needed():
    assert sent(plan_for("60000", "80000", reserve="60000")) == [
        (RESERVE, "alpaca", "40000.00"),
        (RESERVE, "ibkr", "20000.00"),
    ]
    assert plan_for("60000", "80000", reserve="1000000").from_reserve == 60_000
    some = plan_for("60000", "80000", reserve="10000")
    assert (some.from_reserve, some.reserve_needed) == (10_000, 50_000)


def test_what_all_have_too_much_stays_with_them():
    plan = plan_for("150000", "130000")
    assert (sent(plan), plan.excess) == ([("alpaca", "ibkr", "10000.00")], Decimal(80_000))


def test_defense_mode_takes_nothing_from_the_reserve():
    plan = plan_for("60000", "80000", reserve="60000", defense=True)
    assert (plan.transfers, plan.blocked) == ((), ("defense mode takes nothing from the reserve",))


def test_an_account_in_debt_is_not_driven_further():
    assert sent(plan_for("-5000", "1000")) == []
    assert sent(plan_for("-5000", "205000")) == [("ibkr", "alpaca", "105000.00")]


def test_a_plan_reads_back_as_it_was_written_and_keeps_its_name():
    plan = plan_for("150000", "50000", limits={"alpaca": "20000"})
    assert loads(dumps(plan)) == plan
    assert plan.plan_id.startswith("rp-20250904-")
    assert plan.plan_id == plan_for("150000", "50000", limits={"alpaca": "20000"}).plan_id
    assert plan.plan_id != plan_for("150000", "50000").plan_id


# --- laws -------------------------------------------------------------------------------------------------------------

money = st.decimals(0, 400_000, places=2)
equities = st.one_of(
    st.lists(money, min_size=1, max_size=5),
    # near the targets, where tolerances decide
    st.lists(st.decimals(80_000, 120_000, places=2), min_size=2, max_size=5),
)
tolerances = st.sampled_from(["0.001", "0.05", "0.10", "0.5", "1"])


def drawn_plan(found, tolerance, reserve=Decimal(0), limits=None):
    """Return a plan where every target is 100,000 dollars."""
    chosen = rules(len(found), capital=str(200_000 * len(found)), tolerance=tolerance)
    return rebalance(chosen, read(*map(str, found)), at=NOON, limits=limits or {}, from_reserve=reserve)


@given(equities, tolerances, money, st.dictionaries(st.sampled_from([*NAMES, RESERVE]), money))
def test_money_is_conserved_nobody_falls_below_zero_and_the_reserve_gives_only_what_it_may(
    found, tolerance, reserve, limits
):
    plan = drawn_plan(found, tolerance, reserve, limits)
    after = plan.after()
    assert sum(after.values()) == sum(found) + plan.from_reserve
    assert min(after.values()) >= 0
    assert plan.from_reserve <= reserve
    assert all(RESERVE != one.destination != one.source and one.amount >= CENT for one in plan.transfers)
    for name, limit in limits.items():
        assert sum(one.amount for one in plan.transfers if one.source == name) <= limit
    for broker, before in zip(NAMES, found, strict=False):  # never over the target and out on the other side
        worst = max(abs(before - 100_000), Decimal(tolerance) * 100_000, abs(sum(found) / len(found) - 100_000))
        assert abs(after[broker] - 100_000) <= worst + CENT


@given(equities, tolerances)
def test_after_a_plan_all_are_within_tolerance_or_it_says_what_keeps_it(found, tolerance):
    plan = drawn_plan(found, tolerance)
    within = all(abs(value - 100_000) <= 100_000 * Decimal(tolerance) for value in plan.after().values())
    assert within is not bool(plan.reserve_needed or plan.excess)
    assert plan.from_reserve == 0
    assert not plan.carried


@given(equities, tolerances, st.dictionaries(st.sampled_from(NAMES), money))
def test_what_a_limit_keeps_is_carried_to_the_cent(found, tolerance, limits):
    free, capped = drawn_plan(found, tolerance), drawn_plan(found, tolerance, limits=limits)
    flows: Counter[tuple[str, str]] = Counter()
    for one in (*capped.transfers, *capped.carried):
        flows[one.source, one.destination] += int(one.amount / CENT)
    assert flows == {(one.source, one.destination): int(one.amount / CENT) for one in free.transfers}


def fewest(found, tolerance):
    """Count by brute force: the least number of pairs that can bring all within tolerance; None where none can."""
    low, high = 100_000 * (1 - Decimal(tolerance)), 100_000 * (1 + Decimal(tolerance))

    def can(parts):
        return all(low * len(part) <= sum(found[k] for k in part) <= high * len(part) for part in parts)

    best = None
    for labels in labelings(len(found)):
        parts = [[k for k, own in enumerate(labels) if own == label] for label in set(labels)]
        if can(parts) and (best is None or len(found) - len(parts) < best):
            best = len(found) - len(parts)
    return best


def labelings(count):
    """Yield every division of `count` things, as restricted growth strings."""
    if count == 0:
        yield ()
        return
    for rest in labelings(count - 1):
        for label in range(max(rest, default=-1) + 2):
            yield (*rest, label)


@given(equities, st.sampled_from(["0.05", "0.10", "0.5"]))
def test_no_plan_has_more_transfers_than_levelling_to_half_the_tolerance_needs(found, tolerance):
    plan = drawn_plan(found, tolerance)
    least = fewest(found, tolerance)
    assert len(plan.transfers) <= len(found) - 1
    if least is None:
        return
    assert len(plan.transfers) >= least
    if least == 0:
        assert not plan.transfers
    comfortable = fewest_by_halves(found, tolerance)
    if comfortable is not None:
        assert len(plan.transfers) <= comfortable


def fewest_by_halves(found, tolerance):
    """The same, where those who exchange money end within half the tolerance."""
    half = 100_000 * Decimal(tolerance) / 2 - CENT
    counts = []
    for labels in labelings(len(found)):
        parts = [[found[k] - 100_000 for k, own in enumerate(labels) if own == label] for label in set(labels)]
        if all(abs(sum(part)) <= (2 * half + 2 * CENT if len(part) == 1 else half * len(part)) for part in parts):
            counts.append(len(found) - len(parts))
    return min(counts, default=None)


@given(equities, tolerances, money)
def test_the_same_readings_give_the_same_plan(found, tolerance, reserve):
    assert dumps(drawn_plan(found, tolerance, reserve)) == dumps(drawn_plan(found, tolerance, reserve))
