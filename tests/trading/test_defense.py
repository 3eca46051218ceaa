"""Defense mode judged on histories made by hand: every boundary from both sides, to the trade, cent and day."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.core.commands import SharesFixed, SignalDropped
from tbot_bot.core.instants import Instant
from tbot_bot.trading.defense import MoneyMoved, ReserveRead, Trigger, triggers_of, way_out
from tbot_bot.trading.defense_limits import (
    DEFENSE_TAG,
    DefenseRules,
    NormalLimits,
    adjusted,
    reduced,
)
from tbot_bot.trading.defense_state import (
    DefenseChange,
    DefenseEntered,
    DefenseLeft,
    Standing,
    change_of,
    judge,
    person_found,
    setting_found,
    standing_of,
)
from tests.support.defense_history import TODAY, history, kill, read, trade, trades
from tests.support.scenario import Scenario, spec_of

RULES = DefenseRules(total_allocation=Decimal("0.01"), trade_limit=Decimal("0.66"))
LABOR_DAY = date(2025, 9, 1)
LONG_AGO = TODAY - timedelta(days=20)


def holding(told, disregard=None):
    return [found.trigger for found in triggers_of(told, disregard or {})]


def entered(*found):
    return DefenseEntered(
        at=Instant(1), day=TODAY, by="test", why="", triggers=found or (person_found("x"),), limits=()
    )


def change(told, standing=None, *, forced=False):
    judged = judge(told, standing or Standing(), forced=forced)
    return change_of(judged, at=Instant(7), by="test", limits=())


# --- entering: the win rate -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("won", "lost", "holds"),
    [(10, 10, False), (9, 10, False), (9, 11, True), (5_000, 5_000, False), (4_999, 5_001, True), (0, 20, True)],
    ids=["10 of 20", "9 of 19", "9 of 20", "50 %", "49.99 %", "none of 20"],
)
def test_the_win_rate_bites_below_one_half_of_at_least_twenty_trades(won, lost, holds):
    assert holding(history(*trades("W" * won + "L" * lost))) == ([Trigger.WIN_RATE] if holds else [])


def test_nineteen_losses_tell_nothing_and_the_twentieth_does():
    assert holding(history(*trades("L" * 19))) == []
    assert holding(history(*trades("L" * 20))) == [Trigger.WIN_RATE]


def test_a_trade_that_broke_even_is_a_trade_and_no_win():
    assert holding(history(*trades("W" * 150 + "L" * 150))) == []
    assert holding(history(*trades("W" * 150 + "L" * 150 + "E"))) == [Trigger.WIN_RATE]


def test_day_thirty_counts_and_day_thirty_one_does_not():
    thirty, thirty_one = TODAY - timedelta(days=29), TODAY - timedelta(days=30)
    recent = trades("W" * 100 + "L" * 99)

    assert holding(history(*recent, *trades("LL", thirty, first_row=500))) == [Trigger.WIN_RATE]
    assert holding(history(*recent, *trades("L" * 300, thirty_one, first_row=500))) == []


def test_days_to_come_are_not_looked_at():
    tomorrow = TODAY + timedelta(days=1)
    assert holding(history(*trades("W" * 20), *trades("L" * 200, tomorrow, first_row=500))) == []


# --- entering: drawdowns ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "holds"), [("42500.01", False), ("42500.00", False), ("42499.99", True), ("60000", False), ("-1", True)]
)
def test_a_float_may_lose_fifteen_percent_of_its_start_and_not_a_cent_more(now, holds):
    assert holding(history(read(1, "50000"), read(9, now))) == ([Trigger.FLOAT_DRAWDOWN] if holds else [])


def test_results_after_the_last_reading_count_already():
    start, last = read(1, "50000"), read(9, "43000")
    assert holding(history(start, last, trade(10, "L", pnl="-500"))) == []
    assert holding(history(start, last, trade(10, "L", pnl="-500.01"))) == [Trigger.FLOAT_DRAWDOWN]
    assert holding(history(start, last, trade(8, "L", pnl="-9000"))) == []  # the reading knows of it


def test_a_float_that_has_come_back_to_the_limit_has_recovered():
    assert holding(history(read(1, "50000"), read(5, "30000"), read(9, "42500"))) == []


def test_money_moved_by_the_owner_is_no_loss_and_no_recovery():
    start = read(1, "50000")
    out = MoneyMoved(row=2, name="sim", amount=Decimal(-20000), day=LONG_AGO, cause="rebalancing")
    into = MoneyMoved(row=2, name="sim", amount=Decimal(20000), day=LONG_AGO, cause="rebalancing")

    assert holding(history(start, read(9, "30000"), moves=(out,))) == []
    assert holding(history(start, read(9, "25499.99"), moves=(out,))) == [Trigger.FLOAT_DRAWDOWN]
    assert holding(history(start, read(9, "59499.99"), moves=(into,))) == [Trigger.FLOAT_DRAWDOWN]
    later = replace(out, row=10)
    assert holding(history(start, read(9, "43000"), moves=(later,))) == [Trigger.FLOAT_DRAWDOWN]  # 23000 of 30000


def test_money_on_its_way_to_a_broker_is_not_missing_there_for_five_trading_days():
    reads = (read(1, "50000"), read(9, "50000"))
    sent = MoneyMoved(row=2, name="sim", amount=Decimal(20000), day=date(2025, 9, 24), cause="rebalancing")

    assert holding(history(*reads, moves=(sent,), day=date(2025, 9, 30))) == []  # the fifth, its own day counted
    assert holding(history(*reads, moves=(sent,), day=date(2025, 10, 1))) == [Trigger.FLOAT_DRAWDOWN]


def test_each_broker_has_its_own_float_and_those_that_are_off_none():
    told = (read(1, "50000", "alpaca"), read(2, "50000", "ibkr"), read(8, "51000", "alpaca"), read(9, "1", "ibkr"))
    assert holding(history(*told, brokers=("alpaca", "ibkr"))) == [Trigger.FLOAT_DRAWDOWN]
    assert holding(history(*told, brokers=("alpaca",))) == []


def test_an_account_that_is_opened_anew_has_a_new_start():
    anew = read(5, "20000", opened=True)
    assert holding(history(read(1, "50000"), anew)) == []
    assert holding(history(read(1, "50000"), anew, read(6, "16999.99"))) == [Trigger.FLOAT_DRAWDOWN]


@pytest.mark.parametrize(("now", "holds"), [("90000.00", False), ("89999.99", True)])
def test_a_reserve_may_lose_a_tenth_without_a_cause(now, holds):
    reads = (ReserveRead(row=1, balance=Decimal(100_000)), ReserveRead(row=9, balance=Decimal(now)))
    assert holding(history(reserve=reads)) == ([Trigger.RESERVE_DRAWDOWN] if holds else [])


def test_a_reserve_that_gave_with_a_recorded_cause_has_not_fallen():
    reads = (ReserveRead(row=1, balance=Decimal(100_000)), ReserveRead(row=9, balance=Decimal(60_000)))
    given = MoneyMoved(row=5, name="", amount=Decimal(-40_000), day=TODAY, cause="authorized: a new broker")

    assert holding(history(reserve=reads, moves=(given,))) == []
    assert holding(history(reserve=reads, moves=(replace(given, cause=""),))) == [Trigger.RESERVE_DRAWDOWN]
    assert holding(history(reserve=reads, moves=(replace(given, row=10),))) == [Trigger.RESERVE_DRAWDOWN]


# --- entering: the kill switch ----------------------------------------------------------------------------------------


def test_the_kill_switch_may_be_engaged_twice_and_not_three_times():
    assert holding(history(kill(1), kill(2))) == []
    assert holding(history(kill(1), kill(2), kill(3))) == [Trigger.KILL_SWITCH]


@pytest.mark.parametrize(
    ("today", "twentieth", "too_old"),
    [
        (date(2025, 9, 30), date(2025, 9, 3), date(2025, 9, 2)),  # four weeks without a holiday
        (date(2025, 9, 26), date(2025, 8, 29), date(2025, 8, 28)),  # over Labor Day: a day further back
        (date(2025, 9, 28), date(2025, 8, 29), date(2025, 8, 28)),  # a Sunday: from the Friday before
        (date(2026, 1, 5), date(2025, 12, 5), date(2025, 12, 4)),  # over Christmas and New Year
    ],
)
def test_twenty_trading_days_skip_weekends_and_holidays(today, twentieth, too_old):
    recent = (kill(8, today), kill(9, today))
    assert holding(history(kill(1, twentieth), *recent, day=today)) == [Trigger.KILL_SWITCH]
    assert holding(history(kill(1, too_old), *recent, day=today)) == []


def test_a_kill_on_a_holiday_within_the_window_counts():
    assert holding(history(kill(1, LABOR_DAY), kill(2), kill(3), day=date(2025, 9, 26))) == []  # two are to come
    today = date(2025, 9, 26)
    assert holding(history(kill(1, LABOR_DAY), kill(2, today), kill(3, today), day=today)) == [Trigger.KILL_SWITCH]


# --- leaving ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("won", "lost", "leaves"), [(33, 27, False), (34, 26, True), (59, 0, False), (60, 0, True)])
def test_sixty_trades_must_be_above_fifty_five_percent(won, lost, leaves):
    told = history(*trades("L" * lost + "W" * won, first_row=11))  # one session: the other rule says nothing
    standing = standing_of([(10, entered())])

    assert isinstance(change(told, standing), DefenseLeft) is leaves


def test_only_the_last_sixty_trades_since_the_entry_count():
    standing = standing_of([(300, entered())])
    before = trades("W" * 290)
    assert change(history(*before, *trades("W" * 59, first_row=301)), standing) is None
    assert isinstance(change(history(*before, *trades("L" * 2 + "W" * 60, first_row=301)), standing), DefenseLeft)
    bad = judge(history(*before, *trades("W" * 200 + "L" * 27 + "W" * 33, first_row=301)), standing, forced=False)
    assert (bad.way_out.trades, bad.way_out.trades_won, bad.way_out.met) == (60, 33, "")


@pytest.mark.parametrize(
    ("sessions", "won", "leaves"), [(29, 29, False), (30, 16, False), (30, 17, True), (30, 30, True), (40, 40, True)]
)
def test_thirty_sessions_above_it_are_enough(sessions, won, leaves):
    results = "W" * won + "L" * (sessions - won)
    day = TODAY - timedelta(days=sessions - 1)
    told = history(*trades(results, day, first_row=11, per_session=1))
    standing = standing_of([(10, entered())])

    assert isinstance(change(told, standing), DefenseLeft) is leaves


def test_only_the_last_thirty_sessions_count():
    standing = standing_of([(10, entered())])
    late = trades("L" * 16 + "W" * 30, TODAY - timedelta(days=45), first_row=11, per_session=1)
    early = trades("W" * 30 + "L" * 16, TODAY - timedelta(days=45), first_row=11, per_session=1)

    assert isinstance(change(history(*late), standing), DefenseLeft)
    assert change(history(*early), standing) is None


def test_while_a_trigger_holds_nothing_is_left_and_it_says_so():
    standing = standing_of([(10, entered())])
    good = trades("W" * 60, first_row=11)
    kills = (kill(80), kill(81), kill(82))

    assert isinstance(change(history(*good), standing), DefenseLeft)
    assert change(history(*good, *kills), standing) is None
    judged = judge(history(*good, *kills), standing, forced=False)
    assert judged.way_out.met
    assert [found.trigger for found in judged.holding] == [Trigger.KILL_SWITCH]


# --- the rows and what they come to -----------------------------------------------------------------------------------


def test_an_entry_names_every_trigger_with_its_number():
    row = change(history(*trades("L" * 20), kill(30), kill(31), kill(32)))
    assert isinstance(row, DefenseEntered)
    assert [(found.trigger, found.value, found.limit) for found in row.triggers] == [
        (Trigger.WIN_RATE, Decimal(0), Decimal("0.50")),
        (Trigger.KILL_SWITCH, Decimal(3), Decimal(2)),
    ]


def test_the_setting_forces_it_on_and_takes_it_back():
    calm = history(*trades("W" * 60))
    on = change(calm, forced=True)
    assert isinstance(on, DefenseEntered)
    standing = standing_of([(70, on)])

    assert change(calm, standing, forced=True) is None
    assert isinstance(change(calm, standing), DefenseLeft)


def test_what_the_setting_forces_never_leaves_by_itself():
    standing = standing_of([(1, entered(setting_found()))])
    best = history(*trades("W" * 300, first_row=2))
    assert change(best, standing, forced=True) is None
    both = standing_of([(1, entered())])
    assert change(best, both, forced=True) is None


def test_a_trigger_that_comes_while_the_setting_forces_it_stays_when_the_setting_goes():
    forced = standing_of([(1, entered(setting_found()))])
    bad = history(*trades("L" * 40, first_row=2))
    second = change(bad, forced, forced=True)
    assert isinstance(second, DefenseEntered)
    standing = standing_of([(1, entered(setting_found())), (50, second)])

    assert standing.since == 50
    assert change(bad, standing) is None
    assert change(history(*trades("W" * 59, first_row=51)), standing) is None
    assert isinstance(change(history(*trades("W" * 60, first_row=51)), standing), DefenseLeft)


def test_what_a_person_has_overridden_counts_from_then_on_only():
    bad = trades("L" * 40)
    found = triggers_of(history(*bad), {})
    left = DefenseLeft(at=Instant(2), day=TODAY, by="a person", why="known", overridden=found)
    standing = standing_of([(41, entered(*found)), (42, left)])

    assert not standing.active
    assert change(history(*bad), standing) is None
    assert change(history(*bad, *trades("L" * 19, first_row=43)), standing) is None
    assert isinstance(change(history(*bad, *trades("L" * 20, first_row=43)), standing), DefenseEntered)
    assert isinstance(change(history(*bad, kill(50), kill(51), kill(52)), standing), DefenseEntered)  # not overridden


# --- laws -------------------------------------------------------------------------------------------------------------


RUNS = st.text(alphabet="WLE", min_size=15, max_size=120)


@given(RUNS, st.data())
def test_a_win_that_had_been_a_loss_never_lets_it_leave_earlier(results, data):
    worse = "".join(data.draw(st.sampled_from([result, "L"])) for result in results)
    standing = standing_of([(10, entered())])

    def leaves_after(run):
        for count in range(1, len(run) + 1):
            told = history(*trades(run[:count], TODAY - timedelta(days=60), first_row=11, per_session=2))
            if isinstance(change(told, standing), DefenseLeft):
                return count
        return len(run) + 1

    assert leaves_after(worse) >= leaves_after(results)


@given(RUNS, st.randoms(use_true_random=False), st.integers(0, 4))
def test_the_order_in_which_rows_are_given_changes_nothing(results, dice, per_session):
    parts = [*trades(results, TODAY - timedelta(days=20), first_row=11, per_session=per_session)]
    parts += [read(1, "50000"), read(5, "42000"), kill(2), kill(3), kill(4)]
    mixed = list(parts)
    dice.shuffle(mixed)

    assert triggers_of(history(*mixed), {}) == triggers_of(history(*parts), {})
    assert way_out(history(*mixed), 10) == way_out(history(*parts), 10)


@given(RUNS, st.booleans(), st.lists(st.booleans(), min_size=1, max_size=6))
def test_judging_again_writes_no_second_row(results, forced, later):
    """Whatever was decided: the same judgement again finds everything as it should be."""
    told = history(*trades(results))
    rows: list[tuple[int, DefenseChange]] = []
    for number, on in enumerate((forced, *later)):
        row = change(told, standing_of(rows), forced=on)
        if row is not None:
            rows.append((1_000 + number, row))
        assert change(told, standing_of(rows), forced=on) is None
    kinds = [type(row) for _, row in rows]
    assert all(kinds[k] is not kinds[k + 1] or kinds[k] is DefenseEntered for k in range(len(kinds) - 1))


@given(RUNS)
def test_more_losses_never_keep_it_from_entering(results):
    less = history(*trades(results))
    more = history(*trades(results), *trades("L", first_row=900))
    assert set(holding(less)) <= set(holding(more))


# --- what it does to a session ----------------------------------------------------------------------------------------


def test_the_reductions_are_those_of_the_house():
    spec = reduced(spec_of(), RULES)

    assert spec.allocation.total_allocation == Decimal("0.01")
    assert spec.limits.max_risk_per_trade == Decimal("0.01")
    assert (spec.allocation.max_trades, spec.limits.max_concurrent_per_broker, spec.limits.max_open_positions) == (
        2, 1, 3,
    )  # fmt: skip
    assert spec.tags == (DEFENSE_TAG,)
    assert reduced(spec, RULES) == spec


def test_nothing_grows_where_the_normal_limits_are_smaller_already():
    spec = spec_of(total_allocation=Decimal("0.002"), max_risk_per_trade=Decimal("0.005"), max_trades=1)
    now = reduced(spec, RULES)
    assert now.allocation.total_allocation == Decimal("0.002")
    assert now.limits.max_risk_per_trade == Decimal("0.005")
    assert now.allocation.max_trades == 1


def test_what_is_announced_is_what_is_done():
    spec = spec_of()
    normal = NormalLimits(
        total_allocation=spec.allocation.total_allocation,
        max_risk_per_trade=spec.limits.max_risk_per_trade,
        max_trades=spec.allocation.max_trades,
        max_concurrent_per_broker=spec.limits.max_concurrent_per_broker,
        max_open_positions=spec.limits.max_open_positions,
    )
    now = reduced(spec, RULES)
    told = {one.name: one.adjusted for one in adjusted(normal, RULES)}
    assert told == {
        "TOTAL_ALLOCATION": now.allocation.total_allocation,
        "MAX_RISK_PER_TRADE": now.limits.max_risk_per_trade,
        "MAX_TRADES": now.allocation.max_trades,
        "MAX_CONCURRENT_TRADES_PER_BROKER": now.limits.max_concurrent_per_broker,
        "MAX_OPEN_POSITIONS": now.limits.max_open_positions,
    }


def defended(symbols, spec=None, **closes):
    """Return a session in defense mode, its candidates ranked as given, in which `closes` break out at one instant."""
    told = Scenario(reduced(spec or spec_of(), RULES), symbols=symbols)
    told.range_of(symbols=symbols)
    told.bars(20, **closes)
    return told


def dropped(told):
    return {drop.symbol: drop.code for drop in told.of(SignalDropped)}


def test_only_the_better_half_of_the_ranking_may_trade_rounded_up():
    told = defended(("AAA", "BBB", "CCC"), AAA=104.0, CCC=110.0)
    assert dropped(told) == {"CCC": "outranked"}
    assert [order.instrument.symbol for order in told.orders("entry")] == ["AAA"]
    shares = told.of(SharesFixed)[0]
    assert (shares.live_candidates, shares.shares) == (2, (Decimal("0.60"), Decimal("0.40")))
    assert shares.budget == Decimal("0.01") * 500_000


def test_of_several_signals_at_one_instant_the_better_half_by_score_may_trade():
    wide = {"max_concurrent_per_broker": 9, "max_trades": 6}
    symbols = tuple(f"S{number}" for number in range(6))
    told = defended(symbols, spec_of(**wide), S0=104.0, S1=110.0, S2=107.0, S5=120.0)

    assert dropped(told) == {"S0": "outranked", "S5": "outranked"}
    assert [order.instrument.symbol for order in told.orders("entry")] == ["S1", "S2"]


def test_a_lone_signal_is_the_best_of_its_instant_and_every_trade_bears_the_tag():
    told = defended(("AAA",), AAA=104.0)
    entry = told.orders("entry")[0]
    told.acknowledge(entry)
    told.fill(entry, 104)
    stop = told.orders("stop")[0]
    told.acknowledge(stop)
    told.fill(stop, 103)
    records = [output for output in told.story if type(output).__name__ == "TradeRecord"]
    assert [record.tags for record in records] == [(DEFENSE_TAG,)]


def test_without_defense_mode_every_candidate_may_trade():
    told = Scenario(symbols=("AAA", "BBB"))
    told.range_of(symbols=("AAA", "BBB"))
    told.bars(20, AAA=104.0, BBB=104.0)
    assert dropped(told) == {}
    assert len(told.orders("entry")) == 2
