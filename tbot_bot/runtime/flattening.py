"""Cancelling the bot's open orders and closing its positions at a broker, without an engine.

It is for the day on which nothing else works, so it asks little: the broker's own orders say what is ours and how
much of it is held. The caller says which client order ids are ours.

For each trade: whatever rests is cancelled, and once nothing can fill any more, a market order for what is
left goes out under a derived id. Before an id is used it is looked up, so a path that was killed and begins
again sells nothing twice. Never more is sold than our own orders have bought, nor more than the broker holds.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from tbot_bot.core.errors import BrokerProblem, BrokerRefused, BrokerUnavailable
from tbot_bot.core.identity import OPENING, Leg, OrderName, TradeName, client_order_id
from tbot_bot.core.instants import Instant
from tbot_bot.core.instruments import Instrument
from tbot_bot.core.money import ZERO, plain
from tbot_bot.core.orders import BrokerOrder, Fill, OrderRequest, OrderType, Position, Side
from tbot_bot.core.protocols import Broker
from tbot_bot.core.trails import TrailingTrigger

ATTEMPTS_MAX: Final = 50
"""Exits of one trade; a broker that refused so many will refuse the next."""
EXIT_REASON: Final = "dead_man"
DOUBTS: Final = 6
"""Looks for which a real broker may lag behind itself: its positions behind its orders, its executions behind both."""
_PAUSE_LOOKS_MAX: Final = 20


@dataclass(slots=True, kw_only=True)
class VenueTrade:
    """One of our trades as its broker tells it."""

    trade_id: str
    orders: dict[str, BrokerOrder] = field(default_factory=dict)
    """As last told, by client order id."""
    fills: tuple[Fill, ...] = ()
    """Of a trade that is flat, its executions."""
    cancelled: list[str] = field(default_factory=list)
    touched: bool = False
    """This path had something to do about it."""
    flat: bool = False
    missing: bool = False
    """The broker holds less than our executions add up to: somebody else closed it."""
    words: str = ""
    """Why it is not flat yet, or what is odd about it."""
    looks: int = 0
    """Looks at which the broker did not agree with itself."""
    pause: int = 0
    """Looks for which a refused exit is not sent again."""

    def fills_of(self, *, entry: bool) -> list[Fill]:
        """Return the executions of the entry, or of everything else, oldest first."""
        return [fill for fill in self.fills if (_leg(fill.client_order_id) in OPENING) is entry]

    def saw(self, order: BrokerOrder) -> None:
        """Take an order as the broker tells it now; what changed has to be looked at again."""
        known = self.orders.get(order.client_order_id)
        self.orders[order.client_order_id] = order
        if order.status.open or (known is not None and known.filled_quantity != order.filled_quantity):
            self.flat = False

    @property
    def open(self) -> list[BrokerOrder]:
        """Return the orders that can still fill."""
        return [order for order in self.orders.values() if order.status.open]

    @property
    def held(self) -> Decimal:
        """Return the signed quantity that our orders have come to."""
        return sum((_signed(order) for order in self.orders.values()), ZERO)

    @property
    def instrument(self) -> Instrument | None:
        """Return what is traded; None before the first order is known."""
        return next((order.request.instrument for order in self.orders.values()), None)

    @property
    def untold(self) -> bool:
        """Return whether our orders have come to more than the executions that were told."""
        told: dict[str, Decimal] = {}
        for fill in self.fills:
            told[fill.client_order_id] = told.get(fill.client_order_id, ZERO) + fill.quantity
        return any(told.get(name, ZERO) != order.filled_quantity for name, order in self.orders.items())


class Flattener:
    """Closes what is ours at one broker, step by step."""

    def __init__(
        self,
        broker: Broker,
        *,
        ours: Callable[[str], bool],
        since: Instant,
        tell: Callable[[str], None],
        doubts: int = 1,
    ) -> None:
        """`ours` judges client order ids; what is older than `since` (market time) belongs to days that are over.

        `doubts`: for how many looks a broker is asked again before it is believed against itself.
        """
        self._broker, self._ours, self._since, self._tell, self._doubts = broker, ours, since, tell, doubts
        self._executions: tuple[Fill, ...] | None = None
        """Of this step."""
        self.trades: dict[str, VenueTrade] = {}
        self.problem = ""
        """Why the last look was none; empty where it was one."""

    async def step(self) -> bool:
        """Do what can be done now; return whether nothing of ours rests or is held any more."""
        try:
            await self._look()
            positions = list(await self._broker.positions())
        except BrokerProblem as problem:
            self._say_once(f"{self._broker.name} gives no answer: {problem}")
            return False
        self.problem = ""
        for trade in self.trades.values():
            if not trade.flat:
                await self._try_to_close(trade, positions)
        return all(trade.flat for trade in self.trades.values())

    def _say_once(self, problem: str) -> None:
        if problem != self.problem:
            self._tell(problem)
        self.problem = problem

    async def _look(self) -> None:
        """Learn our trades from the broker's own orders."""
        self._executions = None
        for order in await self._broker.orders_since(self._since):
            if self._ours(order.client_order_id):
                self._trade(order.client_order_id).saw(order)

    def _trade(self, order_id: str) -> VenueTrade:
        name = OrderName.parse(order_id)
        trade = order_id if name is None else name.trade
        return self.trades.setdefault(trade, VenueTrade(trade_id=trade))

    async def _try_to_close(self, trade: VenueTrade, positions: list[Position]) -> None:
        """Let no trade keep the others from being closed."""
        try:
            trade.flat = await self._close(trade, positions)
        except BrokerProblem as problem:
            words = f"{self._broker.name} gives no answer: {problem}"
            if words != trade.words:
                self._tell(f"{trade.trade_id}: {words}")
            trade.touched, trade.words = True, words

    async def _close(self, trade: VenueTrade, positions: list[Position]) -> bool:
        """Take the next step of one trade; True: nothing of it rests or is held.

        The order of the questions matters: only when no order can fill any more is what they have come to final.
        """
        if any(_leg(order.client_order_id) is Leg.DEAD_MAN for order in trade.open):
            trade.touched, trade.words = True, "its exit is working"
            return False
        if not await self._cancelled(trade, trade.open):
            return False
        held, instrument = trade.held, trade.instrument
        if held == ZERO or instrument is None:
            return await self._told(trade)
        there = _take(positions, instrument, held)
        if there == ZERO:
            return await self._not_there(trade, instrument, held)
        trade.looks = 0
        await self._exit(trade, instrument, there)
        return False

    async def _cancelled(self, trade: VenueTrade, orders: list[BrokerOrder]) -> bool:
        """Cancel `orders` of `trade`; return whether none of them can fill any more."""
        for order in orders:
            order_id = order.client_order_id
            trade.touched = True
            if order_id not in trade.cancelled:
                trade.cancelled.append(order_id)
                self._tell(f"{trade.trade_id}: cancelling {order_id}")
            await self._broker.cancel(order_id)
        refusals = [reason for event in self._broker.drain() if (reason := getattr(event, "reason", ""))]
        resting = False
        for order in orders:  # what came of it is looked up
            found = await self._broker.order_by_client_id(order.client_order_id)
            if found is None:
                raise BrokerUnavailable(f"{order.client_order_id} was there, and is not any more")
            trade.saw(found)
            resting |= found.status.open
        if resting:
            trade.words = "; ".join(["an order still rests", *refusals[-1:]])
        return not resting

    async def _told(self, trade: VenueTrade) -> bool:
        """Read the executions of a trade that is over, for its record; they may come after the orders' own word."""
        trade.fills = await self._fills(trade)
        trade.looks = trade.looks + 1 if trade.untold else 0
        if trade.untold and trade.looks < self._doubts:
            trade.words = "it is closed, but the broker has not told all executions yet"
            return False
        return True

    async def _not_there(self, trade: VenueTrade, instrument: Instrument, held: Decimal) -> bool:
        """Take note that the broker holds nothing of it; it is believed once it has said so often enough."""
        trade.looks += 1
        trade.words = f"{plain(held)} {instrument.symbol} by our executions, but the broker holds none of it"
        if trade.looks < self._doubts:
            return False
        trade.fills = await self._fills(trade)
        self._tell(f"{trade.trade_id}: {trade.words}; closed by somebody else")
        trade.missing = True
        return True

    async def _fills(self, trade: VenueTrade) -> tuple[Fill, ...]:
        if self._executions is None:
            self._executions = await self._broker.fills_since(self._since)
        of_it = {fill.execution_id: fill for fill in self._executions if fill.client_order_id in trade.orders}
        return tuple(of_it.values())

    async def _exit(self, trade: VenueTrade, instrument: Instrument, held: Decimal) -> None:
        trade.touched = True
        if trade.pause > 0:
            trade.pause -= 1
            return
        numbers = [name.attempt for name in map(OrderName.parse, trade.orders) if name and name.leg is Leg.DEAD_MAN]
        attempt = max(numbers, default=0) + 1
        if attempt > ATTEMPTS_MAX:
            trade.words = f"{ATTEMPTS_MAX} exits were refused; still held: {plain(held)} {instrument.symbol}"
            return
        order_id = client_order_id(trade.trade_id, Leg.DEAD_MAN, attempt)
        sent = await self._broker.order_by_client_id(order_id)
        if sent is not None:  # by a life of this path before this one, or its answer was lost
            trade.saw(sent)
            return
        short = any(order.request.side is Side.SELL_SHORT for order in trade.orders.values())
        order = OrderRequest(
            client_order_id=order_id,
            trade_id=trade.trade_id,
            broker=self._broker.name,
            instrument=instrument,
            side=Side.BUY_TO_COVER if short else Side.SELL,
            quantity=abs(held),
            order_type=OrderType.MARKET,
        )
        still = f"still held: {plain(held)} {instrument.symbol}"
        trade.words = still
        self._tell(f"{trade.trade_id}: {order.side} {plain(abs(held))} {instrument.symbol} as {order_id}")
        try:
            await self._broker.submit(order)
        except BrokerRefused as problem:
            self._tell(f"{trade.trade_id}: refused: {problem}")
            trade.words = f"{still}; the broker says: {problem}"
            self._rest(trade, attempt)
        for event in self._broker.drain():
            if reason := getattr(event, "reason", ""):
                trade.words = f"{still}; the broker says: {reason}"
                self._rest(trade, attempt)

    def _rest(self, trade: VenueTrade, attempt: int) -> None:
        """Do not ask in a storm; a simulated venue's next look is its next bar."""
        if self._doubts > 1:
            trade.pause = min(attempt, _PAUSE_LOOKS_MAX)


class Keeper(Flattener):
    """Takes off what would open or enlarge a position, and sees that a stop rests under all that is held.

    A stop that is missing is sent anew as the last one of its trade stood; where there never was one, a person
    has to see to it.
    """

    async def _close(self, trade: VenueTrade, positions: list[Position]) -> bool:
        entries = [order for order in trade.open if _leg(order.client_order_id) in OPENING]
        if not await self._cancelled(trade, entries):
            return False
        if any(order.request.order_type is OrderType.MARKET for order in trade.open):
            trade.words = "its exit is working"
            return False
        held, instrument = trade.held, trade.instrument
        there = ZERO if instrument is None or held == ZERO else _take(positions, instrument, held)
        covered = sum((order.request.quantity - order.filled_quantity for order in trade.open), ZERO)
        if there == ZERO != held and trade.looks < self._doubts - 1:
            trade.looks, trade.words = trade.looks + 1, f"{plain(held)} by our executions, and the broker holds none"
            return False
        if covered >= abs(there):
            trade.fills = await self._fills(trade)
            return True
        return await self._protect(trade, there, abs(there) - covered)

    async def _protect(self, trade: VenueTrade, there: Decimal, bare: Decimal) -> bool:
        """Send the trade's last stop again for what nothing protects."""
        number, last = 1, None
        while (
            order := await self._broker.order_by_client_id(client_order_id(trade.trade_id, Leg.STOP, number))
        ) is not None and number < ATTEMPTS_MAX:
            number, last = number + 1, order
        symbol = "" if trade.instrument is None else trade.instrument.symbol
        trade.words = f"{plain(there)} {symbol} held, {plain(bare)} without a protective stop"
        if last is None or number >= ATTEMPTS_MAX:
            return False
        again = client_order_id(trade.trade_id, Leg.STOP, number)
        trade.touched = True
        self._tell(f"{trade.trade_id}: protecting {plain(bare)} {symbol} by {again}")
        stop = last.request.stop
        if isinstance(stop, TrailingTrigger):  # where it stood last: a new one would begin at the market's price
            stop = stop.fixed
        try:
            await self._broker.submit(
                replace(last.request, client_order_id=again, quantity=bare, stop=stop, replaces=None)
            )
        except BrokerRefused as problem:
            self._tell(f"{trade.trade_id}: refused: {problem}")
        self._broker.drain()
        return False  # whether it rests is looked up


def is_of_our_making(order_id: str, day_and_run: Callable[[TradeName], bool]) -> bool:
    """Return whether `order_id` is a name that only we give, of a trade that `day_and_run` accepts."""
    name = OrderName.parse(order_id)
    trade = None if name is None else TradeName.parse(name.trade)
    return trade is not None and day_and_run(trade)


def _take(positions: list[Position], instrument: Instrument, held: Decimal) -> Decimal:
    """Return how much of `held` is really there, signed, and take it out of `positions`: two trades may share one."""
    for number, position in enumerate(positions):
        if position.instrument.symbol == instrument.symbol and position.quantity * held > ZERO:
            there = min(abs(held), abs(position.quantity)).copy_sign(held)
            positions[number] = Position(
                broker=position.broker,
                instrument=position.instrument,
                quantity=position.quantity - there,
                average_price=position.average_price,
            )
            return there
    return ZERO


def _leg(order_id: str) -> Leg | None:
    name = OrderName.parse(order_id)
    return None if name is None else name.leg


def _signed(order: BrokerOrder) -> Decimal:
    return order.filled_quantity if order.request.side.buys else -order.filled_quantity


__all__ = ["ATTEMPTS_MAX", "DOUBTS", "EXIT_REASON", "Flattener", "Keeper", "VenueTrade", "is_of_our_making"]
