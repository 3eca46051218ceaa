"""The brokers that the settings name, as real adapters: the one place where a permit for live trading is made."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from tbot_bot.broker.alpaca_orders import Surroundings
from tbot_bot.broker.authorization import LiveAuthorization
from tbot_bot.broker.broker_alpaca import alpaca_broker
from tbot_bot.broker.broker_ibkr import ibkr_broker
from tbot_bot.broker.turns import AlpacaTurns
from tbot_bot.config.choices import BrokerMode
from tbot_bot.config.env_bot import BotSettings
from tbot_bot.config.error_handler import BrokerError, ConfigError, ConfigProblem
from tbot_bot.config.settings import Settings
from tbot_bot.core.errors import BrokerRefused, BrokerUnavailable, UnknownMessage
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import Instant
from tbot_bot.core.orders import Capabilities
from tbot_bot.core.protocols import Broker
from tbot_bot.runtime.clock import monotonic_seconds
from tbot_bot.runtime.retry import RealWaiting

ALPACA: Final = "alpaca"
IBKR: Final = "ibkr"
_CONNECT_AGAIN_SECONDS: Final = 5.0


def live_brokers(
    settings: Settings,
    *,
    now: Callable[[], Instant],
    note: Callable[[str], None],
    ibkr_client_id: int | None = None,
    speed: float = 1.0,
    turns: AlpacaTurns | None = None,
) -> Mapping[str, Broker]:
    """Return the enabled brokers' adapters, not connected, in order of configuration.

    `now` is market time and stamps their events; `note` hears of troubles, in words without secrets.
    `ibkr_client_id` stands in for the settings' own where another process is at work. `speed` is the clock's, in
    market seconds per real one: a rehearsal's stand-in counts requests by market minutes. `turns` are Alpaca's, where
    others of this process ask by the same keys.

    Raises:
        ConfigError: a broker is enabled that sends no orders, or an account or address cannot be used.
        MachineError: a broker's client library is not installed.
    """
    return {
        name: live_broker(name, settings, now=now, note=note, ibkr_client_id=ibkr_client_id, speed=speed, turns=turns)
        for name in settings.bot.enabled_brokers
    }


def live_broker(
    name: str,
    settings: Settings,
    *,
    now: Callable[[], Instant],
    note: Callable[[str], None],
    ibkr_client_id: int | None = None,
    speed: float = 1.0,
    turns: AlpacaTurns | None = None,
) -> Broker:
    """Return one broker's adapter, whether it is enabled or not; see `live_brokers`.

    Raises:
        ConfigError, MachineError: see `live_brokers`.
    """
    bot = settings.bot
    match name:
        case "alpaca":
            around = Surroundings(
                now=now, monotonic=monotonic_seconds, dice=RealWaiting().dice, note=note, speed=speed, turns=turns
            )
            return alpaca_broker(settings, around, _permit(bot, bot.alpaca_mode))
        case "ibkr":
            permit = _permit(bot, bot.ibkr_mode)
            return ibkr_broker(settings, now=now, authorization=permit, client_id=ibkr_client_id)
        case _:
            raise ConfigError(
                [
                    ConfigProblem(
                        file=".env_bot",
                        variable=f"{name.upper()}_ENABLED",
                        expected="false outside the embedded market: this broker is sent no orders, and simulated "
                        "ones need a simulated market",
                        mend="disable it, or set TEST_MODE=true and TEST_MODE_VENUE=simulator",
                    )
                ]
            )


def capabilities_of(settings: Settings, brokers: Mapping[str, Broker]) -> Mapping[str, Capabilities]:
    """Return what each broker can do; `live` only where orders really go to a live account."""
    bot = settings.bot
    modes = {ALPACA: bot.alpaca_mode, IBKR: bot.ibkr_mode}
    return {
        name: replace(broker.capabilities, live=not bot.test_mode and modes.get(name) is BrokerMode.LIVE)
        for name, broker in brokers.items()
    }


async def connect(broker: Broker) -> str:
    """Connect `broker`; return why it cannot be reached, empty where it can.

    Raises:
        CredentialsRejected: it does not know our keys.
        BrokerError: it will not let this account trade.
    """
    try:
        await broker.connect()
    except (BrokerUnavailable, UnknownMessage) as problem:
        return f"{broker.name} cannot be reached: {problem}"
    except BrokerRefused as problem:
        raise BrokerError(str(problem), where=broker.name, mend="Look at the account at the broker.") from problem
    return ""


async def connect_again(broker: Broker, note: Callable[[str], None]) -> None:
    """Connect `broker`, however often it takes; the watchdog keeps entries away from it meanwhile.

    Raises:
        CredentialsRejected, BrokerError: see `connect`.
    """
    while why := await connect(broker):
        note(why)
        await asyncio.sleep(_CONNECT_AGAIN_SECONDS)


def _permit(bot: BotSettings, mode: BrokerMode) -> LiveAuthorization | None:
    if bot.test_mode or mode is not BrokerMode.LIVE:
        return None
    return LiveAuthorization(test_mode=bot.test_mode, mode=Mode.LIVE)


__all__ = ["capabilities_of", "connect", "connect_again", "live_broker", "live_brokers"]
