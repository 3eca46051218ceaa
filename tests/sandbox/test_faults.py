"""Plans of faults: what strikes, when, and what a file may say."""

import json
import re
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.config.error_handler import DataError
from tbot_bot.core.bars import Quote
from tbot_bot.core.instants import later, minutes, parse_iso, seconds
from tbot_bot.core.instruments import equity
from tbot_bot.marketdata.synthetic import SyntheticMarket
from tbot_bot.sandbox.exchange import Exchange
from tbot_bot.sandbox.fault_file import parse_plan, plan_plain, read_plan
from tbot_bot.sandbox.faults import Delivery, FaultKind, FaultPlan, FaultRule
from tbot_bot.sandbox.market import SandboxMarket
from tbot_bot.sandbox.tickets import Kind, Ticket

NOON = parse_iso("2025-09-02T16:00:00Z")


def plan(*rules, seed=1, at=NOON):
    return FaultPlan(lambda: at, rules, seed=seed)


def strikes(made, count=200, place="POST /v2/orders"):
    return [bool(made.of_call("alpaca", place)) for _ in range(count)]


def test_the_same_seed_strikes_the_same_calls_and_another_does_not():
    rule = FaultRule(kind=FaultKind.LATENCY, chance=0.3)
    assert strikes(plan(rule)) == strikes(plan(rule))
    assert strikes(plan(rule)) != strikes(plan(rule, seed=2))
    assert 30 < sum(strikes(plan(rule))) < 90


def test_a_rule_spares_the_first_calls_and_is_used_up_after_its_times():
    rule = FaultRule(kind=FaultKind.DROPPED, skip=2, times=3)
    assert strikes(plan(rule), 7) == [False, False, True, True, True, False, False]


def test_only_the_named_vendor_and_place_are_struck():
    made = plan(FaultRule(kind=FaultKind.STATUS, vendor="alpaca", place="POST *"))
    assert made.of_call("finnhub", "POST /v2/orders") == ()
    assert made.of_call("alpaca", "GET /v2/orders") == ()
    assert [rule.status for rule in made.of_call("alpaca", "POST /v2/orders")] == [503]


def test_what_struck_is_remembered_in_order_with_its_call():
    made = plan(FaultRule(kind=FaultKind.LATENCY, skip=1))
    strikes(made, 3)
    assert [(taken.number, taken.call, taken.at) for taken in made.struck] == [(1, 2, NOON), (2, 3, NOON)]


@pytest.mark.parametrize(("clock", "holds"), [("11:59", False), ("12:00", True), ("12:29", True), ("12:30", False)])
def test_a_window_is_new_york_time(clock, holds):
    rules, _ = parse_plan('{"faults":[{"kind":"maintenance","since":"12:00","until":"12:30"}]}', where="x")
    at = parse_iso(f"2025-09-02T{clock}:00-04:00")
    assert (plan(*rules, at=at).standing("alpaca", FaultKind.MAINTENANCE) is not None) is holds


def test_quotes_can_be_crossed_and_stale():
    def quote(at, bid="10.00", ask="10.02"):
        return Quote("A", at, Decimal(bid), Decimal(ask), Decimal(1), Decimal(1), modelled=True)

    crossed = plan(FaultRule(kind=FaultKind.CROSSED)).altered("alpaca", quote(NOON), quote)
    assert crossed.bid > crossed.ask
    stale = plan(FaultRule(kind=FaultKind.STALE, seconds=60)).altered("alpaca", quote(NOON), quote)
    assert stale.at == later(NOON, -seconds(60))
    spared = plan(FaultRule(kind=FaultKind.STALE, seconds=60, symbols=("B",))).altered("alpaca", quote(NOON), quote)
    assert spared.at == NOON


def test_a_vendors_clock_can_be_wrong():
    assert plan(FaultRule(kind=FaultKind.SKEWED, seconds=-5)).vendor_now("alpaca") == later(NOON, -seconds(5))


@given(st.lists(st.sampled_from(["duplicated", "reordered"]), max_size=3), st.integers(0, 99), st.integers(1, 30))
def test_a_delivery_loses_no_message_but_perhaps_the_last(kinds, seed, count):
    made = plan(*(FaultRule(kind=FaultKind(kind), chance=0.5) for kind in kinds), seed=seed)
    delivery: Delivery[int] = Delivery(made, "alpaca", "trade_updates")
    sent = [message for number in range(count) for message in delivery.passed_on(number)]
    assert set(range(count - 1)) <= set(sent) <= set(range(count))
    firsts = [number for place, number in enumerate(sent) if number not in sent[:place]]
    assert all(abs(number - place) <= 1 for place, number in enumerate(firsts))


def test_standing_faults_halt_symbols_and_thin_the_volume():
    market = SandboxMarket(SyntheticMarket(1, date(2025, 9, 2)))
    exchange = Exchange(market, accounts={"alpaca": Decimal(100_000)})
    exchange.advance_to(later(market.day.open_at, minutes(1)))
    desk = exchange.desk("alpaca")
    exchange.faults.set((FaultRule(kind=FaultKind.HALTED, symbols=("SYN01",)),), seed=1)
    order = desk.place(Ticket(instrument=equity("SYN01"), buys=True, quantity=Decimal(60), kind=Kind.MARKET))

    def filled_after(wait):
        exchange.advance_to(later(exchange.now(), wait))
        found = desk.order(order.number)
        assert found is not None
        return found.filled

    assert filled_after(minutes(2)) == 0
    exchange.faults.set((FaultRule(kind=FaultKind.PARTIAL, fraction=0.02),), seed=1)
    assert 0 < filled_after(seconds(20)) < 60
    exchange.faults.set((), seed=1)
    assert filled_after(minutes(1)) == 60


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", "not JSON"),
        ("[]", "an object"),
        ('{"seeds": 1}', "an object"),
        ('{"seed": -1}', "seed -1"),
        ('{"faults": {}}', "not a list"),
        ('{"faults": [3]}', "fault 1: not an object"),
        ('{"faults": [{"kind": "latency"}, {"kind": "lateness"}]}', "fault 2: kind 'lateness'"),
        ('{"faults": [{"kind": "latency", "chances": 1}]}', "unknown chances"),
        ('{"faults": [{"kind": "latency", "chance": 2}]}', "chance 2"),
        ('{"faults": [{"kind": "latency", "seconds": true}]}', "seconds True"),
        ('{"faults": [{"kind": "status", "status": 200}]}', "status 200"),
        ('{"faults": [{"kind": "halted", "symbols": "A"}]}', "list of symbols"),
        ('{"faults": [{"kind": "halted", "since": "noon"}]}', "time of day"),
        ('{"faults": [{"kind": "latency", "vendor": ""}]}', "not a pattern"),
    ],
)
def test_a_file_that_is_no_plan_is_refused_with_the_place(text, words):
    with pytest.raises(DataError, match=words):
        parse_plan(text, where="plan.json")


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_plan(tmp_path / "none.json")


def test_a_plan_reads_back_as_it_was_written(tmp_path):
    text = (
        '{"seed": 9, "faults": [{"kind": "status", "vendor": "alpaca", "place": "POST *", "status": 429, "times": 2}]}'
    )
    (tmp_path / "plan.json").write_text(text)
    rules, seed = read_plan(tmp_path / "plan.json")
    assert plan_plain(rules, seed) == json.loads(text)
    assert parse_plan(json.dumps(plan_plain(rules, seed)), where="x") == (rules, seed)


def test_the_document_has_each_kind_of_fault_and_no_other():
    text = (Path(__file__).resolve().parents[2] / "docs" / "sandbox.md").read_text(encoding="utf-8")
    text = text.partition("\n## Break it\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == [kind.value for kind in FaultKind]
    example = re.findall(r"^```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(parse_plan(example[0], where="docs/sandbox.md")[0]) == 3
