"""Where a runner's session gets its market and its brokers: embedded in test mode, else live."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from structlog.typing import FilteringBoundLogger

from tbot_bot.broker.books_only import books_only_notice
from tbot_bot.broker.broker_alpaca import AlpacaBroker
from tbot_bot.broker.broker_ibkr import IbkrBroker
from tbot_bot.broker.broker_sim import VenueStore
from tbot_bot.broker.turns import AlpacaTurns
from tbot_bot.config.settings import Settings
from tbot_bot.core.circuit import HasCircuits
from tbot_bot.core.events import EarlierToday
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import MINUTE, Duration
from tbot_bot.core.market_day import MarketDay
from tbot_bot.core.orders import Capabilities
from tbot_bot.core.protocols import Broker
from tbot_bot.core.screening import Verdict
from tbot_bot.core.token_bucket import Turns
from tbot_bot.marketdata.live_feed import LiveFeed, MinuteBook
from tbot_bot.runtime.bootstrap import market_day_of, screener_for, simulated_brokers
from tbot_bot.runtime.clock import RunClock, monotonic_seconds
from tbot_bot.runtime.embedded_market import EmbeddedMarket
from tbot_bot.runtime.foreign_watch import told_today
from tbot_bot.runtime.last_resort import Report, watched
from tbot_bot.runtime.live_brokers import capabilities_of, connect, connect_again, live_brokers
from tbot_bot.runtime.live_feeds import live_feed
from tbot_bot.runtime.live_market import LiveMarket, MarketSources, PutSource, VixSource
from tbot_bot.runtime.live_session import LiveSession, SessionTime
from tbot_bot.runtime.market_source import is_embedded
from tbot_bot.runtime.pacers import Pacer
from tbot_bot.runtime.runner_arguments import RunnerArguments
from tbot_bot.runtime.session_base import SessionBase
from tbot_bot.runtime.session_brokers import SessionBrokers
from tbot_bot.runtime.session_controls import Controls
from tbot_bot.runtime.session_setup import Workplace, session_of, shell_of
from tbot_bot.runtime.shell import SessionShell
from tbot_bot.runtime.vix_chain import vix_chain
from tbot_bot.trading.spec import SessionSpec

Running = AbstractContextManager[tuple[SessionBase, SessionShell]]


class SessionSources(Protocol):
    """A session's market and brokers."""

    brokers: Mapping[str, Broker]
    capabilities: Mapping[str, Capabilities]
    """By broker; one that is not in it is simulated."""
    bar_span: Duration

    def session(
        self, place: Workplace, spec: SessionSpec, *, earlier: EarlierToday, pacer: Pacer, controls: Controls
    ) -> Running:
        """Give the session of `spec`, wired and with its tape open."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What sources need of the runner."""

    request: RunnerArguments
    settings: Settings
    clock: RunClock
    log: FilteringBoundLogger
    report: Report
    store: Callable[[str], VenueStore]
    """Where the embedded venue of a broker keeps what it knows."""


class EmbeddedSources:
    """A day of recorded or synthetic bars, and simulated venues on it."""

    def __init__(self, room: Room, day: MarketDay) -> None:
        """Say which brokers would never be sent an order."""
        self._settings, self._day = room.settings, day
        self.brokers: Mapping[str, Broker] = simulated_brokers(room.settings.bot, day, room.store)
        self.capabilities: Mapping[str, Capabilities] = {}
        self.bar_span = Duration(day.span)
        for notice in filter(None, map(books_only_notice, room.settings.bot.enabled_brokers)):
            room.log.warning("broker_sends_nothing", notice=notice)

    def session(
        self, place: Workplace, spec: SessionSpec, *, earlier: EarlierToday, pacer: Pacer, controls: Controls
    ) -> Running:
        """Give a session on the embedded market."""
        market = EmbeddedMarket(self._day, screener_for(self._settings, spec))
        return session_of(place, spec, market, earlier=earlier, pacer=pacer, controls=controls)


class LiveSources:
    """Connected brokers and a broker's market data."""

    def __init__(
        self,
        room: Room,
        brokers: Mapping[str, Broker],
        time: SessionTime,
        feed: LiveFeed,
        vix: VixSource,
        turns: AlpacaTurns,
    ) -> None:
        """`time` stamps the brokers' events; `turns` are what orders, data and screens share."""
        self._turns = turns
        self._room, self._time, self._feed, self._vix = room, time, feed, vix
        self.brokers = brokers
        self.capabilities = capabilities_of(room.settings, brokers)
        self.bar_span = Duration(MINUTE)

    @contextmanager
    def session(
        self, place: Workplace, spec: SessionSpec, *, earlier: EarlierToday, pacer: Pacer, controls: Controls
    ) -> Iterator[tuple[SessionBase, SessionShell]]:
        """Give a session on the market as it happens."""
        windows = spec.windows
        place.links.sources.extend(one for one in (self._feed, self._vix) if isinstance(one, HasCircuits))
        sources = MarketSources(
            feed=self._feed,
            screener=VendorScreener(self._room.settings, spec.strategy, self._note, self._turns.data),
            vix=(self._vix,),
            imbalances=next((one.market for one in self.brokers.values() if isinstance(one, IbkrBroker)), None),
            puts=_put_sources(self.brokers),
        )
        book = MinuteBook(bell=windows.bell, close=windows.market_close, span=windows.bar_span)
        market = LiveMarket(sources, book, note=self._note, report=self._room.report)
        with shell_of(place, spec, market, now=self._time.now) as shell:
            yield (
                LiveSession(
                    shell=shell,
                    market=market,
                    brokers=self.brokers,
                    earlier=earlier,
                    pacer=pacer,
                    time=self._time,
                    controls=controls,
                    link_limits=place.link_limits,
                    links=place.links,
                    foreign_told=told_today(place.journal, spec.session),
                ),
                shell,
            )
            shell.finish()

    def _note(self, text: str) -> None:
        self._room.log.warning("live", note=text)


class VendorScreener:
    """The screener over the vendors that there are keys for; what it was told beside the verdicts is noted."""

    source = "live"

    def __init__(
        self, settings: Settings, strategy: StrategyName, note: Callable[[str], None], turns: Turns | None = None
    ) -> None:
        """Screen for the session of `strategy`, by the settings that it was begun with."""
        self._settings, self._strategy, self._note, self._turns = settings, strategy, note, turns

    async def screen(self) -> tuple[Verdict, ...]:
        """Return the verdict on every symbol.

        Raises:
            TbotError: no vendor could be asked.
        """
        from tbot_bot.runtime.screen_live import screen_settings  # noqa: PLC0415 - a client library that few need

        found = await screen_settings(self._settings, self._strategy, alpaca=self._turns)
        for text in found.notes:
            self._note(text)
        (screened,) = found.screens
        return screened.verdicts


def _put_sources(brokers: Mapping[str, Broker]) -> Mapping[str, PutSource]:
    """Return who quotes puts: the brokers themselves, each its own."""
    found: dict[str, PutSource] = {}
    for name, broker in brokers.items():
        if isinstance(broker, IbkrBroker):
            found[name] = broker.market
        elif isinstance(broker, AlpacaBroker) and broker.capabilities.options:
            found[name] = broker.puts
    return found


@asynccontextmanager
async def session_sources(room: Room) -> AsyncIterator[SessionSources]:
    """Give the market and the brokers that the settings ask for, connected; the end of the block closes them.

    Raises:
        CredentialsRejected: a broker does not know our keys.
        BrokerError: a broker will not let its account trade.
        ConfigError: live, but without keys for market data, or with a broker that is sent no orders.
        DataError: the embedded data cannot be used for this day.
    """
    request = room.request
    if request.rehearsal or is_embedded(room.settings.bot):
        day = market_day_of(request.session.day, data=request.data, vix=request.vix, seed=request.seed)
        yield EmbeddedSources(room, day)
        return

    def note(text: str) -> None:
        room.log.warning("live", note=text)

    _leave_word(room)
    time = SessionTime(room.clock)
    turns = AlpacaTurns(monotonic=monotonic_seconds, speed=room.clock.speed)
    brokers = live_brokers(room.settings, now=time.now, note=note, speed=room.clock.speed, turns=turns)
    async with AsyncExitStack() as stack:
        feed = live_feed(room.settings, brokers, now=time.market_now, note=note, stack=stack, turns=turns)
        for broker in brokers.values():
            stack.push_async_callback(broker.close)
            why = await connect(broker)
            if why:
                note(why)
                again = watched(
                    asyncio.create_task(connect_again(broker, note)), f"connecting {broker.name}", room.report
                )
                stack.callback(again.cancel)
        feed.start()
        stack.push_async_callback(feed.close)
        vix = await vix_chain(room.settings, brokers, recorded=request.vix, now=time.now, note=note, stack=stack)
        yield LiveSources(room, brokers, time, feed, vix, turns)


def _leave_word(room: Room) -> None:
    """Leave word of the accounts, for whoever has to close our positions there without us."""
    settings = room.settings
    try:
        SessionBrokers.of(room.request, settings.env, settings.bot).save(settings.home / settings.env.control_dir)
    except OSError as error:  # the settings name them, too
        room.log.warning("session_brokers_not_written", error=str(error))


__all__ = ["EmbeddedSources", "LiveSources", "Room", "SessionSources", "VendorScreener", "session_sources"]
