"""The story of each session, one line for each fact, in JSON or CSV.

Every run of a session is told, rehearsals included (their `session_id` ends in `#2`, `#3`): a log is what
happened. The trade history and the summary show the latest run only.
"""

import csv
import io
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from tbot_bot.core import commands
from tbot_bot.core.codec import Json
from tbot_bot.core.commands import Decided
from tbot_bot.core.identity import SessionId
from tbot_bot.core.instants import Instant, iso
from tbot_bot.core.money import plain
from tbot_bot.core.orders import OrderRequest
from tbot_bot.core.trails import TrailingTrigger
from tbot_bot.reporting.facts import Fact, Item, Level, LogFormat, signed
from tbot_bot.reporting.happenings import happened, planned, remarked
from tbot_bot.reporting.noted import DeadManReport, ErrorRaised, Noted, SessionSkipped
from tbot_bot.reporting.shapes import text_of
from tbot_bot.trading.spec import SessionSpec

COLUMNS: Final = (
    "timestamp", "session_id", "strategy", "event", "symbol", "broker", "trade_id", "order_id",
    "side", "quantity", "price", "code", "text",
)  # fmt: skip

_Q: Final = Level.QUIET
_I: Final = Level.INFO
_V: Final = Level.VERBOSE


def facts_of(item: Item) -> tuple[Fact, ...]:
    """Return what `item` tells, in order, at all levels."""
    match item:
        case Decided():
            return tuple(fact for output in item.outputs for fact in _decided(item.at, output))
        case SessionSpec():
            return (planned(item),)
        case DeadManReport():
            return (remarked(item), *(fact for trade in item.trades for fact in _of_trade(trade)))
        case ErrorRaised() | Noted() | SessionSkipped():
            return (remarked(item),)
        case _:
            return happened(item)


def header(form: LogFormat) -> bytes:
    """Return what a log begins with: the column names in CSV, nothing in JSON."""
    return f"{','.join(COLUMNS)}\n".encode() if form is LogFormat.CSV else b""


def lines_of(session: SessionId, facts: Iterable[Fact], form: LogFormat, level: Level) -> bytes:
    """Return the lines that a log of `form` and `level` holds for `facts`."""
    told = (fact for fact in facts if level.tells(fact.level))
    return "".join(_line(session, fact, form) for fact in told).encode()


def _line(session: SessionId, fact: Fact, form: LogFormat) -> str:
    values = (
        iso(fact.timestamp), str(session), session.strategy.value, fact.event, fact.symbol, fact.broker,
        fact.trade_id, fact.order_id, fact.side,
        "" if fact.quantity is None else plain(fact.quantity),
        "" if fact.price is None else plain(fact.price),
        fact.code, fact.text,
    )  # fmt: skip
    match form:
        case LogFormat.JSON:
            body: dict[str, Json] = {name: value for name, value in zip(COLUMNS, values, strict=True) if value}
            return text_of(body) + "\n"
        case LogFormat.CSV:
            cell = io.StringIO()
            csv.writer(cell, lineterminator="\n").writerow(" ".join(value.splitlines()) for value in values)
            return cell.getvalue()


def _decided(at: Instant, output: commands.Output) -> tuple[Fact, ...]:
    match output:
        case commands.SubmitOrder():
            return (_order(at, "order_submitted", output.order),)
        case commands.ReplaceOrder():
            return (_order(at, "order_replacement", output.order),)
        case commands.CancelOrder():
            order_id = output.client_order_id
            return (Fact(timestamp=at, level=_I, event="cancel_asked", broker=output.broker, order_id=order_id),)
        case commands.RaiseAlert():
            text = f"{output.title}: {output.text}"
            return (Fact(timestamp=at, level=_Q, event="alert", code=output.severity.value, text=text),)
        case commands.EngageKillSwitch():
            return (Fact(timestamp=at, level=_Q, event="kill_switch_engaged", text=output.reason),)
        case commands.BrokerHalted():
            broker, code, text = output.broker, output.code, output.reason
            return (Fact(timestamp=at, level=_Q, event="broker_halted", broker=broker, code=code, text=text),)
        case commands.ReadPutQuotes() | commands.ReadVix() | commands.WatchSymbols():
            return ()  # their answers are told
        case (
            commands.TradeApproved() | commands.TradeOpened() | commands.StopMoved() | commands.TrailKeptHere()
            | commands.ExitDecided() | commands.TradeRecord()
        ):  # fmt: skip
            return _of_trade(output)
        case commands.SignalDropped():
            return _dropped(output)
        case _:
            return (_of_session(output),)


def _of_session(
    told: commands.PhaseEntered
    | commands.CandidatesChosen
    | commands.SharesFixed
    | commands.FilterAsked
    | commands.SignalRaised
    | commands.ConfirmationAwaited
    | commands.NonDecision
    | commands.AnomalySeen
    | commands.SessionEnded,
) -> Fact:
    fact = Fact(timestamp=told.at, level=_I, event="")
    match told:
        case commands.PhaseEntered():
            return replace(fact, event="phase_entered", code=told.phase.value, text=told.reason)
        case commands.CandidatesChosen():
            chosen = " ".join(told.symbols) or "none"
            text = f"{len(told.symbols)} of {told.screened} screened: {chosen}; {told.description}"
            return replace(fact, event="candidates_chosen", text=text)
        case commands.SharesFixed():
            shares = ", ".join(plain(share) for share in told.shares) or "none"
            text = (
                f"float {plain(told.float_equity)}, budget {plain(told.budget)}, {told.live_candidates} candidates,"
                f" shares {shares}"
            )
            return replace(fact, event="shares_fixed", broker=told.broker, text=text)
        case commands.FilterAsked():
            reason = f"missing data: {told.reason}" if told.missing else told.reason
            code = f"{told.filter}:{told.verdict}"
            return replace(fact, level=_V, event="filter_asked", symbol=told.symbol, code=code, text=reason)
        case commands.SignalRaised():
            return replace(
                fact, event="signal_raised", symbol=told.symbol, side=told.direction.value, price=told.price,
                text=told.reason,
            )  # fmt: skip
        case commands.ConfirmationAwaited():
            text = f"waits for a person until {iso(told.lapses_at)}"
            return replace(
                fact, level=_Q, event="confirmation_awaited", symbol=told.symbol, trade_id=told.trade_id, text=text
            )
        case commands.NonDecision():
            return replace(fact, event="no_decision", symbol=told.symbol, text=told.reason)
        case commands.AnomalySeen():
            return replace(fact, level=_Q, event="anomaly", order_id=told.client_order_id, text=told.text)
        case commands.SessionEnded():
            realised = ", ".join(f"{broker} {signed(amount)}" for broker, amount in told.realized) or "none"
            text = (
                f"{told.reason}; candidates {told.candidates}, signaled {told.signaled}, entered {told.entered},"
                f" exited {told.exited}, realised {realised}"
            )
            return replace(fact, level=_Q, event="session_ended", text=text)


def _of_trade(
    told: commands.TradeApproved
    | commands.TradeOpened
    | commands.StopMoved
    | commands.TrailKeptHere
    | commands.ExitDecided
    | commands.TradeRecord,
) -> tuple[Fact, ...]:
    fact = Fact(timestamp=told.at, level=_I, event="", trade_id=told.trade_id)
    match told:
        case commands.TradeApproved():
            short = f" by {told.short_type}" if told.short_type is not None else ""
            approved = replace(
                fact, event="trade_approved", symbol=told.symbol, broker=told.broker, side=told.direction.value,
                quantity=told.quantity, price=told.decision_price,
                text=f"{told.instrument}{short}, share {plain(told.allotted)}",
            )  # fmt: skip
            return (approved, *_checks(fact, told.checks))
        case commands.TradeOpened():
            return (replace(fact, level=_Q, event="trade_opened", quantity=told.quantity, price=told.price),)
        case commands.StopMoved():
            watched, quantity, price = told.watched, told.quantity, told.price
            return (replace(fact, event="stop_moved", symbol=watched, quantity=quantity, price=price),)
        case commands.TrailKeptHere():
            return (replace(fact, event="trail_kept_here", text=told.reason),)
        case commands.ExitDecided():
            return (replace(fact, event="exit_decided", code=told.code, text=told.reason),)
        case commands.TradeRecord():
            entry = "none" if told.entry_price is None else plain(told.entry_price)
            closed = replace(
                fact, level=_Q, event="trade_closed" if told.entered_at is not None else "trade_failed",
                symbol=told.ticker, broker=told.broker, side=told.side.value, quantity=told.size,
                price=told.exit_price, code=told.error_code or told.exit_reason,
                text=f"PnL {signed(told.pnl)}, fees {plain(told.fees)}, slippage {plain(told.slippage)},"
                f" entry {entry}, {told.exit_reason}",
            )  # fmt: skip
            return (closed,)


def _dropped(told: commands.SignalDropped) -> tuple[Fact, ...]:
    fact = Fact(timestamp=told.at, level=_V, event="", trade_id=told.trade_id, symbol=told.symbol, broker=told.broker)
    side, code, text = told.direction.value, told.code, told.reason
    dropped = replace(fact, level=_Q, event="signal_dropped", side=side, code=code, text=text)
    return (dropped, *_checks(fact, told.checks))


def _checks(fact: Fact, checks: Iterable[commands.CheckAnswered]) -> Iterable[Fact]:
    for check in checks:
        answer = f"objects: {check.reason}" if check.objection else f"not asked: {check.reason}"
        yield replace(fact, level=_V, event="check_answered", code=check.rule, text=answer)


def _order(at: Instant, event: str, order: OrderRequest) -> Fact:
    stop = order.stop
    texts = (
        order.order_type.value,
        f"limit {plain(order.limit_price)}" if order.limit_price is not None else "",
        f"wakes {'above' if stop.rising else 'below'} {plain(stop.price)} of {stop.symbol}" if stop else "",
        f"trails by {plain(stop.percent)} % at the broker" if isinstance(stop, TrailingTrigger) else "",
        f"replaces {order.replaces}" if order.replaces else "",
    )
    return Fact(
        timestamp=at,
        level=_I,
        event=event,
        symbol=order.instrument.symbol,
        broker=order.broker,
        trade_id=order.trade_id,
        order_id=order.client_order_id,
        side=order.side.value,
        quantity=order.quantity,
        price=order.limit_price,
        text=", ".join(text for text in texts if text),
    )


__all__ = ["COLUMNS", "facts_of", "header", "lines_of"]
