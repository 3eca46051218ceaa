"""Inputs of the engine, as facts: what the market, the brokers and people did."""

from typing import Final

from tbot_bot.core import events
from tbot_bot.core.foreign_orders import ForeignOrdersSeen
from tbot_bot.core.halts import HaltsTold, TradingHalt
from tbot_bot.core.money import plain
from tbot_bot.core.screening import Outcome, Verdict
from tbot_bot.core.trails import StopTrailed
from tbot_bot.reporting.facts import Fact, Level, Remark
from tbot_bot.reporting.noted import DeadManReport, ErrorRaised, Noted, SessionSkipped
from tbot_bot.trading.spec import SessionSpec

_Q: Final = Level.QUIET
_I: Final = Level.INFO
_V: Final = Level.VERBOSE


def planned(spec: SessionSpec) -> Fact:
    """Return the fact that the session exists and what it may do."""
    brokers = ", ".join(f"{broker.name}{' (halted)' if broker.halted else ''}" for broker in spec.brokers)
    text = (
        f"mode {spec.mode}, {'test mode, ' if spec.test_mode else ''}brokers {brokers or 'none'},"
        f" at most {spec.allocation.max_trades} trades, {plain(spec.allocation.total_allocation * 100)}% of the float,"
        f" stop {plain(spec.stop_fraction * 100)}%, bearish by {spec.bearish.short_type}"
    )
    tags = f", tags {' '.join(spec.tags)}" if spec.tags else ""
    return Fact(timestamp=spec.windows.screen_at, level=_I, event="session_planned", text=text + tags)


def remarked(remark: Remark) -> Fact:
    """Return an error, a note or a skipped session as a fact."""
    match remark:
        case ErrorRaised():
            where = f"{remark.where}: " if remark.where else ""
            return Fact(
                timestamp=remark.at,
                level=_Q,
                event="error",
                broker=remark.broker,
                order_id=remark.client_order_id,
                code=remark.code,
                text=f"{remark.error_class}: {where}{remark.text}",
            )
        case DeadManReport():
            closed = " ".join(trade.trade_id for trade in remark.trades) or "no trade"
            text = f"{remark.why}; cancelled {len(remark.cancelled)} orders, closed {closed}"
            left = f"; LEFT: {'; '.join(remark.left)}" if remark.left else ""
            return Fact(timestamp=remark.at, level=_Q, event="dead_man", text=text + left)
        case SessionSkipped():
            return Fact(timestamp=remark.at, level=_Q, event="session_skipped", text=remark.reason)
        case Noted():
            return Fact(timestamp=remark.at, level=_I, event="note", text=remark.text)


def happened(event: events.Event) -> tuple[Fact, ...]:  # noqa: C901, PLR0912 - one case for each kind of input
    """Return the facts in one input; none for bars, which are on the tape."""
    match event:
        case events.BarsClosed():
            return ()
        case events.AccountsRead():
            return _accounts(event)
        case events.EarlierToday():
            text = f"{len(event.traded)} symbols traded, {event.open_trades} trades open, realised " + (
                ", ".join(f"{broker} {amount}" for broker, amount in event.realized) or "nothing"
            )
            return (Fact(timestamp=event.at, level=_V, event="earlier_today", text=text),)
        case events.AccountsMarked():
            return ()  # one a minute; what comes of them is told
        case events.ScreenCompleted():
            passed = sum(verdict.passed for verdict in event.verdicts)
            text = f"{passed} of {len(event.verdicts)} symbols passed, by {event.source}"
            head = Fact(timestamp=event.at, level=_I, event="screen_completed", text=text)
            return (head, *(_screened(event, verdict) for verdict in event.verdicts))
        case events.QuotesRead() | events.ImbalancesRead():
            return ()
        case HaltsTold():
            return tuple(_halt(event, one) for one in event.halts)
        case events.VixRead():
            known = event.reading
            price, text = (None, "no source had a value") if known is None else (known.value, f"from {known.source}")
            return (Fact(timestamp=event.at, level=_V, event="vix_read", symbol="VIX", price=price, text=text),)
        case events.PutQuotesRead():
            text = event.problem or f"{len(event.quotes)} puts on offer"
            return (Fact(timestamp=event.at, level=_V, event="puts_read", trade_id=event.trade_id, text=text),)
        case events.ControlReceived():
            return (
                Fact(
                    timestamp=event.at,
                    level=_Q,
                    event="control_received",
                    trade_id=event.trade_id,
                    code=event.kind.value,
                    text=f"by {event.by}: {event.why}",
                ),
            )
        case events.EntriesSuspended():
            return (Fact(timestamp=event.at, level=_Q, event="entries_suspended", text=event.reason),)
        case events.EntriesResumed():
            return (Fact(timestamp=event.at, level=_Q, event="entries_resumed"),)
        case events.LinkImpaired():
            text = f"{event.link}: {event.reason}"
            return (Fact(timestamp=event.at, level=_Q, event="link_impaired", code=event.state.value, text=text),)
        case events.LinkRestored():
            return (Fact(timestamp=event.at, level=_Q, event="link_restored", text=event.link),)
        case events.BrokerLost():
            return (Fact(timestamp=event.at, level=_Q, event="broker_lost", broker=event.broker, text=event.reason),)
        case events.PositionDiffers() | events.PositionAgrees():
            return (_position(event),)
        case ForeignOrdersSeen():
            return _foreign_orders(event)
        case events.CodeTakenOver():
            code = event.code_fingerprint[:12]
            return (Fact(timestamp=event.at, level=_Q, event="code_taken_over", code=code, text=event.reason),)
        case events.ProtectionChecked():
            text = f"no live protective stop: {', '.join(event.trade_ids)}"
            return (Fact(timestamp=event.at, level=_Q, event="unprotected", text=text),)
        case events.MarketOver():
            return (Fact(timestamp=event.at, level=_I, event="market_over"),)
        case _:
            return (_of_order(event),)


def _halt(event: HaltsTold, one: TradingHalt) -> Fact:
    name = "trading_halted" if one.halted else "trading_goes_on"
    return Fact(timestamp=event.at, level=_Q, event=name, symbol=one.symbol, text=one.reason)


def _position(event: events.PositionDiffers | events.PositionAgrees) -> Fact:
    if isinstance(event, events.PositionAgrees):
        name, text = "position_agrees", "what is held there is again what should be"
    else:
        name, text = "position_differs", f"{plain(event.expected)} expected, {plain(event.found)} found; halted"
    return Fact(timestamp=event.at, level=_Q, event=name, broker=event.broker, symbol=event.symbol, text=text)


def _accounts(event: events.AccountsRead) -> tuple[Fact, ...]:
    read = (
        Fact(
            timestamp=event.at,
            level=_V,
            event="account_read",
            broker=account.broker,
            price=account.equity,
            text=f"equity {plain(account.equity)}, cash {plain(account.cash)},"
            f" buying power {plain(account.buying_power)}",
        )
        for account in event.accounts
    )
    foreign = (
        Fact(
            timestamp=event.at,
            level=_I,
            event="foreign_position",
            broker=position.broker,
            symbol=position.instrument.symbol,
            quantity=position.quantity,
            price=position.average_price,
            text="not ours; left alone",
        )
        for position in event.foreign_positions
    )
    return (*read, *foreign)


def _foreign_orders(event: ForeignOrdersSeen) -> tuple[Fact, ...]:
    seen = (
        Fact(
            timestamp=event.at,
            level=_I,
            event="foreign_order",
            broker=one.broker,
            symbol=one.instrument.symbol,
            order_id=one.name or one.broker_order_id,
            side="buy" if one.buys else "sell",
            quantity=one.quantity,
            price=one.price,
            code=one.broker_order_id,
            text="not ours; left alone",
        )
        for one in event.orders
    )
    gone = (
        Fact(
            timestamp=event.at, level=_I, event="foreign_order_gone", broker=event.broker, order_id=name, code=name,
            text="not ours; it rests no longer",
        )
        for name in event.gone
    )  # fmt: skip
    return (*seen, *gone)


def _screened(event: events.ScreenCompleted, verdict: Verdict) -> Fact:
    told = [rule for rule in verdict.rules if verdict.passed or rule.outcome is not Outcome.PASSED]
    text = "; ".join(f"{rule.rule} {rule.outcome}: {rule.detail}" for rule in told)
    code = f"rank {verdict.rank}" if verdict.rank else ("cut by the maximum" if verdict.passed else "failed")
    return Fact(
        timestamp=event.at,
        level=_I if verdict.rank else _V,
        event="candidate_screened",
        symbol=verdict.symbol,
        price=verdict.last_price,
        code=code,
        text=text,
    )


def _of_order(event: events.OrderEvent) -> Fact:  # noqa: C901 - one case for each kind of news
    match event:
        case events.OrderFilled():
            fill = event.fill
            modelled = ", modelled price" if fill.modelled else ""
            return Fact(
                timestamp=event.at,
                level=_I,
                event="order_filled",
                order_id=fill.client_order_id,
                quantity=fill.quantity,
                price=fill.price,
                code=fill.execution_id,
                text=f"fees {plain(fill.fees)}{modelled}",
            )
        case events.OrderAcknowledged():
            level, name, text = _V, "order_acknowledged", f"broker's id {event.broker_order_id}"
        case events.OrderCancelled():
            level, name, text = _I, "order_cancelled", event.reason
        case events.OrderReplaced():
            level, name, text = _I, "order_replaced", f"by {event.by}"
        case events.OrderRejected():
            level, name, text = _Q, "order_rejected", event.reason
        case events.CancelRejected():
            level, name, text = _Q, "cancel_rejected", event.reason
        case events.OrderExpired():
            level, name, text = _I, "order_expired", ""
        case events.AnswerLost():
            level, name, text = _Q, "answer_lost", event.reason
        case StopTrailed():
            level, name, text = _I, "stop_trailed", f"the broker moved it to {plain(event.price)}"
        case events.FillBusted():
            level, name, text = _Q, "fill_busted", f"{event.execution_id} {event.reason}".rstrip()
    return Fact(timestamp=event.at, level=level, event=name, order_id=event.client_order_id, text=text)


__all__ = ["happened", "planned", "remarked"]
