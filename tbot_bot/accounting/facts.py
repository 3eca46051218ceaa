"""What the journal says that concerns money, session by session: orders, validated executions, results, floats.

A session's context is made from its rows alone, so that a row gives the same entries whenever it is booked.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from tbot_bot.accounting.units import product_units, to_units
from tbot_bot.config.error_handler import JournalError
from tbot_bot.core.codec import CodecError, loads
from tbot_bot.core.identity import Leg, OrderName, SessionId
from tbot_bot.core.instruments import Instrument
from tbot_bot.core.money import ZERO
from tbot_bot.core.orders import Fill, OrderRequest, Side
from tbot_bot.journal.chain import Kind, Row
from tbot_bot.journal.ledger_posting import LedgerPosting
from tbot_bot.trading.spec import SessionSpec
from tbot_bot.treasury.records import ROW_NAMES

_INPUTS: Final = tuple(f'{{"_":"{name}"' for name in ("OrderFilled", "FillBusted", "AccountsRead"))
_OUTPUTS: Final = tuple(
    f'{{"_":"{name}"' for name in ("SubmitOrder", "ReplaceOrder", "TradeRecord", "SharesFixed", "SessionEnded")
)
_CONTROLS: Final = (*ROW_NAMES, f'{{"_":"{LedgerPosting.__name__}"')
_DEAD_MAN: Final = '{"_":"DeadManReport"'


@dataclass(slots=True, kw_only=True)
class Tally:
    """What the ledger has booked of one trade so far; money in units."""

    broker: str
    instrument: Instrument
    entered_by: Side
    held: Decimal = ZERO
    """Signed."""
    cash: int = 0
    """What came in, fees taken off."""
    fees: int = 0
    slippage: int = 0


@dataclass(slots=True, kw_only=True)
class SessionContext:
    """What is known of a session while its rows are read."""

    session: SessionId
    spec: SessionSpec | None = None
    orders: dict[str, OrderRequest] = field(default_factory=dict)
    fills: dict[str, Fill] = field(default_factory=dict)
    """Validated, by execution id."""
    busted: set[str] = field(default_factory=set)
    trades: dict[str, Tally] = field(default_factory=dict)
    allocated: dict[str, int] = field(default_factory=dict)
    """Units by broker, not yet released."""

    def account_behind(self, broker: str) -> str:
        """Return which account stands behind `broker`: the real one, or a simulated one of this day and run."""
        names = self.spec.brokers if self.spec is not None else ()
        if any(one.name == broker and one.capabilities.real_orders for one in names):
            return "account"
        return f"simulated {self.session.day.isoformat()}#{self.session.run}"

    def request_of(self, client_order_id: str) -> OrderRequest | None:
        """Return the order behind an execution; an exit that no engine has sent is known by its name."""
        found = self.orders.get(client_order_id)
        if found is not None:
            return found
        name = OrderName.parse(client_order_id)
        tally = None if name is None or name.leg is not Leg.DEAD_MAN else self.trades.get(name.trade)
        entry = (
            None
            if tally is None or name is None
            else next((one for one in self.orders.values() if one.trade_id == name.trade), None)
        )
        if tally is None or entry is None:
            return None
        return OrderRequest(
            client_order_id=client_order_id,
            trade_id=entry.trade_id,
            broker=entry.broker,
            instrument=entry.instrument,
            side=tally.entered_by.closing,
            quantity=abs(tally.held),
            order_type=entry.order_type,
        )

    def objection(self, fill: Fill) -> str:
        """Return why an execution is not ours to book; empty where it is."""
        if self.request_of(fill.client_order_id) is None:
            return f"execution {fill.execution_id} is of order {fill.client_order_id}, which this session has not sent"
        if fill.quantity <= ZERO or fill.price < ZERO:
            return f"execution {fill.execution_id} is of {fill.quantity} at {fill.price}"
        return ""

    def take_fill(self, fill: Fill, request: OrderRequest) -> None:
        """Count a validated execution."""
        self.fills[fill.execution_id] = fill
        tally = self.trades.setdefault(
            request.trade_id,
            Tally(broker=request.broker, instrument=request.instrument, entered_by=request.side),
        )
        _count(tally, fill, request.side, 1)

    def charge_again(self, fill: Fill) -> None:
        """Count what a known execution has cost by `fill`, instead of what was told of it before."""
        before = self.fills[fill.execution_id]
        self.take_bust(before)
        request = self.request_of(fill.client_order_id)
        if request is not None:
            self.take_fill(replace(before, fees=fill.fees), request)

    def take_bust(self, fill: Fill) -> None:
        """Count it no longer."""
        request = self.request_of(fill.client_order_id)
        if request is not None:
            _count(self.trades[request.trade_id], fill, request.side, -1)


def _count(tally: Tally, fill: Fill, side: Side, times: int) -> None:
    money = product_units(fill.price, fill.quantity, tally.instrument.multiplier)
    sign = times if side.buys else -times
    tally.held += sign * fill.quantity
    tally.cash -= sign * money + times * to_units(fill.fees)
    tally.fees += times * to_units(fill.fees)


def records_in(row: Row) -> Iterator[object]:
    """Yield what a row holds that concerns money; most rows hold nothing and are not decoded.

    Raises:
        JournalError: a row that does cannot be read.
    """
    text = row.payload
    match row.kind:
        case Kind.SESSION:
            wanted = True
        case Kind.INPUT:
            wanted = text.startswith(_INPUTS)
        case Kind.COMMAND:
            wanted = any(name in text for name in _OUTPUTS)
        case Kind.CONTROL:
            wanted = text.startswith(_CONTROLS)
        case Kind.ERROR:
            wanted = text.startswith(_DEAD_MAN)
        case _:
            wanted = False
    if not wanted:
        return
    try:
        found = loads(text)
    except CodecError as error:
        mend = "If a newer version wrote it, start that version again; else run `tbot journal verify`."
        raise JournalError(f"row {row.seq} cannot be read: {error}", where=row.session, mend=mend) from error
    outputs = getattr(found, "outputs", None)
    yield from (found,) if outputs is None else outputs


__all__ = ["SessionContext", "Tally", "records_in"]
