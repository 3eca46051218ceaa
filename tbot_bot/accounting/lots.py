"""Who is sold first: lots by broker and instrument, oldest first, long and short alike.

What a part of a lot costs is what all of it cost less what is left of it, each rounded from the lot's first cost, so
that the parts of a lot always add up to the lot, to the last unit.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

Key = tuple[str, str]
"""(broker, instrument)."""


@dataclass(slots=True, kw_only=True)
class Lot:
    """What is left of one opening. Quantity and cost have the same sign: negative is short."""

    guid: str
    broker: str
    instrument: str
    quantity: int
    """Nano-shares."""
    cost: int
    """Units."""
    opened_quantity: int
    opened_cost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The part of a lot that a closing uses up; signs as the lot's."""

    lot: str
    quantity: int
    cost: int


class LotBook:
    """All lots of a ledger."""

    def __init__(self, lots: Iterable[Lot] = ()) -> None:
        """`lots`: what is open, oldest first."""
        self._lots: Final[dict[Key, deque[Lot]]] = {}
        for lot in lots:
            self._queue(lot.broker, lot.instrument).append(lot)

    def open_lots(self) -> Iterator[Lot]:
        """Yield what is held, by broker and instrument, oldest first."""
        for key in sorted(self._lots):
            yield from self._lots[key]

    def held(self, broker: str, instrument: str) -> int:
        """Return the signed quantity held, in nano-shares."""
        return sum(lot.quantity for lot in self._lots.get((broker, instrument), ()))

    def instruments(self, broker: str) -> list[str]:
        """Return what is held at `broker`, by name."""
        return sorted(instrument for at, instrument in self._lots if at == broker and self._lots[at, instrument])

    def closing_part(self, broker: str, instrument: str, quantity: int) -> int:
        """Return the signed part of a movement by `quantity` that closes what is held."""
        held = self.held(broker, instrument)
        if held == 0 or (held > 0) == (quantity > 0):
            return 0
        return max(quantity, -held) if quantity < 0 else min(quantity, -held)

    def take(self, broker: str, instrument: str, quantity: int) -> list[Taken]:
        """Use up `quantity` (signed as the movement: selling is negative), oldest lots first.

        Raises:
            ValueError: less is held.
        """
        queue = self._queue(broker, instrument)
        left, taken = -quantity, []
        while left:
            if not queue or (queue[0].quantity > 0) != (left > 0):
                msg = (
                    f"{broker} holds {abs(quantity) - abs(left)} nano-shares of {instrument}, {abs(quantity)} are asked"
                )
                raise ValueError(msg)
            lot = queue[0]
            part = lot.quantity if abs(lot.quantity) <= abs(left) else left
            kept = lot.quantity - part
            cost_kept = share(lot.opened_cost, kept, lot.opened_quantity)
            taken.append(Taken(lot=lot.guid, quantity=part, cost=lot.cost - cost_kept))
            lot.quantity, lot.cost = kept, cost_kept
            if kept == 0:
                queue.popleft()
            left -= part
        return taken

    def add(self, lot: Lot) -> None:
        """Take in a new lot, the youngest of its kind."""
        self._queue(lot.broker, lot.instrument).append(lot)

    def put(self, broker: str, instrument: str, lots: Iterable[Lot]) -> None:
        """Let `lots`, oldest first, be all that is held of `instrument`."""
        self._lots[broker, instrument] = deque(lots)

    def _queue(self, broker: str, instrument: str) -> deque[Lot]:
        return self._lots.setdefault((broker, instrument), deque())


def share(cost: int, quantity: int, whole: int) -> int:
    """Return `cost * quantity / whole`, rounded half to even."""
    if quantity == 0:
        return 0
    number, rest = divmod(cost * quantity, whole)
    twice = 2 * rest
    over = abs(twice) > abs(whole) or (abs(twice) == abs(whole) and number % 2 == 1)
    return number + 1 if over else number


__all__ = ["Key", "Lot", "LotBook", "Taken", "share"]
