"""The line to IB Gateway or TWS: connecting, deadlines, outages, coming back.

Everything runs on the one asyncio loop. A request is answered in time, or `BrokerUnavailable` is raised: the client
library itself would wait for ever, or return nothing as if there were nothing. Some requests of the protocol carry
no number (open orders, positions, the time): an answer to such a one that comes too late would be taken for the
answer to the next, so after a missed deadline the connection is dropped and made anew.

The line is down while the socket is gone, while the gateway says that it lost IB (1100) and until what happened
meanwhile has been read. The nightly restart of the gateway is an outage like any other.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from tbot_bot.broker.ibkr_wire import CONNECTIVITY, TRAILING, Connectivity
from tbot_bot.core.backoff import Patience, pause_after
from tbot_bot.core.circuit import Circuits
from tbot_bot.core.errors import BrokerProblem, BrokerUnavailable, CredentialsRejected
from tbot_bot.core.instants import SECOND, Duration

if TYPE_CHECKING:
    from ib_async import IB, CommissionReport, Contract, Fill, Order, OrderState, Trade

T = TypeVar("T")

_RESTART_PATIENCE: Final = Patience(
    retries=0, deadline=Duration(SECOND), pause_first=Duration(SECOND // 2), pause_longest=Duration(15 * SECOND)
)
"""Between attempts to connect: a gateway's restart takes a minute or two."""
_URGENT: Final = frozenset({"executions"})
"""Asked also while its circuit is open, as is whatever has no number: both tell what became of our orders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where the gateway listens, and who we are there."""

    host: str
    port: int
    client_id: int
    account: str = field(repr=False)
    deadline_seconds: float = 10.0
    """For one request; connecting makes several."""


class Listener(Protocol):
    """Hears what the gateway says unasked."""

    def order_changed(self, trade: "Trade") -> None:
        """An order's status changed."""

    def executed(self, fill: "Fill") -> None:
        """An execution was told."""

    def charged(self, report: "CommissionReport") -> None:
        """The cost of an execution was told."""

    def messaged(self, number: int, code: int, text: str) -> None:
        """A message about the request or order `number` was told; -1 concerns the whole connection."""

    async def synchronise(self) -> None:
        """Read what happened while nobody listened, before anything else is done."""

    def went_down(self) -> None:
        """Nothing comes any more until `synchronise`."""

    def data_lost(self) -> None:
        """Subscriptions to data have to be made again."""


class GatewayLink:
    """One connection after another to the same gateway."""

    def __init__(self, endpoint: Endpoint, listener: Listener) -> None:
        """`listener` hears everything, on the loop."""
        self.endpoint = endpoint
        self._listener = listener
        self._ib: IB | None = None
        self._why_down = "never connected"
        self._up_since: float | None = None
        self._turn = asyncio.Lock()
        self._connecting = asyncio.Lock()
        self._keeper: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._closed = True
        self.connections = 0
        """How many there have been."""
        self.circuits = Circuits(lambda: asyncio.get_running_loop().time())
        """Of each family of requests; what concerns our orders is asked also while one is open."""
        logging.getLogger("ib_async").setLevel(logging.CRITICAL)  # it writes account numbers; we tell what matters

    # --- what is asked of it -----------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect and synchronise; where the gateway does not answer, go on trying behind the scenes.

        Raises:
            BrokerUnavailable: no connection yet.
            CredentialsRejected: the gateway is logged in to another account.
        """
        self._closed = False
        try:
            await self._connect()
        except BrokerUnavailable:
            self._keep_trying()
            raise

    async def close(self) -> None:
        """Hang up."""
        self._closed = True
        for task in (self._keeper, self._reading):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self._hang_up("closed")

    @property
    def ib(self) -> "IB":
        """Return the connection.

        Raises:
            BrokerUnavailable: it is down, or not read yet.
        """
        if self._ib is None or self._up_since is None:
            raise BrokerUnavailable(f"IB Gateway at {self._where}: {self._why_down}")
        return self._ib

    @property
    def up_seconds(self) -> float:
        """Return for how long the line has been up without a break."""
        return 0.0 if self._up_since is None else asyncio.get_running_loop().time() - self._up_since

    @property
    def is_up(self) -> bool:
        """Return whether requests can be made."""
        return self._up_since is not None

    async def ask(
        self,
        what: str,
        request: "Callable[[IB], Awaitable[T]]",
        *,
        seconds: float = 0.0,
        ib: "IB | None" = None,
        family: str = "",
    ) -> T:
        """Return the answer to a request that has a number; `seconds` instead of the usual deadline.

        `family` names those that share a circuit where `what` names more than they have in common.

        Raises:
            BrokerUnavailable: none came in time, or the gateway answered with an error; or nothing was asked,
                since its circuit is open.
        """
        line, kind = ib or await self._ready(), family or what
        self.circuits.admit(kind, insist=ib is not None or kind in _URGENT)
        return await self._in_time(what, request(line), seconds or self.endpoint.deadline_seconds, kind)

    async def ask_alone(self, what: str, request: "Callable[[IB], Awaitable[T]]", *, ib: "IB | None" = None) -> T:
        """Return the answer to a request without a number: one at a time, finished even if the caller gives up.

        `ib` is given where the line is not up yet: while what was missed is being read.

        Raises:
            BrokerUnavailable: none came in time; then the connection is dropped, too.
        """
        task = asyncio.ensure_future(self._ask_alone(what, request, ib))
        return await asyncio.shield(task)

    async def _ready(self) -> "IB":
        """Return the connection; a question need not wait for the next attempt where there is none.

        Only questions do that: an order waits until somebody has seen that the line was down.
        """
        if self._ib is None and not self._closed:
            await self._connect()
        return self.ib

    async def _ask_alone(self, what: str, request: "Callable[[IB], Awaitable[T]]", ib: "IB | None") -> T:
        line = ib or await self._ready()  # before our turn: connecting asks alone, too
        async with self._turn:
            try:
                return await self._in_time(what, request(line), self.endpoint.deadline_seconds)
            except BrokerUnavailable as problem:
                if line is self._ib and line.isConnected():
                    self._drop(str(problem))
                raise

    async def _in_time(self, what: str, answer: Awaitable[T], seconds: float, family: str = "") -> T:
        from ib_async.wrapper import RequestError

        family = family or what
        try:
            async with asyncio.timeout(seconds):  # `wait_for` loses a cancel that comes with the answer (to 3.11)
                found = await answer
        except TimeoutError:
            self.circuits.failed(family, f"no answer in {seconds:g} s")
            raise BrokerUnavailable(f"{what}: no answer from IB Gateway in {seconds:g} s") from None
        except RequestError as error:
            self.circuits.answered(family)
            raise RequestFailed(f"{what}: {error.code}: {error.message}", code=error.code) from None
        except ConnectionError as error:
            self.circuits.failed(family, str(error))
            raise BrokerUnavailable(f"{what}: {error}") from None
        self.circuits.answered(family)
        return found

    # --- connecting --------------------------------------------------------------------------------------------------

    @property
    def _where(self) -> str:
        return f"{self.endpoint.host}:{self.endpoint.port}"

    async def _connect(self) -> None:
        async with self._connecting:
            if self._closed or self.is_up:
                return
            self._hang_up("connecting anew")
            ib = await self._handshake()
            try:
                self._check_account(ib)
                self._listen(ib)
                self._ib = ib
                await self._listener.synchronise()
                self._check_alive(ib)
            except BaseException:
                self._hang_up("could not be read")
                ib.disconnect()
                raise
            self.connections += 1
            self._mark_up()

    async def _handshake(self) -> "IB":
        from ib_async import IB, StartupFetch

        told: list[str] = []
        ib, place = IB(), self.endpoint
        ib.RaiseRequestErrors = True
        ib.errorEvent += lambda _number, code, text, _contract: told.append(f"{code}: {text}")
        try:
            async with asyncio.timeout(4 * place.deadline_seconds):
                await ib.connectAsync(
                    place.host,
                    place.port,
                    clientId=place.client_id,
                    timeout=place.deadline_seconds,
                    account=place.account,
                    raiseSyncErrors=True,
                    fetchFields=StartupFetch.ORDERS_OPEN,
                )
        except (OSError, TimeoutError) as error:
            reason = "; ".join(told[-2:]) or str(error) or "no answer in time"
            mend = f"Is it running and logged in, is its API port {place.port}, is client id {place.client_id} free?"
            raise BrokerUnavailable(f"IB Gateway at {self._where}: {reason}. {mend}") from None
        ib.errorEvent.clear()
        return ib

    def _check_account(self, ib: "IB") -> None:
        if self.endpoint.account not in ib.managedAccounts():
            raise CredentialsRejected(
                f"IB Gateway at {self._where} is logged in, but not to the account of the settings: check "
                "IBKR_PAPER_ACCOUNT_NUMBER, IBKR_LIVE_ACCOUNT_NUMBER and the ports."
            )

    def _check_alive(self, ib: "IB") -> None:
        if not ib.isConnected() or self._ib is not ib:
            raise BrokerUnavailable(f"IB Gateway at {self._where}: hung up while being read")

    def _listen(self, ib: "IB") -> None:
        self._keep_trails(ib)

        def messaged(number: int, code: int, text: str, _contract: "Contract | None") -> None:
            self._on_message(ib, number, code, text)

        ib.errorEvent += messaged
        ib.orderStatusEvent += self._listener.order_changed
        ib.execDetailsEvent += lambda _trade, fill: self._listener.executed(fill)
        ib.commissionReportEvent += lambda _trade, _fill, report: self._listener.charged(report)
        ib.disconnectedEvent += lambda: self._on_disconnected(ib)
        for event in (ib.errorEvent, ib.orderStatusEvent, ib.execDetailsEvent, ib.commissionReportEvent):
            # the library would only log it; what was missed is read again with the next connection
            event.error_event += lambda _event, error: self._drop(f"news that could not be taken in: {error!r}")

    def _keep_trails(self, ib: "IB") -> None:
        """Learn where a trailing stop stands: the library drops that where it knows the order, and tells nobody."""
        wrapper = ib.wrapper
        take = wrapper.openOrder

        def open_order(order_id: int, contract: "Contract", order: "Order", state: "OrderState") -> None:
            known = wrapper.trades.get(wrapper.orderKey(order.clientId, order.orderId, order.permId))
            take(order_id, contract, order, state)
            if known is not None and order.orderType == TRAILING:
                known.order.trailStopPrice, known.order.trailingPercent = order.trailStopPrice, order.trailingPercent
                if ib is self._ib:
                    self._listener.order_changed(known)

        wrapper.openOrder = open_order  # type: ignore[assignment, method-assign]

    def _mark_up(self) -> None:
        self._up_since = asyncio.get_running_loop().time()
        self._why_down = ""

    def _hang_up(self, why: str) -> None:
        """Forget the connection, so that its last words are nobody's."""
        ib, self._ib = self._ib, None
        was_up, self._up_since = self.is_up, None
        self._why_down = why
        if ib is not None:
            for event in (ib.errorEvent, ib.orderStatusEvent, ib.execDetailsEvent, ib.commissionReportEvent):
                event.clear()
            ib.disconnectedEvent.clear()
            ib.disconnect()
        if was_up:
            self._listener.went_down()

    def _drop(self, why: str) -> None:
        self._hang_up(why)
        self._keep_trying()

    def _on_disconnected(self, ib: "IB") -> None:
        if ib is self._ib:
            self._drop("the gateway hung up")

    def _on_message(self, ib: "IB", number: int, code: int, text: str) -> None:
        if ib is not self._ib:
            return
        match CONNECTIVITY.get(code) if number < 0 else None:
            case Connectivity.LOST:
                was_up, self._up_since = self.is_up, None
                self._why_down = f"{code}: {text}"
                if was_up:
                    self._listener.went_down()
            case Connectivity.RESTORED | Connectivity.RESTORED_EMPTY as found:
                if found is Connectivity.RESTORED_EMPTY:
                    self._listener.data_lost()
                self._read_again(ib)
            case Connectivity.CLOSING:
                self._drop(f"{code}: {text}")
            case None:
                self._listener.messaged(number, code, text)

    def _read_again(self, ib: "IB") -> None:
        """Read what happened while the gateway had lost IB, then take requests again."""

        async def read() -> None:
            try:
                await self._listener.synchronise()
            except BrokerProblem as problem:
                self._drop(str(problem))
                return
            if ib is self._ib:
                self._mark_up()

        if self._reading is not None:
            self._reading.cancel()
        self._reading = asyncio.get_running_loop().create_task(read())

    @property
    def unread(self) -> "IB":
        """Return the connection while what was missed is still being read.

        Raises:
            BrokerUnavailable: there is none.
        """
        if self._ib is None:
            raise BrokerUnavailable(f"IB Gateway at {self._where}: {self._why_down}")
        return self._ib

    def _keep_trying(self) -> None:
        if not self._closed and (self._keeper is None or self._keeper.done()):
            self._keeper = asyncio.get_running_loop().create_task(self._reconnect())

    async def _reconnect(self) -> None:
        attempt = 0
        while not self._closed and not self.is_up:
            attempt += 1
            pause = pause_after(_RESTART_PATIENCE, min(attempt, 10), random.random)
            await asyncio.sleep(pause / SECOND)
            try:
                await self._connect()
            except CredentialsRejected as problem:
                self._why_down = str(problem)
            except BrokerProblem as problem:
                self._why_down = str(problem)


class RequestFailed(BrokerUnavailable):
    """The gateway answered one request with an error."""

    def __init__(self, words: str, *, code: int) -> None:
        """`code` is the gateway's."""
        super().__init__(words)
        self.code = code
