"""What Alpaca's clients send, read into tickets, and Alpaca's refusals: pure functions.

Rules and words after the vendor's documents (orders, fractional trading) and what its users report; see the
wire notes of the specification. JSON numbers arrive as Decimals: the client library writes `10.0` for ten.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final, TypeAlias, TypeVar

from tbot_bot.core.instruments import FRACTION_STEP, AssetClass, Instrument
from tbot_bot.core.money import ONE, ZERO, plain
from tbot_bot.sandbox.serving import Json
from tbot_bot.sandbox.tickets import Kind, Lifetime, Ticket

Choice = TypeVar("Choice", Kind, Lifetime)
Body: TypeAlias = Mapping[str, "Body | list[Body] | Decimal | str | int | bool | None"]

MALFORMED: Final = 40010001
FORBIDDEN: Final = 40310000
NOT_FOUND: Final = 40410000
UNPROCESSABLE: Final = 42210000
_ID_LENGTH: Final = 128
_COMPLEX: Final = frozenset({"bracket", "oco", "oto"})
_NANO: Final = Decimal("0.000000001")


class AlpacaError(Exception):
    """An answer of the vendor's that is no success."""

    def __init__(self, status: int, code: int | None, message: str, **more: Json) -> None:
        """Answer `status` with `{"code": ..., "message": ..., **more}`; without a code where the vendor sends none."""
        super().__init__(message)
        self.status = status
        self.body: dict[str, Json] = ({} if code is None else {"code": code}) | {"message": message} | more


def malformed(message: str) -> AlpacaError:
    """Return 422 for what cannot be read."""
    return AlpacaError(422, MALFORMED, message)


def unprocessable(message: str) -> AlpacaError:
    """Return 422 for what makes no sense."""
    return AlpacaError(422, UNPROCESSABLE, message)


def forbidden(message: str, **more: Json) -> AlpacaError:
    """Return 403 for what the account may not do."""
    return AlpacaError(403, FORBIDDEN, message, **more)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A POST of an order, read."""

    client_order_id: str
    """Empty where the client gave none."""
    order_class: str
    ticket: Ticket
    notional: Decimal | None
    legs: tuple[Ticket, ...]
    """Take-profit before stop-loss."""


def read_body(raw: bytes) -> Body:
    """Return a JSON object.

    Raises:
        AlpacaError: it is none.
    """
    try:
        body: object = json.loads(raw or b"{}", parse_float=Decimal)
    except (ValueError, RecursionError):
        raise malformed("request body format is invalid") from None
    if not isinstance(body, dict):
        raise malformed("request body format is invalid")
    return body


def symbol_of(body: Body) -> str:
    """Return the symbol that is asked for.

    Raises:
        AlpacaError: there is none.
    """
    symbol = body.get("symbol")
    if not isinstance(symbol, str) or not symbol:
        raise malformed("symbol is required")
    return symbol


def read_order(body: Body, instrument: Instrument, ask: Decimal | None) -> Asked:
    """Return the order that `body` asks for; `ask` prices what is bought for a sum of money.

    Raises:
        AlpacaError: the vendor would refuse it whatever the account holds.
    """
    kind = _choice(body, "type", Kind)
    lifetime = _choice(body, "time_in_force", Lifetime)
    if body.get("side") not in {"buy", "sell"}:
        raise malformed("side must be buy or sell")
    order_class = str(body.get("order_class") or "simple")
    if order_class not in {"simple", *_COMPLEX}:
        raise unprocessable(f"order_class {order_class} is not supported")
    quantity, notional = _quantity(body, ask)
    trail, percent = number(body, "trail_price"), number(body, "trail_percent")
    if quantity % ONE and instrument.asset_class is AssetClass.EQUITY:
        instrument = replace(instrument, quantity_step=FRACTION_STEP)
    ticket = Ticket(
        instrument=instrument,
        buys=body["side"] == "buy",
        quantity=quantity,
        kind=kind,
        limit=number(body, "limit_price"),
        stop=number(body, "stop_price"),
        trail=trail,
        trail_percent=percent,
        lifetime=lifetime,
        extended_hours=body.get("extended_hours") is True,
        label=_client_id(body),
    )
    if order_class == "oco":
        ticket = _with_target(body, ticket)
    check_ticket(ticket, order_class, fraction=notional is not None or bool(quantity % ONE))
    legs = _legs(body, ticket, order_class)
    for leg in legs:
        check_prices(leg)
    return Asked(client_order_id=ticket.label, order_class=order_class, ticket=ticket, notional=notional, legs=legs)


def number(body: Body, name: str) -> Decimal | None:
    """Return a number that is given as one or as text, None where there is none.

    Raises:
        AlpacaError: something else is given.
    """
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, str | int | Decimal) and not isinstance(value, bool):
        try:
            found = Decimal(value)
        except ArithmeticError:
            found = Decimal("nan")
        if found.is_finite() and abs(found.adjusted()) < 15:  # noqa: PLR2004 - no price, no quantity is near it
            return found.normalize() + ZERO
    raise malformed(f"{name} must be a number")


def check_prices(ticket: Ticket) -> None:
    """Refuse prices that are missing, not above zero or finer than the increment.

    Raises:
        AlpacaError: as the vendor words it.
    """
    needs_limit = ticket.kind in {Kind.LIMIT, Kind.STOP_LIMIT}
    needs_stop = ticket.kind in {Kind.STOP, Kind.STOP_LIMIT}
    if needs_limit != (ticket.limit is not None):
        raise malformed(f"{ticket.kind} orders {'require a' if needs_limit else 'must not have'} limit price")
    if needs_stop != (ticket.stop is not None):
        raise malformed(f"{ticket.kind} orders {'require a' if needs_stop else 'must not have'} stop price")
    for name, price in (("limit_price", ticket.limit), ("stop_price", ticket.stop)):
        if price is None:
            continue
        if price <= ZERO:
            raise unprocessable(f"{name} must be > 0")
        if price % ticket.instrument.tick(price):
            raise unprocessable(
                f"invalid {name} {plain(price)}. sub-penny increment does not fulfill minimum pricing criteria"
            )


def check_ticket(ticket: Ticket, order_class: str, *, fraction: bool) -> None:
    """Refuse combinations that the vendor does not take; `fraction` says that not only whole shares are asked for.

    Raises:
        AlpacaError: as the vendor words it.
    """
    check_prices(ticket)
    trails = (ticket.trail is not None) + (ticket.trail_percent is not None)
    if trails != (ticket.kind is Kind.TRAILING_STOP):
        raise malformed("trailing stop orders must specify one of trail_price or trail_percent")
    option = ticket.instrument.asset_class is AssetClass.OPTION
    if option and (fraction or ticket.lifetime is not Lifetime.DAY or order_class != "simple"):
        raise unprocessable("option orders must be simple DAY orders in whole contracts")
    if option and ticket.kind is Kind.TRAILING_STOP:
        raise unprocessable("invalid order type for options trading")
    if fraction and ticket.lifetime is not Lifetime.DAY:
        raise unprocessable("fractional orders must be DAY orders")
    if fraction and order_class != "simple":
        raise unprocessable("fractional orders must be simple orders")
    lasting = ticket.lifetime in {Lifetime.DAY, Lifetime.GTC}
    if (order_class in _COMPLEX or ticket.kind is Kind.TRAILING_STOP) and not lasting:
        raise unprocessable(f"{order_class if order_class in _COMPLEX else 'trailing stop'} orders must be DAY or GTC")
    if ticket.extended_hours and (ticket.kind is not Kind.LIMIT or not lasting or order_class != "simple"):
        raise unprocessable("extended hours order must be DAY or GTC limit orders")
    if order_class in {"bracket", "oto"} and ticket.kind not in {Kind.MARKET, Kind.LIMIT}:
        raise unprocessable(f"{order_class} orders must be entered with a market or limit order")


def _legs(body: Body, ticket: Ticket, order_class: str) -> tuple[Ticket, ...]:
    if order_class == "simple":
        return ()
    target, stop = body.get("take_profit"), body.get("stop_loss")
    has_target, has_stop = isinstance(target, Mapping), isinstance(stop, Mapping)
    needed = has_target and has_stop if order_class in {"bracket", "oco"} else has_target != has_stop
    if not needed:
        wanted = "one of take_profit and stop_loss" if order_class == "oto" else "take_profit and stop_loss"
        raise unprocessable(f"{order_class} orders require {wanted}")
    buys = ticket.buys if order_class == "oco" else not ticket.buys
    base = Ticket(
        instrument=ticket.instrument, buys=buys, quantity=ticket.quantity, kind=Kind.LIMIT, lifetime=ticket.lifetime
    )
    legs = []
    if isinstance(target, Mapping) and order_class != "oco":
        legs.append(_changed(base, Kind.LIMIT, number(target, "limit_price"), None))
    if isinstance(stop, Mapping):
        limit = number(stop, "limit_price")
        kind = Kind.STOP if limit is None else Kind.STOP_LIMIT
        legs.append(_changed(base, kind, limit, number(stop, "stop_price")))
    limits = [leg.limit for leg in legs if leg.kind is Kind.LIMIT] + ([ticket.limit] if order_class == "oco" else [])
    stops = [leg.stop for leg in legs if leg.stop is not None]
    if limits and stops and limits[0] is not None and (limits[0] <= stops[0]) is not buys:
        raise unprocessable("take_profit.limit_price must be on the winning side of stop_loss.stop_price")
    return tuple(legs)


def _with_target(body: Body, ticket: Ticket) -> Ticket:
    target = body.get("take_profit")
    if ticket.kind is not Kind.LIMIT:
        raise unprocessable("oco orders must be limit orders")
    limit = number(target, "limit_price") if isinstance(target, Mapping) else ticket.limit
    return _changed(ticket, Kind.LIMIT, limit, None)


def _changed(ticket: Ticket, kind: Kind, limit: Decimal | None, stop: Decimal | None) -> Ticket:
    return Ticket(
        instrument=ticket.instrument,
        buys=ticket.buys,
        quantity=ticket.quantity,
        kind=kind,
        limit=limit,
        stop=stop,
        lifetime=ticket.lifetime,
        label=ticket.label,
    )


def _quantity(body: Body, ask: Decimal | None) -> tuple[Decimal, Decimal | None]:
    quantity, notional = number(body, "qty"), number(body, "notional")
    if (quantity is None) == (notional is None):
        raise malformed(
            "qty or notional is required" if quantity is None else "only one of qty or notional is accepted"
        )
    if quantity is not None:
        if quantity <= ZERO or quantity % _NANO:
            raise unprocessable("qty must be > 0 with at most 9 decimals")
        return quantity, None
    if notional is None or notional <= ZERO or notional % Decimal("0.01"):
        raise unprocessable("notional must be > 0 with at most 2 decimals")
    if notional < ONE:
        raise forbidden("cost basis must be >= minimal amount of order 1", cost_basis=plain(notional))
    if ask is None or body.get("type") != "market":
        raise unprocessable("notional orders must be market orders on a priced asset")
    return notional / ask // _NANO * _NANO, notional


def _client_id(body: Body) -> str:
    given = body.get("client_order_id")
    if given is None or given == "":
        return ""
    if not isinstance(given, str) or len(given) > _ID_LENGTH:
        raise malformed(f"client_order_id must be no more than {_ID_LENGTH} characters")
    return given


def _choice(body: Body, name: str, choices: type[Choice]) -> Choice:
    try:
        return choices(str(body.get(name)))
    except ValueError:
        raise malformed(f"invalid {name}: {body.get(name)}") from None
