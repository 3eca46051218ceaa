"""What the journal and the trade history are told of trades that were closed without an engine."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

from tbot_bot.core.commands import TradeRecord
from tbot_bot.core.identity import Mode, TradeName
from tbot_bot.core.instants import Instant
from tbot_bot.core.instruments import AssetClass, Instrument
from tbot_bot.core.money import ZERO, to_cents
from tbot_bot.core.orders import Direction, Fill
from tbot_bot.runtime.flattening import EXIT_REASON, VenueTrade

UNCLOSED: Final = "unclosed"
"""Error code of a trade that is still held, or was closed by somebody else."""
_AVERAGE_DECIMALS: Final = 6


def record_of(trade: VenueTrade, mode: Mode, at: Instant, reason: str = EXIT_REASON) -> TradeRecord | None:
    """Return the trade as the trade history shows it, left for `reason`; None where nothing was ever executed.

    A position that could not be closed has no result yet: fees only, and `unclosed` as error.
    """
    name, instrument = TradeName.parse(trade.trade_id), trade.instrument
    bought, sold = trade.fills_of(entry=True), trade.fills_of(entry=False)
    if name is None or instrument is None or not bought:
        return None
    sign = 1 if trade.orders[bought[0].client_order_id].request.side.buys else -1
    fees = sum((fill.fees for fill in trade.fills), ZERO)
    closed = trade.flat and not trade.missing
    gross = sign * instrument.multiplier * (_value(sold) - _value(bought)) if closed else ZERO
    modelled = any(fill.modelled for fill in trade.fills)
    return TradeRecord(
        at=sold[-1].transacted_at if sold else at,
        entered_at=bought[0].transacted_at,
        trade_id=trade.trade_id,
        strategy=name.session.strategy,
        ticker=name.symbol,
        underlying=instrument.underlying or instrument.symbol,
        side=_direction(name.symbol, instrument, sign),
        instrument=instrument.symbol,
        size=_quantity(bought),
        entry_price=_average(bought),
        exit_price=_average(sold),
        pnl=to_cents(gross - fees),
        fees=to_cents(fees),
        slippage=ZERO,
        exit_reason=reason,
        broker=name.broker,
        mode=mode,
        session_id=str(name.session),
        tags=("MODELLED_PRICE",) if modelled else (),
        error_code=reason if closed else UNCLOSED,
        signal_to_order_ns=0,
        order_to_fill_ns=0,
    )


def _direction(symbol: str, instrument: Instrument, sign: int) -> Direction:
    """Return what was expected of the underlying: a put or another symbol bought is a bearish trade."""
    bought_itself = sign > 0 and instrument.asset_class is AssetClass.EQUITY and instrument.symbol == symbol
    return Direction.LONG if bought_itself else Direction.BEARISH


def _quantity(fills: Iterable[Fill]) -> Decimal:
    return sum((fill.quantity for fill in fills), ZERO)


def _value(fills: Iterable[Fill]) -> Decimal:
    return sum((fill.price * fill.quantity for fill in fills), ZERO)


def _average(fills: Sequence[Fill]) -> Decimal | None:
    quantity = _quantity(fills)
    return round(_value(fills) / quantity, _AVERAGE_DECIMALS) if quantity > ZERO else None


__all__ = ["UNCLOSED", "record_of"]
