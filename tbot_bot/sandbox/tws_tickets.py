"""From a client's order message to a ticket of the exchange, with the vendor's objections on the way. Pure."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from tbot_bot.core.money import ZERO
from tbot_bot.sandbox import tws_codes as codes
from tbot_bot.sandbox.tickets import Kind, Lifetime, RefusalKind, Refused, Ticket
from tbot_bot.sandbox.tws_catalog import Listed
from tbot_bot.sandbox.tws_place_order import PlaceOrder
from tbot_bot.sandbox.tws_replies import Problem

_KINDS: Final[Mapping[str, tuple[Kind, Lifetime | None]]] = {
    "MKT": (Kind.MARKET, None),
    "LMT": (Kind.LIMIT, None),
    "STP": (Kind.STOP, None),
    "STP LMT": (Kind.STOP_LIMIT, None),
    "STPLMT": (Kind.STOP_LIMIT, None),
    "TRAIL": (Kind.TRAILING_STOP, None),
    "MOC": (Kind.MARKET, Lifetime.CLOSING),
    "LOC": (Kind.LIMIT, Lifetime.CLOSING),
}
_LIFETIMES: Final[Mapping[str, Lifetime]] = {
    "": Lifetime.DAY,
    "DAY": Lifetime.DAY,
    "GTC": Lifetime.GTC,
    "IOC": Lifetime.IOC,
    "FOK": Lifetime.FOK,
    "OPG": Lifetime.OPENING,
}
_ACTIONS: Final[Mapping[str, bool]] = {"BUY": True, "SELL": False, "SSHORT": False}
STOP_TYPES: Final = frozenset({"STP", "STP LMT", "STPLMT", "TRAIL"})
"""What waits for a trigger before it is a working order."""
_CONDITIONAL: Final[Mapping[str, Kind]] = {"MKT": Kind.STOP, "LMT": Kind.STOP_LIMIT}
"""What an order is at the exchange while it waits for another contract's price."""
_REASONS: Final[Mapping[RefusalKind, str]] = {
    RefusalKind.BUYING_POWER: "YOUR ORDER IS NOT ACCEPTED. IN ORDER TO OBTAIN THE DESIRED POSITION YOUR EQUITY WITH "
    "LOAN VALUE MUST EXCEED THE INITIAL MARGIN",
    RefusalKind.SHORT: "The contract is not available for short sale.",
}


class Objection(Exception):
    """The gateway does not take the order; `problem` is what the client is told."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.text)
        self.problem = problem


def object_to(asked: PlaceOrder, listed: Listed, account: str) -> None:
    """Object to what the vendor does not even try.

    Raises:
        Objection: with the vendor's number for it.
    """
    order_id = asked.order_id
    if asked.account not in {"", account}:
        _invalid(order_id, f"The account code is required for this operation: {asked.account} is not yours")
    if listed.instrument is None:
        raise Objection(codes.rejected(order_id, "No trading permissions: an index cannot be traded."))
    if not asked.contract.exchange:
        _invalid(order_id, "Missing order exchange")
    if asked.action not in _ACTIONS:
        _invalid(order_id, f"Invalid order side: {asked.action!r}")
    if asked.order_type not in _KINDS:
        text = "Unsupported order type for this exchange and security type."
        raise Objection(Problem(req_id=order_id, code=codes.UNSUPPORTED_ORDER_TYPE, text=text))
    if asked.tif not in _LIFETIMES:
        _invalid(order_id, f"Invalid time in force: {asked.tif!r}")
    _object_to_extras(asked)
    if asked.total_quantity <= ZERO:
        raise Objection(Problem(req_id=order_id, code=codes.SIZE_ZERO, text="The order size cannot be zero."))
    if asked.total_quantity != asked.total_quantity.to_integral_value():
        text = "Fractional-sized order cannot be placed via API. Please use desktop version to place this order."
        raise Objection(Problem(req_id=order_id, code=codes.FRACTION, text=text))
    _object_to_prices(asked, listed)


def ticket_of(
    asked: PlaceOrder,
    listed: Listed,
    *,
    parent: int | None,
    group: str,
    watched: Listed | None = None,
    done: Decimal = ZERO,
) -> Ticket:
    """Return the exchange's ticket; `done` is what is filled already where the order is modified.

    `watched` is the contract of a price condition, with which the order is a stop that watches another symbol.
    Call it only for what `object_to` let pass.
    """
    assert listed.instrument is not None  # noqa: S101 - `object_to` refuses an index
    kind, own_lifetime = _KINDS[asked.order_type]
    trails = kind is Kind.TRAILING_STOP
    condition = asked.waits.condition
    stop = asked.trail_stop_price if trails else asked.aux_price if kind in {Kind.STOP, Kind.STOP_LIMIT} else None
    if condition is not None:
        kind, stop = _CONDITIONAL[asked.order_type], condition.price
    return Ticket(
        instrument=listed.instrument,
        buys=_ACTIONS[asked.action],
        quantity=asked.total_quantity - done,
        kind=kind,
        limit=asked.limit_price if kind in {Kind.LIMIT, Kind.STOP_LIMIT} else None,
        stop=stop,
        watches="" if watched is None else watched.key,
        wakes_rising=None if condition is None else condition.is_more,
        trail=asked.aux_price if trails and not asked.trailing_percent else None,
        trail_percent=asked.trailing_percent or None if trails else None,
        lifetime=own_lifetime or _LIFETIMES[asked.tif],
        extended_hours=asked.outside_rth,
        label=asked.order_ref,
        parent=parent,
        group=group,
    )


def refusal(order_id: int, refused: Refused) -> Problem:
    """Return the exchange's objection in the vendor's words, with the exchange's own sentence behind them."""
    words = _REASONS.get(refused.kind, "")
    return codes.rejected(order_id, f"{words} [{refused.reason}]" if words else refused.reason)


def _object_to_extras(asked: PlaceOrder) -> None:
    if asked.algo_strategy or asked.combination or asked.hedge_type:
        _invalid(asked.order_id, "algorithms, combinations and hedges are not offered by the sandbox")
    if asked.waits.conditions and not (asked.waits.readable and asked.order_type in _CONDITIONAL):
        _invalid(asked.order_id, "of conditions the sandbox offers one, on a price, for MKT and LMT orders")


def _object_to_prices(asked: PlaceOrder, listed: Listed) -> None:
    kind = _KINDS[asked.order_type][0]
    needed: list[Decimal | None] = []
    if kind in {Kind.LIMIT, Kind.STOP_LIMIT}:
        needed.append(asked.limit_price)
    if kind in {Kind.STOP, Kind.STOP_LIMIT}:
        needed.append(asked.aux_price)
    if kind is Kind.TRAILING_STOP and not asked.trailing_percent:
        needed.append(asked.aux_price)
    if kind is Kind.TRAILING_STOP and asked.trail_stop_price is not None:
        needed.append(asked.trail_stop_price)
    for price in needed:
        if price is None or price <= ZERO:
            raise Objection(codes.rejected(asked.order_id, f"{asked.order_type} needs a price above zero."))
        if listed.instrument is not None and price % listed.instrument.tick(price):
            text = "The price does not conform to the minimum price variation for this contract."
            raise Objection(Problem(req_id=asked.order_id, code=codes.PRICE_VARIATION, text=text))


def _invalid(order_id: int, cause: str) -> None:
    raise Objection(codes.invalid(order_id, cause))
