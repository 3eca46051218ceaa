"""What keeps the bot from doing harm, asked before a start whether it still does: each module in a word or two.

A strategy that fails its check is left out for a day. A module in this list that fails stops the start.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final

from tbot_bot.core.commands import Phase
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import DAY, Instant
from tbot_bot.core.instruments import equity
from tbot_bot.core.money import ONE, ZERO
from tbot_bot.core.orders import Account, Capabilities, OrderRequest, OrderType, Side
from tbot_bot.trading.gate import Holding, approve_entry, approve_exit
from tbot_bot.trading.orders_bot import OPEN_STATES, TRANSITIONS, OrderState, Trigger
from tbot_bot.trading.risk_bot import RULES, Intent, RiskView, check
from tbot_bot.trading.spec import RiskLimits

_MUCH: Final = Decimal(10) ** 15
_MANY: Final = 10**9
_ORDER: Final = OrderRequest(
    client_order_id="20000103-open-sim-AAA-entry1",
    trade_id="20000103-open-sim-AAA",
    broker="sim",
    instrument=equity("AAA"),
    side=Side.BUY,
    quantity=ONE,
    order_type=OrderType.LIMIT,
    limit_price=_MUCH,
)
_HOPELESS: Final = Intent(
    order=replace(_ORDER, quantity=ZERO), symbol="AAA", worst_price=_MUCH, notional=_MUCH, allotted=_MUCH
)
"""Breaks every limit that there is."""


def risk_objections(limits: RiskLimits) -> list[str]:
    """Return the pre-trade checks that would let pass what each of them is there to refuse."""
    views = [_view(is_margin=margin, test_mode=test) for margin in (True, False) for test in (True, False)]
    answers = [answer for view in views for answer in check(_HOPELESS, view, _strict(limits))]
    refused = {answer.rule for answer in answers if answer.objection}
    silent = [name for name, _ in RULES if name not in refused]
    return [f"the check {name} does not refuse what it is there to refuse" for name in silent]


def gate_objections(limits: RiskLimits) -> list[str]:
    """Return what the one gate before every order would let through."""
    found = []
    if approve_entry(_HOPELESS, _view(), _strict(limits)).approved is not None:
        found.append("an entry passes that every check refuses")
    held = Holding(opened_by=Side.BUY, quantity=ONE, resting=ZERO, symbol="AAA")
    leaving = replace(_ORDER, side=Side.BUY.closing, order_type=OrderType.MARKET, limit_price=None)
    if isinstance(approve_exit(leaving, held), str):
        found.append("an exit of just what is held does not pass")
    turning = (replace(leaving, quantity=ONE + ONE), replace(leaving, side=Side.BUY))
    passing = [wrong for wrong in turning if not isinstance(approve_exit(wrong, held), str)]
    words = "an exit passes that could turn the position around:"
    return [*found, *(f"{words} {wrong.side} {wrong.quantity}" for wrong in passing)]


def order_life_objections(_: RiskLimits) -> list[str]:
    """Return the states of an order in which an execution would be lost, or that could not be left."""
    found = [f"an order that is {state} has no row in the table" for state in OrderState if state not in TRANSITIONS]
    for state in OPEN_STATES & TRANSITIONS.keys():
        row = TRANSITIONS[state]
        if state is not OrderState.INTENT and not {Trigger.FILLED_PARTLY, Trigger.FILLED_FULLY} <= row.keys():
            found.append(f"an execution of an order that is {state} has no place in the table")
        if all(after in OPEN_STATES for after in row.values()) and state is not OrderState.INTENT:
            found.append(f"an order that is {state} never ends")
    return found


SAFETY_MODULES: Final[Mapping[str, Callable[[RiskLimits], list[str]]]] = {
    "risk_bot": risk_objections,
    "gate": gate_objections,
    "orders_bot": order_life_objections,
}


def _strict(limits: RiskLimits) -> RiskLimits:
    return replace(limits, disable_all_trades=True, kill_switch=True)


def _view(*, is_margin: bool = True, test_mode: bool = False) -> RiskView:
    poor = Account(
        broker="sim", equity=ONE, cash=ZERO, buying_power=ZERO, settled_cash=ZERO, day_trades=_MANY, is_margin=is_margin
    )
    return RiskView(
        at=Instant(DAY),
        mode=Mode.LIVE,
        test_mode=test_mode,
        phase=Phase.REPORT,
        entries_off="",
        broker_halted="halted",
        capabilities=Capabilities(real_orders=True, live=True, minimum_notional=_MUCH),
        tradable=False,
        known_order_ids=frozenset({_ORDER.client_order_id}),
        blocked=True,
        session_trades=_MANY,
        session_trades_max=0,
        broker_positions=_MANY,
        all_positions=_MANY,
        budget=ZERO,
        committed=ZERO,
        account=poor,
        last_trade=ONE,
        price_age=DAY,
        bar_span=0,
        quote=None,
        average_volume=None,
        orders_last_minute=_MANY,
        opposite_orders=_MANY,
    )
