"""After a restart or a lost answer: what the broker knows of our orders, told to the engine as ordinary events."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from tbot_bot.core.commands import CancelOrder, Output, Phase, ReadPutQuotes, ReadVix, ReplaceOrder, SubmitOrder
from tbot_bot.core.errors import BrokerUnavailable, UnknownMessage
from tbot_bot.core.events import (
    AccountsRead,
    Event,
    OrderAcknowledged,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    PositionAgrees,
    PositionDiffers,
)
from tbot_bot.core.identity import Leg, StrategyName
from tbot_bot.core.instants import Instant
from tbot_bot.core.money import ZERO
from tbot_bot.core.orders import Account, BrokerOrder, BrokerOrderStatus, Fill, OrderRequest, Position
from tbot_bot.core.protocols import Broker
from tbot_bot.runtime.shell import SessionShell
from tbot_bot.trading.broker_health import expected_positions
from tbot_bot.trading.orders_bot import Order, OrderState
from tbot_bot.trading.session_state import SessionState, TradeState


async def read_accounts(at: Instant, brokers: Mapping[str, Broker]) -> tuple[AccountsRead, Mapping[str, str]]:
    """Return the accounts at a session's opening with what is held there, and the brokers that gave no answer."""
    accounts: list[Account] = []
    foreign: list[Position] = []
    silent: dict[str, str] = {}
    for name, broker in brokers.items():
        try:
            positions = await broker.positions()
            accounts.append(await broker.account())
        except BrokerUnavailable as problem:
            silent[name] = str(problem)
            continue
        foreign += positions
    return AccountsRead(at=at, accounts=tuple(accounts), foreign_positions=tuple(foreign)), silent


async def missed_fills(state: SessionState, brokers: Mapping[str, Broker], since: Instant) -> list[Event]:
    """Return executions of our orders that the engine has not booked, oldest first."""
    found = [fill for broker in brokers.values() for fill in await broker.fills_since(since)]
    return [OrderFilled(at=state.at, fill=fill) for fill in found if is_news(state, fill)]


def is_news(state: SessionState, fill: Fill) -> bool:
    """Return whether `fill` is of an order of ours, and has not been booked."""
    order = state.orders.get(fill.client_order_id)
    return order is not None and all(known.execution_id != fill.execution_id for known in order.fills)


def unanswered(state: SessionState) -> list[Output]:
    """Return the questions to the market whose answers died with the process, to be asked again."""
    questions: list[Output] = []
    if state.vix_waiting or _vix_missing(state):
        questions.append(ReadVix(at=state.at))
    questions += [
        ReadPutQuotes(
            trade_id=trade.trade_id,
            broker=trade.broker,
            underlying=trade.symbol,
            spot=trade.signal.price,
            at=state.at,
            min_days=state.spec.bearish.put_min_days,
        )
        for trade in state.trades.values()
        if trade.state is TradeState.AWAITING_QUOTES
    ]
    return questions


def _vix_missing(state: SessionState) -> bool:
    """Return whether CLOSE is past the instant at which it asks for the VIX, and was never answered."""
    asked = state.spec.strategy is StrategyName.CLOSE and state.phase in {Phase.ANALYSIS, Phase.BREAKOUT}
    return asked and state.vix is None


async def settle_order(state: SessionState, broker: Broker, order: Order) -> tuple[Sequence[Event], Sequence[Output]]:
    """Return what the broker says of one open order: events to take, and commands to do again.

    Only a definite "not there" lets an order be sent again, under the same id.
    """
    order_id = order.request.client_order_id
    remote = await broker.order_by_client_id(order_id)
    if remote is None:
        return await _send_again(state, broker, order)
    fills = [fill for fill in await broker.fills_since(state.spec.windows.bell) if fill.client_order_id == order_id]
    told = [OrderFilled(at=state.at, fill=fill) for fill in fills if is_news(state, fill)]
    return [*told, *_as_events(state, order, remote)], _ask_again(state, order, remote)


def _as_events(state: SessionState, order: Order, remote: BrokerOrder) -> Sequence[Event]:
    order_id, at = order.request.client_order_id, state.at
    match remote.status:
        case BrokerOrderStatus.WORKING:
            waiting = order.state in {OrderState.SUBMITTING, OrderState.UNKNOWN}
            known = OrderAcknowledged(at=at, client_order_id=order_id, broker_order_id=remote.broker_order_id)
            return [known] if waiting else []
        case BrokerOrderStatus.CANCELLED:
            return [OrderCancelled(at=at, client_order_id=order_id, reason=remote.reason)]
        case BrokerOrderStatus.EXPIRED:
            return [OrderExpired(at=at, client_order_id=order_id)]
        case BrokerOrderStatus.REJECTED:
            return [OrderRejected(at=at, client_order_id=order_id, reason=remote.reason)]
        case BrokerOrderStatus.REPLACED:
            successor = _successor(state, order_id)
            return [OrderReplaced(at=at, client_order_id=order_id, by=successor)] if successor else []
        case BrokerOrderStatus.FILLED:
            return []  # its executions say so


def _ask_again(state: SessionState, order: Order, remote: BrokerOrder) -> Sequence[Output]:
    wanted_away = order.state is OrderState.CANCEL_REQUESTED and remote.status.open
    if not wanted_away or _successor(state, order.request.client_order_id):
        return []  # a successor that is sent again takes its place
    return [CancelOrder(broker=order.request.broker, client_order_id=order.request.client_order_id)]


async def _send_again(state: SessionState, broker: Broker, order: Order) -> tuple[Sequence[Event], Sequence[Output]]:
    request = order.request
    if request.replaces is None:
        if order.state is OrderState.CANCEL_REQUESTED or _given_up(state, request):
            reason = "it never reached the broker, and nobody wants it any more"
            return [OrderRejected(at=state.at, client_order_id=request.client_order_id, reason=reason)], []
        return [], [SubmitOrder(order=request)]
    replaced = await broker.order_by_client_id(request.replaces)
    if replaced is not None and replaced.status.open:
        return [], [ReplaceOrder(order=request)]
    reason = f"{request.replaces}, whose place it should take, no longer rests"
    return [OrderRejected(at=state.at, client_order_id=request.client_order_id, reason=reason)], []


def _given_up(state: SessionState, request: OrderRequest) -> bool:
    """Return whether nobody wants this order any more.

    That is an entry or a stop of a trade that is being left, or an entry after the time for entries.
    """
    trade = state.trades[request.trade_id]
    leg = next(leg for leg, order_id in trade.order_ids if order_id == request.client_order_id)
    windows = state.spec.windows
    lapsed = leg is Leg.ENTRY and state.at >= windows.entry_end + windows.bar_span
    return lapsed or (bool(trade.exit_code) and leg is not Leg.EXIT)


def _successor(state: SessionState, order_id: str) -> str:
    """Return the order that was sent to take the place of `order_id`."""
    return next((oid for oid, order in state.orders.items() if order.request.replaces == order_id), "")


class BrokerReconciler:
    """Brings our books and one broker together, after it was away: fills, open orders, positions."""

    def __init__(
        self, shell: SessionShell, brokers: Mapping[str, Broker], settle: Callable[[], Awaitable[None]]
    ) -> None:
        """`settle` looks up the orders that the shell doubts."""
        self._shell, self._brokers, self._settle = shell, brokers, settle

    async def reconcile(self, name: str) -> bool:
        """Return whether nothing is in doubt any more; else it has to be done again."""
        try:
            return await self._reconcile(name, self._brokers[name])
        except (BrokerUnavailable, UnknownMessage):  # what cannot be read cannot be compared
            return False

    async def _reconcile(self, name: str, broker: Broker) -> bool:
        state, shell = self._shell.engine.state, self._shell
        if name not in state.accounts and state.verdicts:  # it gave no answer when the session was opened
            await shell.take(AccountsRead(at=shell.at, accounts=(await broker.account(),)))
        await self._take_missed(name, broker)
        for order_id, order in state.orders.items():
            if order.is_open and order.request.broker == name:
                shell.doubted[order_id] = None
        await self._settle()
        if any(state.orders[order_id].request.broker == name for order_id in shell.doubted if order_id in state.orders):
            return False
        positions = await broker.positions()
        if await self._take_missed(name, broker):
            return False  # something was executed meanwhile: the positions are compared next time
        for event in compare_positions(state, name, positions):
            await shell.take(event)
        return True

    async def _take_missed(self, name: str, broker: Broker) -> bool:
        """Take the executions that the engine has not booked; return whether there were any."""
        state = self._shell.engine.state
        missed = await missed_fills(state, {name: broker}, state.spec.windows.bell)
        for event in missed:
            await self._shell.take(event)
        return bool(missed)


def ours_at(state: SessionState, broker: str) -> tuple[str, ...]:
    """Return the symbols that we trade at `broker`, and those in which it has differed."""
    ours = dict.fromkeys(
        trade.instrument.symbol
        for trade in state.active_trades()
        if trade.broker == broker and trade.instrument is not None
    )
    return tuple(ours | dict.fromkeys(symbol for name, symbol in state.differing if name == broker))


def compare_positions(
    state: SessionState, broker: str, positions: Sequence[Position]
) -> list[PositionDiffers | PositionAgrees]:
    """Return where `positions` at `broker` differ from what should be held in what we trade, or do so no longer."""
    expected = expected_positions(state, broker)
    found = dict.fromkeys(expected, ZERO)
    for position in positions:
        symbol = position.instrument.symbol
        found[symbol] = found.get(symbol, ZERO) + position.quantity
    told: list[PositionDiffers | PositionAgrees] = []
    for symbol in ours_at(state, broker):
        should, there = expected.get(symbol, ZERO), found.get(symbol, ZERO)
        if there == should:
            if (broker, symbol) in state.differing:
                told.append(PositionAgrees(at=state.at, broker=broker, symbol=symbol))
        elif state.differing.get((broker, symbol)) != there - should:
            told.append(PositionDiffers(at=state.at, broker=broker, symbol=symbol, expected=should, found=there))
    return told
