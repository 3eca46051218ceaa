"""Which orders a broker refuses at the door, each with the reason it would give."""

from decimal import Decimal
from typing import Final

from tbot_bot.broker.venue_state import MarketFacts, VenueRules, watched_share
from tbot_bot.core.instants import Instant
from tbot_bot.core.instruments import AssetClass, Instrument
from tbot_bot.core.money import ONE, ZERO, plain
from tbot_bot.core.orders import OrderRequest, OrderType, Side

_TO_BORROW: Final = "to borrow"


def malformed(request: OrderRequest, rules: VenueRules) -> str:
    """Return why `request` cannot be an order at all, empty where it can."""
    return (
        _quantity_objection(request.quantity, request.instrument, rules)
        or _price_objection(request)
        or _instrument_objection(request, rules)
    )


def oversold(request: OrderRequest, held: Decimal) -> str:
    """Return why `request` does not fit the signed position `held`, empty where it does.

    Orders that rest already are not counted: a stop and a target may protect the same shares, and what fills
    second finds nothing left and is cancelled by the venue.
    """
    quantity = request.quantity
    match request.side:
        case Side.SELL if quantity > max(held, ZERO):
            return f"insufficient quantity: sell {plain(quantity)}, held {plain(max(held, ZERO))}"
        case Side.BUY_TO_COVER if quantity > max(-held, ZERO):
            return f"insufficient quantity: cover {plain(quantity)}, short {plain(max(-held, ZERO))}"
        case Side.BUY if held < ZERO:
            return "a short position is open: buy to cover it first"
        case Side.SELL_SHORT if held > ZERO:
            return "a long position is open: sell it first"
        case _:
            return ""


def unaffordable(request: OrderRequest, price: Decimal | None, power: Decimal, rules: VenueRules) -> str:
    """Return why the account cannot carry an opening `request` at about `price`, empty where it can.

    `power` is in dollars; an unknown price is not judged.
    """
    if price is None or not opens(request.side):
        return ""
    notional = request.instrument.notional(price, request.quantity)
    if notional < rules.minimum_notional:
        return f"notional {notional} below the minimum of {rules.minimum_notional}"
    if notional > power:
        return f"insufficient buying power: {notional:.2f} needed, {power:.2f} there"
    return ""


def lacks_borrow(request: OrderRequest, short: Decimal, facts: MarketFacts | None, at: Instant) -> str:
    """Return why the shares of a short sale cannot be borrowed, empty where they can or it is none.

    `short` are sold short already or asked to be; `facts` tell what can be borrowed in all.
    """
    if request.side is not Side.SELL_SHORT or facts is None:
        return ""
    available = facts.to_borrow(request.instrument.symbol, at)
    if available is None or request.quantity + short <= available:
        return ""
    symbol, wanted = request.instrument.symbol, plain(request.quantity + short)
    if not available:
        return f"no shares of {symbol} {_TO_BORROW}"
    return f"{wanted} shares of {symbol} wanted, {plain(available)} {_TO_BORROW}"


def is_lack_of_borrow(reason: str) -> bool:
    """Return whether an order was refused for `reason` because its shares could not be borrowed."""
    return reason.endswith(_TO_BORROW)


def opens(side: Side) -> bool:
    """Return whether an order of `side` adds to a position."""
    return side in {Side.BUY, Side.SELL_SHORT}


def _quantity_objection(quantity: Decimal, instrument: Instrument, rules: VenueRules) -> str:
    if not quantity.is_finite() or quantity <= ZERO:
        return f"quantity must be above zero, not {quantity}"
    if quantity % instrument.quantity_step:
        return f"quantity {plain(quantity)} is no multiple of {plain(instrument.quantity_step)}"
    if quantity % ONE and (instrument.asset_class is AssetClass.OPTION or not rules.fractional):
        return f"{instrument.symbol} trades in whole numbers, not {plain(quantity)}"
    return ""


def _price_objection(request: OrderRequest) -> str:
    limit, stop = request.limit_price, request.stop
    match request.order_type:
        case OrderType.MARKET:
            fits = limit is None and stop is None
        case OrderType.LIMIT:
            fits = limit is not None and stop is None
        case OrderType.STOP:
            fits = limit is None and stop is not None
    if not fits:
        return f"a {request.order_type} order with limit {limit} and stop {stop}"
    share = request.instrument
    for price in (limit, None if stop is None else stop.price):
        if price is None:
            continue
        if not price.is_finite() or price <= ZERO:
            return f"price must be above zero, not {price}"
        if price % share.tick(price):
            return f"sub-penny price {plain(price)}: the increment is {share.tick(price)}"
    return ""


def _instrument_objection(request: OrderRequest, rules: VenueRules) -> str:
    instrument, stop = request.instrument, request.stop
    option = instrument.asset_class is AssetClass.OPTION
    share = watched_share(instrument)
    if not share or (rules.tradable is not None and share not in rules.tradable):
        return f"unknown instrument {instrument.symbol}"
    if option and not rules.options:
        return "the account does not trade options"
    if option and stop is not None and stop.symbol != share:
        return f"a stop on {instrument.symbol} must watch {share}"
    if request.side is not Side.SELL_SHORT:
        return ""
    if option or not rules.short or not rules.margin:
        return f"{instrument.symbol} cannot be sold short in this account"
    if share in rules.unborrowable:
        return f"no shares of {share} {_TO_BORROW}"
    if request.quantity % ONE:
        return "fractions cannot be sold short"
    return ""
