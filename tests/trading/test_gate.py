"""The gate: no order path goes around it, and what it lets through under the name of an exit only ever closes."""

import ast
import re
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tbot_bot.config.error_handler import LogicError
from tbot_bot.core.commands import AnomalySeen, SubmitOrder, TradeApproved
from tbot_bot.core.identity import Leg
from tbot_bot.core.instruments import equity
from tbot_bot.core.orders import OrderRequest, OrderType, Side
from tbot_bot.trading import gate, order_desk
from tbot_bot.trading.gate import ApprovedOrder, Holding, approve_exit
from tbot_bot.trading.takeover import leg_of
from tests.trading.test_engine_walk import walk

ROOT = Path(__file__).resolve().parents[2]
ORDER = OrderRequest(
    client_order_id="20250902-open-sim-AAA-exit1",
    trade_id="20250902-open-sim-AAA",
    broker="sim",
    instrument=equity("AAA"),
    side=Side.SELL,
    quantity=Decimal(10),
    order_type=OrderType.MARKET,
)
HOLDING = Holding(opened_by=Side.BUY, quantity=Decimal(10), resting=Decimal(0), symbol="AAA")
QUANTITIES = st.decimals(min_value=-5, max_value=30, places=2)


# --- nobody goes around it


def test_an_approved_order_cannot_be_made_by_hand():
    for seal in (None, object(), "approved", gate):
        with pytest.raises(LogicError, match="only the gate"):
            ApprovedOrder(ORDER, seal)
    real = approve_exit(ORDER, HOLDING)
    assert isinstance(real, ApprovedOrder)
    with pytest.raises(LogicError, match="only the gate"):
        replace(real, seal=None)


def test_the_desk_takes_nothing_but_approved_orders():
    """By the type checker, which the build runs; and at run time, for whoever ignores it."""
    around = "order_desk.submit(state, trade, Leg.ENTRY, request)"
    program = f"""
from tbot_bot.core.identity import Leg
from tbot_bot.core.orders import OrderRequest
from tbot_bot.trading import order_desk
from tbot_bot.trading.session_state import SessionState, Trade

def around(state: SessionState, trade: Trade, request: OrderRequest) -> None:
    {around}
"""
    mypy = [sys.executable, "-m", "mypy", "--no-error-summary", "-c", program]
    found = subprocess.run(mypy, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    assert re.search(r'incompatible type "OrderRequest"; expected "ApprovedOrder"', found)

    day = walk(1)
    trade = next(iter(day.engine.state.trades.values()))
    with pytest.raises(AttributeError):
        order_desk.submit(day.engine.state, trade, Leg.ENTRY, ORDER)  # type: ignore[arg-type]


def test_only_the_desk_makes_commands_that_send_orders():
    """What is sent again after a crash was approved before it was journaled; nothing else may build such a command."""
    allowed = {"tbot_bot/trading/order_desk.py", "tbot_bot/runtime/reconcile.py"}
    makers = set()
    for path in sorted((ROOT / "tbot_bot").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(node.func, "id", getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""
            if name in {"SubmitOrder", "ReplaceOrder"}:
                makers.add(path.relative_to(ROOT).as_posix())
    assert makers == allowed


def test_every_entry_that_leaves_has_its_approval_in_the_same_answer():
    entries = 0
    for seed in range(8):
        for _, answer in walk(seed).told:
            approved = {(one.trade_id, one.quantity) for one in answer if isinstance(one, TradeApproved)}
            sent = [one.order for one in answer if isinstance(one, SubmitOrder)]
            opening = {(one.trade_id, one.quantity) for one in sent if leg_of(one.client_order_id) is Leg.ENTRY}
            assert opening == approved
            entries += len(opening)
    assert entries > 20


def test_no_exit_of_ours_is_ever_stopped_by_the_gate():
    for seed in range(8):
        answers = [one for _, answer in walk(seed).told for one in answer]
        assert not [one for one in answers if isinstance(one, AnomalySeen) and one.text.startswith("not sent")]


# --- an exit only closes


@given(
    held=QUANTITIES, resting=QUANTITIES, quantity=QUANTITIES, side=st.sampled_from(Side), opened=st.sampled_from(Side)
)
def test_what_passes_as_an_exit_can_never_turn_a_position_around(held, resting, quantity, side, opened):
    assume(held >= 0)
    assume(resting >= 0)
    request = replace(ORDER, side=side, quantity=quantity)
    answer = approve_exit(request, Holding(opened_by=opened, quantity=held, resting=resting, symbol="AAA"))

    signed = held if opened.buys else -held
    worst = signed + (1 if side.buys else -1) * (quantity + resting)
    passes = isinstance(answer, ApprovedOrder)
    assert passes == (side is opened.closing and quantity > 0 and quantity + resting <= held)
    if passes:
        assert worst == 0 or (worst > 0) == (signed > 0)


def test_an_exit_in_another_instrument_is_an_entry():
    answer = approve_exit(replace(ORDER, instrument=equity("BBB")), HOLDING)

    assert answer == "an exit in BBB of a position in AAA"


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (replace(ORDER, quantity=Decimal("10.01")), "turn the position around"),
        (replace(ORDER, side=Side.SELL_SHORT), "sell_short does not close what buy has opened"),
        (replace(ORDER, side=Side.BUY), "buy does not close what buy has opened"),
        (replace(ORDER, quantity=Decimal(0)), "an exit of 0"),
    ],
)
def test_a_refused_exit_says_why(request_, said):
    assert said in str(approve_exit(request_, HOLDING))
