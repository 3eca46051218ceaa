"""Who is asked for the VIX in a live session, one after another until somebody knows a value of the last day.

`VIX_SOURCE=auto`: Interactive Brokers where it is enabled, Yahoo, Finnhub where there is a key, then the file given
with `--vix`. A named source is asked alone. Who gave no answer is asked last for a while. Where nobody knows one the
VIX is missing, which blocks what needs it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from tbot_bot.broker.broker_ibkr import IbkrBroker
from tbot_bot.config.choices import VixSource
from tbot_bot.config.error_handler import TbotError
from tbot_bot.config.settings import Settings
from tbot_bot.core.backoff import Patience
from tbot_bot.core.bars import VixReading
from tbot_bot.core.circuit import CircuitReading, HasCircuits
from tbot_bot.core.errors import BrokerProblem
from tbot_bot.core.instants import HOUR, Instant, seconds
from tbot_bot.core.protocols import Broker
from tbot_bot.core.token_bucket import FINNHUB, Limit
from tbot_bot.enhancements.vix_gatekeeper import AGE_MAX
from tbot_bot.runtime.clock import monotonic_seconds, wall_now
from tbot_bot.runtime.retry import RealWaiting

if TYPE_CHECKING:
    from tbot_bot.marketdata.vendor_http import Vendor, VendorHttp

ASK_SECONDS: Final = 6.0
"""For one source, its turn and its retries included: an entry waits for the answer."""
BACK_SECONDS: Final = 600.0
"""How long one that gave no answer is asked last."""
_PATIENCE: Final = Patience(retries=1, deadline=seconds(4), pause_first=seconds(0.2), pause_longest=seconds(1))


class NamedVix(Protocol):
    """One place that knows the VIX."""

    @property
    def name(self) -> str:
        """Return what it is called in notes."""
        ...

    async def vix(self) -> VixReading | None:
        """Return the value known now; None where there is none.

        Raises:
            BrokerProblem, TbotError: no answer.
        """
        ...


class BrokersVix:
    """The index as Interactive Brokers tells it."""

    name: Final = "ibkr"

    def __init__(self, broker: IbkrBroker) -> None:
        """Ask over the line of `broker`."""
        self._broker = broker

    async def vix(self) -> VixReading | None:
        """Return the index; raises BrokerProblem."""
        return await self._broker.market.vix()


class VixChain:
    """The sources in order, those that failed lately at the end."""

    def __init__(
        self,
        sources: Sequence[NamedVix],
        *,
        now: Callable[[], Instant],
        note: Callable[[str], None],
        monotonic: Callable[[], float] = monotonic_seconds,
        ask_seconds: float = ASK_SECONDS,
    ) -> None:
        """`now` is session time; `note` hears who was passed over, and why."""
        self._sources, self._now, self._note = tuple(sources), now, note
        self._monotonic, self._ask_seconds = monotonic, ask_seconds
        self._last_until: dict[str, float] = {}

    async def vix(self) -> VixReading | None:
        """Return the first value of the last day; None where nobody has one. Never raises for a source."""
        now = self._monotonic()
        order = sorted(self._sources, key=lambda one: self._last_until.get(one.name, 0.0) > now)
        for source in order:
            reading, why = await self._asked(source)
            if reading is not None:
                self._last_until.pop(source.name, None)
                return reading
            self._last_until[source.name] = self._monotonic() + BACK_SECONDS
            self._note(f"no VIX from {source.name}: {why}")
        self._note("the VIX is missing: " + ("no source has one" if order else "no source is set up"))
        return None

    def circuits(self) -> tuple[CircuitReading, ...]:
        """Return how each vendor's endpoint is that was ever asked."""
        return tuple(one for source in self._sources if isinstance(source, HasCircuits) for one in source.circuits())

    async def _asked(self, source: NamedVix) -> tuple[VixReading | None, str]:
        try:
            async with asyncio.timeout(self._ask_seconds):
                reading = await source.vix()
        except (BrokerProblem, TbotError) as problem:
            return None, str(problem)
        except TimeoutError:
            return None, f"no answer within {self._ask_seconds:g} s"
        if reading is None:
            return None, "it has none"
        age = self._now() - reading.known_at
        return (None, f"its value is {age / HOUR:.0f} h old") if age > AGE_MAX else (reading, "")


async def vix_chain(
    settings: Settings,
    brokers: Mapping[str, Broker],
    *,
    recorded: Path | None,
    now: Callable[[], Instant],
    note: Callable[[str], None],
    stack: AsyncExitStack,
) -> VixChain:
    """Return the chain that the settings ask for; `stack` closes what it opens.

    Raises:
        DataError: the recorded file cannot be used.
        MachineError: the shared allowance cannot be kept.
    """
    wanted, env = settings.bot.vix_source, settings.env
    sources: list[NamedVix] = []

    def asks(source: VixSource) -> bool:
        return wanted in {VixSource.AUTO, source}

    if asks(VixSource.IBKR):
        sources += [BrokersVix(one) for one in brokers.values() if isinstance(one, IbkrBroker)]
    key = env.finnhub_api_key.get_secret_value()
    if asks(VixSource.YAHOO) or (asks(VixSource.FINNHUB) and key):
        yahoo_url = env.yahoo_url if asks(VixSource.YAHOO) else ""
        sources += await _vendors(settings, yahoo_url, key if asks(VixSource.FINNHUB) else "", now, stack)
    if asks(VixSource.RECORDED) and recorded is not None:
        from tbot_bot.marketdata.vix import read_vix  # noqa: PLC0415 - few have one
        from tbot_bot.marketdata.vix_quotes import RecordedFile  # noqa: PLC0415 - with the above

        sources.append(RecordedFile(read_vix(recorded), now))
    return VixChain(sources, now=now, note=note)


async def _vendors(
    settings: Settings, yahoo_url: str, finnhub_key: str, now: Callable[[], Instant], stack: AsyncExitStack
) -> list[NamedVix]:
    from tbot_bot.marketdata.finnhub import finnhub_vendor  # noqa: PLC0415 - an HTTP client that other sessions spare
    from tbot_bot.marketdata.vendor_http import VendorHttp  # noqa: PLC0415 - with the above
    from tbot_bot.marketdata.vix_quotes import YAHOO_LIMITS, FinnhubVix, YahooVix, yahoo_vendor  # noqa: PLC0415
    from tbot_bot.runtime.allowances import GrantBook, SharedTurns  # noqa: PLC0415 - with the above
    from tbot_bot.runtime.live_sources import cache_folder  # noqa: PLC0415 - with the above

    book = stack.enter_context(GrantBook(cache_folder(settings.home) / "allowances.sqlite3"))

    async def connected(vendor: "Vendor", credential: str, limits: tuple[Limit, ...]) -> "VendorHttp":
        turns = SharedTurns(book, vendor.name, credential, limits, now=wall_now, waiting=RealWaiting())
        return await stack.enter_async_context(VendorHttp(vendor, turns, _PATIENCE, RealWaiting()))

    found: list[NamedVix] = []
    if yahoo_url:
        vendor = yahoo_vendor(yahoo_url)
        found.append(YahooVix(await connected(vendor, "", YAHOO_LIMITS), now))
    if finnhub_key:
        vendor = finnhub_vendor(settings.env.finnhub_url, settings.env.finnhub_api_key)
        found.append(FinnhubVix(await connected(vendor, finnhub_key, FINNHUB), now))
    return found


__all__ = ["NamedVix", "VixChain", "vix_chain"]
