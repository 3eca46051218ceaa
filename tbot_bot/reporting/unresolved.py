"""What a person should look at: rejections, partial fills, lost answers, anomalies, errors. JSON lines.

Partial fills need memory: an order whose fills do not add up to its quantity when it ends, or when its
session does. Every run of a session is kept, as in the session's log.
"""

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from tbot_bot.core import commands, events
from tbot_bot.core.commands import Decided
from tbot_bot.core.identity import SessionId
from tbot_bot.core.instants import Instant
from tbot_bot.core.money import ZERO, plain
from tbot_bot.core.orders import OrderRequest
from tbot_bot.reporting.facts import Item
from tbot_bot.reporting.noted import DeadManReport, ErrorRaised
from tbot_bot.reporting.shapes import text_of, to_plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Unresolved:
    """One line of the log of unresolved orders."""

    timestamp: Instant
    session_id: str
    strategy: str
    kind: str
    """`rejected`, `cancel_rejected`, `partial_fill`, `answer_lost`, `fill_busted`, `anomaly`, `error`,
    `dead_man`."""
    broker: str
    symbol: str
    order_id: str
    error_class: str
    code: str
    text: str
    trace: str = ""


_CLASS_OF: Final = {"anomaly": "LogicError", "answer_lost": "NetworkError"}


@dataclass(slots=True)
class _Order:
    request: OrderRequest
    executions: dict[str, Decimal] = field(default_factory=dict)
    told: bool = False

    @property
    def filled(self) -> Decimal:
        return sum(self.executions.values(), ZERO)


class UnresolvedOrders:
    """Follows one session's orders and tells what is left over."""

    def __init__(self, session: SessionId | None) -> None:
        """Begin with no orders; None follows what belongs to no session."""
        self._session: Final = "" if session is None else str(session)
        self._strategy: Final = "" if session is None else session.strategy.value
        self._orders: dict[str, _Order] = {}

    def feed(self, item: Item) -> tuple[Unresolved, ...]:  # noqa: C901 - one case for each outcome of an order
        """Take in the next row's record and return what it leaves for a person."""
        match item:
            case Decided():
                return tuple(line for output in item.outputs for line in self._decided(output))
            case ErrorRaised():
                return (self._error(item),)
            case DeadManReport():
                return self._dead_man(item)
            case events.OrderFilled(fill=fill):
                known = self._orders.get(fill.client_order_id)
                if known is not None:
                    known.executions[fill.execution_id] = fill.quantity
            case events.FillBusted():
                known = self._orders.get(item.client_order_id)
                if known is not None:
                    known.executions.pop(item.execution_id, None)
                return (self._line(item.at, "fill_busted", item.client_order_id, item.reason or "no reason given"),)
            case events.OrderCancelled() | events.OrderExpired() | events.OrderReplaced():
                return self._partial(item.at, item.client_order_id, "ended")
            case events.OrderRejected():
                return (self._line(item.at, "rejected", item.client_order_id, item.reason),)
            case events.CancelRejected():
                return (self._line(item.at, "cancel_rejected", item.client_order_id, item.reason),)
            case events.AnswerLost():
                return (self._line(item.at, "answer_lost", item.client_order_id, item.reason),)
            case _:
                pass
        return ()

    def _decided(self, output: commands.Output) -> tuple[Unresolved, ...]:
        match output:
            case commands.SubmitOrder(order=order) | commands.ReplaceOrder(order=order):
                self._orders.setdefault(order.client_order_id, _Order(order))
            case commands.AnomalySeen():
                return (self._line(output.at, "anomaly", output.client_order_id, output.text),)
            case commands.SessionEnded():
                return tuple(line for name in self._orders for line in self._partial(output.at, name, "left"))
            case _:
                pass
        return ()

    def _partial(self, at: Instant, order_id: str, how: str) -> tuple[Unresolved, ...]:
        order = self._orders.get(order_id)
        if order is None or order.told or not ZERO < order.filled < order.request.quantity:
            return ()
        order.told = True
        text = f"{how} with {plain(order.filled)} of {plain(order.request.quantity)} filled"
        return (self._line(at, "partial_fill", order_id, text),)

    def _dead_man(self, report: DeadManReport) -> tuple[Unresolved, ...]:
        """Tell of each trade that was closed without an engine, and of what is left for a person."""
        first = self._line(report.at, "dead_man", "", report.why)
        trades = (
            replace(
                first, broker=trade.broker, symbol=trade.ticker, code=trade.error_code.upper(),
                text=f"{trade.trade_id}: {plain(trade.size)} {trade.instrument}, "
                + ("still held" if trade.exit_price is None else f"out at {plain(trade.exit_price)}"),
            )
            for trade in report.trades
        )  # fmt: skip
        return (first, *trades, *(replace(first, code="LEFT", text=text) for text in report.left))

    def _line(self, at: Instant, kind: str, order_id: str, text: str) -> Unresolved:
        order = self._orders.get(order_id)
        return Unresolved(
            timestamp=at,
            session_id=self._session,
            strategy=self._strategy,
            kind=kind,
            broker=order.request.broker if order else "",
            symbol=order.request.instrument.symbol if order else "",
            order_id=order_id,
            error_class=_CLASS_OF.get(kind, "BrokerError"),
            code=kind.upper(),
            text=text,
        )

    def _error(self, error: ErrorRaised) -> Unresolved:
        return Unresolved(
            timestamp=error.at,
            session_id=self._session,
            strategy=self._strategy,
            kind="error",
            broker=error.broker,
            symbol="",
            order_id=error.client_order_id,
            error_class=error.error_class,
            code=error.code,
            text=f"{error.where}: {error.text}" if error.where else error.text,
            trace=error.trace,
        )


def line_of(line: Unresolved) -> bytes:
    """Return `line` as one line of JSON."""
    return (text_of(to_plain(line)) + "\n").encode()


__all__ = ["Unresolved", "UnresolvedOrders", "line_of"]
