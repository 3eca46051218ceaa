"""Cancelling the bot's open orders and closing its positions at a broker, without an engine.

It is for the day on which nothing else works, so it asks little: the broker's own orders and executions say
what is ours and how much of it is held. The caller says which client order ids are ours.

For each trade: whatever rests is cancelled, and once nothing can fill any more, a market order for what is
left goes out under a derived id. Before an id is used it is looked up, so a path that was killed and begins
again sells nothing twice.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from tbot_bot.core.commands import TradeRecord
from tbot_bot.core.errors import BrokerRefused, BrokerUnavailable
from tbot_bot.core.identity import Leg, Mode, OrderName, TradeName, client_order_id
from tbot_bot.core.instants import Instant
from tbot_bot.core.instruments import AssetClass, Instrument
from tbot_bot.core.money import ZERO, plain, to_cents
from tbot_bot.core.orders import BrokerOrder, Direction, Fill, OrderRequest, OrderType, Position, Side
from tbot_bot.core.protocols import Broker

ATTEMPTS_MAX: Final = 50
"""Exits of one trade; a broker that refused so many will refuse the next."""
EXIT_REASON: Final = "dead_man"
UNCLOSED: Final = "unclosed"
"""Error code of a trade that is still held, or was closed by somebody else."""
_AVERAGE_DECIMALS: Final = 6


@dataclass(slots=True, kw_only=True)
class VenueTrade:
    """One of our trades as its broker tells it."""

    trade_id: str
    orders: dict[str, OrderRequest] = field(default_factory=dict)
    fills: tuple[Fill, ...] = ()
    cancelled: list[str] = field(default_factory=list)
    touched: bool = False
    """This path had something to do about it."""
    flat: bool = False
    missing: bool = False
    """The broker holds less than our executions add up to: somebody else closed it."""
    words: str = ""
    """Why it is not flat yet, or what is odd about it."""

    def fills_of(self, *, entry: bool) -> list[Fill]:
        """Return the executions of the entry, or of everything else, oldest first."""
        return [fill for fill in self.fills if (_leg(fill.client_order_id) is Leg.ENTRY) is entry]

    @property
    def held(self) -> Decimal:
        """Return the signed quantity that our executions add up to."""
        return sum((_signed(self.orders[fill.client_order_id], fill) for fill in self.fills), ZERO)

    @property
    def instrument(self) -> Instrument | None:
        """Return what is traded; None before the first order is known."""
        return next((order.instrument for order in self.orders.values()), None)


class Flattener:
    """Closes what is ours at one broker, step by step."""

    def __init__(
        self, broker: Broker, *, ours: Callable[[str], bool], since: Instant, tell: Callable[[str], None]
    ) -> None:
        """`ours` judges client order ids; executions before `since` (market time) belong to days that are over."""
        self._broker, self._ours, self._since, self._tell = broker, ours, since, tell
        self.trades: dict[str, VenueTrade] = {}

    async def step(self) -> bool:
        """Do what can be done now; return whether nothing of ours rests or is held any more."""
        try:
            await self._look()
            positions = list(await self._broker.positions())
        except BrokerUnavailable as problem:
            self._tell(f"{self._broker.name} gives no answer: {problem}")
            return False
        for trade in self.trades.values():
            if not trade.flat:
                await self._try_to_close(trade, positions)
        return all(trade.flat for trade in self.trades.values())

    async def _look(self) -> None:
        """Learn our trades from what rests and what was executed."""
        for order in await self._broker.open_orders():
            if self._ours(order.client_order_id):
                trade = self._trade(order.client_order_id)
                trade.orders[order.client_order_id] = order.request
                trade.flat = False
        for fill in await self._broker.fills_since(self._since):
            if self._ours(fill.client_order_id):
                self._trade(fill.client_order_id)

    def _trade(self, order_id: str) -> VenueTrade:
        name = OrderName.parse(order_id)
        trade = order_id if name is None else name.trade
        return self.trades.setdefault(trade, VenueTrade(trade_id=trade))

    async def _try_to_close(self, trade: VenueTrade, positions: list[Position]) -> None:
        """Let no trade keep the others from being closed."""
        try:
            trade.flat = await self._close(trade, positions)
        except BrokerUnavailable as problem:
            trade.touched, trade.words = True, f"{self._broker.name} gives no answer: {problem}"
            self._tell(f"{trade.trade_id}: {trade.words}")

    async def _close(self, trade: VenueTrade, positions: list[Position]) -> bool:
        """Take the next step of one trade; True: nothing of it rests or is held.

        The order of the questions matters: only when no order can fill any more are the executions final.
        """
        attempts = await self._attempts(trade)
        if any(order.status.open for order in attempts):
            trade.words = "its exit is working"
            return False
        if not await self._cancelled(trade):
            trade.words = "an order still rests"
            return False
        trade.fills = await self._fills(trade)
        held = trade.held
        instrument = trade.instrument
        if held == ZERO or instrument is None:
            return True
        there = _take(positions, instrument, held)
        if there == ZERO:
            trade.words = f"{plain(held)} {instrument.symbol} by our executions, but the broker holds none of it"
            self._tell(f"{trade.trade_id}: {trade.words}; closed by somebody else")
            trade.missing = True
            return True
        await self._exit(trade, instrument, there, len(attempts) + 1)
        return False

    async def _attempts(self, trade: VenueTrade) -> list[BrokerOrder]:
        """Return the exits that this path has sent before, in whatever life."""
        found: list[BrokerOrder] = []
        while len(found) < ATTEMPTS_MAX:
            order = await self._broker.order_by_client_id(_exit_id(trade.trade_id, len(found) + 1))
            if order is None:
                break
            trade.orders[order.client_order_id] = order.request
            trade.touched = True
            found.append(order)
        return found

    async def _cancelled(self, trade: VenueTrade) -> bool:
        """Cancel what rests of `trade`; return whether nothing does any more."""
        for order_id in await self._resting(trade):
            trade.touched = True
            if order_id not in trade.cancelled:
                trade.cancelled.append(order_id)
                self._tell(f"{trade.trade_id}: cancelling {order_id}")
            await self._broker.cancel(order_id)
        self._broker.drain()  # what came of it is looked up
        return not await self._resting(trade)

    async def _resting(self, trade: VenueTrade) -> list[str]:
        return [
            order.client_order_id
            for order in await self._broker.open_orders()
            if self._ours(order.client_order_id) and self._trade(order.client_order_id) is trade
        ]

    async def _fills(self, trade: VenueTrade) -> tuple[Fill, ...]:
        found: dict[str, Fill] = {}
        for fill in await self._broker.fills_since(self._since):
            order_id = fill.client_order_id
            if not self._ours(order_id) or self._trade(order_id) is not trade:
                continue
            if order_id not in trade.orders:
                order = await self._broker.order_by_client_id(order_id)
                if order is None:
                    raise BrokerUnavailable(f"an execution of {order_id}, but not the order")
                trade.orders[order_id] = order.request
            found[fill.execution_id] = fill
        return tuple(found.values())

    async def _exit(self, trade: VenueTrade, instrument: Instrument, held: Decimal, attempt: int) -> None:
        trade.touched = True
        if attempt > ATTEMPTS_MAX:
            trade.words = f"{ATTEMPTS_MAX} exits were refused; still held: {plain(held)} {instrument.symbol}"
            return
        entered_short = any(order.side is Side.SELL_SHORT for order in trade.orders.values())
        side = Side.BUY_TO_COVER if entered_short else Side.SELL
        order = OrderRequest(
            client_order_id=_exit_id(trade.trade_id, attempt),
            trade_id=trade.trade_id,
            broker=self._broker.name,
            instrument=instrument,
            side=side,
            quantity=abs(held),
            order_type=OrderType.MARKET,
        )
        trade.words = f"still held: {plain(held)} {instrument.symbol}"
        self._tell(f"{trade.trade_id}: {side} {plain(abs(held))} {instrument.symbol} as {order.client_order_id}")
        try:
            await self._broker.submit(order)
        except BrokerRefused as problem:
            self._tell(f"{trade.trade_id}: refused: {problem}")
        for event in self._broker.drain():
            reason = getattr(event, "reason", "")
            if reason:
                trade.words = f"still held: {plain(held)} {instrument.symbol}; the broker says: {reason}"


class Keeper(Flattener):
    """Takes off what would open or enlarge a position, and sees that a stop rests under all that is held.

    A stop that is missing is sent anew as the last one of its trade stood; where there never was one, a person
    has to see to it.
    """

    async def _close(self, trade: VenueTrade, positions: list[Position]) -> bool:
        mine = [order for order in await self._broker.open_orders() if self._is_of(order, trade)]
        for order in mine:
            if _leg(order.client_order_id) is Leg.ENTRY:
                trade.touched = True
                trade.cancelled.append(order.client_order_id)
                self._tell(f"{trade.trade_id}: cancelling {order.client_order_id}")
                await self._broker.cancel(order.client_order_id)
        self._broker.drain()  # what came of it is looked up
        mine = [order for order in await self._broker.open_orders() if self._is_of(order, trade)]
        if any(_leg(order.client_order_id) is Leg.ENTRY for order in mine):
            trade.words = "an entry order still rests"
            return False
        if any(order.request.order_type is OrderType.MARKET for order in mine):
            trade.words = "its exit is working"
            return False
        trade.fills = await self._fills(trade)
        held, instrument = trade.held, trade.instrument
        there = ZERO if instrument is None or held == ZERO else _take(positions, instrument, held)
        covered = sum((order.request.quantity - order.filled_quantity for order in mine), ZERO)
        if covered >= abs(there):
            return True
        return await self._protect(trade, there, abs(there) - covered)

    def _is_of(self, order: BrokerOrder, trade: VenueTrade) -> bool:
        return self._ours(order.client_order_id) and self._trade(order.client_order_id) is trade

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
        try:
            await self._broker.submit(replace(last.request, client_order_id=again, quantity=bare, replaces=None))
        except BrokerRefused as problem:
            self._tell(f"{trade.trade_id}: refused: {problem}")
        self._broker.drain()
        return False  # whether it rests is looked up


def is_of_our_making(order_id: str, day_and_run: Callable[[TradeName], bool]) -> bool:
    """Return whether `order_id` is a name that only we give, of a trade that `day_and_run` accepts."""
    name = OrderName.parse(order_id)
    trade = None if name is None else TradeName.parse(name.trade)
    return trade is not None and day_and_run(trade)


def record_of(trade: VenueTrade, mode: Mode, at: Instant, reason: str = EXIT_REASON) -> TradeRecord | None:
    """Return the trade as the trade history shows it, left for `reason`; None where nothing was ever executed.

    A position that could not be closed has no result yet: fees only, and `unclosed` as error.
    """
    name, instrument = TradeName.parse(trade.trade_id), trade.instrument
    bought, sold = trade.fills_of(entry=True), trade.fills_of(entry=False)
    if name is None or instrument is None or not bought:
        return None
    sign = 1 if trade.orders[bought[0].client_order_id].side.buys else -1
    fees = sum((fill.fees for fill in trade.fills), ZERO)
    closed = trade.flat and not trade.missing
    gross = sign * instrument.multiplier * (_value(sold) - _value(bought)) if closed else ZERO
    modelled = any(fill.modelled for fill in trade.fills)
    return TradeRecord(
        at=sold[-1].transacted_at if sold else at,
        entered_at=bought[0].transacted_at,
        trade_id=trade.trade_id,
        strategy=name.session.strategy,
        ticker=name.symbol,
        underlying=instrument.underlying or instrument.symbol,
        side=_direction(name.symbol, instrument, sign),
        instrument=instrument.symbol,
        size=_quantity(bought),
        entry_price=_average(bought),
        exit_price=_average(sold),
        pnl=to_cents(gross - fees),
        fees=to_cents(fees),
        slippage=ZERO,
        exit_reason=reason,
        broker=name.broker,
        mode=mode,
        session_id=str(name.session),
        tags=("MODELLED_PRICE",) if modelled else (),
        error_code=reason if closed else UNCLOSED,
        signal_to_order_ns=0,
        order_to_fill_ns=0,
    )


def _direction(symbol: str, instrument: Instrument, sign: int) -> Direction:
    """Return what was expected of the underlying: a put or another symbol bought is a bearish trade."""
    bought_itself = sign > 0 and instrument.asset_class is AssetClass.EQUITY and instrument.symbol == symbol
    return Direction.LONG if bought_itself else Direction.BEARISH


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


def _exit_id(trade: str, attempt: int) -> str:
    return client_order_id(trade, Leg.DEAD_MAN, attempt)


def _leg(order_id: str) -> Leg | None:
    name = OrderName.parse(order_id)
    return None if name is None else name.leg


def _signed(order: OrderRequest, fill: Fill) -> Decimal:
    return fill.quantity if order.side.buys else -fill.quantity


def _quantity(fills: Iterable[Fill]) -> Decimal:
    return sum((fill.quantity for fill in fills), ZERO)


def _value(fills: Iterable[Fill]) -> Decimal:
    return sum((fill.price * fill.quantity for fill in fills), ZERO)


def _average(fills: Sequence[Fill]) -> Decimal | None:
    quantity = _quantity(fills)
    return round(_value(fills) / quantity, _AVERAGE_DECIMALS) if quantity > ZERO else None


__all__ = [
    "ATTEMPTS_MAX",
    "EXIT_REASON",
    "UNCLOSED",
    "Flattener",
    "Keeper",
    "VenueTrade",
    "is_of_our_making",
    "record_of",
]
