"""Alpaca as a broker: requests by REST, news by the stream of trade updates, and look-ups behind both.

What is asked is asked once. A lost answer raises `BrokerUnavailable`, and whoever asked looks the order up by its
client order id, which Alpaca accepts once and for ever. Nothing is told by the stream that a look-up would not find:
after each new connection, and every few seconds while there is none, the orders that have not ended are looked up.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import replace
from importlib.util import find_spec
from typing import Final

from tbot_bot.broker.alpaca_access import AlpacaAccess, alpaca_access
from tbot_bot.broker.alpaca_book import AlpacaBook
from tbot_bot.broker.alpaca_http import AlpacaHttp
from tbot_bot.broker.alpaca_lookup import AlpacaLookup
from tbot_bot.broker.alpaca_market_wire import Snapshot, WireAsset, asset_of, clock_of, snapshots_of, trades_of
from tbot_bot.broker.alpaca_orders import AlpacaOrders, Surroundings
from tbot_bot.broker.alpaca_puts import AlpacaPuts
from tbot_bot.broker.alpaca_requests import objection
from tbot_bot.broker.alpaca_rest import AlpacaRest
from tbot_bot.broker.alpaca_stream import AlpacaStream, StreamAddress
from tbot_bot.broker.alpaca_wire import account_of, position_of, told_order, update_of, why_blocked
from tbot_bot.broker.authorization import LiveAuthorization
from tbot_bot.broker.capabilities import CAPABILITIES
from tbot_bot.broker.json_fields import fields, items, words
from tbot_bot.broker.turns import AlpacaTurns
from tbot_bot.broker.watched_stops import WATCH_SECONDS, SeenPrice, Venue, WatchedStops, at_market, is_watched
from tbot_bot.config.error_handler import MachineError
from tbot_bot.config.settings import Settings
from tbot_bot.core.circuit import CircuitReading
from tbot_bot.core.errors import BrokerProblem, BrokerRefused, BrokerUnavailable, UnknownMessage
from tbot_bot.core.events import OrderEvent
from tbot_bot.core.foreign_orders import ForeignOrder
from tbot_bot.core.instants import DAY, MILLISECOND, MINUTE, SECOND, Instant, later
from tbot_bot.core.orders import Account, BrokerOrder, Fill, OrderRequest, Position

NAME: Final = "alpaca"
CALL_SECONDS_MAX: Final = 4.0
"""Longest deadline of a request, where API_TIMEOUT allows more: a session does nothing else meanwhile, and three in a
row have to end before its supervisor takes it for blind."""
LOOK_SECONDS: Final = 5.0
"""Between looks at unfinished orders while the stream is there: it may be there and mute."""
_BLIND_SECONDS: Final = 2.0
"""The same while it is not."""
_STEP_SECONDS: Final = 0.15
_SYMBOLS_PER_REQUEST: Final = 100


class AlpacaBroker:
    """The broker protocol over one account at Alpaca."""

    name: str = NAME

    def __init__(
        self,
        access: AlpacaAccess,
        around: Surroundings,
        *,
        deadline_seconds: float,
        options: bool = False,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """`deadline_seconds` holds for every single request; nothing is opened before `connect`.

        `look_seconds` is the longest time for which a fill that no stream tells stays unknown.
        """
        self.capabilities = replace(CAPABILITIES[NAME], options=options, live=access.live is not None)
        self._around, self._deadline, self._look_seconds = around, deadline_seconds, look_seconds
        self._turns = around.turns or AlpacaTurns(monotonic=around.monotonic, speed=around.speed)
        self._rest = self._interface(access.trading_url, access)
        self._data = self._interface(access.data_url, access)
        self.book = AlpacaBook(NAME, now=around.now, anomaly=around.note)
        self._lookup = AlpacaLookup(self._rest, self.book, around.note)
        self._stream = AlpacaStream(
            StreamAddress(url=access.stream_url, key=access.key, secret=access.secret),
            self,
            deadline_seconds=deadline_seconds,
            monotonic=around.monotonic,
            dice=around.dice,
        )
        self._queue: deque[OrderEvent] = deque()
        self._arrived, self._listening, self._look = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._reconciling = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._orders = AlpacaOrders(
            rest=self._rest,
            book=self.book,
            lookup=self._lookup,
            around=around,
            capabilities=self.capabilities,
            deadline_seconds=deadline_seconds,
            tell=self._tell,
            look=self._look.set,
        )
        self.puts = AlpacaPuts(self._rest, self._data, around.note)
        self._watched = WatchedStops(
            venue=Venue(
                prices=self._prices,
                send=self._orders.submit,
                find=self._find,
                tell=self._tell,
                note=around.note,
                now=around.now,
                monotonic=around.monotonic,
            ),
            look_seconds=min(WATCH_SECONDS, look_seconds),
        )

    def _interface(self, url: str, access: AlpacaAccess) -> AlpacaRest:
        monotonic = self._around.monotonic
        http = AlpacaHttp(url, access.key, access.secret, deadline_seconds=self._deadline, monotonic=monotonic)
        return AlpacaRest(http=http, turns=self._turns.orders, monotonic=monotonic)

    # --- connection ---------------------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Read the account, and begin to listen; without a stream the orders are looked up instead.

        Raises:
            CredentialsRejected: Alpaca does not know the keys.
            BrokerRefused: the account may not trade.
        """
        told = await self._rest.greet()
        blocked = why_blocked(told)
        if blocked:
            raise BrokerRefused(f"the Alpaca account may not trade: {blocked}")
        account_of(told, NAME)
        works = (self._stream.run, self._watch, lambda: self._watched.run(self._around.speed))
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._alive(work)) for work in works]
        try:
            async with asyncio.timeout(self._deadline):
                await self._listening.wait()
        except TimeoutError:
            self._around.note("Alpaca is connected without trade updates; orders are looked up meanwhile")

    async def close(self) -> None:
        """Listen no longer; resting orders stay."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        self._rest.close()
        self._data.close()

    @property
    def streaming(self) -> bool:
        """Return whether trade updates come at present."""
        return self._stream.connected

    def circuits(self) -> tuple[CircuitReading, ...]:
        """Return how each endpoint is, for the watchdog."""
        return (*self._rest.readings(), *self._data.readings())

    # --- what is there ------------------------------------------------------------------------------------------------

    async def clock(self) -> Instant | None:
        """Return Alpaca's time."""
        return clock_of(await self._rest.read("/clock"))

    async def account(self) -> Account:
        """Return the account as it is now."""
        return account_of(await self._rest.read("/account"), NAME)

    async def positions(self) -> tuple[Position, ...]:
        """Return all positions, ours or not."""
        told = items(await self._rest.read("/positions"), "positions")
        return tuple(position_of(one, NAME) for one in told)

    async def open_orders(self) -> tuple[BrokerOrder, ...]:
        """Return the orders that can still fill, oldest first, ours or not; then the stops that are kept here."""
        found = await self._lookup.orders("open")
        for one in found:
            if one.trail_percent is not None:  # no stream tells where it has moved to
                self._tell(self.book.on_order(one))
        told = (told_order(one, self.book.request(one.client_order_id), NAME) for one in found)
        return (*told, *self._watched.resting())

    async def foreign_orders(self) -> tuple[ForeignOrder, ...]:
        """Return the orders that rest and are not ours, those that cannot be read included; Alpaca counts them."""
        return await self._lookup.foreign(NAME)

    async def order_by_client_id(self, client_order_id: str) -> BrokerOrder | None:
        """Return the order, in whatever state; None is a definite "not there".

        Raises:
            BrokerUnavailable: also where it is too early to tell, since the request's answer was lost just now.
        """
        kept = self._watched.found(client_order_id)
        if kept is not None:
            return kept
        found = await self._find(client_order_id)
        if found is None and self._watched.is_on_its_way(client_order_id):
            raise BrokerUnavailable(f"{client_order_id} has been reached, and is about to be sent")
        return found

    async def _find(self, client_order_id: str) -> BrokerOrder | None:
        found = await self._lookup.by_client_id(client_order_id)
        if found is None:
            self._orders.refuse_to_tell_too_early(client_order_id)
            return None
        self._tell(self.book.on_order(found))
        told = told_order(found, self.book.request(client_order_id), NAME)
        return replace(told, reason=told.reason or self.book.reason(client_order_id))

    async def orders_since(self, at: Instant) -> tuple[BrokerOrder, ...]:
        """Return the orders of our making that were submitted at or after `at`, oldest first, whoever sent them."""
        found = await self._lookup.orders("all", later(at, -MILLISECOND))
        ours = (one for one in found if self._lookup.is_ours(one.client_order_id))
        return tuple(told_order(one, self.book.request(one.client_order_id), NAME) for one in ours)

    async def fills_since(self, at: Instant) -> tuple[Fill, ...]:
        """Return executions of our orders at or after `at`, oldest first."""
        fills = []
        for execution in await self._lookup.executions(at):
            request = self.book.request(self.book.client_order_id(execution.order_id) or "")
            if request is not None:
                fills.append(self.book.fill_of(execution, request))
        return tuple(fills)

    async def asset(self, symbol: str) -> WireAsset:
        """Return what may be done with a share, as of at most a quarter of an hour ago."""
        return await self._orders.asset(symbol)

    async def assets(self) -> tuple[WireAsset, ...]:
        """Return all active shares."""
        told = items(await self._rest.read("/assets", {"status": "active", "asset_class": "us_equity"}), "assets")
        return tuple(asset_of(one) for one in told)

    async def snapshots(self, symbols: Iterable[str]) -> dict[str, Snapshot]:
        """Return the newest trade, quote and bars of each symbol that Alpaca has any of."""
        wanted, found = list(symbols), dict[str, Snapshot]()
        for start in range(0, len(wanted), _SYMBOLS_PER_REQUEST):
            some = ",".join(wanted[start : start + _SYMBOLS_PER_REQUEST])
            told = await self._data.read("/stocks/snapshots", {"symbols": some})
            found |= snapshots_of(told, MINUTE, DAY)
        return found

    # --- orders -------------------------------------------------------------------------------------------------------

    async def submit(self, order: OrderRequest) -> None:
        """Hand over `order`; see `AlpacaOrders`. A stop on a put is kept here; see `watched_stops`."""
        if is_watched(order):
            self._refuse_unwatchable(order)
            self._watched.keep(order)
        else:
            await self._orders.submit(order)

    async def cancel(self, client_order_id: str) -> None:
        """Ask for a cancel; see `AlpacaOrders`."""
        if not self._watched.cancel(client_order_id):
            await self._orders.cancel(client_order_id)

    async def replace(self, order: OrderRequest) -> None:
        """Put `order` in the place of `order.replaces`; see `AlpacaOrders`."""
        if is_watched(order):
            self._refuse_unwatchable(order)
            self._watched.replace(order)
        else:
            await self._orders.replace(order)

    def _refuse_unwatchable(self, order: OrderRequest) -> None:
        why = objection(at_market(order), self.capabilities)
        if why:
            raise BrokerRefused(why)

    async def _prices(self, symbols: tuple[str, ...]) -> dict[str, SeenPrice]:
        told = await self._data.read("/stocks/trades/latest", {"symbols": ",".join(symbols)})
        return {symbol: SeenPrice(price=one.price, at=one.at) for symbol, one in trades_of(told).items()}

    # --- news ---------------------------------------------------------------------------------------------------------

    async def events(self) -> AsyncIterator[OrderEvent]:
        """Yield order events as they come, for ever; what `drain` took is not seen here."""
        while True:
            while self._queue:
                yield self._queue.popleft()
            self._arrived.clear()
            await self._arrived.wait()

    def drain(self) -> list[OrderEvent]:
        """Return the events that wait, each once, without waiting for more."""
        waiting = list(self._queue)
        self._queue.clear()
        return waiting

    def _tell(self, events: list[OrderEvent]) -> None:
        self._queue.extend(events)
        if events:
            self._arrived.set()

    async def on_connected(self) -> None:
        """Look up what happened while nobody told us; then count as listening."""
        self._listening.set()
        await self._reconcile()

    def on_message(self, value: object) -> None:
        """Take one trade update."""
        try:
            update = update_of(value)
        except UnknownMessage as problem:
            told = fields(value, "trade update").get("order")
            name = words(told, "client_order_id") if isinstance(told, dict) else ""
            if not name or self._lookup.is_ours(name):
                self._around.note(f"a trade update cannot be read, so orders are looked up: {problem}")
                self._look.set()
            return
        self._tell(self.book.on_update(update))
        if self.book.gaps():
            self._look.set()

    def on_trouble(self, what: str) -> None:
        """Note that the stream is away, or has told what cannot be read; and look at the orders instead."""
        self._around.note(what)
        self._look.set()

    # --- looking ------------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Look up unfinished orders: now and then, more often while blind, soon after a request and at each gap."""
        while True:
            try:
                async with asyncio.timeout(
                    self._look_seconds if self.streaming else min(self._look_seconds, _BLIND_SECONDS)
                ):
                    await self._look.wait()
                    await asyncio.sleep(_STEP_SECONDS * 2)  # the stream may be about to tell
            except TimeoutError:
                pass  # nobody asked for a look: it is time for one all the same
            self._look.clear()
            if self.book.unfinished() or self.book.gaps():
                await self._reconcile()

    async def _reconcile(self) -> None:
        """Look up every order that has not ended, and the executions that are missing; what fails is tried later."""
        async with self._reconciling:
            try:
                unfinished = dict.fromkeys(self.book.unfinished())
                for order in await self._lookup.orders("open") if unfinished else []:
                    self._tell(self.book.on_order(order))
                    unfinished.pop(order.client_order_id, None)
                for client_order_id in unfinished:
                    found = await self._lookup.by_order_id(self.book.broker_order_id(client_order_id))
                    if found is None:
                        self._around.note(f"{client_order_id} was at Alpaca, and Alpaca does not know it any more")
                    else:
                        self._tell(self.book.on_order(found))
                await self._fill_gaps()
            except (BrokerProblem, BrokerUnavailable) as problem:
                self._around.note(f"orders could not be looked up: {problem}")

    async def _fill_gaps(self) -> None:
        gaps = self.book.gaps()
        if not gaps:
            return
        now = self._around.now()
        since = min(order.submitted_at or later(now, -DAY) for order in gaps)
        for execution in await self._lookup.executions(later(since, -SECOND)):
            self._tell(self.book.on_execution(execution, "activities"))

    async def _alive(self, work: Callable[[], Coroutine[object, object, None]]) -> None:
        """Do `work` for ever: a defect in it is told, and it begins again."""
        while True:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - whatever it is, orders must go on being watched
                self._around.note(f"the adapter had to begin again: {type(error).__name__}: {error}")
            await asyncio.sleep(1.0)


def alpaca_broker(settings: Settings, around: Surroundings, live: LiveAuthorization | None = None) -> AlpacaBroker:
    """Return the broker that the settings name, not connected; a live one only with a permit.

    Raises:
        LogicError, ConfigError: see `alpaca_access`.
        MachineError: alpaca-py is not installed.
    """
    if find_spec("alpaca") is None or find_spec("websockets") is None:
        raise MachineError(
            "alpaca-py is not installed",
            where="Alpaca",
            mend="Install the brokers extra: pip install tradebot[brokers]",
        )
    bot = settings.bot
    return AlpacaBroker(
        alpaca_access(settings, live),
        around,
        deadline_seconds=min(bot.api_timeout / SECOND, CALL_SECONDS_MAX),
        options=bot.alpaca_options_enabled,
    )


__all__ = ["NAME", "AlpacaBroker", "Surroundings", "alpaca_broker"]
