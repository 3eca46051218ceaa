"""A session that other code began: its state rebuilt from what the journal says, not from what this code would do.

Where a program comes to recover a session and would have decided differently, its own idea of the session is
worth nothing. What was sent, what was executed and what was decided to be left are facts in the journal, and they
are enough to get out: `Follower` gathers them, and `CodeTakenOver` then closes everything.
"""

from collections.abc import Iterable
from typing import Final

from tbot_bot.core.commands import (
    BrokerHalted,
    CancelOrder,
    ConfirmationAwaited,
    EngageKillSwitch,
    ExitDecided,
    Output,
    Phase,
    PhaseEntered,
    ReadPutQuotes,
    ReplaceOrder,
    SessionEnded,
    SharesFixed,
    SignalDropped,
    SignalRaised,
    StopMoved,
    SubmitOrder,
    TradeApproved,
    TradeRecord,
    WatchSymbols,
)
from tbot_bot.core.events import (
    AccountsRead,
    BarsClosed,
    ControlKind,
    ControlReceived,
    EarlierToday,
    Event,
    FillBusted,
    OrderFilled,
    OrderReplaced,
    ScreenCompleted,
    VixRead,
)
from tbot_bot.core.identity import Leg, StrategyName, trade_id
from tbot_bot.core.money import ZERO, exact
from tbot_bot.core.orders import Direction, Fill, OrderRequest
from tbot_bot.trading.broker_health import HealthEvent, note_foreign, remember
from tbot_bot.trading.market_halts import believe_bars
from tbot_bot.trading.order_desk import set_state
from tbot_bot.trading.order_events import TRIGGERS
from tbot_bot.trading.orders_bot import Trigger, apply, apply_fill, bust, new_order
from tbot_bot.trading.session_state import SessionState, Signal, Trade, TradeState
from tbot_bot.trading.spec import SessionSpec

CODE_CHANGED: Final = "code_changed"
"""Reason code of a close-out because this code is not the one that began the session."""
_STOPPED: Final = "closed_out"
"""Reason code of a close-out whose own code no row tells."""


class Follower:
    """Builds the state of one session from its inputs and the answers that the journal holds to them."""

    def __init__(self, spec: SessionSpec) -> None:
        """Begin before the first input."""
        self.state: Final = SessionState(spec)
        self._signals: dict[str, Signal] = {}
        """By symbol, those whose fate is not known yet."""

    def follow(self, event: Event, outputs: Iterable[Output]) -> None:
        """Take one input and what was answered to it; nothing is decided here."""
        state = self.state
        state.at = max(state.at, event.at)
        self._happened(event)
        for output in outputs:
            self._decided(output)
        if state.spec.strategy is StrategyName.CLOSE:
            state.vix_waiting = list(self._signals.values())
        state.out = []

    # --- inputs -------------------------------------------------------------------------------------------------------

    def _happened(self, event: Event) -> None:  # noqa: C901, PLR0912 - one case for each kind of input
        state = self.state
        match event:
            case BarsClosed():
                believe_bars(state, event.bars)
                for bar in event.bars:
                    if bar.end >= state.last_seen.get(bar.symbol, 0):
                        state.last_price[bar.symbol], state.last_seen[bar.symbol] = bar.close, bar.end
            case AccountsRead():
                for account in event.accounts:
                    state.accounts[account.broker] = account
                    state.budgets[account.broker] = state.spec.allocation.total_allocation * account.equity
                note_foreign(state, event)
            case EarlierToday():
                state.traded_earlier, state.earlier_open_trades = event.traded, event.open_trades
                state.realized_earlier = {broker: exact(result) for broker, result in event.realized}
                state.halted.update(event.halted)
            case ScreenCompleted():
                state.verdicts = {verdict.symbol: verdict for verdict in event.verdicts}
                chosen = sorted((one for one in event.verdicts if one.rank > 0), key=lambda one: one.rank)
                state.candidates = tuple(one.symbol for one in chosen)
            case VixRead():
                state.vix = event.reading
            case ControlReceived(kind=ControlKind.STOP | ControlKind.KILL):
                if event.kind is ControlKind.KILL:
                    state.killed = state.killed or f"{event.by}: {event.why}"
                state.stop_code = state.stop_code or ("kill" if event.kind is ControlKind.KILL else "stop_request")
            case _ if isinstance(event, HealthEvent):
                remember(state, event)
            case OrderFilled():
                self._filled(event.fill)
            case FillBusted():
                self._busted(event)
            case _ if type(event) in TRIGGERS:
                set_state(state, getattr(event, "client_order_id", ""), TRIGGERS[type(event)])
                if isinstance(event, OrderReplaced):
                    set_state(state, event.by, Trigger.ACKNOWLEDGED)
            case _:
                pass

    def _filled(self, fill: Fill) -> None:
        state = self.state
        order = state.orders.get(fill.client_order_id)
        if order is None:
            return
        after, _, is_new = apply_fill(order, fill)
        state.orders[fill.client_order_id] = after
        trade = state.trades[order.request.trade_id]
        if is_new and trade.state is TradeState.CLOSED:
            trade.state, trade.exit_code = TradeState.EXITING, trade.exit_code or "late_execution"
        if is_new and trade.entered_at is None and leg_of(fill.client_order_id) is Leg.ENTRY:
            trade.entered_at = fill.transacted_at
            trade.state = TradeState.OPEN if trade.state is TradeState.ENTERING else trade.state

    def _busted(self, event: FillBusted) -> None:
        state = self.state
        order = state.orders.get(event.client_order_id)
        if order is None:
            return
        state.orders[event.client_order_id], _ = bust(order, event.execution_id)
        trade = state.trades[order.request.trade_id]
        if trade.state is TradeState.CLOSED:
            trade.state, trade.exit_code = TradeState.EXITING, trade.exit_code or "late_execution"

    # --- answers ------------------------------------------------------------------------------------------------------

    def _decided(self, output: Output) -> None:  # noqa: C901, PLR0912 - one case for each answer
        state = self.state
        match output:
            case PhaseEntered():
                self._phase(output)
            case SignalRaised():
                self._raised(output)
            case SignalDropped():
                self._signals.pop(output.symbol, None)
                if output.trade_id in state.trades:
                    state.trades[output.trade_id].state = TradeState.CLOSED
            case ConfirmationAwaited():
                self._began(output.trade_id, self._broker_of(output), output.symbol, TradeState.AWAITING_CONFIRMATION)
            case ReadPutQuotes():
                self._began(output.trade_id, output.broker, output.underlying, TradeState.AWAITING_QUOTES)
            case TradeApproved():
                self._approved(output)
            case SubmitOrder() | ReplaceOrder():
                self._sent(output.order)
            case CancelOrder():
                set_state(state, output.client_order_id, Trigger.CANCEL_ASKED)
            case StopMoved() if output.trade_id in state.trades:
                state.trades[output.trade_id].stop_price = output.price
            case ExitDecided() if output.trade_id in state.trades:
                trade = state.trades[output.trade_id]
                trade.exit_code = trade.exit_code or output.code
                trade.state = TradeState.EXITING if trade.state is TradeState.OPEN else trade.state
            case TradeRecord() if output.trade_id in state.trades:
                self._recorded(state.trades[output.trade_id], output)
            case WatchSymbols():
                state.watched = output.symbols
            case SharesFixed():
                state.shares[output.broker] = output.shares
            case BrokerHalted():
                state.halted[output.broker] = output.reason
            case EngageKillSwitch():
                state.killed = output.reason
            case SessionEnded():
                state.ended = True
            case _:
                pass

    def _phase(self, entered: PhaseEntered) -> None:
        state = self.state
        state.phase = entered.phase
        if entered.phase is Phase.CLOSE_OUT:
            state.ended = False  # an execution after the end opens a session again
            state.stop_code, state.stop_reason = state.stop_code or _STOPPED, state.stop_reason or entered.reason

    def _raised(self, raised: SignalRaised) -> None:
        self.state.signaled += 1
        self.state.signaled_symbols.add(raised.symbol)
        self._signals[raised.symbol] = Signal(
            at=raised.at,
            symbol=raised.symbol,
            direction=raised.direction,
            price=raised.price,
            score=raised.score,
            why=lambda: raised.reason,
        )

    def _began(self, name: str, broker: str, symbol: str, stands: TradeState) -> Trade:
        signal = self._signals.pop(symbol, None)
        known = self.state.trades.get(name)
        if known is not None:
            known.state = stands
            return known
        signal = signal or Signal(
            at=self.state.at,
            symbol=symbol,
            direction=Direction.BEARISH,
            price=ZERO,
            score=0.0,
            why=lambda: "not journaled",
        )
        made = Trade(
            trade_id=name,
            broker=broker,
            symbol=symbol,
            direction=signal.direction,
            signal_at=signal.at,
            state=stands,
            signal=signal,
            watched=symbol,
        )
        self.state.trades[name] = made
        return made

    def _broker_of(self, waiting: ConfirmationAwaited) -> str:
        spec = self.state.spec
        names = [broker.name for broker in spec.brokers]
        ids = {trade_id(spec.session, name, waiting.symbol): name for name in names}
        return ids.get(waiting.trade_id, names[0] if names else "")

    def _approved(self, approved: TradeApproved) -> None:
        trade = self._began(approved.trade_id, approved.broker, approved.symbol, TradeState.ENTERING)
        trade.direction, trade.short_type = approved.direction, approved.short_type
        trade.decision_price, trade.allotted = approved.decision_price, approved.allotted

    def _sent(self, request: OrderRequest) -> None:
        state = self.state
        trade = state.trades.get(request.trade_id)
        if trade is None or request.client_order_id in state.orders:
            return  # sent again under its own id
        leg = leg_of(request.client_order_id)
        state.orders[request.client_order_id], _ = apply(new_order(request, state.at), Trigger.SENT)
        trade.order_ids.append((leg, request.client_order_id))
        trade.attempts[leg] = trade.attempts.get(leg, 0) + 1
        state.order_times.append(state.at)
        if leg is Leg.ENTRY:
            trade.instrument = request.instrument
            trade.watched = request.instrument.underlying or request.instrument.symbol
        if request.stop is not None:
            trade.watched, trade.stop_rises = request.stop.symbol, request.stop.rising
            trade.stop_price = request.stop.price
        if request.replaces is not None:
            set_state(state, request.replaces, Trigger.CANCEL_ASKED)

    def _recorded(self, trade: Trade, record: TradeRecord) -> None:
        trade.state = TradeState.CLOSED
        if record.error_code == "unclosed":
            return
        realized = self.state.realized
        realized[trade.broker] = realized.get(trade.broker, ZERO) + record.pnl - trade.booked
        trade.booked = record.pnl


def leg_of(order_id: str) -> Leg:
    """Return what the order of this id is for.

    Raises:
        ValueError: not an id of ours.
    """
    return Leg(order_id.rpartition("-")[2].rstrip("0123456789"))


__all__ = ["CODE_CHANGED", "Follower", "leg_of"]
