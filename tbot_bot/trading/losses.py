"""The day's losses: a broker that has lost its limit is left and halted, and all together pull the kill switch.

Results of the day are measured twice. Realised: our own trades' results after fees, over all sessions of the day.
In all: what the account is worth now against what it was worth at the day's first open, so that what is still open
counts at the broker's own prices. The limit is a fraction of the float at the day's first open.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from tbot_bot.core.commands import BrokerHalted, EngageKillSwitch, RaiseAlert, Severity
from tbot_bot.core.events import AccountsMarked, EarlierToday
from tbot_bot.core.money import ZERO, exact, to_cents
from tbot_bot.trading.session_state import SessionState

KILL: Final = "kill"
"""Stop code of a session that the kill switch ends."""
Stop = Callable[[str, str], None]
"""Ends the session with a code and a reason."""


def on_earlier(state: SessionState, event: EarlierToday) -> None:
    """Take over what the day's earlier sessions have left: symbols, results, halts, the float of the first open."""
    state.traded_earlier = event.traded
    state.earlier_open_trades = event.open_trades
    state.realized_earlier = {broker: exact(result) for broker, result in event.realized}
    state.first_floats = {broker: exact(equity) for broker, equity in event.first_floats}
    for broker, reason in event.halted:
        state.halted.setdefault(broker, reason)
    state.results_changed = True


def on_marks(state: SessionState, event: AccountsMarked) -> None:
    """Take note of what the accounts are worth now."""
    for account in event.accounts:
        if account.broker in state.accounts:
            state.marks[account.broker] = account
            state.approved_since_mark[account.broker] = ZERO
            state.results_changed = True


def realized_today(state: SessionState, broker: str) -> Decimal:
    """Return the day's realised result at `broker` in dollars, after fees."""
    return state.realized.get(broker, ZERO) + state.realized_earlier.get(broker, ZERO)


def result_today(state: SessionState, broker: str) -> Decimal:
    """Return the day's result at `broker` in dollars, open positions included.

    Where nothing is open at the broker, the realised result is all of it, and newer than any mark.
    """
    mark = state.marks.get(broker)
    if mark is None or not any(trade.broker == broker for trade in state.active_trades()):
        return realized_today(state, broker)
    return mark.equity - first_float(state, broker)


def first_float(state: SessionState, broker: str) -> Decimal:
    """Return the float at the day's first open; where no session came before, that is this session's."""
    known = state.first_floats.get(broker)
    if known is not None:
        return known
    account = state.accounts.get(broker)
    return ZERO if account is None else account.equity - state.realized_earlier.get(broker, ZERO)


def judge(state: SessionState, stop: Stop) -> None:
    """Hold the day's results against their limits."""
    state.results_changed = False
    for broker in state.accounts:
        _judge_broker(state, broker)
    if state.killed:
        return
    names = [broker.name for broker in state.spec.brokers]
    if names and all(name in state.halted for name in names):
        kill(state, stop, "all brokers are halted: " + "; ".join(f"{name}: {state.halted[name]}" for name in names))
        return
    floats = sum((first_float(state, name) for name in state.accounts), ZERO)
    loss = -sum((result_today(state, name) for name in state.accounts), ZERO)
    limit = state.spec.limits.daily_loss_limit * floats
    if loss >= limit > ZERO:
        over = f"loss of the day over all brokers, open positions included, {to_cents(loss)} USD"
        kill(state, stop, f"{over} reached the limit {to_cents(limit)} USD")


def kill(state: SessionState, stop: Stop, reason: str) -> None:
    """Engage the kill switch, once, and end the session."""
    if not state.killed:
        state.killed = reason
        state.emit(
            EngageKillSwitch(at=state.at, reason=reason),
            RaiseAlert(severity=Severity.CRITICAL, title="the kill switch is engaged", text=reason),
        )
    stop(KILL, reason)


def halt(state: SessionState, broker: str, code: str, reason: str) -> None:
    """Halt `broker` until the next trading day, once: no entries, its positions are closed, the others go on."""
    if broker in state.halted:
        return
    state.halted[broker] = reason
    state.results_changed = True
    state.emit(
        BrokerHalted(at=state.at, broker=broker, code=code, reason=reason),
        RaiseAlert(severity=Severity.CRITICAL, title=f"{broker} is halted", text=reason),
    )


def _judge_broker(state: SessionState, broker: str) -> None:
    limit = state.spec.limits.daily_loss_limit * first_float(state, broker)
    if limit <= ZERO:
        return
    realized, in_all = -realized_today(state, broker), -result_today(state, broker)
    if realized >= limit:
        over = f"realised loss of the day {to_cents(realized)} USD"
    elif in_all >= limit:
        over = f"loss of the day {to_cents(in_all)} USD, open positions included,"
    else:
        return
    halt(state, broker, "daily_loss", f"{over} reached the limit {to_cents(limit)} USD")
