"""The screen: every rule at both sides of its edge, missing data in and outside test mode, ranks, no future."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.core.bars import Bar
from tbot_bot.core.calendar import trading_day
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import HOUR, MINUTE, Duration, Instant
from tbot_bot.core.screen_sources import Listing, Reading
from tbot_bot.core.screening import Fundamentals, Outcome
from tbot_bot.marketdata.recorded import History, RecordedDay, SymbolDay
from tbot_bot.screeners.finnhub_screener import CachedFacts, Gathered
from tbot_bot.screeners.finnhub_screener import screen as screen_live
from tbot_bot.screeners.recorded_screener import screen
from tbot_bot.screeners.rules import Known, ScreenRules, as_decimal, judge

SESSION = trading_day(date(2025, 12, 2))
NOON = Instant(SESSION.open_at + 60 * MINUTE)
LIVE = ScreenRules(
    min_price=Decimal(5),
    max_price=Decimal(100),
    min_volume=Decimal(1_000_000),
    max_gap=Decimal("0.10"),
    min_market_cap=Decimal(2_000_000_000),
    max_market_cap=Decimal(10_000_000_000),
    max_candidates=3,
    test_mode=False,
)
TEST = replace(LIVE, test_mode=True)
GOOD = Known(
    symbol="AAA",
    price=Decimal(50),
    priced_today=True,
    previous_close=Decimal(50),
    market_cap=Decimal(5_000_000_000),
    average_volume=Decimal(2_000_000),
)


def outcome(rule, rules=LIVE, **changes):
    """Return what `rule` says of a symbol that differs from a good one by `changes`."""
    return next(one for one in judge(replace(GOOD, **changes), rules) if one.rule == rule)


# --- rules


def test_a_good_symbol_passes_every_rule_and_each_says_by_what():
    answers = judge(GOOD, LIVE)
    assert [answer.rule for answer in answers] == [
        "price", "market_cap", "average_volume", "gap", "tradable", "block_list",
    ]  # fmt: skip
    assert {answer.outcome for answer in answers} == {Outcome.PASSED}
    assert all(answer.detail for answer in answers)


@pytest.mark.parametrize(
    ("rule", "field", "value", "passes"),
    [
        ("price", "price", "4.99", False),
        ("price", "price", "5", True),
        ("price", "price", "100", True),
        ("price", "price", "100.01", False),
        ("market_cap", "market_cap", "1999999999", False),
        ("market_cap", "market_cap", "2000000000", True),
        ("market_cap", "market_cap", "10000000000", True),
        ("market_cap", "market_cap", "10000000001", False),
        ("average_volume", "average_volume", "999999", False),
        ("average_volume", "average_volume", "1000000", True),
        ("gap", "price", "55", True),
        ("gap", "price", "55.01", False),
        ("gap", "price", "45", True),
        ("gap", "price", "44.99", False),
    ],
)
def test_both_sides_of_every_edge(rule, field, value, passes):
    answer = outcome(rule, **{field: Decimal(value)})
    assert answer.outcome is (Outcome.PASSED if passes else Outcome.FAILED)


@pytest.mark.parametrize(
    ("rule", "changes", "detail"),
    [
        ("price", {"price": Decimal("12.40")}, "12.4 in [5, 100]"),
        ("price", {"price": Decimal("4.5")}, "4.5 outside [5, 100]"),
        ("average_volume", {"average_volume": Decimal(7)}, "7 < 1000000"),
        ("gap", {"price": Decimal("52.5")}, "0.0500 of 50, limit 0.1"),
    ],
)
def test_the_numbers_are_in_the_words(rule, changes, detail):
    assert outcome(rule, **changes).detail == detail


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("price", {"price": None, "priced_today": False}),
        ("market_cap", {"market_cap": None}),
        ("gap", {"previous_close": None}),
    ],
)
def test_what_is_missing_is_skipped_in_test_mode_and_refused_otherwise(rule, changes):
    assert outcome(rule, LIVE, **changes).outcome is Outcome.FAILED
    assert outcome(rule, TEST, **changes).outcome is Outcome.SKIPPED
    assert outcome(rule, TEST, **changes).detail == outcome(rule, LIVE, **changes).detail


def test_volume_is_not_asked_in_test_mode_and_must_be_known_otherwise():
    assert outcome("average_volume", LIVE, average_volume=None).outcome is Outcome.FAILED
    for volume in (None, Decimal(1), Decimal(10**9)):
        assert outcome("average_volume", TEST, average_volume=volume).outcome is Outcome.SKIPPED


@pytest.mark.parametrize("rules", [LIVE, TEST])
def test_before_the_first_price_nobody_knows_the_gap(rules):
    answer = outcome("gap", rules, priced_today=False)
    assert (answer.outcome, "asked at the first one" in answer.detail) == (Outcome.SKIPPED, True)


@pytest.mark.parametrize("rules", [LIVE, TEST])
def test_a_blocked_symbol_fails_in_any_mode(rules):
    assert outcome("block_list", replace(rules, blocked=frozenset({"AAA"}))).outcome is Outcome.FAILED
    assert outcome("block_list", replace(rules, blocked=frozenset({"BBB"}))).outcome is Outcome.PASSED


@pytest.mark.parametrize(("number", "decimal"), [(None, None), (0.1, Decimal("0.1")), (41.22, Decimal("41.22"))])
def test_a_float_is_read_by_its_shortest_spelling(number, decimal):
    assert as_decimal(number) == decimal


# --- the screen


def day_of(closes, *, previous=50.0, volume=2_000_000.0, cap=5_000_000_000, facts=True, bar_volume=1000.0, early=None):
    """Return a day in which each symbol's minutes close at `closes`; a symbol may have its own `previous`.

    `early` are prices of an hour before the bell.
    """
    by_symbol, history, fundamentals = {}, {}, {}
    for symbol, prices in closes.items():
        bars = tuple(
            Bar(symbol, start, start + MINUTE, price, price, price, price, bar_volume)
            for place, price in enumerate(prices)
            for start in [SESSION.open_at + place * MINUTE]
        )
        ends = tuple(bar.end for bar in bars)
        ahead = ((Instant(SESSION.open_at - HOUR), early[symbol]),) if early and symbol in early else ()
        known = (*ahead, *((bar.end, bar.close) for bar in bars))
        by_symbol[symbol] = SymbolDay(
            bars=bars,
            bar_ends=ends,
            known_ends=tuple(end for end, _ in known),
            known_prices=tuple(price for _, price in known),
        )
        before = previous.get(symbol) if isinstance(previous, dict) else previous
        average = volume.get(symbol) if isinstance(volume, dict) else volume
        history[symbol] = History(closes=(), previous_close=before, average_volume=average)
        fundamentals[symbol] = Fundamentals(symbol=symbol, market_cap=Decimal(cap), sector="Energy")
    return RecordedDay(
        day=SESSION,
        span=MINUTE,
        by_symbol=by_symbol,
        history=history,
        fundamentals=fundamentals if facts else {},
        vix=None,
        notices=(),
    )


def ranks(verdicts):
    return {verdict.symbol: verdict.rank for verdict in verdicts}


def test_the_best_have_ranks_and_the_others_are_told_why():
    day = day_of({"AAA": [51.0], "BBB": [53.0], "CCC": [52.0], "DDD": [54.0], "EEE": [90.0]})
    verdicts = screen(day, StrategyName.OPEN, LIVE, NOON)
    assert ranks(verdicts) == {"AAA": 0, "BBB": 2, "CCC": 3, "DDD": 1, "EEE": 0}
    assert [verdict.symbol for verdict in verdicts if not verdict.passed] == ["EEE"]  # a gap of 80 %
    assert verdicts[0].passed  # cut by the maximum only
    # gaps of 2 % and 6 %, and 1,000 shares so far of 2,000,000 a day
    assert [verdict.score for verdict in verdicts][:2] == [Decimal("0.020010"), Decimal("0.060030")]
    assert verdicts[1].sector == "Energy"


def test_ties_are_broken_by_volume_and_then_by_symbol():
    volume = {"AAA": 1_000_000.0, "BBB": 3_000_000.0, "CCC": 1_000_000.0}
    day = day_of({key: [51.0] for key in ("CCC", "BBB", "AAA")}, volume=volume, bar_volume=0.0)
    assert ranks(screen(day, StrategyName.OPEN, LIVE, NOON)) == {"AAA": 2, "BBB": 1, "CCC": 3}


@pytest.mark.parametrize("most", [1, 2, 10])
def test_there_are_at_most_so_many(most):
    day = day_of({symbol: [51.0] for symbol in ("AAA", "BBB", "CCC")})
    found = ranks(screen(day, StrategyName.OPEN, replace(LIVE, max_candidates=most), NOON))
    assert sorted(rank for rank in found.values() if rank) == list(range(1, min(most, 3) + 1))


def test_each_session_has_its_own_score():
    day = day_of({"GAP": [54.0, 54.0], "FAR": [50.0, 52.0], "RUN": [50.0, 50.0, 50.0, 51.0]})
    by = {name: {v.symbol: v.score for v in screen(day, name, LIVE, NOON)} for name in StrategyName}
    assert by[StrategyName.OPEN] == {"GAP": Decimal("0.08008"), "FAR": Decimal("0.04004"), "RUN": Decimal("0.02004")}
    assert by[StrategyName.MID]["GAP"] == 0
    assert by[StrategyName.MID]["FAR"] == (Decimal(52) / 51 - 1).quantize(Decimal("0.000001"))
    # move 4 % in 2,000 shares and 2 % in 4,000, of 2,000,000 a day
    assert by[StrategyName.CLOSE] == {"GAP": 0, "FAR": Decimal("0.000040"), "RUN": Decimal("0.000040")}


@given(
    st.lists(st.integers(4_000, 6_000), min_size=1, max_size=6),
    st.sampled_from([0.0, 100.0, 250_000.0]),
    st.sampled_from([None, 0.0, 1_000_000.0]),
)
def test_what_is_known_has_the_same_score_recorded_and_live(cents, bar_volume, average):
    closes = [one / 100 for one in cents]
    day = day_of({"AAA": closes}, volume=average, bar_volume=bar_volume)
    traded = Decimal(str(bar_volume)) * len(closes)
    told = Reading(
        symbol="AAA", source="fake", price=Decimal(str(closes[-1])), priced_at=NOON, previous_close=Decimal(50),
        day_open=Decimal(str(closes[0])), day_volume=traded,
        day_vwap=sum(map(Decimal, map(str, closes)), Decimal(0)) / len(closes) if traded else None,
    )  # fmt: skip
    figures = Fundamentals(
        symbol="AAA", market_cap=Decimal(5_000_000_000),
        average_volume=None if average is None else Decimal(str(average)),
    )  # fmt: skip
    known = Gathered(
        day=SESSION.day, at=NOON, readings={"AAA": told}, unpriced={},
        listings={"AAA": Listing(symbol="AAA", exchange="NYSE", tradable=True, shortable=True, fractionable=True,
                                 source="fake")},
        facts={"AAA": CachedFacts(facts=figures, source="fake", age=Duration(0), usable=True)},
    )  # fmt: skip
    for name in StrategyName:
        (live,), (recorded,) = screen_live(known, name, TEST), screen(day, name, TEST, NOON)
        assert abs(live.score - recorded.score) <= Decimal("0.000001"), name  # a float's last digit may round it


def test_before_the_bell_open_ranks_by_the_gap_alone():
    day = day_of({"AAA": [51.0], "BBB": [51.0]}, early={"BBB": 53.0})
    verdicts = screen(day, StrategyName.OPEN, TEST, Instant(SESSION.open_at - 1))
    assert {one.symbol: one.score for one in verdicts} == {"AAA": 0, "BBB": Decimal("0.06")}


def test_scores_without_data_are_zero():
    day = day_of({"AAA": []}, volume=None)
    for name in StrategyName:
        assert screen(day, name, TEST, NOON)[0].score == 0
    without_volume = day_of({"AAA": [50.0, 51.0]}, volume=None)
    assert screen(without_volume, StrategyName.CLOSE, TEST, NOON)[0].score == Decimal("0.02")
    nothing_traded = day_of({"AAA": [50.0, 51.0]}, bar_volume=0.0)
    assert screen(nothing_traded, StrategyName.MID, TEST, NOON)[0].score == 0


def test_inverse_funds_are_never_candidates():
    day = day_of({"AAA": [51.0], "SH": [51.0]})
    for universe in ((), ("AAA", "SH")):
        rules = replace(LIVE, excluded=frozenset({"SH"}), universe=universe)
        assert ranks(screen(day, StrategyName.OPEN, rules, NOON)) == {"AAA": 1}


@pytest.mark.parametrize("rules", [LIVE, TEST])
def test_a_universe_may_name_what_the_data_do_not_have(rules):
    day = day_of({"AAA": [51.0], "BBB": [51.0]})
    verdicts = screen(day, StrategyName.OPEN, replace(rules, universe=("ZZZ", "AAA")), NOON)
    assert ranks(verdicts) == {"AAA": 1, "ZZZ": 0}
    assert not verdicts[1].passed
    assert verdicts[1].rules[0].detail == "in UNIVERSE, but the data have no such symbol"


def test_without_fundamentals_test_mode_goes_on_and_real_money_does_not():
    day = day_of({"AAA": [51.0]}, facts=False)
    assert screen(day, StrategyName.OPEN, TEST, NOON)[0].rank == 1
    (refused,) = screen(day, StrategyName.OPEN, LIVE, NOON)
    assert [rule.rule for rule in refused.rules if rule.outcome is Outcome.FAILED] == ["market_cap"]


def test_the_volume_of_the_fundamentals_goes_before_the_datas():
    day = day_of({"AAA": [51.0]}, volume=5.0)
    day._fundamentals = {"AAA": replace(Fundamentals(symbol="AAA"), average_volume=Decimal(3_000_000))}
    assert screen(day, StrategyName.OPEN, TEST, NOON)[0].average_volume == 3_000_000
    day._fundamentals = {}
    assert screen(day, StrategyName.OPEN, TEST, NOON)[0].average_volume == 5


def test_before_the_first_bar_the_previous_close_is_the_price():
    day = day_of({"AAA": [51.0]})
    (verdict,) = screen(day, StrategyName.OPEN, LIVE, Instant(SESSION.open_at - 5 * MINUTE))
    assert (verdict.last_price, verdict.score, verdict.passed) == (Decimal(50), Decimal(0), True)


PRICES = st.lists(st.floats(40.0, 60.0).map(lambda price: round(price, 2)), min_size=0, max_size=12)
PATHS = st.dictionaries(st.sampled_from(["AAA", "BBB", "CCC", "DDD"]), PRICES, min_size=1)


@given(paths=PATHS, other=PRICES, minute=st.integers(-5, 12), seconds=st.integers(0, 59))
def test_the_future_changes_no_verdict(paths, other, minute, seconds):
    at = Instant(SESSION.open_at + minute * MINUTE + seconds * 10**9)
    known = max(minute, 0)
    changed = {symbol: [*prices[:known], *(other if len(prices) >= known else [])] for symbol, prices in paths.items()}
    for name in StrategyName:
        assert screen(day_of(paths), name, LIVE, at) == screen(day_of(changed), name, LIVE, at)


@given(paths=PATHS, most=st.integers(1, 5))
def test_ranks_are_counted_through_and_follow_the_score(paths, most):
    for name in StrategyName:
        verdicts = screen(day_of(paths), name, replace(TEST, max_candidates=most), NOON)
        assert [verdict.symbol for verdict in verdicts] == sorted(paths)
        ranked = sorted((verdict for verdict in verdicts if verdict.rank), key=lambda verdict: verdict.rank)
        assert [verdict.rank for verdict in ranked] == list(range(1, len(ranked) + 1))
        assert len(ranked) == min(most, sum(verdict.passed for verdict in verdicts))
        scores = [verdict.score for verdict in ranked]
        assert scores == sorted(scores, reverse=True)
        assert all(verdict.passed for verdict in ranked)
