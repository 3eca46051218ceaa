"""Orders at Interactive Brokers that are not ours, as far as IB tells them, and what they may take. Pure: no talking.

IB's account figures are made of the portfolio: "Available Funds" is equity with loan value less the initial margin of
what is held (Trader Workstation User's Guide, "Available for Trading"). What only rests is not in them, so the buying
orders of others are taken off here at their full price. That is more than their margin, and may be more than is needed.
"""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from tbot_bot.broker.ibkr_contracts import instrument_of, known_number
from tbot_bot.broker.ibkr_wire import STANDINGS, TRAILING
from tbot_bot.core.errors import UnknownMessage
from tbot_bot.core.foreign_orders import ForeignOrder, is_foreign
from tbot_bot.core.instruments import Instrument
from tbot_bot.core.money import ZERO
from tbot_bot.core.orders import Account

if TYPE_CHECKING:
    from ib_async import Contract, Order, Trade

_AT_AUX_PRICE = frozenset({"STP", "MIT"})
"""Types whose one price stands in `auxPrice`; elsewhere that is an offset. Source: TWS API, "Order types"."""


def rests_for_others(trade: "Trade") -> bool:
    """Return whether an order of the gateway's list can still fill and bears no name of our making."""
    standing = STANDINGS.get(trade.orderStatus.status)
    return is_foreign(trade.order.orderRef) and (standing is None or not standing.over)


def foreign_order(trade: "Trade", broker: str) -> ForeignOrder:
    """Return somebody else's order; what of it cannot be read is left out, since nothing is done with it."""
    order = trade.order
    total, filled = _figure(order.totalQuantity), _figure(trade.orderStatus.filled) or ZERO
    return ForeignOrder(
        broker=broker,
        broker_order_id=str(order.permId or f"{order.clientId}/{order.orderId}"),
        name=order.orderRef,
        instrument=_instrument(trade.contract),
        buys=order.action == "BUY",
        quantity=max(total - filled, ZERO) if total else None,
        price=_price(order),
    )


def less_foreign(account: Account, orders: Iterable[ForeignOrder]) -> Account:
    """Return `account` without the buying power that the orders of others may take."""
    taken = sum((one.notional for one in orders), ZERO)
    return replace(account, buying_power=max(account.buying_power - taken, ZERO)) if taken else account


def _instrument(contract: "Contract") -> Instrument:
    try:
        return instrument_of(contract)
    except UnknownMessage:
        symbol = f"{contract.secType}:{contract.localSymbol or contract.symbol}"
        return Instrument(symbol=symbol, currency=contract.currency or "USD")


def _price(order: "Order") -> Decimal | None:
    prices = [_figure(order.lmtPrice) if order.orderType != "MKT" else None]
    prices.append(_figure(order.trailStopPrice) if order.orderType.startswith(TRAILING) else None)
    prices.append(_figure(order.auxPrice) if order.orderType in _AT_AUX_PRICE else None)
    return next((price for price in prices if price), None)


def _figure(value: float | Decimal | None) -> Decimal | None:
    try:
        return known_number(value)
    except (UnknownMessage, ValueError):
        return None


__all__ = ["foreign_order", "less_foreign", "rests_for_others"]
