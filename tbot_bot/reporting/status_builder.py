"""The status of one session, folded from what its engine sees and says. Pure: times and pids are passed in."""

from collections import deque
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from tbot_bot.core import commands, events
from tbot_bot.core.commands import Decided, Phase
from tbot_bot.core.foreign_orders import ForeignOrdersSeen
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import SECOND, Instant
from tbot_bot.core.instruments import Instrument
from tbot_bot.core.money import ZERO, to_cents
from tbot_bot.core.orders import Direction, Fill, OrderRequest
from tbot_bot.reporting.daily_summary import DEFENSE_TAG
from tbot_bot.reporting.facts import Item
from tbot_bot.reporting.noted import ErrorRaised
from tbot_bot.reporting.status_logger import (
    STATE_OF_PHASE,
    BotState,
    BotStatus,
    BrokerLink,
    CanaryResult,
    OpenCircuit,
    OpenPosition,
    OthersOrder,
    Realized,
    WaitingSignal,
)
from tbot_bot.trading.spec import SessionSpec

_ERRORS_KEPT: Final = 5
_AVERAGE_DECIMALS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessFacts:
    """What only the writing process knows."""

    version: str
    pid: int
    written_at: Instant
    """Wall clock."""
    journal_sequence: int
    brokers: tuple[BrokerLink, ...] = ()
    api_retries: int = 0
    circuits: tuple[OpenCircuit, ...] = ()
    canary: CanaryResult | None = None


@dataclass(slots=True)
class _Holding:
    """The fills of one trade, by execution id, so that a repeated report changes nothing."""

    trade_id: str
    broker: str
    underlying: str
    side: Direction
    instrument: Instrument | None = None
    fills: dict[str, tuple[OrderRequest, Fill]] = field(default_factory=dict)
    stop_price: Decimal | None = None

    @property
    def quantity(self) -> Decimal:
        signed = (fill.quantity if order.side.buys else -fill.quantity for order, fill in self.fills.values())
        return sum(signed, ZERO)

    @property
    def entry_price(self) -> Decimal:
        """Return the average price of the fills on the entry's side."""
        buys = self.quantity > 0
        entries = [fill for order, fill in self.fills.values() if order.side.buys is buys]
        quantity = sum((fill.quantity for fill in entries), ZERO)
        average = sum((fill.price * fill.quantity for fill in entries), ZERO) / quantity
        return round(average, _AVERAGE_DECIMALS)


class StatusBuilder:
    """Follows one session; `build` gives its status at any moment."""

    def __init__(self, spec: SessionSpec) -> None:
        """Begin before the session's first event."""
        self._spec: Final = spec
        self._phase: Phase | None = None
        self._reason = ""
        self._halted = spec.limits.kill_switch
        self._suspended = ""
        self._impaired: dict[str, str] = {}
        self._ended = False
        self._first: Instant | None = None
        self._last: Instant | None = None
        self._bars_at: Instant | None = None
        self._prices: dict[str, float] = {}
        self._orders: dict[str, OrderRequest] = {}
        self._holdings: dict[str, _Holding] = {}
        self._signals: dict[str, commands.SignalRaised] = {}
        self._waiting: dict[str, WaitingSignal] = {}
        self._realized: dict[str, Decimal] = {broker.name: ZERO for broker in spec.brokers}
        self._candidates = self._signaled = self._exited = self._rejected = 0
        self._entered: dict[str, None] = {}
        self._errors: deque[str] = deque(maxlen=_ERRORS_KEPT)
        self._foreign: dict[tuple[str, str], OthersOrder] = {}

    def feed(self, item: Item) -> None:
        """Take in the next event or decision, bars included."""
        match item:
            case events.BarsClosed():
                self._seen(item.at)
                self._bars_at = item.at if self._bars_at is None else max(self._bars_at, item.at)
                for bar in item.bars:
                    self._prices[bar.symbol] = bar.close
            case Decided():
                self._seen(item.at)
                for output in item.outputs:
                    self._decided(output)
            case SessionSpec():
                pass
            case ErrorRaised():
                self._errors.append(f"{item.error_class} {item.code}: {item.text}")
            case _:
                self._seen(item.at)
                self._happened(item)

    def build(self, process: ProcessFacts) -> BotStatus:
        """Return the status as of the last event fed."""
        positions = tuple(
            self._position(holding) for holding in self._holdings.values() if holding.quantity and holding.instrument
        )
        known = [position.unrealized_pnl for position in positions if position.unrealized_pnl is not None]
        age = None if self._bars_at is None or self._last is None else (self._last - self._bars_at) / SECOND
        return BotStatus(
            version=process.version,
            pid=process.pid,
            written_at=process.written_at,
            market_time=self._last,
            mode=self._spec.mode,
            test_mode=self._spec.test_mode,
            state=self._state(),
            state_reason=self._reason,
            session="" if self._ended else str(self._spec.session),
            phase=None if self._ended else self._phase,
            scheduled_start=self._spec.windows.start,
            actual_start=self._first,
            candidates=self._candidates,
            signaled=self._signaled,
            entered=len(self._entered),
            exited=self._exited,
            rejected=self._rejected,
            waiting=tuple(self._waiting.values()),
            positions=positions,
            realized=tuple(Realized(broker=name, pnl=pnl) for name, pnl in sorted(self._realized.items())),
            realized_total=sum(self._realized.values(), ZERO),
            unrealized_total=sum(known, ZERO),
            brokers=process.brokers,
            data_age_seconds=age,
            last_errors=tuple(self._errors),
            api_retries=process.api_retries,
            entries_suspended="; ".join(filter(None, (self._suspended, *self._impaired.values()))),
            defense_mode=DEFENSE_TAG in self._spec.tags,
            kill_switch=self._halted,
            journal_sequence=process.journal_sequence,
            circuits=process.circuits,
            canary=process.canary,
            foreign_orders=tuple(self._foreign.values()),
        )

    def _state(self) -> BotState:
        if self._halted:
            return BotState.HALTED
        if self._ended or self._phase is None:
            return BotState.IDLE
        return STATE_OF_PHASE[self._phase]

    def _seen(self, at: Instant) -> None:
        self._first = at if self._first is None else self._first
        self._last = at if self._last is None else max(self._last, at)

    def _happened(self, event: Item) -> None:  # noqa: C901, PLR0912 - one case for each kind of event
        match event:
            case events.OrderFilled(fill=fill):
                order = self._orders.get(fill.client_order_id)
                if order is not None and order.trade_id in self._holdings:
                    holding = self._holdings[order.trade_id]
                    holding.instrument = order.instrument
                    holding.fills.setdefault(fill.execution_id, (order, fill))
            case events.FillBusted():
                for holding in self._holdings.values():
                    holding.fills.pop(event.execution_id, None)
            case events.OrderRejected():
                self._errors.append(f"order {event.client_order_id} rejected: {event.reason}")
            case events.AnswerLost():
                self._errors.append(f"no answer on order {event.client_order_id}: {event.reason}")
            case events.ControlReceived(kind=events.ControlKind.KILL):
                self._halted, self._reason = True, f"kill switch, by {event.by}: {event.why}"
            case events.ControlReceived():
                self._waiting.pop(event.trade_id, None)  # decided, whichever way
            case events.EntriesSuspended():
                self._suspended = event.reason
            case events.EntriesResumed():
                self._suspended = ""
            case events.LinkImpaired():
                self._impaired[event.link] = f"{event.link} is {event.state}: {event.reason}"
            case events.LinkRestored():
                self._impaired.pop(event.link, None)
            case ForeignOrdersSeen():
                self._others(event)
            case _:
                pass

    def _others(self, event: ForeignOrdersSeen) -> None:
        for one in event.orders:
            self._foreign[one.broker, one.broker_order_id] = OthersOrder(
                broker=one.broker, broker_order_id=one.broker_order_id, name=one.name, symbol=one.instrument.symbol,
                side="buy" if one.buys else "sell", quantity=one.quantity, price=one.price,
            )  # fmt: skip
        for name in event.gone:
            self._foreign.pop((event.broker, name), None)

    def _decided(self, output: commands.Output) -> None:  # noqa: C901, PLR0912 - one case for each decision
        match output:
            case commands.PhaseEntered():
                self._phase = output.phase
                if not self._halted:
                    self._reason = output.reason
            case commands.CandidatesChosen():
                self._candidates = len(output.symbols)
            case commands.SignalRaised():
                self._signaled += 1
                self._signals[output.symbol] = output
            case commands.ConfirmationAwaited():
                self._await(output)
            case commands.SignalDropped():
                self._rejected += 1
                self._waiting.pop(output.trade_id, None)
            case commands.TradeApproved():
                self._holdings[output.trade_id] = _Holding(
                    output.trade_id, output.broker, output.symbol, output.direction
                )
            case commands.SubmitOrder(order=order) | commands.ReplaceOrder(order=order):
                self._orders[order.client_order_id] = order
            case commands.TradeOpened():
                self._entered[output.trade_id] = None
            case commands.StopMoved():
                if output.trade_id in self._holdings:
                    self._holdings[output.trade_id].stop_price = output.price
            case commands.TradeRecord():
                self._over(output)
            case commands.AnomalySeen():
                self._errors.append(f"anomaly: {output.text}")
            case commands.SessionEnded():
                self._ended = True
                if not self._halted:
                    self._reason = output.reason
            case _:
                pass

    def _await(self, awaited: commands.ConfirmationAwaited) -> None:
        signal = self._signals[awaited.symbol]
        self._waiting[awaited.trade_id] = WaitingSignal(
            trade_id=awaited.trade_id,
            symbol=awaited.symbol,
            side=signal.direction,
            price=signal.price,
            signaled_at=signal.at,
            lapses_at=awaited.lapses_at,
        )

    def _over(self, trade: commands.TradeRecord) -> None:
        self._holdings.pop(trade.trade_id, None)
        if trade.entered_at is None:
            self._rejected += 1
            return
        self._exited += 1
        self._realized[trade.broker] = self._realized.get(trade.broker, ZERO) + trade.pnl

    def _position(self, holding: _Holding) -> OpenPosition:
        instrument = holding.instrument or Instrument(symbol=holding.underlying)
        entry = holding.entry_price
        position = OpenPosition(
            trade_id=holding.trade_id,
            broker=holding.broker,
            symbol=instrument.symbol,
            underlying=holding.underlying,
            side=holding.side,
            quantity=holding.quantity,
            entry_price=entry,
            current_price=None,
            unrealized_pnl=None,
            stop_price=holding.stop_price,
        )
        close = self._prices.get(instrument.symbol)
        if close is None:
            return position
        price = instrument.round_price(close)
        gain = to_cents(instrument.notional(price - entry, holding.quantity))
        return replace(position, current_price=price, unrealized_pnl=gain)


def idle_status(
    process: ProcessFacts, *, mode: Mode, test_mode: bool, state: BotState, reason: str, defense_mode: bool = False
) -> BotStatus:
    """Return the status of a bot without a session: waiting, halted, shut down, or in error."""
    return BotStatus(
        version=process.version, pid=process.pid, written_at=process.written_at, market_time=None, mode=mode,
        test_mode=test_mode, state=state, state_reason=reason, session="", phase=None, scheduled_start=None,
        actual_start=None, candidates=0, signaled=0, entered=0, exited=0, rejected=0, waiting=(), positions=(),
        realized=(), realized_total=ZERO, unrealized_total=ZERO, brokers=process.brokers, data_age_seconds=None,
        last_errors=(), api_retries=process.api_retries, entries_suspended="", defense_mode=defense_mode,
        kill_switch=state is BotState.HALTED, journal_sequence=process.journal_sequence,
        circuits=process.circuits, canary=process.canary,
    )  # fmt: skip


__all__ = ["ProcessFacts", "StatusBuilder", "idle_status"]
