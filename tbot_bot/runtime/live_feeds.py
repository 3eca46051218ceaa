"""Which broker's market data feed a live session.

Alpaca's where Alpaca is enabled, also beside Interactive Brokers: its stream tells finished minutes, and its history is
asked for many symbols at once. Interactive Brokers' where it trades alone. One source per session: two vendors' bars of
one minute differ, and a range that was made of both would be nobody's.
"""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Final, Protocol

from tbot_bot.broker.alpaca_http import AlpacaHttp
from tbot_bot.broker.alpaca_rest import AlpacaRest
from tbot_bot.broker.broker_ibkr import IbkrBroker
from tbot_bot.broker.ibkr_stream import IbkrStream
from tbot_bot.broker.turns import AlpacaTurns
from tbot_bot.config.choices import BrokerMode
from tbot_bot.config.error_handler import ConfigError, ConfigProblem
from tbot_bot.config.settings import Settings
from tbot_bot.core.instants import SECOND, Instant
from tbot_bot.core.protocols import Broker
from tbot_bot.marketdata.alpaca_feed import AlpacaFeed, FeedSurroundings, StreamAccess
from tbot_bot.marketdata.ibkr_feed import IbkrFeed
from tbot_bot.marketdata.live_feed import LiveFeed
from tbot_bot.runtime.clock import monotonic_seconds
from tbot_bot.runtime.live_brokers import ALPACA, IBKR
from tbot_bot.runtime.retry import RealWaiting

_DEADLINE_SECONDS_MAX: Final = 10.0


class RunningFeed(LiveFeed, Protocol):
    """A feed with a life of its own."""

    def start(self) -> None:
        """Begin to listen."""
        ...

    async def close(self) -> None:
        """Listen no longer."""
        ...


def live_feed(
    settings: Settings,
    brokers: Mapping[str, Broker],
    *,
    now: Callable[[], Instant],
    note: Callable[[str], None],
    stack: AsyncExitStack,
    turns: AlpacaTurns,
) -> RunningFeed:
    """Return the feed that the settings ask for, not started; `now` is market time, `stack` closes what it opens.

    `turns` are those of the process, which orders and screens take as well.

    Raises:
        ConfigError: there are no keys for it.
    """
    ibkr = brokers.get(IBKR)
    if ALPACA not in brokers and isinstance(ibkr, IbkrBroker):
        stream = IbkrStream(ibkr.link, ibkr.contracts, ibkr.market, now)
        return IbkrFeed(stream, monotonic=monotonic_seconds, note=note)
    return _alpaca_feed(settings, now=now, note=note, stack=stack, turns=turns)


def _alpaca_feed(
    settings: Settings,
    *,
    now: Callable[[], Instant],
    note: Callable[[str], None],
    stack: AsyncExitStack,
    turns: AlpacaTurns,
) -> AlpacaFeed:
    env, bot = settings.env, settings.bot
    deadline = min(bot.api_timeout / SECOND, _DEADLINE_SECONDS_MAX)
    mode = BrokerMode.PAPER if bot.test_mode else bot.alpaca_mode
    key, secret = (word.get_secret_value() for word in env.alpaca_keys(mode))
    if not key or not secret:
        raise ConfigError(
            [
                ConfigProblem(
                    file=".env",
                    variable=f"ALPACA_{mode.name}_API_KEY",
                    expected="keys of the Alpaca account: ALPACA_ENABLED is true",
                    mend="fill in key and secret, or disable Alpaca",
                )
            ]
        )
    http = AlpacaHttp(env.alpaca_data_url, key, secret, deadline_seconds=deadline, monotonic=monotonic_seconds)
    rest = AlpacaRest(http=http, turns=turns.data, monotonic=monotonic_seconds)
    stack.callback(rest.close)
    around = FeedSurroundings(
        now=now, monotonic=monotonic_seconds, dice=RealWaiting().dice, note=note, deadline_seconds=deadline
    )
    return AlpacaFeed(StreamAccess(url=env.alpaca_stream_url, key=key, secret=secret), rest, around)


__all__ = ["RunningFeed", "live_feed"]
