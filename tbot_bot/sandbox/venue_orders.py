"""The exchange's tickets in the words of the simulator's venue, and the venue's objections in the exchange's words."""

from decimal import Decimal
from typing import Final

from tbot_bot.broker.admission import malformed, unaffordable
from tbot_bot.broker.matching import Venue
from tbot_bot.core.money import ZERO
from tbot_bot.core.orders import OrderRequest, OrderType, Side, StopTrigger
from tbot_bot.sandbox.tickets import Kind, Order, Phase, RefusalKind, Refused, Ticket

_KINDS: Final = (
    ("insufficient buying power", RefusalKind.BUYING_POWER),
    ("notional", RefusalKind.BUYING_POWER),
    ("insufficient quantity", RefusalKind.QUANTITY),
    ("no shares of", RefusalKind.SHORT),
    ("fractions cannot be sold short", RefusalKind.SHORT),
    ("unknown instrument", RefusalKind.UNKNOWN_INSTRUMENT),
    ("a short position is open", RefusalKind.QUANTITY),
    ("a long position is open", RefusalKind.QUANTITY),
)
"""How the venue's sentences begin; `tests/sandbox/test_desk.py` holds each against the venue."""


def kind_of(reason: str) -> RefusalKind:
    """Return what an objection of the venue is about."""
    if "cannot be sold short" in reason:
        return RefusalKind.SHORT
    return next((kind for words, kind in _KINDS if reason.startswith(words)), RefusalKind.MALFORMED)


def side_of(ticket: Ticket, held: Decimal) -> Side:
    """Return the side that buying or selling is while `held` (signed) is there."""
    if ticket.buys:
        return Side.BUY_TO_COVER if held < ZERO else Side.BUY
    return Side.SELL if held > ZERO or ticket.instrument.underlying else Side.SELL_SHORT


def request_of(order: Order, venue_id: str, venue: Venue) -> OrderRequest:
    """Return what the venue is asked for `order`: what it has left, at the prices of now."""
    ticket = order.ticket
    instrument = ticket.instrument
    kind, limit, stop = OrderType.MARKET, None, None
    if ticket.kind is Kind.LIMIT or (ticket.kind is Kind.STOP_LIMIT and order.triggered):
        kind, limit = OrderType.LIMIT, ticket.limit
    elif ticket.kind is Kind.STOP and order.stop is not None:
        rising = ticket.buys if ticket.wakes_rising is None else ticket.wakes_rising
        watched = ticket.watches or instrument.symbol
        kind, stop = OrderType.STOP, StopTrigger(symbol=watched, price=order.stop, rising=rising)
    return OrderRequest(
        client_order_id=venue_id,
        trade_id="",
        broker=venue.broker,
        instrument=instrument,
        side=side_of(ticket, venue.books.held(instrument.symbol)),
        quantity=order.remaining,
        order_type=kind,
        limit_price=limit,
        stop=stop,
    )


def refuse_malformed(ticket: Ticket, venue: Venue) -> None:
    """Refuse what no account could be asked.

    Raises:
        Refused: with the venue's own sentence.
    """
    _refuse(_prices_missing(ticket))
    for price in (ticket.limit, ticket.stop):
        if price is not None and (price <= ZERO or price % ticket.instrument.tick(price)):
            _refuse(f"price {price} does not fit the increment of {ticket.instrument.tick(price)}")
    plain = Ticket(
        instrument=ticket.instrument,
        buys=ticket.buys,
        quantity=ticket.quantity,
        kind=Kind.MARKET,
    )
    closing = Order(number=0, ticket=plain, phase=Phase.WORKING, submitted_at=venue.now, updated_at=venue.now)
    request = request_of(closing, "", venue)
    if ticket.parent is None:
        _refuse(malformed(request, venue.rules))


def refuse_unaffordable(ticket: Ticket, price: Decimal | None, venue: Venue) -> None:
    """Refuse what opens more than the account has buying power for, at about `price`.

    Raises:
        Refused: with the venue's own sentence.
    """
    plain = Order(number=0, ticket=ticket, phase=Phase.WORKING, submitted_at=venue.now, updated_at=venue.now)
    _refuse(unaffordable(request_of(plain, "", venue), price, venue.account().buying_power, venue.rules))


def _prices_missing(ticket: Ticket) -> str:
    trails = (ticket.trail is not None) + (ticket.trail_percent is not None)
    match ticket.kind:
        case Kind.MARKET:
            fits = ticket.limit is None and ticket.stop is None
        case Kind.LIMIT:
            fits = ticket.limit is not None and ticket.stop is None
        case Kind.STOP:
            fits = ticket.stop is not None and ticket.limit is None
        case Kind.STOP_LIMIT:
            fits = ticket.stop is not None and ticket.limit is not None
        case Kind.TRAILING_STOP:
            fits = trails == 1
    return "" if fits else f"a {ticket.kind} order with limit {ticket.limit}, stop {ticket.stop} and {trails} trails"


def _refuse(problem: str) -> None:
    if problem:
        raise Refused(kind_of(problem), problem)
