"""The gateway's own book: which client's order is which of the exchange, and which executions it has seen.

The exchange gives a modified order a new number; here it keeps its order id and its permanent id.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from tbot_bot.core.calendar import exchange_time
from tbot_bot.core.instants import Instant
from tbot_bot.core.money import ZERO
from tbot_bot.core.orders import Fill
from tbot_bot.sandbox.tickets import Kind, Lifetime, Order, Phase
from tbot_bot.sandbox.tws_catalog import Listed
from tbot_bot.sandbox.tws_contracts import ContractAsked
from tbot_bot.sandbox.tws_place_order import PlaceOrder

_FIRST_PERM_ID: Final = 1_900_000_001
_TYPES: Final[Mapping[Kind, str]] = {
    Kind.MARKET: "MKT",
    Kind.LIMIT: "LMT",
    Kind.STOP: "STP",
    Kind.STOP_LIMIT: "STP LMT",
    Kind.TRAILING_STOP: "TRAIL",
}
Key = tuple[int, int]
"""Client id and order id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One order of one client, from the message that placed it on."""

    client_id: int
    perm_id: int
    asked: PlaceOrder
    """The newest terms."""
    listed: Listed
    group: str
    """The one-cancels-other group; for the legs of a bracket the parent's permanent id."""
    placed_at: Instant
    numbers: tuple[int, ...] = ()
    """The exchange's numbers, the present one last; none for what was not transmitted or was refused."""
    refusal: str = ""
    """Why it never came to the exchange."""
    sent: bool = True
    """False until an order with `transmit` follows."""

    @property
    def key(self) -> Key:
        """Return what the session knows it by."""
        return self.client_id, self.asked.order_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far an order is, over all its numbers."""

    phase: Phase | None
    """None for what never came to the exchange."""
    filled: Decimal
    remaining: Decimal
    average_price: Decimal
    stop: Decimal | None = None
    triggered: bool = False
    reason: str = ""
    ended_at: Instant | None = None

    @property
    def open(self) -> bool:
        """Return whether it can still fill."""
        return self.phase is not None and self.phase.open


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One fill, as it stood when it happened."""

    execution_id: str
    key: Key
    fill: Fill
    cumulative: Decimal
    average_price: Decimal
    realized: Decimal | None
    """Profit in dollars of the part that closed a position, this execution's cost taken off; None: it closed none."""


class OrderBook:
    """Every order and execution that went through the gateway."""

    def __init__(self, order_of: Callable[[int], Order | None]) -> None:
        """Look orders of the exchange up by `order_of`."""
        self._order_of = order_of
        self._entries: dict[Key, Entry] = {}
        self._key_of: dict[int, Key] = {}
        self._highest: dict[int, int] = {}
        self._costs: dict[str, tuple[Decimal, Decimal]] = {}
        self._perm_ids = 0
        self.executions: list[Execution] = []

    def __iter__(self) -> Iterator[Entry]:
        """Yield all entries, oldest first."""
        return iter(tuple(self._entries.values()))

    def get(self, key: Key) -> Entry | None:
        """Return the entry, None where there is none."""
        return self._entries.get(key)

    def of_number(self, number: int) -> Entry | None:
        """Return the entry behind a number of the exchange, None where it came in another way."""
        key = self._key_of.get(number)
        return None if key is None else self._entries[key]

    def next_order_id(self) -> int:
        """Return an order id above all that any client has used."""
        return max((0, *self._highest.values())) + 1

    def used(self, key: Key) -> bool:
        """Return whether the client has used this order id or a higher one."""
        return key[1] <= self._highest.get(key[0], 0)

    def next_perm_id(self) -> int:
        """Return a permanent id that no order has."""
        self._perm_ids += 1
        return _FIRST_PERM_ID + self._perm_ids - 1

    def keep(self, entry: Entry) -> Entry:
        """Take the entry in, or its newer state."""
        self._entries[entry.key] = entry
        self._highest[entry.client_id] = max(self._highest.get(entry.client_id, 0), entry.asked.order_id)
        for number in entry.numbers:
            self._key_of[number] = entry.key
        return entry

    def numbered(self, entry: Entry, number: int) -> Entry:
        """Keep that `number` of the exchange is the entry's present one."""
        if entry.numbers[-1:] == (number,):
            return entry
        return self.keep(replace(entry, numbers=(*entry.numbers, number)))

    def adopt(self, order: Order, listed: Listed) -> Entry:
        """Take in an order that no client of the gateway sent, as one that was entered by hand."""
        ticket = order.ticket
        asked = PlaceOrder(
            order_id=-order.number,
            contract=ContractAsked(con_id=listed.con_id, exchange="SMART"),
            action="BUY" if ticket.buys else "SELL",
            total_quantity=ticket.quantity,
            order_type=_TYPES[ticket.kind],
            limit_price=ticket.limit,
            aux_price=ticket.stop if ticket.trail is None else ticket.trail,
            trailing_percent=ticket.trail_percent,
            tif="GTC" if ticket.lifetime is Lifetime.GTC else "DAY",
            order_ref=ticket.label,
        )
        entry = Entry(
            client_id=0,
            perm_id=self.next_perm_id(),
            asked=asked,
            listed=listed,
            group=ticket.group,
            placed_at=order.submitted_at,
            numbers=(order.number,),
        )
        return self.keep(entry)

    def standing(self, entry: Entry) -> Standing:
        """Return how far the order is."""
        orders = [order for number in entry.numbers if (order := self._order_of(number)) is not None]
        if not orders:
            return Standing(
                phase=None, filled=ZERO, remaining=entry.asked.total_quantity, average_price=ZERO, reason=entry.refusal
            )
        filled = sum((order.filled for order in orders), ZERO)
        value = sum((order.value for order in orders), ZERO)
        now = orders[-1]
        return Standing(
            phase=now.phase,
            filled=filled,
            remaining=now.remaining,
            average_price=value / filled if filled else ZERO,
            stop=now.stop,
            triggered=now.triggered,
            reason=now.reason,
            ended_at=now.ended_at,
        )

    def last_price(self, entry: Entry) -> Decimal:
        """Return the price of the order's last execution, 0 before the first."""
        return next((one.fill.price for one in reversed(self.executions) if one.key == entry.key), ZERO)

    def executed(self, entry: Entry, fill: Fill) -> Execution:
        """Note an execution that has just happened."""
        standing = self.standing(entry)
        execution = Execution(
            execution_id=f"0000e0d5.{len(self.executions) + 1:08x}.01.01",
            key=entry.key,
            fill=fill,
            cumulative=standing.filled,
            average_price=standing.average_price,
            realized=self._realize(entry, fill),
        )
        self.executions.append(execution)
        return execution

    def executions_of_day(self, at: Instant) -> list[Execution]:
        """Return what was executed on New York's day of `at`, oldest first."""
        return [one for one in self.executions if same_day(one.fill.transacted_at, at)]

    def realized(self, symbol: str, at: Instant) -> Decimal:
        """Return the day's realized profit in a contract, in dollars."""
        return sum((one.realized or ZERO for one in self.executions_of_day(at) if self._symbol(one) == symbol), ZERO)

    def _symbol(self, execution: Execution) -> str:
        return self._entries[execution.key].listed.key

    def _realize(self, entry: Entry, fill: Fill) -> Decimal | None:
        """Move the position's average price (commissions apart) and return what the fill realized."""
        held, average = self._costs.get(entry.listed.key, (ZERO, ZERO))
        signed = fill.quantity if entry.asked.action == "BUY" else -fill.quantity
        left = held + signed
        closed = min(abs(held), fill.quantity) if held * signed < ZERO else ZERO
        opened = fill.quantity - closed
        rest = abs(held) - closed
        cost = (average * rest + fill.price * opened) / abs(left) if left else ZERO
        self._costs[entry.listed.key] = (left, cost)
        if not closed:
            return None
        direction = 1 if held > ZERO else -1
        return (fill.price - average) * closed * direction * entry.listed.units - fill.fees


def same_day(one: Instant, other: Instant) -> bool:
    """Return whether both fall on one New York day: executions and completed orders are told for the day only."""
    return exchange_time(one).date() == exchange_time(other).date()
