"""Alpaca's JSON for what the exchange knows: account, assets, clock, calendar, orders, positions, fills.

Trading amounts are strings, market data numbers. Types and presence follow the vendor's OpenAPI documents.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final
from uuid import UUID, uuid5

from tbot_bot.core.calendar import CLOSING_BELL, TradingDay, exchange_time, next_trading_day, trading_day
from tbot_bot.core.instants import Instant, iso
from tbot_bot.core.instruments import AssetClass, Instrument
from tbot_bot.core.money import ZERO, plain, to_cents
from tbot_bot.core.orders import Account, Fill, Position
from tbot_bot.sandbox.serving import Json
from tbot_bot.sandbox.tickets import Kind, Order, Phase

_SPACE: Final = UUID("2b1b7f3e-5a0c-4a44-9a53-7f6f1c8e0d10")
_PLAIN_STATUS: Final = {
    Phase.HELD: "held",
    Phase.FILLED: "filled",
    Phase.CANCELED: "canceled",
    Phase.EXPIRED: "expired",
    Phase.REPLACED: "replaced",
    Phase.REJECTED: "rejected",
}
_ENDED_BY: Final = {
    Phase.FILLED: "filled_at",
    Phase.CANCELED: "canceled_at",
    Phase.EXPIRED: "expired_at",
    Phase.REPLACED: "replaced_at",
    Phase.REJECTED: "failed_at",
}
_RATIO: Final = Decimal("0.000001")


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """What the vendor's side remembers of an order, beside what the exchange does."""

    client_order_id: str
    order_class: str
    """`simple`, `bracket`, `oco` or `oto`."""
    notional: Decimal | None = None


def order_uuid(number: int) -> str:
    """Return the vendor's id of an order."""
    return str(uuid5(_SPACE, f"order {number}"))


def asset_uuid(symbol: str) -> str:
    """Return the vendor's id of an asset."""
    return str(uuid5(_SPACE, f"asset {symbol}"))


def execution_uuid(execution_id: str) -> str:
    """Return the vendor's id of an execution."""
    return str(uuid5(_SPACE, f"execution {execution_id}"))


def money(amount: Decimal) -> str:
    """Return dollars as the vendor writes them."""
    return plain(to_cents(amount))


def order_json(
    order: Order, placed: Placed, legs: Sequence[Mapping[str, Json]] | None, *, is_open: bool
) -> dict[str, Json]:
    """Return an order; `legs` nested in it, None where it has none or is listed flat."""
    ticket = order.ticket
    shape: dict[str, Json] = dict.fromkeys(_ENDED_BY.values())
    shape |= {
        "id": order_uuid(order.number),
        "client_order_id": placed.client_order_id,
        "created_at": iso(order.submitted_at),
        "updated_at": iso(order.updated_at),
        "submitted_at": iso(order.submitted_at),
        "replaced_by": None if order.replaced_by is None else order_uuid(order.replaced_by),
        "replaces": None if order.replaces is None else order_uuid(order.replaces),
        "asset_id": asset_uuid(ticket.instrument.symbol),
        "symbol": ticket.instrument.symbol,
        "asset_class": class_of(ticket.instrument),
        "notional": None if placed.notional is None else plain(placed.notional),
        "qty": None if placed.notional is not None else plain(ticket.quantity),
        "filled_qty": plain(order.filled),
        "filled_avg_price": None if order.average_price is None else plain(round(order.average_price, 6)),
        "order_class": placed.order_class,
        "order_type": ticket.kind.value,
        "type": ticket.kind.value,
        "side": "buy" if ticket.buys else "sell",
        "time_in_force": ticket.lifetime.value,
        "limit_price": _maybe(ticket.limit),
        "stop_price": _maybe(order.stop),
        "status": status_of(order, is_open=is_open),
        "extended_hours": ticket.extended_hours,
        "legs": legs,
        "trail_percent": _maybe(ticket.trail_percent),
        "trail_price": _maybe(ticket.trail),
        "hwm": _maybe(order.high_water) if ticket.kind is Kind.TRAILING_STOP else None,
        "source": None,
        "subtag": None,
    }
    ended = _ENDED_BY.get(order.phase)
    if ended is not None and order.ended_at is not None:
        shape[ended] = iso(order.ended_at)
    return shape


def status_of(order: Order, *, is_open: bool) -> str:
    """Return the vendor's status; what waits for the opening bell is `accepted`."""
    if order.phase is not Phase.WORKING:
        return _PLAIN_STATUS[order.phase]
    if order.filled:
        return "partially_filled"
    return "new" if is_open else "accepted"


def class_of(instrument: Instrument) -> str:
    """Return the vendor's asset class."""
    return "us_option" if instrument.asset_class is AssetClass.OPTION else "us_equity"


def account_json(account: Account, *, cash_start: Decimal, long_value: Decimal, short_value: Decimal) -> Json:
    """Return the account; `cash_start` stands for the equity of the day before, values are signed dollars."""
    gross = long_value - short_value
    free = money(max(account.cash, ZERO))
    return {
        "id": str(uuid5(_SPACE, "account")),
        "account_number": "PA3SANDBOX01",
        "status": "ACTIVE",
        "crypto_status": "INACTIVE",
        "currency": "USD",
        "cash": money(account.cash),
        "buying_power": money(account.buying_power),
        "regt_buying_power": money(max(account.equity * 2 - gross, ZERO)),
        "daytrading_buying_power": money(account.buying_power),
        "non_marginable_buying_power": free,
        "options_buying_power": free,
        "options_approved_level": 2,
        "options_trading_level": 2,
        "accrued_fees": "0",
        "pending_transfer_in": "0",
        "portfolio_value": money(account.equity),
        "equity": money(account.equity),
        "last_equity": money(cash_start),
        "long_market_value": money(long_value),
        "short_market_value": money(short_value),
        "initial_margin": money(gross / 2),
        "maintenance_margin": money(gross * Decimal("0.3")),
        "last_maintenance_margin": "0",
        "sma": "0",
        "multiplier": "4",
        "daytrade_count": account.day_trades,
        "pattern_day_trader": False,
        "trading_blocked": False,
        "transfers_blocked": False,
        "account_blocked": False,
        "trade_suspended_by_user": False,
        "shorting_enabled": True,
        "created_at": "2024-01-02T15:00:00Z",
    }


def asset_json(symbol: str, *, borrowable: bool) -> Json:
    """Return a share as an asset."""
    return {
        "id": asset_uuid(symbol),
        "class": "us_equity",
        "exchange": "NASDAQ",
        "symbol": symbol,
        "name": f"{symbol} (sandbox)",
        "status": "active",
        "tradable": True,
        "marginable": True,
        "maintenance_margin_requirement": 30,
        "shortable": borrowable,
        "easy_to_borrow": borrowable,
        "fractionable": True,
        "attributes": ["has_options"],
    }


def position_json(position: Position, *, price: Decimal, previous: Decimal, available: Decimal) -> Json:
    """Return a position marked at `price`; `previous` is the close of the day before, dollars per unit."""
    instrument, quantity = position.instrument, position.quantity
    value = instrument.notional(price, quantity)
    cost = instrument.notional(position.average_price, quantity)
    gain = value - cost
    part = plain((gain / abs(cost)).quantize(_RATIO)) if cost else "0"
    return {
        "asset_id": asset_uuid(instrument.symbol),
        "symbol": instrument.symbol,
        "exchange": "" if instrument.underlying else "NASDAQ",
        "asset_class": class_of(instrument),
        "asset_marginable": not instrument.underlying,
        "avg_entry_price": plain(round(position.average_price, 6)),
        "qty": plain(quantity),
        "qty_available": plain(available),
        "side": "long" if quantity > ZERO else "short",
        "market_value": money(value),
        "cost_basis": money(cost),
        "unrealized_pl": money(gain),
        "unrealized_plpc": part,
        "unrealized_intraday_pl": money(gain),
        "unrealized_intraday_plpc": part,
        "current_price": plain(price),
        "lastday_price": plain(previous),
        "change_today": plain(((price - previous) / previous).quantize(_RATIO)) if previous else "0",
    }


def activity_json(fill: Fill, order: Order, leaves: Decimal) -> Json:
    """Return an execution as an account activity."""
    at = exchange_time(fill.transacted_at)
    return {
        "id": f"{at:%Y%m%d%H%M%S}{at.microsecond // 1000:03d}::{execution_uuid(fill.execution_id)}",
        "activity_type": "FILL",
        "type": "fill" if leaves <= ZERO else "partial_fill",
        "price": plain(fill.price),
        "qty": plain(fill.quantity),
        "side": "buy" if order.ticket.buys else "sell",
        "symbol": order.ticket.instrument.symbol,
        "leaves_qty": plain(max(leaves, ZERO)),
        "cum_qty": plain(order.ticket.quantity - max(leaves, ZERO)),
        "order_id": order_uuid(order.number),
        "order_status": status_of(order, is_open=True),
        "transaction_time": iso(fill.transacted_at),
    }


def clock_json(at: Instant) -> Json:
    """Return the market's clock by the calendar, in New York time."""
    now = exchange_time(at)
    session = _session_at(now.date(), at)
    is_open = session.open_at <= at
    following = trading_day(next_trading_day(session.day)) if is_open else session
    return {
        "timestamp": now.isoformat(),
        "is_open": is_open,
        "next_open": _offset(following.open_at),
        "next_close": _offset(session.close_at),
    }


def calendar_json(session: TradingDay) -> Json:
    """Return one day of the calendar."""
    return {
        "date": session.day.isoformat(),
        "open": f"{exchange_time(session.open_at):%H:%M}",
        "close": f"{exchange_time(session.close_at):%H:%M}",
        "session_open": "0400",
        "session_close": "2000" if exchange_time(session.close_at).time() == CLOSING_BELL else "1700",
        "settlement_date": next_trading_day(session.day).isoformat(),
    }


def contract_json(put: Instrument) -> Json:
    """Return a put as an option contract."""
    assert put.expiry is not None, "every listed put expires"  # noqa: S101
    return {
        "id": asset_uuid(put.symbol),
        "symbol": put.symbol,
        "name": f"{put.underlying} {put.expiry:%b %d %Y} {plain(put.strike)} Put",
        "status": "active",
        "tradable": True,
        "expiration_date": put.expiry.isoformat(),
        "root_symbol": put.underlying,
        "underlying_symbol": put.underlying,
        "underlying_asset_id": asset_uuid(put.underlying),
        "type": "put",
        "style": "american",
        "strike_price": plain(put.strike),
        "multiplier": "100",
        "size": "100",
        "open_interest": "100",
        "open_interest_date": put.expiry.isoformat(),
    }


def _session_at(day: date, at: Instant) -> TradingDay:
    """Return the session that `at` lies in, else the next one."""
    try:
        session = trading_day(day)
    except ValueError:
        return trading_day(next_trading_day(day))
    return session if at < session.close_at else trading_day(next_trading_day(day))


def _offset(at: Instant) -> str:
    moment: datetime = exchange_time(at)
    return moment.isoformat()


def _maybe(price: Decimal | None) -> str | None:
    return None if price is None else plain(price)
