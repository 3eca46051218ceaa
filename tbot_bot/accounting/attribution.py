"""What a trade came to against what the simulated venue makes of the same commands over the same bars.

The difference in dollars is split without a remainder: `slippage` on what both executed, `missed_fills` for what only
one of them executed, and `fees`. A positive figure is money that the real account is better off by.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import chain
from typing import Final

from tbot_bot.core.identity import Leg, Mode, OrderName
from tbot_bot.core.instants import SECOND, Instant
from tbot_bot.core.instruments import Instrument
from tbot_bot.core.money import ZERO, to_cents
from tbot_bot.core.orders import Fill, OrderRequest

FORM: Final = 1
_MILLISECOND: Final = Decimal("0.001")


@dataclass(frozen=True, slots=True, kw_only=True)
class LegFills:
    """The executions of one side of a trade."""

    quantity: Decimal
    price: Decimal | None
    """Average per unit, to the millionth; None where nothing was executed."""
    at: Instant | None
    """Of the last execution."""
    fees: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeAttribution:
    """One trade, really and simulated; money in dollars."""

    trade_id: str
    broker: str
    symbol: str
    side: str
    """Of the entry."""
    entry: LegFills
    simulated_entry: LegFills
    exit: LegFills
    simulated_exit: LegFills
    entry_delay: Decimal | None
    """Seconds by which the real last execution was later; None where only one of them executed."""
    exit_delay: Decimal | None
    pnl: Decimal
    """After fees; what is still held counts at the last price on the tapes."""
    simulated_pnl: Decimal
    difference: Decimal
    slippage: Decimal
    missed_fills: Decimal
    fees: Decimal
    beyond_tape: bool
    """No tape has the bar in which the session ended: the simulator was given the real executions in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributionSums:
    """Trades added up."""

    broker: str
    """Empty for all brokers."""
    trades: int
    missed: int
    """Trades of which the simulator executed more, in or out."""
    delay: Decimal | None
    """Mean seconds over all entries and exits that both executed."""
    pnl: Decimal
    simulated_pnl: Decimal
    difference: Decimal
    slippage: Decimal
    missed_fills: Decimal
    fees: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class NotCompared:
    """A trade that cannot be simulated from the record, and why."""

    trade_id: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """A day's report, as it stands in `output/summaries/attribution_<mode>_<day>.json`."""

    form: int
    mode: Mode
    day: date
    at: Instant
    """When it was made, real time."""
    total: AttributionSums
    brokers: tuple[AttributionSums, ...]
    trades: tuple[TradeAttribution, ...]
    not_compared: tuple[NotCompared, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TradePair:
    """The executions of one trade on both sides."""

    first: OrderRequest
    """The first order of the trade."""
    real: Sequence[Fill]
    simulated: Sequence[Fill]
    last_price: Decimal
    """Of the instrument on the tapes."""
    beyond_tape: bool


def attribute(pair: TradePair) -> TradeAttribution:
    """Split the difference between the two sides of a trade."""
    request, instrument = pair.first, pair.first.instrument
    real, simulated = _Side(pair.real), _Side(pair.simulated)
    sign = 1 if request.side.buys else -1
    result, simulated_result = (
        sign * (one.entry.worth(instrument, pair.last_price) - one.exit.worth(instrument, pair.last_price)) - one.fees
        for one in (real, simulated)
    )
    slipped = sign * (
        _slipped(instrument, real.entry, simulated.entry) - _slipped(instrument, real.exit, simulated.exit)
    )
    fees, difference = simulated.fees - real.fees, result - simulated_result
    return TradeAttribution(
        trade_id=request.trade_id, broker=request.broker, symbol=instrument.symbol, side=request.side.value,
        entry=real.entry.told(), simulated_entry=simulated.entry.told(),
        exit=real.exit.told(), simulated_exit=simulated.exit.told(),
        entry_delay=_delay(real.entry, simulated.entry), exit_delay=_delay(real.exit, simulated.exit),
        pnl=result, simulated_pnl=simulated_result, difference=difference,
        slippage=slipped, missed_fills=difference - slipped - fees, fees=fees, beyond_tape=pair.beyond_tape,
    )  # fmt: skip


def sums(trades: Sequence[TradeAttribution], broker: str = "") -> AttributionSums:
    """Add up the trades of `broker`, or all."""
    mine = [one for one in trades if broker in {"", one.broker}]
    delays = [each for one in mine for each in (one.entry_delay, one.exit_delay) if each is not None]
    return AttributionSums(
        broker=broker,
        trades=len(mine),
        missed=sum(
            one.simulated_entry.quantity > one.entry.quantity or one.simulated_exit.quantity > one.exit.quantity
            for one in mine
        ),
        delay=(sum(delays, ZERO) / len(delays)).quantize(_MILLISECOND) if delays else None,
        pnl=sum((one.pnl for one in mine), ZERO),
        simulated_pnl=sum((one.simulated_pnl for one in mine), ZERO),
        difference=sum((one.difference for one in mine), ZERO),
        slippage=sum((one.slippage for one in mine), ZERO),
        missed_fills=sum((one.missed_fills for one in mine), ZERO),
        fees=sum((one.fees for one in mine), ZERO),
    )


def is_entry(client_order_id: str) -> bool:
    """Return whether an order of ours opens its trade."""
    name = OrderName.parse(client_order_id)
    return name is not None and name.leg is Leg.ENTRY


class _Executed:
    """One leg's executions, added up."""

    def __init__(self, fills: Iterable[Fill]) -> None:
        self.fills = tuple(fills)
        self.quantity = sum((one.quantity for one in self.fills), ZERO)
        self.value = sum((one.quantity * one.price for one in self.fills), ZERO)
        self.fees = sum((one.fees for one in self.fills), ZERO)
        self.at = max((one.transacted_at for one in self.fills), default=None)

    def worth(self, instrument: Instrument, price: Decimal) -> Decimal:
        """Return what holding the quantity at `price` is above what it was executed at."""
        return (self.quantity * price - self.value) * instrument.multiplier

    def told(self) -> LegFills:
        average = (self.value / self.quantity).quantize(Decimal("0.000001")) if self.quantity else None
        return LegFills(quantity=self.quantity, price=average, at=self.at, fees=self.fees)


class _Side:
    """Both legs on one side."""

    def __init__(self, fills: Sequence[Fill]) -> None:
        self.entry = _Executed(one for one in fills if is_entry(one.client_order_id))
        self.exit = _Executed(one for one in fills if not is_entry(one.client_order_id))
        self.fees = sum((one.fees for one in chain(self.entry.fills, self.exit.fills)), ZERO)


def _slipped(instrument: Instrument, real: _Executed, simulated: _Executed) -> Decimal:
    """Return by how many dollars buying was cheaper, on the quantity that both executed, in cents if they differ."""
    if real.quantity == simulated.quantity:
        return (simulated.value - real.value) * instrument.multiplier
    both = min(real.quantity, simulated.quantity)
    if not both:
        return ZERO
    per_unit = simulated.value / simulated.quantity - real.value / real.quantity
    return to_cents(per_unit * both * instrument.multiplier)


def _delay(real: _Executed, simulated: _Executed) -> Decimal | None:
    if real.at is None or simulated.at is None:
        return None
    return (Decimal(real.at - simulated.at) / SECOND).quantize(_MILLISECOND)


__all__ = [
    "FORM", "Attribution", "AttributionSums", "LegFills", "NotCompared", "TradeAttribution", "TradePair", "attribute",
    "is_entry", "sums",
]  # fmt: skip
