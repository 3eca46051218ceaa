"""What we ask of Alpaca for an order, as the JSON that it wants, and why some orders are not even asked. Pure.

Every order is simple and for the day: fractions allow nothing else, and whatever is left open at the close expires
rather than meet the next day's market. Numbers travel as texts, so that no digit is lost.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from tbot_bot.core.errors import BrokerRefused
from tbot_bot.core.instruments import AssetClass, Instrument, OptionRight, Rounding
from tbot_bot.core.money import ONE, ZERO, plain
from tbot_bot.core.orders import Capabilities, OrderRequest, OrderType, Side
from tbot_bot.core.trails import TrailingTrigger

DUPLICATE: Final = "client_order_id must be unique"
"""How Alpaca refuses an id that it has seen: the order is there already."""
WASH_TRADE: Final = "wash trade"
"""How Alpaca refuses an order that could meet an open one of ours on the other side."""
TRAILING: Final = "trailing_stop"
"""The type of an order whose stop Alpaca moves."""
_INTENTS: Final[Mapping[Side, tuple[str, str]]] = {
    Side.BUY: ("buy", "buy_to_open"),
    Side.SELL: ("sell", "sell_to_close"),
    Side.SELL_SHORT: ("sell", "sell_to_open"),
    Side.BUY_TO_COVER: ("buy", "buy_to_close"),
}


def opens(order: OrderRequest) -> bool:
    """Return whether a fill of `order` adds to a position."""
    return order.side in {Side.BUY, Side.SELL_SHORT}


def is_fractional(order: OrderRequest) -> bool:
    """Return whether `order` asks for a fraction of a share."""
    return order.quantity % ONE != ZERO


def objection(order: OrderRequest, capabilities: Capabilities) -> str:
    """Return why `order` cannot be put to Alpaca at all, empty where it can; the rest Alpaca judges itself."""
    instrument, stop = order.instrument, order.stop
    if not order.quantity.is_finite() or order.quantity <= ZERO:
        return f"quantity must be above zero, not {order.quantity}"
    fits = {
        OrderType.MARKET: order.limit_price is None and stop is None,
        OrderType.LIMIT: order.limit_price is not None and stop is None,
        OrderType.STOP: order.limit_price is None and stop is not None,
    }
    if not fits[order.order_type]:
        return f"a {order.order_type} order with limit {order.limit_price} and stop {stop}"
    if stop is not None and stop.symbol != instrument.symbol:
        return f"Alpaca has no stop on {instrument.symbol} that watches {stop.symbol}"
    if stop is not None and stop.rising != order.side.buys:
        return f"a stop to {order.side} wakes at {'rising' if order.side.buys else 'falling'} prices only"
    if isinstance(stop, TrailingTrigger) and (instrument.asset_class is AssetClass.OPTION or is_fractional(order)):
        return f"Alpaca moves stops on whole shares only, not on {plain(order.quantity)} {instrument.symbol}"
    if instrument.asset_class is AssetClass.OPTION:
        return _option_objection(order, capabilities)
    if is_fractional(order) and order.side is Side.SELL_SHORT:
        return "fractions cannot be sold short"
    return ""


def _option_objection(order: OrderRequest, capabilities: Capabilities) -> str:
    if order.side not in {Side.BUY, Side.SELL}:
        return f"options are only bought, and sold again: not {order.side}"
    if is_fractional(order):
        return f"{order.instrument.symbol} trades in whole contracts, not {plain(order.quantity)}"
    if order.side is Side.BUY and not capabilities.options:
        return "options are off for this account (ALPACA_OPTIONS_ENABLED)"
    if order.side is Side.BUY and order.instrument.right is not OptionRight.PUT:
        return f"{order.instrument.symbol} is no put"
    return ""


def submission(order: OrderRequest) -> dict[str, str]:
    """Return the body that places `order`."""
    side, intent = _INTENTS[order.side]
    body = {
        "symbol": order.instrument.symbol,
        "qty": plain(order.quantity),
        "side": side,
        "type": TRAILING if isinstance(order.stop, TrailingTrigger) else order.order_type.value,
        "time_in_force": "day",
        "client_order_id": order.client_order_id,
        "position_intent": intent,
    }
    if isinstance(order.stop, TrailingTrigger):
        return body | {"trail_percent": plain(order.stop.percent)}
    return body | _prices(order)


def replacement(order: OrderRequest, *, same_quantity: bool) -> dict[str, str]:
    """Return the body that changes the order in whose place `order` steps; a trailing one goes on where it stands.

    Raises:
        BrokerRefused: a market order has nothing that could be changed to.
    """
    trails = isinstance(order.stop, TrailingTrigger)
    prices = {} if trails else _prices(order)
    if not prices and not trails:
        raise BrokerRefused("an order cannot be replaced by a market order: cancel it, and send another")
    quantity = {} if same_quantity else {"qty": plain(order.quantity)}
    return {"client_order_id": order.client_order_id, **quantity, **prices}


def _prices(order: OrderRequest) -> dict[str, str]:
    """Return the prices on the tick grid: a limit never worse than asked for, a stop never later."""
    prices: dict[str, str] = {}
    if order.limit_price is not None:
        prices["limit_price"] = _price(order.instrument, order.limit_price, down=order.side.buys)
    if order.stop is not None:
        prices["stop_price"] = _price(order.instrument, order.stop.price, down=order.side.buys)
    return prices


def _price(instrument: Instrument, price: Decimal, *, down: bool) -> str:
    return plain(instrument.round_price(price, Rounding.DOWN if down else Rounding.UP))


__all__ = ["DUPLICATE", "TRAILING", "WASH_TRADE", "is_fractional", "objection", "opens", "replacement", "submission"]
