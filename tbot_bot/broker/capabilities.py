"""What each broker's adapter can do, as data.

A broker with `real_orders` False screens and simulates only: enabling it never sends an order anywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from tbot_bot.core.instruments import AssetClass
from tbot_bot.core.orders import Capabilities

SIMULATED: Final = Capabilities(real_orders=False, live=False)

CAPABILITIES: Final[Mapping[str, Capabilities]] = MappingProxyType(
    {
        # Alpaca Trading API: fractions on simple day orders, no orders conditional on another symbol,
        # fractional and notional orders from one dollar
        "alpaca": Capabilities(real_orders=True, live=True, conditional_stops=False, minimum_notional=Decimal(1)),
        # TWS API: price conditions on other contracts; fractions not through the API on every account
        "ibkr": Capabilities(real_orders=True, live=True, fractional=False),
        "tradier": Capabilities(real_orders=False, live=False, fractional=False),
        "webull": Capabilities(real_orders=False, live=False),
        "robinhood": Capabilities(real_orders=False, live=False, short=False),
        "sim": SIMULATED,
    }
)
"""By broker name, in the order in which the build document names them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderNeed:
    """What an order asks of a broker, for routing."""

    asset_class: AssetClass = AssetClass.EQUITY
    short: bool = False
    fractional: bool = False
    conditional_stop: bool = False

    def met_by(self, capabilities: Capabilities) -> bool:
        """Return whether a broker with `capabilities` can take such an order."""
        return (
            (capabilities.options or self.asset_class is not AssetClass.OPTION)
            and (capabilities.short or not self.short)
            and (capabilities.fractional or not self.fractional)
            and (capabilities.conditional_stops or not self.conditional_stop)
        )
