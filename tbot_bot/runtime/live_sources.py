"""The data vendors that the settings give keys for, each behind the installation's shared allowance."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tbot_bot.config.choices import BrokerMode
from tbot_bot.config.error_handler import ConfigError, ConfigProblem
from tbot_bot.config.settings import Settings
from tbot_bot.config.vendor_errors import VendorNotUnderstood, VendorRefused, VendorUnavailable
from tbot_bot.core.backoff import Patience
from tbot_bot.core.instants import Duration, Instant, seconds
from tbot_bot.core.screen_sources import ListingSource, PriceSource
from tbot_bot.core.token_bucket import ALPACA_DATA, FINNHUB, Limit, Turns
from tbot_bot.marketdata.alpaca_data import AlpacaAssets, AlpacaSnapshots, alpaca_vendor
from tbot_bot.marketdata.finnhub import Finnhub, finnhub_vendor
from tbot_bot.marketdata.fundamentals_cache import FundamentalsCache
from tbot_bot.marketdata.vendor_http import Vendor, VendorHttp
from tbot_bot.runtime.allowances import GrantBook, SharedTurns
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.retry import RealWaiting

DEADLINE_MAX: Final = seconds(10)
"""A session begins five minutes after its screen: one that waits longer for a vendor is served better by the next."""
RETRIES_MAX: Final = 2
FINNHUB_SYMBOLS: Final = (40, 150)
"""Quotes at 60 a minute that fit into a screen of test mode, and into that of a session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSources:
    """Who can be asked, the best first."""

    listings: tuple[ListingSource, ...]
    prices: tuple[PriceSource, ...]
    finnhub: Finnhub | None
    """For fundamentals; None: there is no key."""
    connections: Mapping[str, VendorHttp]
    """By address in words, for counting."""
    broker: AlpacaAssets | None
    """The broker's own interface; None: there is no key."""

    async def now(self) -> Instant:
        """Return the broker's time, which is the market's; the machine's where the broker does not answer.

        Raises:
            VendorKeysRefused: the broker does not know the keys.
        """
        if self.broker is None:
            return wall_now()
        try:
            return await self.broker.clock()
        except (VendorUnavailable, VendorNotUnderstood, VendorRefused):  # the list of symbols comes next, and tells
            return wall_now()

    @property
    def asked(self) -> Mapping[str, int]:
        """Return how many requests each was sent."""
        return {name: http.asked for name, http in self.connections.items()}


def cache_folder(home: Path) -> Path:
    """Return where what may be deleted is kept."""
    return home / "output" / "cache"


def open_cache(home: Path) -> FundamentalsCache:
    """Open the installation's fundamentals; raises DataError."""
    return FundamentalsCache(cache_folder(home) / "fundamentals.sqlite3")


def keys_missing(settings: Settings) -> ConfigError | None:
    """Return what has to be set before anything live can be asked; None: nothing."""
    key, secret = _alpaca_keys(settings)
    if (key and secret) or settings.env.finnhub_api_key.get_secret_value():
        return None
    names = "ALPACA_LIVE_API_KEY and ALPACA_LIVE_SECRET_KEY" if _is_live(settings) else (
        "ALPACA_PAPER_API_KEY and ALPACA_PAPER_SECRET_KEY"
    )  # fmt: skip
    mend = "put the keys there; without any, `tbot screen` shows the built-in market"
    expected = f"{names} (snapshots), or at least FINNHUB_API_KEY"
    return ConfigError([ConfigProblem(file=".env", expected=expected, mend=mend)])


@asynccontextmanager
async def live_sources(settings: Settings, alpaca: Turns | None = None) -> AsyncIterator[LiveSources]:
    """Give the sources that there are keys for; the end of the block closes them.

    `alpaca`: the turns of a process that trades by the same keys, taken beside those of the whole installation.

    Raises:
        ConfigError: there are none.
        MachineError: the shared allowance cannot be kept.
    """
    if problem := keys_missing(settings):
        raise problem
    env, bot = settings.env, settings.bot
    patience = Patience(
        retries=min(bot.api_retry_limit, RETRIES_MAX), deadline=Duration(min(bot.api_timeout, DEADLINE_MAX))
    )
    async with AsyncExitStack() as stack:
        book = stack.enter_context(GrantBook(cache_folder(settings.home) / "allowances.sqlite3"))
        connections: dict[str, VendorHttp] = {}

        async def connected(name: str, vendor: Vendor, credential: str, limits: tuple[Limit, ...]) -> VendorHttp:
            company = name.split(maxsplit=1)[0]
            within = alpaca if company == "alpaca" else None
            turns = SharedTurns(book, company, credential, limits, now=wall_now, waiting=RealWaiting(), within=within)
            http = await stack.enter_async_context(VendorHttp(vendor, turns, patience, RealWaiting()))
            connections[name] = http
            return http

        listings: list[ListingSource] = []
        prices: list[PriceSource] = []
        key, secret = _alpaca_keys(settings)
        broker: AlpacaAssets | None = None
        if key and secret:
            trading = alpaca_vendor(env.alpaca_live_url if _is_live(settings) else env.alpaca_paper_url, key, secret)
            broker = AlpacaAssets(await connected("alpaca assets", trading, key, ALPACA_DATA))
            listings.append(broker)
            data = alpaca_vendor(env.alpaca_data_url, key, secret)
            prices.append(AlpacaSnapshots(await connected("alpaca data", data, key, ALPACA_DATA)))
        finnhub: Finnhub | None = None
        if token := env.finnhub_api_key.get_secret_value():
            http = await connected("finnhub", finnhub_vendor(env.finnhub_url, env.finnhub_api_key), token, FINNHUB)
            finnhub = Finnhub(http, FINNHUB_SYMBOLS[not bot.test_mode])
            listings.append(finnhub)
            prices.append(finnhub)
        yield LiveSources(
            listings=tuple(listings), prices=tuple(prices), finnhub=finnhub, connections=connections, broker=broker
        )


def _is_live(settings: Settings) -> bool:
    return not settings.bot.test_mode and settings.bot.alpaca_mode is BrokerMode.LIVE


def _alpaca_keys(settings: Settings) -> tuple[str, str]:
    key, secret = settings.env.alpaca_keys(BrokerMode.LIVE if _is_live(settings) else BrokerMode.PAPER)
    return key.get_secret_value(), secret.get_secret_value()


__all__ = ["LiveSources", "cache_folder", "keys_missing", "live_sources", "open_cache"]
