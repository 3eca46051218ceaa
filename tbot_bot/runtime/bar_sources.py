"""Who is asked for bars of the past, by the settings: their keys, and the allowances that all processes share."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tbot_bot.config.choices import BrokerMode
from tbot_bot.config.error_handler import ConfigError, ConfigProblem, NetworkError
from tbot_bot.config.settings import Settings
from tbot_bot.config.vendor_errors import VendorKeysRefused
from tbot_bot.core.backoff import Patience
from tbot_bot.core.calendar import exchange_time
from tbot_bot.core.instants import Duration, seconds
from tbot_bot.core.token_bucket import ALPACA_DATA
from tbot_bot.runtime.allowances import GrantBook, SharedTurns
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.live_sources import cache_folder
from tbot_bot.runtime.retry import RealWaiting

if TYPE_CHECKING:
    from tbot_bot.backtest.bar_vendors import IbkrBars
    from tbot_bot.backtest.data_fetch import BarVendor
    from tbot_bot.backtest.data_set import Adjustment
    from tbot_bot.broker.ibkr_market import IbkrMarket
    from tbot_bot.marketdata.vendor_http import Vendor, VendorHttp

IBKR_CLIENT_ID: Final = 7_340
"""Beside the bot's own, the guard's and the canary's: a fetch may run while the bot trades."""
_DEADLINE: Final = seconds(60)
"""For one page: ten thousand bars are a megabyte."""


class Source(StrEnum):
    """Where bars of the past can be fetched."""

    ALPACA = "alpaca"
    YAHOO = "yahoo"
    IBKR = "ibkr"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is wanted of a source."""

    source: Source
    adjustment: "Adjustment | None" = None
    """None: as the source likes it best."""
    feed: str = "sip"
    """Of Alpaca."""


@asynccontextmanager
async def bar_source(settings: Settings, asked: Asked) -> AsyncIterator["BarVendor"]:
    """Give the source; the end of the block closes it.

    Raises:
        ConfigError: no keys, or an adjustment that the source does not offer.
        NetworkError: the gateway does not answer.
        VendorKeysRefused: the gateway is logged in to another account.
    """
    from tbot_bot.backtest.bar_vendors import IbkrBars, YahooBars  # noqa: PLC0415 - numpy
    from tbot_bot.marketdata.vix_quotes import yahoo_vendor  # noqa: PLC0415

    async with AsyncExitStack() as stack:
        book = stack.enter_context(GrantBook(_book(settings.home)))
        match asked.source:
            case Source.ALPACA:
                yield await _alpaca(settings, asked, book, stack)
            case Source.YAHOO:
                from tbot_bot.backtest.bar_vendors import YAHOO_LIMITS  # noqa: PLC0415

                _require_split(asked, YahooBars.adjustment, "Yahoo adjusts its minute bars for splits, always")
                turns = SharedTurns(book, "yahoo bars", "", YAHOO_LIMITS, now=wall_now, waiting=RealWaiting())
                http = await _http(settings, yahoo_vendor(settings.env.yahoo_url), turns, stack)
                yield YahooBars(http, exchange_time(wall_now()).date())
            case Source.IBKR:
                _require_split(asked, IbkrBars.adjustment, "Interactive Brokers adjusts TRADES for splits, always")
                yield await _ibkr(settings, book, stack)


def _book(home: Path) -> Path:
    return cache_folder(home) / "allowances.sqlite3"


def _require_split(asked: Asked, offered: "Adjustment", why: str) -> None:
    if asked.adjustment is not None and asked.adjustment is not offered:
        problem = ConfigProblem(
            file="--adjust", value=asked.adjustment.value, expected=offered.value, mend=f"{why}; leave --adjust out"
        )
        raise ConfigError([problem])


async def _http(settings: Settings, vendor: "Vendor", turns: SharedTurns, stack: AsyncExitStack) -> "VendorHttp":
    from tbot_bot.marketdata.vendor_http import VendorHttp  # noqa: PLC0415 - httpx

    patience = Patience(retries=max(settings.bot.api_retry_limit, 3), deadline=Duration(_DEADLINE))
    return await stack.enter_async_context(VendorHttp(vendor, turns, patience, RealWaiting()))


async def _alpaca(settings: Settings, asked: Asked, book: GrantBook, stack: AsyncExitStack) -> "BarVendor":
    from tbot_bot.backtest.bar_vendors import AlpacaBars  # noqa: PLC0415 - numpy
    from tbot_bot.backtest.data_set import Adjustment  # noqa: PLC0415
    from tbot_bot.marketdata.alpaca_data import alpaca_vendor  # noqa: PLC0415

    live = not settings.bot.test_mode and settings.bot.alpaca_mode is BrokerMode.LIVE
    mode = BrokerMode.LIVE if live else BrokerMode.PAPER
    key, secret = (word.get_secret_value() for word in settings.env.alpaca_keys(mode))
    if not key or not secret:
        expected = f"ALPACA_{mode.name}_API_KEY and ALPACA_{mode.name}_SECRET_KEY"
        mend = "the free plan has the history of all exchanges"
        raise ConfigError([ConfigProblem(file=".env", expected=expected, mend=mend)])
    turns = SharedTurns(book, "alpaca data", key, ALPACA_DATA, now=wall_now, waiting=RealWaiting())
    http = await _http(settings, alpaca_vendor(settings.env.alpaca_data_url, key, secret), turns, stack)
    return AlpacaBars(http, feed=asked.feed, adjustment=asked.adjustment or Adjustment.SPLIT)


async def _ibkr(settings: Settings, book: GrantBook, stack: AsyncExitStack) -> "IbkrBars":
    """Connect for data alone: nothing that could send an order is made."""
    from tbot_bot.backtest.bar_vendors import IBKR_LIMITS, IbkrBars  # noqa: PLC0415 - numpy
    from tbot_bot.broker.ibkr_access import ibkr_endpoint  # noqa: PLC0415
    from tbot_bot.broker.ibkr_link import GatewayLink  # noqa: PLC0415
    from tbot_bot.broker.ibkr_lookup import ContractDesk  # noqa: PLC0415
    from tbot_bot.broker.ibkr_market import IbkrMarket  # noqa: PLC0415
    from tbot_bot.core.errors import BrokerProblem, CredentialsRejected  # noqa: PLC0415

    endpoint, _ = ibkr_endpoint(settings, IBKR_CLIENT_ID)
    ears = _DataEars()
    link = GatewayLink(endpoint, ears)
    ears.market = IbkrMarket(link, ContractDesk(link), wall_now)
    stack.push_async_callback(link.close)
    try:
        await link.open()
    except CredentialsRejected as error:
        raise VendorKeysRefused(str(error), where="ibkr") from None
    except BrokerProblem as error:
        raise NetworkError(str(error), where="ibkr") from None
    turns = SharedTurns(book, "ibkr history", endpoint.account, IBKR_LIMITS, now=wall_now, waiting=RealWaiting())
    return IbkrBars(ears.market, turns)


class _DataEars:
    """Hears what concerns data; there are no orders of ours on this line."""

    def __init__(self) -> None:
        self.market: IbkrMarket | None = None

    def order_changed(self, trade: object) -> None:
        """Pass over: somebody else's."""

    def executed(self, fill: object) -> None:
        """Pass over: somebody else's."""

    def charged(self, report: object) -> None:
        """Pass over: somebody else's."""

    def messaged(self, number: int, code: int, text: str) -> None:
        """Pass on."""
        if self.market is not None:
            self.market.messaged(number, code, text)

    async def synchronise(self) -> None:
        """Return: there is nothing to read."""

    def went_down(self) -> None:
        """Pass over: a request fails by itself."""

    def data_lost(self) -> None:
        """Pass on."""
        if self.market is not None:
            self.market.data_lost()


__all__ = ["IBKR_CLIENT_ID", "Asked", "Source", "bar_source"]
