"""A venue's orders and executions, and the account that follows from them."""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from tbot_bot.broker.fees import commission_of, regulatory_fees
from tbot_bot.broker.venue_account import VenueAccount
from tbot_bot.broker.venue_state import Execution, VenueOrder
from tbot_bot.core.errors import BrokerRefused
from tbot_bot.core.instants import Instant
from tbot_bot.core.money import ZERO
from tbot_bot.core.orders import BrokerOrderStatus, Fill, OrderRequest, Side


class OrderBook:
    """Keeps orders in order of submission and executions in order of time, and knows what changed."""

    def __init__(
        self, *, broker: str, cash: Decimal, orders: Iterable[VenueOrder] = (), executions: Iterable[Execution] = ()
    ) -> None:
        """`cash` is what the account began with, in dollars."""
        self.broker = broker
        self.cash_start = cash
        self.orders = {order.request.client_order_id: order for order in orders}
        self.open = {order_id: order for order_id, order in self.orders.items() if order.status.open}
        self.executions = list(executions)
        self.account = self._booked()
        self._commission = commission_of(broker)
        self._changed_orders: dict[str, None] = {}
        self._changed_executions: dict[int, None] = {}

    def add(self, request: OrderRequest, at: Instant, problem: str) -> VenueOrder:
        """Enter a new order: working, or rejected because of `problem`."""
        order = VenueOrder(
            number=len(self.orders) + 1,
            broker=self.broker,
            request=request,
            status=BrokerOrderStatus.REJECTED if problem else BrokerOrderStatus.WORKING,
            submitted_at=at,
            reason=problem,
        )
        self.keep(order)
        return order

    def keep(self, order: VenueOrder) -> None:
        """Put `order` in the place of its former self."""
        order_id = order.request.client_order_id
        self.orders[order_id] = order
        if order.status.open:
            self.open[order_id] = order
        else:
            self.open.pop(order_id, None)
        self._changed_orders[order_id] = None

    def end(self, order: VenueOrder, status: BrokerOrderStatus, reason: str = "") -> None:
        """Let `order` work no longer."""
        self.keep(replace(order, status=status, reason=reason))

    def why_not_open(self, client_order_id: str) -> str:
        """Return why there is nothing to cancel or to replace."""
        order = self.orders.get(client_order_id)
        return f"order not found: {client_order_id}" if order is None else f"order is already {order.status}"

    def execute(self, order: VenueOrder, *, quantity: Decimal, price: Decimal, modelled: bool, at: Instant) -> Fill:
        """Book an execution of `order` and return it; fees of the whole order are charged as they accrue."""
        request = order.request
        instrument = request.instrument
        value = instrument.notional(price, quantity)
        filled, moved = order.filled + quantity, order.value + value
        commission = max(self._commission.of_order(instrument.asset_class, filled, moved), order.commission)
        regulatory = regulatory_fees(
            instrument.asset_class, sale=not request.side.buys, quantity=quantity, value=value, at=at
        )
        number = len(self.executions) + 1
        fill = Fill(
            execution_id=f"{self.broker}-x{number}",
            client_order_id=request.client_order_id,
            price=price,
            quantity=quantity,
            fees=commission - order.commission + regulatory,
            transacted_at=at,
            modelled=modelled,
        )
        execution = Execution(number=number, fill=fill, instrument=instrument, buys=request.side.buys)
        self.executions.append(execution)
        self._changed_executions[number] = None
        self.account.book(execution)
        done = filled == request.quantity
        status = BrokerOrderStatus.FILLED if done else BrokerOrderStatus.WORKING
        self.keep(replace(order, filled=filled, value=moved, commission=commission, status=status))
        return fill

    def bust(self, execution_id: str) -> Execution:
        """Undo an execution and book everything else anew; its order works no longer.

        Raises:
            BrokerRefused: no such execution, or busted already.
        """
        found = next((e for e in self.executions if e.fill.execution_id == execution_id and not e.busted), None)
        if found is None:
            raise BrokerRefused(f"no execution {execution_id} to bust")
        self.executions[found.number - 1] = replace(found, busted=True)
        self._changed_executions[found.number] = None
        order = self.orders[found.fill.client_order_id]
        if order.status.open:
            order = replace(order, status=BrokerOrderStatus.CANCELLED, reason="busted")
        value = found.instrument.notional(found.fill.price, found.fill.quantity)
        self.keep(replace(order, filled=order.filled - found.fill.quantity, value=order.value - value))
        self.account = self._booked()
        return found

    def in_turn(self) -> list[VenueOrder]:
        """Return the working orders, stops first."""
        if len(self.open) < 2:  # noqa: PLR2004 - nothing to sort, which is most of the time
            return list(self.open.values())
        return sorted(self.open.values(), key=lambda order: order.request.stop is None)

    def short(self, request: OrderRequest, instead_of: VenueOrder | None) -> Decimal:
        """Return how many shares of `request` are sold short or asked to be, without what `instead_of` asks."""
        symbol = request.instrument.symbol
        asked = (
            order.remaining
            for order in self.open.values()
            if order is not instead_of
            and order.request.side is Side.SELL_SHORT
            and order.request.instrument.symbol == symbol
        )
        return sum(asked, max(-self.account.held(symbol), ZERO))

    def fills_since(self, at: Instant) -> tuple[Fill, ...]:
        """Return executions at or after `at` that stand, oldest first."""
        return tuple(e.fill for e in self.executions if not e.busted and e.fill.transacted_at >= at)

    def changes(self) -> tuple[tuple[VenueOrder, ...], tuple[Execution, ...]]:
        """Return orders and executions that are new or differ since `forget_changes`."""
        return (
            tuple(self.orders[order_id] for order_id in self._changed_orders),
            tuple(self.executions[number - 1] for number in self._changed_executions),
        )

    def forget_changes(self) -> None:
        """Count changes from here."""
        self._changed_orders, self._changed_executions = {}, {}

    def _booked(self) -> VenueAccount:
        account = VenueAccount(self.cash_start)
        for execution in self.executions:
            account.book(execution)
        return account


def fitting(order: VenueOrder, held: Decimal) -> Decimal:
    """Return how much of `order` may execute without turning the signed position `held` around."""
    closes = order.request.side.buys == (held < ZERO)
    opening = order.request.side.value in {"buy", "sell_short"}
    if opening:
        return ZERO if held and closes else order.remaining
    return min(abs(held), order.remaining) if held and closes else ZERO
