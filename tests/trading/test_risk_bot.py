"""Every pre-trade rule on both sides of its limit; the order in which they are asked."""

from dataclasses import replace
from decimal import Decimal

import pytest

from tbot_bot.core.bars import Quote
from tbot_bot.core.commands import Phase
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import MINUTE, SECOND, Instant
from tbot_bot.core.instruments import equity
from tbot_bot.core.orders import Account, Capabilities, OrderRequest, OrderType, Side
from tbot_bot.trading import risk_bot
from tbot_bot.trading.risk_bot import Intent, RiskView, check, within_a_minute
from tests.support.scenario import spec_of

NOW = Instant(10**18)
LIMITS = spec_of().limits
# The order of the specification, part 6, "Pre-trade checks", by hand: the first objection names the rejection.
ORDER_OF_THE_SPECIFICATION = [
    "master_switch",
    "kill_switch",
    "broker_halted",
    "session_phase",
    "mode_separation",
    "instrument_tradable",
    "duplicate_intent",
    "block_list",
    "max_trades",
    "max_concurrent_trades",
    "max_open_positions",
    "quantity",
    "budget",
    "max_risk_per_trade",
    "buying_power",
    "settled_cash",
    "pattern_day_trader",
    "max_order_notional",
    "price_collar",
    "spread",
    "volume",
    "stale_data",
    "max_orders_per_minute",
    "self_trade",
]


def quote(bid="99.95", ask="100.05", age=0):
    return Quote("AAA", NOW - age, Decimal(bid), Decimal(ask), Decimal(1), Decimal(1), modelled=False)


def account(**changes):
    money = Decimal(100_000)
    base = Account(broker="sim", equity=money, cash=money, buying_power=money, settled_cash=money)
    return replace(base, **changes)


CAPABILITIES = Capabilities(real_orders=True, live=True)
ORDER = OrderRequest(
    client_order_id="new",
    trade_id="t",
    broker="sim",
    instrument=equity("AAA"),
    side=Side.BUY,
    quantity=Decimal(10),
    order_type=OrderType.LIMIT,
    limit_price=Decimal(100),
)
INTENT = Intent(order=ORDER, symbol="AAA", worst_price=Decimal(100), notional=Decimal(600), allotted=Decimal(1000))
VIEW = RiskView(
    at=NOW,
    mode=Mode.LIVE,
    test_mode=False,
    phase=Phase.BREAKOUT,
    entries_off="",
    broker_halted="",
    capabilities=CAPABILITIES,
    tradable=True,
    known_order_ids=frozenset({"old"}),
    blocked=False,
    session_trades=0,
    session_trades_max=4,
    broker_positions=0,
    all_positions=0,
    budget=Decimal(2000),
    committed=Decimal(0),
    account=account(),
    last_trade=Decimal(100),
    price_age=0,
    bar_span=MINUTE,
    quote=quote(),
    average_volume=Decimal(2_000_000),
    orders_last_minute=0,
    opposite_orders=0,
)


def objections(intent=INTENT, view=VIEW, limits=LIMITS):
    return [answer.rule for answer in check(intent, view, limits) if answer.objection]


def situation(**changes):
    """Return intent, view and limits, each with those of `changes` that name its fields."""
    parts = {"order": ORDER, "intent": INTENT, "view": VIEW, "limits": LIMITS}
    for name, part in parts.items():
        own = {key: changes.pop(key) for key in list(changes) if key in part.__dataclass_fields__}
        parts[name] = replace(part, **own)
    assert not changes
    return replace(parts["intent"], order=parts["order"]), parts["view"], parts["limits"]


SMALL = {"equity": Decimal("24999.99"), "day_trades": 3}
# rule, what still passes, what no longer does
BOUNDARIES = [
    ("master_switch", {"disable_all_trades": False}, {"disable_all_trades": True}),
    ("kill_switch", {"kill_switch": False}, {"kill_switch": True}),
    ("broker_halted", {"broker_halted": ""}, {"broker_halted": "loss"}),
    ("session_phase", {"phase": Phase.BREAKOUT}, {"phase": Phase.ANALYSIS}),
    ("session_phase", {"phase": Phase.BREAKOUT}, {"phase": Phase.MONITORING}),
    ("session_phase", {"entries_off": ""}, {"entries_off": "stop_request"}),
    ("mode_separation", {"test_mode": False}, {"test_mode": True}),
    ("instrument_tradable", {"tradable": True}, {"tradable": False}),
    ("duplicate_intent", {"client_order_id": "newer"}, {"client_order_id": "old"}),
    ("block_list", {"blocked": False}, {"blocked": True}),
    ("max_trades", {"session_trades": 3}, {"session_trades": 4}),
    ("max_concurrent_trades", {"broker_positions": 2}, {"broker_positions": 3}),
    ("max_open_positions", {"all_positions": 4}, {"all_positions": 5}),
    ("quantity", {"quantity": Decimal(1)}, {"quantity": Decimal(0)}),
    (
        "quantity",
        {"capabilities": replace(CAPABILITIES, minimum_notional=Decimal(600))},
        {"capabilities": replace(CAPABILITIES, minimum_notional=Decimal("600.01"))},
    ),
    ("budget", {"committed": Decimal(1000)}, {"committed": Decimal("1000.01")}),
    ("max_risk_per_trade", {"notional": Decimal(2500)}, {"notional": Decimal("2500.01")}),
    (
        "buying_power",
        {"account": account(buying_power=Decimal(600))},
        {"account": account(buying_power=Decimal("599.99"))},
    ),
    (
        "settled_cash",
        {"account": account(settled_cash=Decimal(600), is_margin=False)},
        {"account": account(settled_cash=Decimal("599.99"), is_margin=False)},
    ),
    (
        "settled_cash",
        {"account": account(settled_cash=Decimal(0))},
        {"account": account(settled_cash=Decimal(0), is_margin=False)},
    ),
    ("pattern_day_trader", {"account": account(**SMALL | {"equity": Decimal(25_000)})}, {"account": account(**SMALL)}),
    ("pattern_day_trader", {"account": account(**SMALL | {"day_trades": 2})}, {"account": account(**SMALL)}),
    ("pattern_day_trader", {"account": account(**SMALL, is_margin=False)}, {"account": account(**SMALL)}),
    ("max_order_notional", {"max_order_notional": Decimal(600)}, {"max_order_notional": Decimal("599.99")}),
    ("price_collar", {"limit_price": Decimal(105)}, {"limit_price": Decimal("105.01")}),
    ("price_collar", {"limit_price": Decimal(95)}, {"limit_price": Decimal("94.99")}),
    ("price_collar", {"last_trade": Decimal("99.99")}, {"last_trade": Decimal(0)}),
    ("spread", {"quote": quote("99", "100.5")}, {"quote": quote("99", "100.51")}),
    ("spread", {"quote": quote()}, {"quote": None}),
    ("spread", {"quote": quote("100", "100")}, {"quote": quote("100.01", "100")}),
    ("volume", {"average_volume": Decimal(1_000_000)}, {"average_volume": Decimal(999_999)}),
    ("volume", {"average_volume": Decimal(1_000_000)}, {"average_volume": None}),
    ("stale_data", {"price_age": 5 * SECOND}, {"price_age": 5 * SECOND + 1}),
    ("stale_data", {"quote": quote(age=5 * SECOND)}, {"quote": quote(age=5 * SECOND + 1)}),
    ("max_orders_per_minute", {"orders_last_minute": 29}, {"orders_last_minute": 30}),
    ("self_trade", {"opposite_orders": 0}, {"opposite_orders": 1}),
]


@pytest.mark.parametrize(("rule", "passes", "fails"), BOUNDARIES)
def test_each_rule_bites_at_its_limit_and_not_before(rule, passes, fails):
    assert objections(*situation(**passes)) == []
    assert objections(*situation(**fails)) == [rule]


def test_no_rule_is_without_its_boundary():
    assert {rule for rule, _, _ in BOUNDARIES} == {name for name, _ in risk_bot.RULES}


def test_the_rules_are_asked_in_the_order_of_the_specification():
    assert [name for name, _ in risk_bot.RULES] == ORDER_OF_THE_SPECIFICATION


def test_all_objections_are_reported_together_in_that_order():
    found = objections(*situation(opposite_orders=1, kill_switch=True, blocked=True, average_volume=None))

    assert found == ["kill_switch", "block_list", "volume", "self_trade"]


def test_test_mode_skips_spread_and_volume_and_says_so():
    view = replace(
        VIEW, test_mode=True, quote=None, average_volume=None, capabilities=replace(CAPABILITIES, live=False)
    )
    answers = check(INTENT, view, LIMITS)

    assert [(answer.rule, answer.objection, bool(answer.reason)) for answer in answers] == [
        ("spread", False, True),
        ("volume", False, True),
    ]


@pytest.mark.parametrize(("age", "expected"), [(5 * SECOND + MINUTE, []), (5 * SECOND + MINUTE + 1, ["stale_data"])])
def test_test_mode_lets_a_price_be_a_bar_older(age, expected):
    view = replace(VIEW, test_mode=True, price_age=age, capabilities=replace(CAPABILITIES, live=False))

    assert objections(view=view) == expected


def test_a_rule_added_to_the_table_is_asked(monkeypatch):
    table = (("full_moon", lambda intent, view, limits: "the moon is full"), *risk_bot.RULES)
    monkeypatch.setattr(risk_bot, "RULES", table)

    assert objections() == ["full_moon"]


def test_a_minute_is_counted_without_its_first_instant():
    times = [Instant(NOW - MINUTE), Instant(NOW - MINUTE + 1), NOW]

    assert within_a_minute(times, NOW) == times[1:]
