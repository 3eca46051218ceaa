"""An account's orders by number, and how they belong together."""

from decimal import Decimal

from tbot_bot.core.money import ZERO
from tbot_bot.sandbox.tickets import Order, Phase, RefusalKind, Refused


class OrderShelf:
    """Keeps every order there ever was, oldest first."""

    def __init__(self) -> None:
        """Begin empty."""
        self.all: dict[int, Order] = {}
        self._open: dict[int, None] = {}

    def __getitem__(self, number: int) -> Order:
        """Return the order as it was kept last."""
        return self.all[number]

    def keep(self, order: Order) -> None:
        """Put `order` in the place of its former self."""
        self.all[order.number] = order
        if order.phase.open:
            self._open[order.number] = None
        else:
            self._open.pop(order.number, None)

    def open(self) -> tuple[Order, ...]:
        """Return the orders that can still fill, oldest first."""
        return tuple(self.all[number] for number in self._open)

    def require_open(self, number: int) -> Order:
        """Return an order that can still fill.

        Raises:
            Refused: no such order, or it has ended.
        """
        order = self.all.get(number)
        if order is None:
            raise Refused(RefusalKind.UNKNOWN_ORDER, f"order not found: {number}")
        if not order.phase.open:
            raise Refused(RefusalKind.NOT_OPEN, f"order is already {order.phase}")
        return order

    def legs(self, number: int) -> tuple[Order, ...]:
        """Return the orders whose parent is `number`, oldest first."""
        return tuple(order for order in self.all.values() if order.ticket.parent == number)

    def held_for(self, number: int) -> list[Order]:
        """Return the legs that wait for `number`."""
        return [order for order in self.open() if order.ticket.parent == number and order.phase is Phase.HELD]

    def siblings(self, order: Order) -> list[Order]:
        """Return the open orders of the same one-cancels-other group."""
        group = order.ticket.group
        return [
            other for other in self.open() if group and other.ticket.group == group and other.number != order.number
        ]

    def committed(self, symbol: str, held: Decimal) -> Decimal:
        """Return how much of the signed position `held` working orders would close; a group counts once."""
        total, groups = ZERO, dict[str, Decimal]()
        for order in self.open():
            ticket = order.ticket
            closes = bool(held) and ticket.buys == (held < ZERO)
            if ticket.instrument.symbol != symbol or not closes or order.phase is not Phase.WORKING:
                continue
            if ticket.group:
                groups[ticket.group] = max(groups.get(ticket.group, ZERO), order.remaining)
            else:
                total += order.remaining
        return total + sum(groups.values(), ZERO)
