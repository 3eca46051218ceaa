"""What a simulated venue remembers, as records, and what it is told about the world it trades in."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Protocol

from tbot_bot.core.codec import record
from tbot_bot.core.instants import Instant
from tbot_bot.core.instruments import AssetClass, Instrument
from tbot_bot.core.money import ZERO
from tbot_bot.core.options import PutQuote, PutSides
from tbot_bot.core.orders import BrokerOrder, BrokerOrderStatus, Fill, OrderRequest

EXECUTION_PARTICIPATION: Final = Decimal("0.10")
"""Fraction of a bar's volume that our orders may take; the usual ceiling of execution algorithms."""


class PutPricer(Protocol):
    """A model of an option's premium, where no recorded chain gives one."""

    def price(self, instrument: Instrument, spot: float, at: Instant) -> float | None:
        """Return the middle in dollars per share with the underlying at `spot`; None where it cannot be told."""
        ...


class MarketFacts(Protocol):
    """What is recorded of a market beside its bars; every answer is as of the instant asked for."""

    def spread(self, symbol: str, at: Instant) -> Decimal:
        """Return the spread of a share in dollars."""
        ...

    def to_borrow(self, symbol: str, at: Instant) -> Decimal | None:
        """Return how many shares can be borrowed; None: as many as wanted."""
        ...

    def put_sides(self, instrument: Instrument, since: Instant, until: Instant) -> Sequence[PutSides]:
        """Return the put's quote that stands at `since`, and those after it until `until`; none: nobody knows."""
        ...

    def puts_offered(self, underlying: str, spot: Decimal, at: Instant, min_days: int) -> tuple[PutQuote, ...]:
        """Return the puts on offer at `at` that expire in `min_days` calendar days or later; none: nobody knows."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueRules:
    """The world's side of a simulated account; not part of its state."""

    participation: Decimal = EXECUTION_PARTICIPATION
    """Fraction of a bar's volume, over all our orders of one symbol."""
    slippage_bps: Decimal = ZERO
    """Hundredths of a percent by which market and stop fills are worse than the price they met."""
    slippage_spread: Decimal = ZERO
    """Fraction of a share's spread by which they are worse; `MarketFacts` tells the spread."""
    slippage_volume: Decimal = ZERO
    """Fraction of the price by which they are worse, times the square of our share of the bar's volume."""
    slippage_on_limits: bool = False
    """Whether limits that the open meets pay slippage too, as far as the limit allows."""
    margin: bool = True
    """False: shares and options are paid in cash, and nothing is sold short."""
    fractional: bool = True
    short: bool = True
    options: bool = True
    minimum_notional: Decimal = ZERO
    """Dollars, of orders that open a position."""
    tradable: frozenset[str] | None = None
    """Symbols of shares (and of underlyings) that the venue knows; None knows all."""
    halted: frozenset[str] = frozenset()
    """Symbols that rest but do not trade; options follow their underlying."""
    unborrowable: frozenset[str] = frozenset()
    """Symbols that cannot be sold short."""


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class VenueOrder:
    """An order with what the venue has done about it so far."""

    number: int
    """Counts the orders that this venue was ever given, from 1."""
    broker: str
    request: OrderRequest
    status: BrokerOrderStatus
    submitted_at: Instant
    filled: Decimal = ZERO
    value: Decimal = ZERO
    """Dollars that the executions moved, with the multiplier in."""
    commission: Decimal = ZERO
    """Dollars charged so far for the order as a whole."""
    triggered: bool = False
    """A stop that woke and now wants the market's price."""
    reason: str = ""

    @property
    def broker_order_id(self) -> str:
        """Return the venue's own id of the order."""
        return f"{self.broker}-o{self.number}"

    @property
    def remaining(self) -> Decimal:
        """Return what is asked and not yet executed."""
        return self.request.quantity - self.filled

    def told(self) -> BrokerOrder:
        """Return the order in the words of the broker protocol."""
        return BrokerOrder(
            client_order_id=self.request.client_order_id,
            broker_order_id=self.broker_order_id,
            status=self.status,
            request=self.request,
            filled_quantity=self.filled,
            reason=self.reason,
        )


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """A fill with what is needed to book it; a busted one stays and counts for nothing."""

    number: int
    fill: Fill
    instrument: Instrument
    buys: bool
    busted: bool = False


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class VenueClock:
    """How far the venue has come, with what belongs to the bar at hand."""

    now: Instant
    """The latest instant that anybody told."""
    opened: Instant
    """Start of the last bar whose open was traded; 0 before the first."""
    ranged: Instant
    """End of the last bar whose range was traded; 0 before the first."""
    closed: bool
    """The bar that ended at `ranged` trades no more, whoever asks again."""
    marks: tuple[tuple[str, Decimal], ...] = ()
    """Last prices of shares, by symbol."""
    used: tuple[tuple[str, Decimal], ...] = ()
    """Quantity that our orders took of the bar at hand, by instrument."""
    tried: tuple[str, ...] = ()
    """Client ids of orders that have met the range of the bar at hand."""


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class VenueState:
    """Everything a venue knows; positions and cash follow from the executions."""

    broker: str
    cash_start: Decimal
    clock: VenueClock
    orders: tuple[VenueOrder, ...]
    executions: tuple[Execution, ...]


def watched_share(instrument: Instrument) -> str:
    """Return the symbol of the share whose bars move `instrument`."""
    return instrument.underlying if instrument.asset_class is AssetClass.OPTION else instrument.symbol
