"""Cash, positions and settlement of one simulated account: a fold over its executions."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from tbot_bot.broker.venue_state import Execution
from tbot_bot.core.instants import Instant, to_datetime
from tbot_bot.core.instruments import AssetClass, Instrument
from tbot_bot.core.money import ZERO, nearest_to

_COST_STEP: Final = Decimal("0.000000001")
_SATURDAY: Final = 5
_SETTLEMENT: Final = (
    (date(2024, 5, 28), 1),
    (date(2017, 9, 5), 2),
    (date(1995, 6, 7), 3),
)
"""Trading days from trade to settlement of shares, latest first. Source: SEC Rule 15c6-1 and its amendments."""


@dataclass(slots=True, kw_only=True)
class Holding:
    """A position that is not flat."""

    instrument: Instrument
    quantity: Decimal
    """Signed: negative is short."""
    cost: Decimal
    """Dollars paid for what is held, with the multiplier in and the sign of the quantity."""

    @property
    def average_price(self) -> Decimal:
        """Return the price per unit at which the position was built, before fees."""
        return self.cost / self.quantity / self.instrument.multiplier


class VenueAccount:
    """Books executions one by one; at any time cash = start + realised - fees - cost of what is held, exactly."""

    def __init__(self, cash: Decimal) -> None:
        """`cash` is what the account starts with, in dollars, settled."""
        self.cash = cash
        self.realized = ZERO
        """Dollars won or lost by closing, before fees."""
        self.fees = ZERO
        self.holdings: dict[str, Holding] = {}
        self._unsettled: list[tuple[date, Decimal]] = []

    def held(self, symbol: str) -> Decimal:
        """Return the signed quantity held."""
        holding = self.holdings.get(symbol)
        return ZERO if holding is None else holding.quantity

    def book(self, execution: Execution) -> None:
        """Apply one execution, unless it was busted."""
        if execution.busted:
            return
        fill, instrument = execution.fill, execution.instrument
        quantity = fill.quantity if execution.buys else -fill.quantity
        held = self.held(instrument.symbol)
        if not execution.buys:
            proceeds = instrument.notional(fill.price, fill.quantity) - fill.fees
            self._unsettled.append((_settles_on(instrument, fill.transacted_at), proceeds))
        self.cash -= instrument.notional(fill.price, quantity) + fill.fees
        self.fees += fill.fees
        closing = _closing_part(held, quantity)
        if closing:
            self._close(instrument, closing, fill.price)
        if quantity != closing:
            self._open(instrument, quantity - closing, fill.price)

    def _close(self, instrument: Instrument, quantity: Decimal, price: Decimal) -> None:
        holding = self.holdings[instrument.symbol]
        if quantity == -holding.quantity:
            removed = holding.cost
            del self.holdings[instrument.symbol]
        else:
            removed = nearest_to(holding.cost * -quantity / holding.quantity, _COST_STEP)
            holding.quantity += quantity
            holding.cost -= removed
        self.realized -= instrument.notional(price, quantity) + removed

    def _open(self, instrument: Instrument, quantity: Decimal, price: Decimal) -> None:
        value = instrument.notional(price, quantity)
        holding = self.holdings.get(instrument.symbol)
        if holding is None:
            self.holdings[instrument.symbol] = Holding(instrument=instrument, quantity=quantity, cost=value)
        else:
            holding.quantity += quantity
            holding.cost += value

    def settled_cash(self, at: Instant) -> Decimal:
        """Return cash without the proceeds of sales that settle after `at`; never more than the cash."""
        today = to_datetime(at).date()
        self._unsettled = [entry for entry in self._unsettled if entry[0] > today]
        return self.cash - sum((amount for _, amount in self._unsettled), ZERO)

    def worth(self, mark: Callable[[Instrument], Decimal | None]) -> tuple[Decimal, Decimal, Decimal]:
        """Return equity, gross exposure in shares and the value owed for shorts, in dollars.

        `mark` gives the last price per unit; where it knows none, the average price stands in.
        """
        equity, gross, owed = self.cash, ZERO, ZERO
        for holding in self.holdings.values():
            price = mark(holding.instrument)
            if price is None:
                price = holding.average_price
            value = holding.instrument.notional(price, holding.quantity)
            equity += value
            if holding.instrument.asset_class is AssetClass.EQUITY:
                gross += abs(value)
            owed -= min(value, ZERO)
        return equity, gross, owed


def _closing_part(held: Decimal, quantity: Decimal) -> Decimal:
    """Return the signed part of `quantity` that reduces a position of `held`."""
    if held == ZERO or (held > ZERO) == (quantity > ZERO):
        return ZERO
    return max(quantity, -held) if quantity < ZERO else min(quantity, -held)


def _settles_on(instrument: Instrument, at: Instant) -> date:
    """Return the day on which a sale at `at` is cash; weekends are skipped, holidays are not known here."""
    day = to_datetime(at).date()
    if instrument.asset_class is AssetClass.OPTION:
        wait = 1
    else:
        wait = next((days for since, days in _SETTLEMENT if day >= since), 3)
    while wait:
        day += timedelta(days=1)
        wait -= day.weekday() < _SATURDAY
    return day
