"""What each broker's adapter can do, as data.

A broker with `real_orders` False screens and simulates only: enabling it never sends an order anywhere.
"""

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from tbot_bot.core.orders import Capabilities

SIMULATED: Final = Capabilities(real_orders=False, live=False)

CAPABILITIES: Final[Mapping[str, Capabilities]] = MappingProxyType(
    {
        # Alpaca Trading API: fractions on simple day orders, no orders conditional on another symbol (the adapter
        # keeps such stops itself), fractional and notional orders from one dollar; `trailing_stop` by `trail_percent`
        "alpaca": Capabilities(real_orders=True, live=True, trailing_stops=True, minimum_notional=Decimal(1)),
        # TWS API: price conditions on other contracts; fractions not through the API on every account; `TRAIL` by
        # `trailingPercent`
        "ibkr": Capabilities(real_orders=True, live=True, fractional=False, trailing_stops=True),
        "tradier": Capabilities(real_orders=False, live=False, fractional=False),
        "webull": Capabilities(real_orders=False, live=False),
        "robinhood": Capabilities(real_orders=False, live=False, short=False),
        "sim": SIMULATED,
    }
)
"""By broker name, in the order in which the build document names them."""
