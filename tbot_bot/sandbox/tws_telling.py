"""How the gateway tells of its orders: entries of the book in the protocol's records. Pure."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from tbot_bot.core.money import ZERO, plain
from tbot_bot.sandbox.tickets import Phase
from tbot_bot.sandbox.tws_book import Entry, Execution, Standing
from tbot_bot.sandbox.tws_orders import (
    Adjusted,
    Advisor,
    CommissionReport,
    CompletedOrder,
    Conditions,
    ExecutionDetails,
    OpenOrder,
    OrderState,
    OrderStatus,
    Terms,
)
from tbot_bot.sandbox.tws_tickets import STOP_TYPES
from tbot_bot.sandbox.tws_times import stamp

_ENDED: Final[Mapping[Phase, str]] = {
    Phase.FILLED: "Filled",
    Phase.CANCELED: "Cancelled",
    Phase.EXPIRED: "Cancelled",
    Phase.REPLACED: "Cancelled",
    Phase.REJECTED: "Inactive",
}


def status_of(entry: Entry, standing: Standing, *, market_open: bool) -> str:
    """Return the vendor's word for where the order stands."""
    if standing.phase is None:
        return "Inactive" if entry.refusal else "PendingSubmit"
    if not standing.open:
        return _ENDED[standing.phase]
    stops = entry.asked.order_type in STOP_TYPES or entry.asked.waits.conditions
    sleeps = stops and not standing.triggered and not standing.filled
    if standing.phase is Phase.HELD or sleeps or not (market_open or entry.asked.outside_rth):
        return "PreSubmitted"
    return "Submitted"


def open_order(entry: Entry, standing: Standing, *, account: str, market_open: bool) -> OpenOrder:
    """Return the order with its terms and its state."""
    asked = entry.asked
    trails = asked.order_type == "TRAIL"
    return OpenOrder(
        order_id=asked.order_id,
        contract=entry.listed.told(asked.contract.exchange),
        terms=terms_of(entry, standing, account),
        client_id=entry.client_id,
        perm_id=entry.perm_id,
        when=Conditions(outside_rth=asked.outside_rth, hidden=asked.hidden, good_after_time=asked.good_after_time),
        advisor=Advisor(good_till_date=asked.good_till_date),
        oca_type=asked.oca_type,
        parent_id=asked.parent_id,
        trigger_method=asked.trigger_method,
        trail_stop_price=standing.stop if trails else None,
        trailing_percent=asked.trailing_percent,
        state=OrderState(status=status_of(entry, standing, market_open=market_open)),
        adjusted=Adjusted(waits=asked.waits, trail_stop_price=standing.stop if trails else None),
    )


def what_if(entry: Entry, *, account: str, equity: Decimal, margin: Decimal, commission: Decimal) -> OpenOrder:
    """Return what an order would do to the account; amounts in dollars, margins a tenth above nothing held."""
    before, after = plain(equity), plain(margin)
    return OpenOrder(
        order_id=entry.asked.order_id,
        contract=entry.listed.told(entry.asked.contract.exchange),
        terms=terms_of(entry, None, account),
        client_id=entry.client_id,
        perm_id=0,
        what_if=True,
        state=OrderState(
            status="PreSubmitted",
            init_margin_before="0",
            maintenance_margin_before="0",
            equity_with_loan_before=before,
            init_margin_change=after,
            maintenance_margin_change=after,
            equity_with_loan_change="0",
            init_margin_after=after,
            maintenance_margin_after=after,
            equity_with_loan_after=before,
            commission=commission,
            commission_currency="USD",
        ),
    )


def terms_of(entry: Entry, standing: Standing | None, account: str) -> Terms:
    """Return what is ordered now: a partly filled sibling may have reduced the quantity."""
    asked = entry.asked
    total = asked.total_quantity if standing is None else standing.filled + standing.remaining
    return Terms(
        action="SELL" if asked.action == "SSHORT" else asked.action,
        total_quantity=total,
        order_type=asked.order_type,
        limit_price=asked.limit_price or ZERO,
        aux_price=asked.aux_price or ZERO,
        tif=asked.tif or "DAY",
        oca_group=entry.group,
        account=account,
        open_close=asked.open_close,
        origin=asked.origin,
        order_ref=asked.order_ref,
    )


def order_status(entry: Entry, standing: Standing, *, last_price: Decimal, market_open: bool) -> OrderStatus:
    """Return where the order stands."""
    held = {Phase.HELD: "child"}.get(standing.phase, "") if standing.phase is not None else ""
    return OrderStatus(
        order_id=entry.asked.order_id,
        status=status_of(entry, standing, market_open=market_open),
        filled=standing.filled,
        remaining=standing.remaining,
        average_fill_price=standing.average_price,
        perm_id=entry.perm_id,
        parent_id=entry.asked.parent_id,
        last_fill_price=last_price,
        client_id=entry.client_id,
        why_held=held,
    )


def completed_order(entry: Entry, standing: Standing, *, account: str) -> CompletedOrder:
    """Return an order that has ended."""
    asked = entry.asked
    status = status_of(entry, standing, market_open=True)
    words = f"Filled Size: {plain(standing.filled)}" if status == "Filled" else standing.reason or "Cancelled by Trader"
    return CompletedOrder(
        contract=entry.listed.told(asked.contract.exchange),
        terms=terms_of(entry, standing, account),
        perm_id=entry.perm_id,
        when=Conditions(outside_rth=asked.outside_rth, hidden=asked.hidden, good_after_time=asked.good_after_time),
        oca_type=asked.oca_type,
        trigger_method=asked.trigger_method,
        trail_stop_price=standing.stop,
        trailing_percent=asked.trailing_percent,
        status=status,
        waits=asked.waits,
        moving_stop_price=standing.stop,
        filled_quantity=standing.filled,
        completed_time=stamp(standing.ended_at or entry.placed_at),
        completed_status=words,
    )


def execution_details(entry: Entry, execution: Execution, *, req_id: int, account: str) -> ExecutionDetails:
    """Return one execution; `req_id` is -1 for one that just happened."""
    fill = execution.fill
    return ExecutionDetails(
        req_id=req_id,
        order_id=entry.asked.order_id,
        contract=entry.listed.told(),
        execution_id=execution.execution_id,
        time=stamp(fill.transacted_at),
        account=account,
        exchange=entry.listed.exchange,
        side="BOT" if entry.asked.action == "BUY" else "SLD",
        shares=fill.quantity,
        price=fill.price,
        perm_id=entry.perm_id,
        client_id=entry.client_id,
        cumulative_quantity=execution.cumulative,
        average_price=execution.average_price,
        order_ref=entry.asked.order_ref,
    )


def commission_report(execution: Execution) -> CommissionReport:
    """Return what an execution cost and earned."""
    return CommissionReport(
        execution_id=execution.execution_id, commission=execution.fill.fees, realized_pnl=execution.realized
    )
