"""What Alpaca says about orders, executions and accounts, as our records; and what we say to it. Pure.

Strict where money hangs on it: an order, an execution, a position or a balance that cannot be read raises
`UnknownMessage`. Lenient elsewhere: fields that nobody here needs may be missing, new, or of another form. Numbers
are Decimals from the text on; a binary float never comes by. Market data has its own module, `alpaca_market_wire`.

How Alpaca's words for an order stand to ours (in parentheses the value of FIX tag 39, OrdStatus):

    accepted, pending_new (A), new (0), accepted_for_bidding (D), held, pending_review          working
    partially_filled (1), stopped (7), suspended (9), pending_cancel (6), pending_replace (E)   working
    filled (2)  filled        canceled (4)  cancelled        replaced (5)  replaced
    rejected (8)  rejected    expired (C)  expired
    done_for_day (3), calculated (B)    an order for the day: filled if it is, else expired; any other: working

Whatever is none of these counts as working, since it may still fill, and is reported as an anomaly.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Final

from tbot_bot.broker.alpaca_requests import TRAILING
from tbot_bot.broker.json_fields import (
    above_zero,
    fields,
    moment,
    moment_or_none,
    number,
    number_or_none,
    text,
    words,
)
from tbot_bot.core.errors import UnknownMessage
from tbot_bot.core.identity import OPENING, OrderName
from tbot_bot.core.instants import Instant
from tbot_bot.core.instruments import AssetClass, Instrument, OptionRight, equity
from tbot_bot.core.money import ONE, ZERO
from tbot_bot.core.orders import (
    Account,
    BrokerOrder,
    BrokerOrderStatus,
    OrderRequest,
    OrderType,
    Position,
    Side,
    StopTrigger,
)
from tbot_bot.core.trails import TrailingTrigger

STATUSES: Final[Mapping[str, BrokerOrderStatus]] = {
    "accepted": BrokerOrderStatus.WORKING,
    "pending_new": BrokerOrderStatus.WORKING,
    "new": BrokerOrderStatus.WORKING,
    "accepted_for_bidding": BrokerOrderStatus.WORKING,
    "held": BrokerOrderStatus.WORKING,
    "pending_review": BrokerOrderStatus.WORKING,
    "partially_filled": BrokerOrderStatus.WORKING,
    "stopped": BrokerOrderStatus.WORKING,
    "suspended": BrokerOrderStatus.WORKING,
    "pending_cancel": BrokerOrderStatus.WORKING,
    "pending_replace": BrokerOrderStatus.WORKING,
    "filled": BrokerOrderStatus.FILLED,
    "canceled": BrokerOrderStatus.CANCELLED,
    "replaced": BrokerOrderStatus.REPLACED,
    "rejected": BrokerOrderStatus.REJECTED,
    "expired": BrokerOrderStatus.EXPIRED,
}
"""`done_for_day` and `calculated` are missing: they depend on the order."""
OVER_FOR_THE_DAY: Final = frozenset({"done_for_day", "calculated"})
UNACKNOWLEDGED: Final = frozenset({"pending_new", "pending_review"})
"""Statuses in which nobody has said yet that the order is worked."""

EXECUTIONS: Final = frozenset({"fill", "partial_fill"})
BUST: Final = "trade_bust"
CORRECT: Final = "trade_correct"
CANCEL_REJECTED: Final = frozenset({"order_cancel_rejected", "order_replace_rejected"})
SILENT_EVENTS: Final = frozenset(
    {
        *("new", "accepted", "pending_new", "accepted_for_bidding", "held", "pending_review", "restated"),
        *("stopped", "suspended", "pending_cancel", "pending_replace", "calculated", "done_for_day"),
        *("canceled", "expired", "replaced", "rejected"),
    }
)
"""Events that say no more than the order that comes with them."""

_OCC: Final = re.compile(r"(?P<root>[A-Z0-9.]{1,6})(?P<day>[0-9]{6})(?P<right>[CP])(?P<strike>[0-9]{8})")
_SHARES: Final = "us_equity"
_OPTIONS: Final = "us_option"
_TYPES: Final[Mapping[str, OrderType]] = {kind.value: kind for kind in OrderType}


@dataclass(frozen=True, slots=True, kw_only=True)
class WireOrder:
    """An order as Alpaca tells it."""

    order_id: str
    client_order_id: str
    instrument: Instrument
    buys: bool
    intent: str
    """`position_intent`; empty where it does not say."""
    order_type: str
    time_in_force: str
    quantity: Decimal | None
    """None for an order in dollars, which is never ours."""
    filled: Decimal
    limit_price: Decimal | None
    stop_price: Decimal | None
    """Of a trailing stop: where it stands now; None until Alpaca has a price to begin at."""
    status_text: str
    submitted_at: Instant | None
    replaced_by: str
    """Alpaca's id of the order in its place; empty while there is none."""
    trail_percent: Decimal | None = None
    """Distance of a trailing stop in percent of its high-water mark."""

    @property
    def status(self) -> BrokerOrderStatus:
        """Return the status in our words."""
        if self.status_text in OVER_FOR_THE_DAY and self.time_in_force == "day":
            return BrokerOrderStatus.FILLED if self.filled == self.quantity else BrokerOrderStatus.EXPIRED
        return STATUSES.get(self.status_text, BrokerOrderStatus.WORKING)

    @property
    def anomaly(self) -> str:
        """Return what is odd about the status, empty where nothing is."""
        known = self.status_text in STATUSES or self.status_text in OVER_FOR_THE_DAY
        return "" if known else f"order {self.client_order_id} has the unknown status {self.status_text!r}"

    @property
    def acknowledged(self) -> bool:
        """Return whether the order is, or was, worked."""
        return self.status_text not in UNACKNOWLEDGED and self.status is not BrokerOrderStatus.REJECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class WireExecution:
    """One execution, from whichever source: trade updates or account activities."""

    vendor_id: str
    """Alpaca's id of the execution in that source; the two sources need not use the same."""
    order_id: str
    price: Decimal
    quantity: Decimal
    cumulative: Decimal
    """The order's executed quantity after this one."""
    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class WireUpdate:
    """A message of the stream `trade_updates`."""

    event: str
    order: WireOrder
    execution: WireExecution | None
    previous_execution: str
    """Of a bust or a correction: the execution that is undone, as far as told."""
    reason: str


# --- reading ---------------------------------------------------------------------------------------------------------


def order_of(value: object) -> WireOrder:
    """Return the order that `value`, an object of the orders interface, tells.

    Raises:
        UnknownMessage: something that decides about money is missing or unreadable.
    """
    told = fields(value, "order")
    side = text(told, "side", "order")
    if side not in {"buy", "sell"}:
        raise UnknownMessage(f"order: side {side!r}")
    quantity = number_or_none(told, "qty", "order")
    filled = number_or_none(told, "filled_qty", "order")
    if filled is None or filled < ZERO or (quantity is not None and quantity <= ZERO):
        raise UnknownMessage(f"order: {filled} of {quantity} executed")
    return WireOrder(
        order_id=text(told, "id", "order"),
        client_order_id=text(told, "client_order_id", "order"),
        instrument=_instrument(told, fractional=quantity is None or quantity % ONE != ZERO),
        buys=side == "buy",
        intent=words(told, "position_intent"),
        order_type=words(told, "type") or words(told, "order_type"),
        time_in_force=words(told, "time_in_force"),
        quantity=quantity,
        filled=filled,
        limit_price=number_or_none(told, "limit_price", "order"),
        stop_price=number_or_none(told, "stop_price", "order"),
        status_text=text(told, "status", "order"),
        submitted_at=moment_or_none(told, "submitted_at"),
        replaced_by=words(told, "replaced_by"),
        trail_percent=number_or_none(told, "trail_percent", "order"),
    )


def update_of(value: object) -> WireUpdate:
    """Return the trade update in `value`, the `data` of its message.

    Raises:
        UnknownMessage: see `order_of`; an execution must tell price and quantity.
    """
    told = fields(value, "trade update")
    event = text(told, "event", "trade update")
    order = order_of(told.get("order"))
    execution = None
    if event in EXECUTIONS or event == CORRECT:
        execution = WireExecution(
            vendor_id=text(told, "execution_id", "trade update"),
            order_id=order.order_id,
            price=above_zero(told, "price", "trade update"),
            quantity=above_zero(told, "qty", "trade update"),
            cumulative=order.filled,
            at=moment(told, "timestamp", "trade update"),
        )
    undone = words(told, "previous_execution_id") or ("" if event == CORRECT else words(told, "execution_id"))
    return WireUpdate(
        event=event,
        order=order,
        execution=execution,
        previous_execution=undone if event in {BUST, CORRECT} else "",
        reason=words(told, "reason"),
    )


def execution_of(value: object) -> WireExecution:
    """Return the execution in `value`, an account activity of type FILL.

    Raises:
        UnknownMessage: something is missing or unreadable.
    """
    told = fields(value, "activity")
    return WireExecution(
        vendor_id=text(told, "id", "activity").rpartition("::")[2],
        order_id=text(told, "order_id", "activity"),
        price=above_zero(told, "price", "activity"),
        quantity=above_zero(told, "qty", "activity"),
        cumulative=above_zero(told, "cum_qty", "activity"),
        at=moment(told, "transaction_time", "activity"),
    )


def account_of(value: object, broker: str) -> Account:
    """Return the account in `value`.

    Alpaca tells no settled cash: an account without margin may spend what it says is there without margin.

    Raises:
        UnknownMessage: a balance is missing or unreadable, or not in dollars.
    """
    told = fields(value, "account")
    if words(told, "currency") not in {"", "USD"}:
        raise UnknownMessage(f"account: balances in {words(told, 'currency')}, not in dollars")
    cash = number(told, "cash", "account")
    margin = (number_or_none(told, "multiplier", "account") or ONE) > ONE
    spendable = number_or_none(told, "non_marginable_buying_power", "account")
    day_trades = told.get("daytrade_count")
    return Account(
        broker=broker,
        equity=number(told, "equity", "account"),
        cash=cash,
        buying_power=number(told, "buying_power", "account"),
        settled_cash=cash if margin or spendable is None else min(cash, spendable),
        day_trades=day_trades if isinstance(day_trades, int) else 0,
        is_margin=margin,
    )


def why_blocked(value: object) -> str:
    """Return why the account in `value` may not trade, empty where it may."""
    told = fields(value, "account")
    flags = [name for name in ("account_blocked", "trading_blocked", "trade_suspended_by_user") if told.get(name)]
    status = words(told, "status")
    if status not in {"", "ACTIVE"}:
        flags.append(f"status {status}")
    return ", ".join(flags)


def position_of(value: object, broker: str) -> Position:
    """Return the position in `value`, its quantity signed.

    Raises:
        UnknownMessage: something is missing or unreadable.
    """
    told = fields(value, "position")
    quantity = abs(number(told, "qty", "position"))
    side = text(told, "side", "position")
    if side not in {"long", "short"}:
        raise UnknownMessage(f"position: side {side!r}")
    return Position(
        broker=broker,
        instrument=_instrument(told, fractional=quantity % ONE != ZERO),
        quantity=quantity if side == "long" else -quantity,
        average_price=number(told, "avg_entry_price", "position"),
    )


# --- our order, rebuilt from theirs ----------------------------------------------------------------------------------


def told_order(order: WireOrder, request: OrderRequest | None, broker: str) -> BrokerOrder:
    """Return `order` in the words of the broker protocol; `request` is what we asked, where we remember it."""
    return BrokerOrder(
        client_order_id=order.client_order_id,
        broker_order_id=order.order_id,
        status=order.status,
        request=request_of(order, broker) if request is None else _where_it_stands(request, order),
        filled_quantity=order.filled,
        reason=order.anomaly,
    )


def _where_it_stands(request: OrderRequest, order: WireOrder) -> OrderRequest:
    if not isinstance(request.stop, TrailingTrigger) or order.stop_price is None:
        return request
    return replace(request, stop=replace(request.stop, price=order.stop_price))


def request_of(order: WireOrder, broker: str) -> OrderRequest:
    """Return what must have been asked; a type that we never use is told as a limit, stop or market order."""
    name = OrderName.parse(order.client_order_id)
    kind = _TYPES.get(order.order_type)
    if kind is None:
        stops = order.stop_price or order.order_type == TRAILING
        kind = OrderType.STOP if stops else OrderType.LIMIT if order.limit_price else OrderType.MARKET
    stop = None
    if kind is OrderType.STOP and order.stop_price is not None:
        stop = StopTrigger(symbol=order.instrument.symbol, price=order.stop_price, rising=order.buys)
        if order.trail_percent:
            stop = TrailingTrigger(
                symbol=stop.symbol, price=stop.price, rising=stop.rising, trail=order.trail_percent / 100
            )
    return OrderRequest(
        client_order_id=order.client_order_id,
        trade_id="" if name is None else name.trade,
        broker=broker,
        instrument=order.instrument,
        side=side_of(order),
        quantity=order.filled if order.quantity is None else order.quantity,
        order_type=kind,
        limit_price=order.limit_price if kind is OrderType.LIMIT else None,
        stop=stop,
    )


def side_of(order: WireOrder) -> Side:
    """Return the side with its intent: as told, else by what our own name says the order is for."""
    name = OrderName.parse(order.client_order_id)
    opening = name is not None and name.leg in OPENING
    if order.buys:
        covers = order.intent == "buy_to_close" if order.intent else name is not None and not opening
        return Side.BUY_TO_COVER if covers else Side.BUY
    shorts = order.intent == "sell_to_open" if order.intent else opening
    return Side.SELL_SHORT if shorts else Side.SELL


def option_of(symbol: str) -> Instrument:
    """Return the standard option that an OCC symbol names.

    Raises:
        UnknownMessage: it is none.
    """
    found = _OCC.fullmatch(symbol)
    if found is None:
        raise UnknownMessage(f"option symbol {symbol!r}")
    day = found["day"]
    try:
        expiry = date(2000 + int(day[:2]), int(day[2:4]), int(day[4:]))
    except ValueError:
        raise UnknownMessage(f"option symbol {symbol!r}") from None
    return Instrument(
        symbol=symbol,
        asset_class=AssetClass.OPTION,
        multiplier=Decimal(100),
        underlying=found["root"],
        strike=Decimal(found["strike"]) / 1000,
        expiry=expiry,
        right=OptionRight.CALL if found["right"] == "C" else OptionRight.PUT,
    )


def _instrument(told: Mapping[str, object], *, fractional: bool) -> Instrument:
    symbol = text(told, "symbol", "instrument")
    if words(told, "asset_class") == _OPTIONS:
        return option_of(symbol)
    if words(told, "asset_class") in {"", _SHARES}:
        return equity(symbol, fractional=fractional)
    return Instrument(symbol=symbol, quantity_step=Decimal("0.000000001"))  # not ours; left alone
