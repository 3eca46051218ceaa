"""What the watchdog has found, as far as a session has to act on it.

A link that is impaired (a broker's, or the market's data) stops entries there until it is restored; a broker that
is lost is halted and left. A position that differs at the broker halts its symbol there: no entries, and where less
is held than we count on, no exit either, which could turn the account around. A person has to look at it. Where the
exchange has stopped trading in a share, nothing is opened in it.
"""

from decimal import Decimal
from typing import Final

from tbot_bot.core.commands import RaiseAlert, Severity
from tbot_bot.core.events import (
    MARKET_DATA,
    AccountsRead,
    BrokerLost,
    EntriesResumed,
    EntriesSuspended,
    LinkImpaired,
    LinkRestored,
    LinkState,
    PositionAgrees,
    PositionDiffers,
)
from tbot_bot.core.foreign_orders import ForeignOrdersSeen
from tbot_bot.core.halts import HaltsTold
from tbot_bot.core.money import ZERO, plain
from tbot_bot.trading import losses, market_halts
from tbot_bot.trading.session_state import SessionState, Trade

WATCHDOG: Final = "watchdog"
"""Code of the halt of a broker that was lost."""
_SHOWN: Final = 5
"""Orders of others that an alert names; the session's log names all."""
HealthEvent = (
    EntriesSuspended
    | EntriesResumed
    | LinkImpaired
    | LinkRestored
    | BrokerLost
    | PositionDiffers
    | PositionAgrees
    | ForeignOrdersSeen
    | HaltsTold
)
HEALTH_EVENTS: Final[tuple[type, ...]] = (
    EntriesSuspended,
    EntriesResumed,
    LinkImpaired,
    LinkRestored,
    BrokerLost,
    PositionDiffers,
    PositionAgrees,
    ForeignOrdersSeen,
    HaltsTold,
)


def remember(state: SessionState, event: HealthEvent) -> None:
    """Take note of `event`; nothing is decided."""
    match event:
        case EntriesSuspended():
            state.suspended = event.reason
        case EntriesResumed():
            state.suspended = ""
        case LinkImpaired():
            state.impaired[event.link] = f"{event.state}: {event.reason}"
        case LinkRestored():
            state.impaired.pop(event.link, None)
        case PositionDiffers():
            state.differing[event.broker, event.symbol] = event.found - event.expected
        case PositionAgrees():
            state.differing.pop((event.broker, event.symbol), None)
        case ForeignOrdersSeen():
            state.foreign_orders.update({(event.broker, one.broker_order_id): True for one in event.orders})
            state.foreign_orders.update({(event.broker, gone): False for gone in event.gone})
        case HaltsTold():
            market_halts.remember(state, event)
        case BrokerLost():
            pass  # the halt says it


def on_health(state: SessionState, event: HealthEvent) -> None:
    """Take note of `event`, halt what has to be halted, and call a person where one is needed."""
    if isinstance(event, HaltsTold):
        market_halts.on_halts(state, event)
        return
    before = state.impaired.get(event.link, "") if isinstance(event, LinkImpaired | LinkRestored) else ""
    remember(state, event)
    match event:
        case LinkImpaired(state=LinkState.DOWN) if not before.startswith(LinkState.DOWN):
            _alert(state, Severity.CRITICAL, f"{event.link} is down", event.reason)
        case LinkImpaired() if not before:
            _alert(state, Severity.WARNING, f"{event.link} is degraded", event.reason)
        case LinkRestored() if before:
            _alert(state, Severity.WARNING, f"{event.link} is restored", f"reconciled; it was {before}")
        case BrokerLost() if any(broker.name == event.broker for broker in state.spec.brokers):
            losses.halt(state, event.broker, WATCHDOG, event.reason)
        case PositionDiffers():
            text = f"{plain(event.expected)} by our books, {plain(event.found)} there; a person has to look at it"
            _alert(state, Severity.CRITICAL, f"{event.symbol} differs at {event.broker}: halted", text)
        case ForeignOrdersSeen(alert=True):
            shown = "; ".join(one.words for one in event.orders[:_SHOWN])
            more = f"; and {len(event.orders) - _SHOWN} more" if len(event.orders) > _SHOWN else ""
            text = f"{shown}{more}. Not touched; what they take of the buying power is not counted on"
            _alert(state, Severity.WARNING, f"orders that are not ours rest at {event.broker}", text)
        case _:
            pass


def note_foreign(state: SessionState, event: AccountsRead) -> None:
    """Remember what was in the accounts before this session: it is not ours, and never traded."""
    for position in event.foreign_positions:
        state.foreign[position.broker, position.instrument.symbol] = position.quantity


def entries_off(state: SessionState) -> str:
    """Return why nothing is opened anywhere at present; empty where nothing is in the way."""
    data = state.impaired.get(MARKET_DATA, "")
    return state.stop_code or state.suspended or (f"{MARKET_DATA} {data}" if data else "")


def why_no_entries(state: SessionState, broker: str) -> str:
    """Return why `broker` takes no entries: halted, or not well; empty where it does."""
    impaired = state.impaired.get(broker, "")
    return state.halted.get(broker, "") or (f"suspended by the watchdog, {impaired}" if impaired else "")


def symbol_halt(state: SessionState, broker: str, symbol: str, underlying: str = "") -> str:
    """Return why nothing may be opened in the instrument `symbol` at `broker`; empty where it may."""
    by = state.differing.get((broker, symbol))
    if by is None:
        return market_halts.why_halted(state, symbol, underlying)
    return f"{broker} holds {plain(by)} beside what it should: see the alert"


def expected_positions(state: SessionState, broker: str) -> dict[str, Decimal]:
    """Return what should be held at `broker`, signed, by the instrument's symbol: what was there, and what is ours."""
    found = {symbol: quantity for (name, symbol), quantity in state.foreign.items() if name == broker}
    for trade in state.trades.values():
        if trade.broker == broker and trade.instrument is not None:
            symbol = trade.instrument.symbol
            found[symbol] = found.get(symbol, ZERO) + _signed(state, trade)
    return found


def is_frozen(state: SessionState, trade: Trade) -> bool:
    """Return whether the broker holds less of `trade` than we count on: selling the rest could turn it around."""
    if trade.instrument is None:
        return False
    by = state.differing.get((trade.broker, trade.instrument.symbol), ZERO)
    return bool(by) and by * _signed(state, trade) < ZERO


def _signed(state: SessionState, trade: Trade) -> Decimal:
    held = state.held(trade)
    entries = [order_id for _, order_id in trade.order_ids]
    buys = not entries or state.orders[entries[0]].request.side.buys
    return held if buys else -held


def _alert(state: SessionState, severity: Severity, title: str, text: str) -> None:
    state.emit(RaiseAlert(severity=severity, title=title, text=text))


__all__ = [
    "HEALTH_EVENTS",
    "WATCHDOG",
    "HealthEvent",
    "entries_off",
    "expected_positions",
    "is_frozen",
    "note_foreign",
    "on_health",
    "remember",
    "symbol_halt",
    "why_no_entries",
]
