"""What an adapter for Interactive Brokers knows of its orders, and which events follow from what the gateway says.

Pure but for the clocks that it is given: gateway facts go in (sightings, messages, executions, commissions), order
events come out. Facts may come late, twice and in any order. Orders are known by our client order id, which the gateway
carries as `orderRef`; orders without one are not ours and are never kept.

An execution is told once its commission is known, or after `COMMISSION_WAIT_SECONDS` with fees from the fee table. A
commission that comes later tells it again, under the same id with the right fees. A correction (same id up to the
last dot, higher number behind it) busts what was told before and tells what holds.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from tbot_bot.broker.fees import commission_of, regulatory_fees
from tbot_bot.broker.ibkr_wire import STATUS_OF, Executed, Meaning, Sighting, Standing, meaning_of, request_behind
from tbot_bot.core.events import (
    AnswerLost,
    CancelRejected,
    FillBusted,
    OrderAcknowledged,
    OrderCancelled,
    OrderEvent,
    OrderFilled,
    OrderRejected,
)
from tbot_bot.core.identity import OrderName
from tbot_bot.core.instants import Instant
from tbot_bot.core.money import ZERO
from tbot_bot.core.orders import BrokerOrder, BrokerOrderStatus, Fill, OrderRequest
from tbot_bot.core.trails import StopTrailed, TrailingTrigger

COMMISSION_WAIT_SECONDS: Final = 1.0
"""Reports come within milliseconds; a position waits no longer than this for its protective stop."""
REASON_WAIT_SECONDS: Final = 0.25
"""How long a refused order waits for the message that says why."""
_REJECTED: Final = 201
_NO_REASON: Final = "inactive: IB refused it without a reason"


@dataclass(slots=True)
class Kept:
    """One order of ours."""

    request: OrderRequest
    order_id: int
    client_id: int
    perm_id: int = 0
    sent_here: bool = False
    """This process sent it, so that `request` is what was asked."""
    followed: bool = False
    """Somebody asked for it: what happens to it is told, also what happened while we were away."""
    acknowledged: bool = False
    standing: Standing = Standing.PENDING
    refusal: str = ""
    """Why it was refused; empty where it was not."""
    note: str = ""
    """The last message about it."""
    refused_since: float | None = None
    """Since when it is known to be refused while the reason, which comes as a message of its own, is not."""
    cancel_refused: bool = False
    """The last cancel was answered, by a refusal."""
    quiet: bool = False
    """Its end is told by whoever is replacing it."""
    stands_at: Decimal | None = None
    """Where the stop that IB moves stands, as told."""

    @property
    def over(self) -> bool:
        return bool(self.refusal) or self.standing.over

    @property
    def answered(self) -> bool:
        """Return whether it is known what became of it."""
        return self.acknowledged or (self.over and self.refused_since is None)


@dataclass(slots=True)
class Print:
    """One execution, as last corrected."""

    executed: Executed
    arrived: float
    fees: Decimal | None = None
    told: bool = False


@dataclass(slots=True)
class Book:
    """Orders and executions of one broker account, as far as they are ours."""

    broker: str
    now: Callable[[], Instant]
    """Market time, for events."""
    seconds: Callable[[], float]
    """A clock that nobody can set, for waiting."""
    orders: dict[str, Kept] = field(default_factory=dict)
    prints: dict[str, Print] = field(default_factory=dict)
    """By the part of the id that corrections share."""
    fees: dict[str, Decimal] = field(default_factory=dict)
    """Commissions by execution id; they may outrun their executions."""
    revived: list[str] = field(default_factory=list)
    """Orders that work although we told their end: to be cancelled."""

    # --- what we do --------------------------------------------------------------------------------------------------

    def sent(self, request: OrderRequest, order_id: int, client_id: int) -> None:
        """Note that `request` is about to leave under `order_id`."""
        self.orders[request.client_order_id] = Kept(
            request=request, order_id=order_id, client_id=client_id, sent_here=True, followed=True
        )

    def forget(self, client_order_id: str) -> None:
        """Drop an order that definitely never arrived."""
        self.orders.pop(client_order_id, None)

    def by_number(self, order_id: int, client_id: int) -> str:
        """Return the client order id of our order with this number; "" where there is none."""
        for name, kept in reversed(self.orders.items()):
            if (kept.order_id, kept.client_id) == (order_id, client_id):
                return name
        return ""

    # --- what the gateway says ---------------------------------------------------------------------------------------

    def seen(self, sight: Sighting) -> list[OrderEvent]:
        """Take in how an order stands; it is told to those who follow it."""
        name = sight.client_order_id
        if not name:
            return []
        kept = self.orders.get(name)
        if kept is None:
            kept = self.orders[name] = Kept(request=sight.request, order_id=sight.order_id, client_id=sight.client_id)
        elif kept.order_id != sight.order_id and sight.order_id > 0:
            if not sight.standing.over and (kept.over or not kept.sent_here):
                kept.order_id, kept.client_id, kept.standing = sight.order_id, sight.client_id, sight.standing
            elif sight.standing.over:
                return []  # an older order of the same name
        if sight.standing.over and not kept.over and 0 < sight.perm_id != kept.perm_id > 0:
            return []  # the same: completed orders come without their numbers
        kept.perm_id = sight.perm_id or kept.perm_id
        events = [*self._stands(name, kept, sight.standing), *self._trailed(name, kept, sight)]
        return [event for event in events if kept.followed]

    def _trailed(self, name: str, kept: Kept, sight: Sighting) -> Iterator[OrderEvent]:
        """Tell where a stop that IB moves stands now and then; what lies behind where it stood is an older word."""
        stop, known = sight.request.stop, kept.request.stop
        if not isinstance(stop, TrailingTrigger) or not kept.acknowledged or kept.over:
            return
        if known is None or (stop.price < known.price if stop.rising else stop.price > known.price):
            kept.request = replace(kept.request, stop=stop)
        if kept.followed and stop.is_news_after(kept.stands_at):
            kept.stands_at = stop.price
            yield StopTrailed(at=self.now(), client_order_id=name, price=stop.price)

    def _stands(self, name: str, kept: Kept, standing: Standing) -> Iterator[OrderEvent]:
        if kept.over:
            if standing is Standing.WORKING:
                self.revived.append(name)
            return
        kept.standing = standing
        at = self.now()
        if standing in {Standing.WORKING, Standing.FILLED} and not kept.acknowledged:
            kept.acknowledged = True
            yield OrderAcknowledged(at=at, client_order_id=name, broker_order_id=str(kept.perm_id or kept.order_id))
        if standing is Standing.INACTIVE and not kept.acknowledged:
            kept.refused_since = self.seconds()
            if kept.note:
                yield self._rejected(name, kept, kept.note)
        elif standing in {Standing.INACTIVE, Standing.CANCELLED} and not kept.quiet:
            yield OrderCancelled(at=at, client_order_id=name, reason=kept.note or str(standing))

    def _rejected(self, name: str, kept: Kept, reason: str) -> OrderRejected:
        kept.refusal, kept.note, kept.refused_since = reason, reason, None
        return OrderRejected(at=self.now(), client_order_id=name, reason=reason)

    def messaged(self, name: str, code: int, text: str) -> list[OrderEvent]:
        """Take in a message about our order `name`."""
        kept, at = self.orders[name], self.now()
        note = f"{code}: {text}"
        match meaning_of(code):
            case Meaning.NOTE | Meaning.ID_TAKEN:
                return []
            case Meaning.CANCELLED:
                kept.note = note
                return list(self._stands(name, kept, Standing.CANCELLED))
            case Meaning.CANCEL_REFUSED:
                kept.cancel_refused = True
                refused = CancelRejected(at=at, client_order_id=name, reason=note)
                return [refused] if kept.over else [refused, AnswerLost(at=at, client_order_id=name, reason=note)]
            case Meaning.REFUSED if kept.refused_since is not None:
                return [self._rejected(name, kept, note)]
            case Meaning.REFUSED if not kept.over and (not kept.acknowledged or code == _REJECTED):
                return [self._rejected(name, kept, note)]
            case Meaning.REFUSED | Meaning.DOUBT:
                kept.note = note
                return [] if kept.over else [AnswerLost(at=at, client_order_id=name, reason=note)]

    def executed(self, execution: Executed, *, live: bool) -> list[OrderEvent]:
        """Take in an execution, new, known or corrected.

        `live`: it has just happened, and is told if its order is followed or bears a name of ours; a late execution
        of an order that an earlier process sent is news as well.
        """
        if not execution.client_order_id:
            return []
        known = self.prints.get(execution.root)
        if known is not None and known.executed.revision >= execution.revision:
            return []
        name = execution.client_order_id
        told = self.is_followed(name) or (live and OrderName.parse(name) is not None)
        arrived = Print(executed=execution, arrived=self.seconds(), fees=self.fees.get(execution.execution_id))
        arrived.told = not told
        self.prints[execution.root] = arrived
        events = self._busted(execution, known)
        if told and (arrived.fees is not None or execution.quantity == ZERO):
            arrived.told = True
            events += self._filled(arrived)
        return events

    def _busted(self, execution: Executed, known: Print | None) -> list[OrderEvent]:
        """Return the undoing of what a correction replaces: told here, or perhaps by a process before this one."""
        if known is not None:
            gone = [known.executed.execution_id] if known.told else []
        else:
            head, _, last = execution.execution_id.rpartition(".")
            gone = [f"{head}.{number:0{len(last)}d}" for number in range(1, execution.revision)]
        return [
            FillBusted(
                at=self.now(),
                execution_id=execution_id,
                client_order_id=execution.client_order_id,
                reason=f"corrected by {execution.execution_id}",
            )
            for execution_id in gone
        ]

    def charged(self, execution_id: str, fees: Decimal) -> list[OrderEvent]:
        """Take in what an execution cost, in dollars."""
        before = self.fees.get(execution_id)
        self.fees[execution_id] = fees
        root = execution_id.rpartition(".")[0] or execution_id
        known = self.prints.get(root)
        if known is None or known.executed.execution_id != execution_id or before == fees:
            return []
        known.fees = fees
        if known.told and not self.is_followed(known.executed.client_order_id):
            return []
        known.told = True
        return self._filled(known)

    def overdue(self) -> list[OrderEvent]:
        """Return what has waited for its commission, or its reason, for too long; fees come by the table then."""
        now = self.seconds()
        events: list[OrderEvent] = [
            self._rejected(name, kept, _NO_REASON)
            for name, kept in self.orders.items()
            if kept.refused_since is not None and now - kept.refused_since >= REASON_WAIT_SECONDS
        ]
        for known in self.prints.values():
            if not known.told and now - known.arrived >= COMMISSION_WAIT_SECONDS:
                known.told = True
                events += self._filled(known)
        return events

    def vanished(self, name: str) -> list[OrderEvent]:
        """Take in that the gateway lists an order nowhere that we thought was open."""
        kept = self.orders[name]
        if kept.over or not kept.followed:
            return []
        return [
            AnswerLost(at=self.now(), client_order_id=name, reason="the gateway lists it no longer: to be looked up")
        ]

    # --- what is asked of us -----------------------------------------------------------------------------------------

    def is_followed(self, name: str) -> bool:
        """Return whether somebody asked for this order."""
        kept = self.orders.get(name)
        return kept is not None and kept.followed

    @property
    def waiting(self) -> bool:
        """Return whether an execution waits for its commission, or a refusal for its reason."""
        reasonless = any(kept.refused_since is not None for kept in self.orders.values())
        return reasonless or any(not known.told for known in self.prints.values())

    def fills(self, since: Instant) -> tuple[Fill, ...]:
        """Return our executions at or after `since`, oldest first, each as last corrected."""
        found = [
            known for known in self.prints.values() if known.executed.at >= since and known.executed.quantity > ZERO
        ]
        found.sort(key=lambda known: (known.executed.at, known.executed.execution_id))
        return tuple(self._fill(known) for known in found)

    def filled_quantity(self, name: str) -> Decimal:
        """Return how much of an order has been executed."""
        return sum((each.quantity for each in self._executions(name)), ZERO)

    def net_quantity(self, symbol: str) -> Decimal:
        """Return what our executions of the day add up to, signed."""
        ours = (known.executed for known in self.prints.values() if known.executed.instrument.symbol == symbol)
        return sum((each.quantity if each.buys else -each.quantity for each in ours), ZERO)

    @property
    def names(self) -> tuple[str, ...]:
        """Return every client order id that an order or an execution bears."""
        return tuple(dict.fromkeys([*self.orders, *(known.executed.client_order_id for known in self.prints.values())]))

    def order(self, name: str) -> BrokerOrder | None:
        """Return an order of ours; what only its executions speak of is over, and as large as they are."""
        executions = self._executions(name)
        filled = sum((each.quantity for each in executions), ZERO)
        kept = self.orders.get(name)
        if kept is None and not executions:
            return None
        if kept is None:
            request = request_behind(executions[0], filled, self.broker)
            kept = Kept(request=request, order_id=0, client_id=0, perm_id=executions[0].perm_id)
            kept.standing = Standing.FILLED
        status = BrokerOrderStatus.REJECTED if kept.refusal else STATUS_OF[kept.standing]
        if kept.request.quantity > ZERO and filled >= kept.request.quantity:
            status = BrokerOrderStatus.FILLED
        return BrokerOrder(
            client_order_id=name,
            broker_order_id=str(kept.perm_id or kept.order_id),
            status=status,
            request=kept.request,
            filled_quantity=filled,
            reason=kept.refusal or kept.note,
        )

    def _executions(self, name: str) -> list[Executed]:
        return [known.executed for known in self.prints.values() if known.executed.client_order_id == name]

    def _filled(self, known: Print) -> list[OrderEvent]:
        if known.executed.quantity == ZERO:  # a bust: nothing holds any more
            return []
        return [OrderFilled(at=self.now(), fill=self._fill(known))]

    def _fill(self, known: Print) -> Fill:
        execution = known.executed
        return Fill(
            execution_id=execution.execution_id,
            client_order_id=execution.client_order_id,
            price=execution.price,
            quantity=execution.quantity,
            fees=self._table_fees(execution) if known.fees is None else known.fees,
            transacted_at=execution.at,
        )

    def _table_fees(self, execution: Executed) -> Decimal:
        """Return what the execution should cost: the order's commission so far less that without it, and regulators."""
        of_order, table = commission_of(self.broker).of_order, execution.instrument
        earlier = [e for e in self._executions(execution.client_order_id) if e.execution_id < execution.execution_id]
        quantity = sum((e.quantity for e in earlier), ZERO)
        value = sum((table.notional(e.price, e.quantity) for e in earlier), ZERO)
        own = table.notional(execution.price, execution.quantity)
        commission = of_order(table.asset_class, quantity + execution.quantity, value + own)
        commission -= of_order(table.asset_class, quantity, value)
        taken = regulatory_fees(
            table.asset_class, sale=not execution.buys, quantity=execution.quantity, value=own, at=execution.at
        )
        return commission + taken
