"""What really rests at the brokers under our positions, asked for every few seconds; the engine judges.

A stop of which a broker no longer knows is looked up like any order in doubt, and what it turns out to be enters as
an ordinary event. The engine hears of the check itself only where a position has no live stop, so a quiet day
leaves no rows.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from tbot_bot.core.errors import BrokerUnavailable
from tbot_bot.core.events import ProtectionChecked
from tbot_bot.core.identity import Leg
from tbot_bot.core.instants import SECOND, Duration, Instant
from tbot_bot.core.money import ZERO
from tbot_bot.core.protocols import Broker
from tbot_bot.runtime.shell import SessionShell
from tbot_bot.trading.protection import unprotected
from tbot_bot.trading.session_state import Trade

CHECK_EVERY: Final = Duration(5 * SECOND)
"""Market time between two checks."""
CHECK_SECONDS_MIN: Final = 0.1
"""Real time between two checks, however fast the market's clock runs."""


class ProtectionMonitor:
    """Looks after the protective stops of one session."""

    def __init__(
        self, shell: SessionShell, brokers: Mapping[str, Broker], settle: Callable[[], Awaitable[None]]
    ) -> None:
        """`settle` looks up the orders that the shell doubts."""
        self._shell, self._brokers, self._settle = shell, brokers, settle

    async def check(self, at: Instant) -> None:
        """Ask each broker where something of ours is held what rests, at market time `at`."""
        state = self._shell.engine.state
        held = [trade for trade in state.active_trades() if not trade.exit_code and state.held(trade) > ZERO]
        if not held:
            return
        for name in dict.fromkeys(trade.broker for trade in held):
            await self._doubt_what_is_gone(name, [trade for trade in held if trade.broker == name])
        await self._settle()
        lacking = unprotected(state)
        if lacking:
            names = tuple(trade.trade_id for trade in lacking)
            await self._shell.take(ProtectionChecked(at=max(at, self._shell.at), trade_ids=names))

    async def _doubt_what_is_gone(self, name: str, trades: list[Trade]) -> None:
        try:
            resting = {order.client_order_id for order in await self._brokers[name].open_orders()}
        except BrokerUnavailable:
            return  # the watchdog's business; asked again in a moment
        state = self._shell.engine.state
        for trade in trades:
            for order in state.open_orders_of(trade, Leg.STOP):
                if order.request.client_order_id not in resting:
                    self._shell.doubted[order.request.client_order_id] = None


__all__ = ["CHECK_EVERY", "CHECK_SECONDS_MIN", "ProtectionMonitor"]
