"""After a rehearsal: the venue's truth against our books, to the cent, and each fault against its alarm.

The venue's side comes from its admin endpoint as JSON and is read here by itself; ours from the journal, whose order
ids tell broker and trade, and from the trade history as people read it.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Final

from tbot_bot.core.codec import loads
from tbot_bot.core.commands import Decided, ReplaceOrder, SubmitOrder
from tbot_bot.core.events import AnswerLost, LinkImpaired, LinkRestored, OrderFilled, OrderRejected
from tbot_bot.core.money import CENT, ZERO
from tbot_bot.core.orders import Fill, OrderRequest, Side
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import JournalReader
from tbot_bot.reporting.noted import ErrorRaised
from tbot_bot.sandbox.serving import Json

_HEARD_SECONDS: Final = 20
"""Real time within which an alarm follows its fault: a deadline, and the journal's next commit."""
_EARLIER_SECONDS: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueOrder:
    """An order as the venue knows it."""

    label: str
    phase: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueAccount:
    """One account's truth."""

    name: str
    cash: Decimal
    fees: Decimal
    positions: int
    orders: tuple[VenueOrder, ...]
    fills: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One row of the journal that somebody would call an alarm."""

    recorded_at: int
    """The machine's time, nanoseconds."""
    broker: str
    text: str


@dataclass(slots=True)
class Journaled:
    """What the journal says of the rehearsed day, by broker or by trade."""

    requests: dict[str, OrderRequest] = field(default_factory=dict)
    """All orders that were ever meant, by client order id."""
    fills: dict[tuple[str, str], Fill] = field(default_factory=dict)
    """By broker and execution id."""
    doubts: list[Heard] = field(default_factory=list)
    rejects: list[Heard] = field(default_factory=list)
    impaired: list[Heard] = field(default_factory=list)
    links: dict[str, list[tuple[int, bool]]] = field(default_factory=dict)
    """By broker: the machine's times at which its link was called impaired (True) or restored."""
    errors: list[str] = field(default_factory=list)
    told_at: list[int] = field(default_factory=list)
    """Market time of each input: when a session was at work."""

    def is_impaired(self, broker: str, at: int) -> bool:
        """Return whether the broker's link stood as impaired at the machine's time `at`: nobody is told twice."""
        told = [impaired for when, impaired in self.links.get(broker, ()) if when <= at]
        return bool(told) and told[-1]

    def profit(self, fills: Iterable[Fill]) -> Decimal:
        """Return what executions brought, fees taken off: exact dollars."""
        total = ZERO
        for fill in fills:
            request = self.requests[fill.client_order_id]
            value = fill.price * fill.quantity * request.instrument.multiplier
            total += (-value if request.side in {Side.BUY, Side.BUY_TO_COVER} else value) - fill.fees
        return total

    def of_broker(self, name: str) -> list[Fill]:
        """Return the executions at one broker."""
        return [fill for (broker, _), fill in self.fills.items() if broker == name]

    def of_trade(self, trade_id: str) -> list[Fill]:
        """Return the executions of one trade."""
        return [fill for fill in self.fills.values() if fill.client_order_id.rpartition("-")[0] == trade_id]


def read_journal(journal: JournalReader) -> Journaled:
    """Return what the journal holds.

    Raises:
        JournalError: it cannot be read.
    """
    found = Journaled()
    for row in journal.rows():
        if row.kind is Kind.ERROR:
            raised = loads(row.payload)
            found.errors.append(f"{raised.where}: {raised.text}" if isinstance(raised, ErrorRaised) else row.payload)
        if row.kind in {Kind.INPUT, Kind.COMMAND}:
            found.told_at.append(row.at)
            _take(found, loads(row.payload), row.recorded_at)
    return found


def _take(found: Journaled, record: object, recorded_at: int) -> None:
    match record:
        case Decided():
            orders = [one.order for one in record.outputs if isinstance(one, SubmitOrder | ReplaceOrder)]
            found.requests.update({order.client_order_id: order for order in orders})
        case OrderFilled(fill=fill):
            found.fills[_broker(fill.client_order_id), fill.execution_id] = fill
        case AnswerLost():
            found.doubts.append(_heard(recorded_at, record.client_order_id, record.reason))
        case OrderRejected():
            found.rejects.append(_heard(recorded_at, record.client_order_id, record.reason))
        case LinkImpaired():
            text = f"{record.state}: {record.reason}"
            found.impaired.append(Heard(recorded_at=recorded_at, broker=record.link, text=text))
            found.links.setdefault(record.link, []).append((recorded_at, True))
        case LinkRestored():
            found.links.setdefault(record.link, []).append((recorded_at, False))
        case _:
            pass


def _heard(recorded_at: int, order_id: str, text: str) -> Heard:
    return Heard(recorded_at=recorded_at, broker=_broker(order_id), text=f"{order_id}: {text}")


def _broker(order_id: str) -> str:
    """Return the broker that a client order id such as `20250902-open-alpaca-SYN02-entry1` names."""
    return order_id.split("-")[2]


def read_accounts(truth: Json) -> tuple[VenueAccount, ...]:
    """Read what `GET /truth` says."""
    return tuple(_account(one) for one in _list(_map(truth)["accounts"]))


def _account(told: Json) -> VenueAccount:
    one = _map(told)
    orders = tuple(
        VenueOrder(label=str(_map(order["ticket"])["label"]), phase=str(order["phase"]))
        for order in map(_map, _list(one["orders"]))
    )
    return VenueAccount(
        name=str(one["name"]),
        cash=Decimal(str(one["cash"])),
        fees=Decimal(str(one["fees"])),
        positions=len(_list(one["positions"])),
        orders=orders,
        fills=len(_list(one["fills"])),
    )


def _map(value: Json) -> Mapping[str, Json]:
    assert isinstance(value, Mapping)  # noqa: S101 - our own sandbox speaks
    return value


def _list(value: Json) -> Sequence[Json]:
    assert isinstance(value, Sequence)  # noqa: S101 - our own sandbox speaks
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class BookLine:
    """One sum, on both sides."""

    what: str
    venue: str
    ours: str

    @property
    def agrees(self) -> bool:
        """Return whether both sides say the same."""
        return self.venue == self.ours


def compare(
    account: VenueAccount, cash_start: Decimal, ours: Journaled, trades: Mapping[str, Decimal]
) -> list[BookLine]:
    """Hold our books of one broker against the venue's; `trades` is the PnL of each trade in the trade history."""
    name = account.name
    fills = ours.of_broker(name)
    booked = {trade_id: pnl for trade_id, pnl in trades.items() if trade_id.split("-")[2] == name}
    exact = {trade_id: ours.profit(ours.of_trade(trade_id)).quantize(CENT) for trade_id in _trades_of(fills)}
    labels = [order.label for order in account.orders]
    strange = sorted(label for label in labels if label not in ours.requests)
    twice = sorted({label for label in labels if labels.count(label) > 1})
    resting = sorted(order.label for order in account.orders if order.phase in {"working", "held"})
    return [
        BookLine(
            what=f"{name}: cash, dollars",
            venue=f"{account.cash.quantize(CENT):,}",
            ours=f"{(cash_start + ours.profit(fills)).quantize(CENT):,}",
        ),
        BookLine(
            what=f"{name}: fees, dollars",
            venue=f"{account.fees.quantize(CENT)}",
            ours=f"{sum((fill.fees for fill in fills), ZERO).quantize(CENT)}",
        ),
        BookLine(what=f"{name}: executions", venue=str(account.fills), ours=str(len(fills))),
        BookLine(what=f"{name}: positions left", venue=str(account.positions), ours="0"),
        BookLine(what=f"{name}: orders left at work", venue=_listed(resting), ours="none"),
        BookLine(what=f"{name}: orders that are not ours", venue=_listed(strange), ours="none"),
        BookLine(what=f"{name}: orders placed twice", venue=_listed(twice), ours="none"),
        BookLine(
            what=f"{name}: PnL of {len(exact)} trades, journal and trade history",
            venue=_listed(
                f"{trade_id} {pnl}" for trade_id, pnl in sorted(exact.items()) if booked.get(trade_id) != pnl
            ),
            ours="none",
        ),
    ]


def _trades_of(fills: Iterable[Fill]) -> list[str]:
    return list(dict.fromkeys(fill.client_order_id.rpartition("-")[0] for fill in fills))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def read_trades(path: Path) -> Mapping[str, Decimal]:
    """Return the PnL of each trade that was entered, by trade id; of none where there is no file."""
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {row["trade_id"]: Decimal(row["PnL"]) for row in csv.DictReader(file) if row["entry_timestamp"]}


def heard_after(heard: Iterable[Heard], broker: str, since: int, until: int) -> Heard | None:
    """Return the first alarm of `broker` that belongs to a fault from `since` to `until`, machine nanoseconds."""
    first, last = since - _EARLIER_SECONDS * 10**9, until + _HEARD_SECONDS * 10**9
    return next((one for one in heard if one.broker == broker and first <= one.recorded_at <= last), None)


__all__ = [
    "BookLine", "Heard", "Journaled", "VenueAccount", "VenueOrder", "compare", "heard_after",
    "read_accounts", "read_journal", "read_trades",
]  # fmt: skip
