"""Where an Alpaca account is and by which keys: the one place where a live one can be named."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from tbot_bot.broker.authorization import LiveAuthorization
from tbot_bot.config.choices import BrokerMode
from tbot_bot.config.error_handler import ConfigError, ConfigProblem, LogicError
from tbot_bot.config.settings import Settings

LIVE_HOST: Final = "api.alpaca.markets"
_SOCKETS: Final = {"http": "ws", "https": "wss"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AlpacaAccess:
    """An account at Alpaca, or at whatever speaks as Alpaca does.

    Raises:
        ConfigError: the addresses cannot be used, or lead to the live account without a permit.
    """

    trading_url: str
    """Without the version."""
    data_url: str
    key: str
    secret: str
    live: LiveAuthorization | None = None

    def __post_init__(self) -> None:
        """Refuse what would reach real money by accident."""
        host = urlsplit(self.trading_url).hostname
        if not host or urlsplit(self.trading_url).scheme not in _SOCKETS:
            raise ConfigError([_problem(self.trading_url, "an address with http:// or https://")])
        if host == LIVE_HOST and self.live is None:
            raise ConfigError([_problem(self.trading_url, "the paper account, https://paper-api.alpaca.markets")])

    def __repr__(self) -> str:
        """Return the address; never a key."""
        return f"AlpacaAccess({self.trading_url!r}, live={self.live is not None})"

    @property
    def stream_url(self) -> str:
        """Return where trade updates are told: beside the trading interface."""
        parts = urlsplit(self.trading_url)
        return urlunsplit((_SOCKETS[parts.scheme], parts.netloc, f"{parts.path.rstrip('/')}/stream", "", ""))


def alpaca_access(settings: Settings, live: LiveAuthorization | None = None) -> AlpacaAccess:
    """Return the account that the settings name: live only outside test mode, in live mode and with a permit.

    Raises:
        LogicError: live mode without a permit, or a permit without live mode; a caller that gets here is a defect.
        ConfigError: see `AlpacaAccess`.
    """
    env, bot = settings.env, settings.bot
    mode = BrokerMode.PAPER if bot.test_mode else bot.alpaca_mode
    if (mode == BrokerMode.LIVE) is not (live is not None):
        raise LogicError(f"Alpaca in {mode} mode {'with' if live else 'without'} a live authorization", where="broker")
    key, secret = env.alpaca_keys(mode)
    return AlpacaAccess(
        trading_url=env.alpaca_live_url if mode == BrokerMode.LIVE else env.alpaca_paper_url,
        data_url=env.alpaca_data_url,
        key=key.get_secret_value(),
        secret=secret.get_secret_value(),
        live=live,
    )


def _problem(url: str, expected: str) -> ConfigProblem:
    return ConfigProblem(file=".env", variable="ALPACA_PAPER_URL or ALPACA_LIVE_URL", value=url, expected=expected)


__all__ = ["LIVE_HOST", "AlpacaAccess", "alpaca_access"]
