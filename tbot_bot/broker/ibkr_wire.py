"""What Interactive Brokers says of orders, in our words, and what we ask, in theirs. Pure: no talking.

Sources: TWS API reference, "Order status" and "Message codes"; the client library's own tables (ib_async 2.1,
wrapper.py). The library marks an order cancelled on most errors and changes its status on warnings; both are its
guess, so statuses count only where the gateway sent them, and errors are judged by the table here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from tbot_bot.broker.ibkr_contracts import SMART, instrument_of, known_number, number
from tbot_bot.core.errors import UnknownMessage
from tbot_bot.core.identity import OPENING, OrderName
from tbot_bot.core.instants import Instant, instant
from tbot_bot.core.instruments import Instrument
from tbot_bot.core.money import ZERO, plain
from tbot_bot.core.orders import BrokerOrderStatus, OrderRequest, OrderType, Side, StopTrigger
from tbot_bot.core.trails import TrailingTrigger

if TYPE_CHECKING:
    from ib_async import Contract, Execution, Order, Trade

ORDER_REF_MAX: Final = 60
"""Characters of free text that an order may carry; ours are shorter (`core.identity`)."""
_TYPES: Final = {OrderType.MARKET: "MKT", OrderType.LIMIT: "LMT", OrderType.STOP: "STP"}
_STOP_LIMIT: Final = "STP LMT"
TRAILING: Final = "TRAIL"
"""The type of an order whose stop IB moves."""


class Standing(StrEnum):
    """Where the gateway says that an order stands."""

    PENDING = "pending"
    """On its way; nothing is known yet."""
    WORKING = "working"
    CANCEL_PENDING = "cancel_pending"
    FILLED = "filled"
    CANCELLED = "cancelled"
    INACTIVE = "inactive"
    """Taken in but not working: refused, or cancelled by IB."""

    @property
    def over(self) -> bool:
        """Return whether nothing more can come of the order but late executions."""
        return self in {Standing.FILLED, Standing.CANCELLED, Standing.INACTIVE}


STANDINGS: Final[Mapping[str, Standing]] = {
    "ApiPending": Standing.PENDING,
    "PendingSubmit": Standing.PENDING,
    "PreSubmitted": Standing.WORKING,
    "Submitted": Standing.WORKING,
    "PendingCancel": Standing.CANCEL_PENDING,
    "Filled": Standing.FILLED,
    "Cancelled": Standing.CANCELLED,
    "ApiCancelled": Standing.CANCELLED,
    "Inactive": Standing.INACTIVE,
}

STATUS_OF: Final[Mapping[Standing, BrokerOrderStatus]] = {
    Standing.PENDING: BrokerOrderStatus.WORKING,
    Standing.WORKING: BrokerOrderStatus.WORKING,
    Standing.CANCEL_PENDING: BrokerOrderStatus.WORKING,
    Standing.FILLED: BrokerOrderStatus.FILLED,
    Standing.CANCELLED: BrokerOrderStatus.CANCELLED,
    Standing.INACTIVE: BrokerOrderStatus.CANCELLED,
}


def standing_of(status: str) -> Standing:
    """Return what a status text of the gateway says.

    Raises:
        UnknownMessage: a text that the API's reference does not name.
    """
    try:
        return STANDINGS[status]
    except KeyError:
        raise UnknownMessage(f"order status {status!r}") from None


class Meaning(StrEnum):
    """What a message about an order does to it."""

    NOTE = "note"
    """A warning: the order lives."""
    REFUSED = "refused"
    CANCELLED = "cancelled"
    CANCEL_REFUSED = "cancel_refused"
    ID_TAKEN = "id_taken"
    """The gateway did not take it, because another order has had its number."""
    DOUBT = "doubt"
    """Not in the table: the order is looked up."""


_REFUSALS: Final = (
    106, 107, 109, 110, 111, 113, 116, 117, 118, 119, 122, 123, 125, 126, 129, 131, 132, 133, 134, 140, 141, 142, 144,
    145, 146, 147, 148, 151, 152, 154, 157, 158, 163, 164, 168, 200, 201, 203, 321, 325, 336, 355, 382, 383, 387, 388,
    389, 391, 392, 403, 412, 413, 417, 423, 434, 436, 437, 440, 443, 460, 461, 463, 10006, 10043, 10052, 10243, 10268,
    10269, 10289, 10326,
)  # fmt: skip
_NOTES: Final = (105, 165, 329, 399, 404, 492, 10167, 10349)
_CANCEL_REFUSALS: Final = (104, 135, 136, 161, 10147, 10148)

MEANINGS: Final[Mapping[int, Meaning]] = {
    **dict.fromkeys(_REFUSALS, Meaning.REFUSED),
    **dict.fromkeys(_NOTES, Meaning.NOTE),
    **dict.fromkeys(_CANCEL_REFUSALS, Meaning.CANCEL_REFUSED),
    202: Meaning.CANCELLED,
    103: Meaning.ID_TAKEN,
}


def meaning_of(code: int) -> Meaning:
    """Return what message `code` does to the order that it is about."""
    if 2100 <= code < 2200:  # noqa: PLR2004  system notes and warnings
        return Meaning.NOTE
    return MEANINGS.get(code, Meaning.DOUBT)


class Connectivity(StrEnum):
    """What a message without a request says of the way to IB."""

    LOST = "lost"
    RESTORED_EMPTY = "restored_empty"
    """Subscriptions are gone and have to be made again."""
    RESTORED = "restored"
    CLOSING = "closing"
    """The gateway is about to hang up: its port changes, or our number is in use."""


CONNECTIVITY: Final[Mapping[int, Connectivity]] = {
    1100: Connectivity.LOST,
    2110: Connectivity.LOST,
    1101: Connectivity.RESTORED_EMPTY,
    1102: Connectivity.RESTORED,
    1300: Connectivity.CLOSING,
    326: Connectivity.CLOSING,
    504: Connectivity.CLOSING,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """One execution as the gateway tells it; what it cost comes later."""

    execution_id: str
    client_order_id: str
    perm_id: int
    instrument: Instrument
    buys: bool
    price: Decimal
    """Per share, or per unit of the underlying."""
    quantity: Decimal
    at: Instant

    @property
    def root(self) -> str:
        """Return what all corrections of one execution share: its id up to the last dot."""
        return self.execution_id.rpartition(".")[0] or self.execution_id

    @property
    def revision(self) -> int:
        """Return which correction it is: 1 as first told, counting up. Source: TWS API, execDetails."""
        head, _, last = self.execution_id.rpartition(".")
        return int(last) if head and last.isascii() and last.isdigit() else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """An order as the gateway shows it."""

    client_order_id: str
    order_id: int
    """Its number within `client_id`; 0 or less where it was made by hand, or lies in the past."""
    client_id: int
    perm_id: int
    standing: Standing
    request: OrderRequest
    """Reconstructed; the one we sent says more."""
    account: str


def executed(contract: "Contract", execution: "Execution") -> Executed:
    """Return an execution in our words.

    Raises:
        UnknownMessage: a figure, a side or a time that is none.
    """
    what = f"execution {execution.execId}"
    if execution.side not in {"BOT", "SLD"}:
        raise UnknownMessage(f"{what}: side {execution.side!r}")
    if not execution.execId:
        raise UnknownMessage(f"{what}: it has no id")
    return Executed(
        execution_id=execution.execId,
        client_order_id=execution.orderRef,
        perm_id=execution.permId,
        instrument=instrument_of(contract),
        buys=execution.side == "BOT",
        price=number(execution.price, what),
        quantity=number(execution.shares, what),
        at=moment_of(execution.time, what),
    )


def moment_of(told: datetime, what: str) -> Instant:
    """Return when something happened, in whole seconds as IB keeps them.

    Raises:
        UnknownMessage: a time without a zone: set the gateway to send UTC, or the operator's zone by name.
    """
    if told.tzinfo is None:
        raise UnknownMessage(f"{what}: its time {told.isoformat()} names no zone")
    return instant(told.astimezone(UTC))


def sighting(trade: "Trade", broker: str) -> Sighting:
    """Return an open or completed order in our words.

    Raises:
        UnknownMessage: a status or a figure that is none.
    """
    order = trade.order
    return Sighting(
        client_order_id=order.orderRef,
        order_id=order.orderId,
        client_id=order.clientId,
        perm_id=order.permId,
        standing=standing_of(trade.orderStatus.status),
        request=_request_of(trade.contract, order, broker),
        account=order.account,
    )


def order_of(request: OrderRequest, *, account: str, condition_con_id: int = 0) -> "Order":
    """Return the order that asks for `request`, good for the day and for regular hours.

    `condition_con_id` is the contract number of the underlying where the stop watches another symbol than it sells:
    then a market order waits at IB for that price. A short sale is a plain sale beyond the position: IB's own side
    for it is for institutions.
    """
    from ib_async import Order, PriceCondition

    order = Order(
        action="BUY" if request.side.buys else "SELL",
        totalQuantity=_quantity(request.quantity),
        orderType=_TYPES[request.order_type],
        tif="DAY",
        account=account,
        orderRef=request.client_order_id,
        transmit=True,
    )
    if request.limit_price is not None:
        order.lmtPrice = Decimal(plain(request.limit_price))
    if request.order_type is OrderType.STOP:
        stop = request.stop
        if stop is None:
            msg = f"{request.client_order_id}: a stop order without a stop"
            raise ValueError(msg)
        if isinstance(stop, TrailingTrigger):
            order.orderType = TRAILING
            order.trailingPercent, order.trailStopPrice = Decimal(plain(stop.percent)), Decimal(plain(stop.price))
        elif condition_con_id:
            order.orderType = "MKT" if request.limit_price is None else "LMT"
            price = float(stop.price)  # the library's condition takes nothing else
            order.conditions = [PriceCondition(isMore=stop.rising, price=price, conId=condition_con_id, exch=SMART)]
        else:
            order.orderType = "STP" if request.limit_price is None else _STOP_LIMIT
            order.auxPrice = Decimal(plain(stop.price))
    return order


def request_behind(execution: Executed, quantity: Decimal, broker: str) -> OrderRequest:
    """Return an order of which nothing but executions is known, as far as they tell it."""
    name = OrderName.parse(execution.client_order_id)
    return OrderRequest(
        client_order_id=execution.client_order_id,
        trade_id="" if name is None else name.trade,
        broker=broker,
        instrument=execution.instrument,
        side=_side_of("BUY" if execution.buys else "SELL", name),
        quantity=quantity,
        order_type=OrderType.MARKET,
    )


def _quantity(quantity: Decimal) -> float:
    """Return whole numbers as such, so that they go out as `10`."""
    whole = int(quantity)
    return whole if whole == quantity else float(quantity)


def _request_of(contract: "Contract", order: "Order", broker: str) -> OrderRequest:
    instrument = instrument_of(contract)
    name = OrderName.parse(order.orderRef)
    kind, stop = _type_and_stop(instrument, order)
    limited = order.orderType in {"LMT", _STOP_LIMIT}
    return OrderRequest(
        client_order_id=order.orderRef,
        trade_id="" if name is None else name.trade,
        broker=broker,
        instrument=instrument,
        side=_side_of(order.action, name),
        quantity=known_number(order.totalQuantity)
        or known_number(order.filledQuantity)
        or ZERO,  # completed: only that
        order_type=kind,
        limit_price=known_number(order.lmtPrice) if limited else None,
        stop=stop,
    )


def _type_and_stop(instrument: Instrument, order: "Order") -> tuple[OrderType, StopTrigger | None]:
    """Return the type of an order, by what its type's name says; a foreign one may be of a type that we do not know."""
    from ib_async import PriceCondition

    watched = next((condition for condition in order.conditions if isinstance(condition, PriceCondition)), None)
    if watched is not None:
        symbol = instrument.underlying or instrument.symbol
        price = number(watched.price, f"condition of {order.orderRef}")
        return OrderType.STOP, StopTrigger(symbol=symbol, price=price, rising=watched.isMore)
    if order.orderType == TRAILING:
        return OrderType.STOP, _trailing(instrument, order)
    trigger = known_number(order.auxPrice)
    if order.orderType in {"STP", _STOP_LIMIT} and trigger is not None:
        return OrderType.STOP, StopTrigger(symbol=instrument.symbol, price=trigger, rising=order.action == "BUY")
    return (OrderType.LIMIT if order.orderType == "LMT" else OrderType.MARKET), None


def _trailing(instrument: Instrument, order: "Order") -> StopTrigger | None:
    """Return where a stop that IB moves stands; None where IB has not told. One in dollars is never ours."""
    price, percent = known_number(order.trailStopPrice), known_number(order.trailingPercent)
    if not price:
        return None
    stop = StopTrigger(symbol=instrument.symbol, price=price, rising=order.action == "BUY")
    if not percent:
        return stop
    return TrailingTrigger(symbol=stop.symbol, price=price, rising=stop.rising, trail=percent / 100)


def _side_of(action: str, name: OrderName | None) -> Side:
    """Return the side: IB tells only buying from selling, our own names say whether a trade is being opened."""
    opens = name is None or name.leg in OPENING
    if action == "BUY":
        return Side.BUY if opens else Side.BUY_TO_COVER
    if action == "SSHORT":
        return Side.SELL_SHORT
    return Side.SELL_SHORT if opens and name is not None else Side.SELL
