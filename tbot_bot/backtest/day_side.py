"""One side of the comparison of a day: a session as it went, from the journal or from the simulated venue."""

from dataclasses import dataclass
from decimal import Decimal

from tbot_bot.core import commands, events
from tbot_bot.core.identity import Leg, Mode, OrderName, SessionId
from tbot_bot.core.instants import Instant, iso
from tbot_bot.core.orders import Direction
from tbot_bot.reporting.facts import Item
from tbot_bot.reporting.story import SessionStory


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeSide:
    """A trade as one side made it; money in dollars, prices per unit."""

    instrument: str
    quantity: Decimal
    """Entered; what was asked is `asked`."""
    asked: Decimal
    entry_price: Decimal | None
    exit_price: Decimal | None
    """What is still held counts at the last price (`held`)."""
    signal_at: Instant | None
    entered_at: Instant | None
    """First execution."""
    exited_at: Instant | None
    """Last execution; None where it is still held."""
    pnl: Decimal
    """After fees."""
    fees: Decimal
    exit_reason: str
    error_code: str
    held: bool
    """Still held when the session, or its bars, ended."""


class Side:
    """Follows one session and answers what became of a symbol in it."""

    def __init__(self, session: SessionId, mode: Mode) -> None:
        """Begin with nothing known."""
        self.story = SessionStory(session=session, mode=mode)
        self._asked: dict[str, Decimal] = {}
        self._ends: dict[str, str] = {}
        """By trade: how its entry order ended, other than by execution."""
        self._troubles: list[tuple[Instant, str, str]] = []
        """(when, broker or empty for all, what kept the session from entering)."""

    def feed(self, item: Item) -> None:  # noqa: C901 - one case for each kind of record
        """Take in the next record of the session."""
        self.story.feed(item)
        match item:
            case commands.Decided():
                for output in item.outputs:
                    self._decided(output)
            case events.OrderRejected():
                self._ended(item.client_order_id, f"the broker rejected the order: {item.reason}")
            case events.OrderExpired():
                self._ended(item.client_order_id, "the order expired unfilled")
            case events.OrderCancelled():
                self._ended(item.client_order_id, f"the order was cancelled unfilled{_because(item.reason)}")
            case events.AnswerLost():
                self._ended(item.client_order_id, f"the broker gave no answer on the order: {item.reason}")
            case events.ControlReceived():
                self._trouble(item.at, item.broker, f"{item.kind} by {item.by}{_because(item.why)}")
            case events.EntriesSuspended():
                self._trouble(item.at, "", f"entries were suspended: {item.reason}")
            case events.LinkImpaired():
                broker = "" if item.link == events.MARKET_DATA else item.link
                self._trouble(item.at, broker, f"{item.link} was {item.state}: {item.reason}")
            case events.BrokerLost():
                self._trouble(item.at, item.broker, f"{item.broker} was lost: {item.reason}")
            case _:
                pass

    def _decided(self, output: commands.Output) -> None:
        match output:
            case commands.TradeApproved():
                self._asked[output.trade_id] = output.quantity
            case commands.BrokerHalted():
                self._trouble(output.at, output.broker, f"{output.broker} was halted ({output.code}): {output.reason}")
            case commands.EngageKillSwitch():
                self._trouble(output.at, "", f"the kill switch was engaged: {output.reason}")
            case _:
                pass

    def _trouble(self, at: Instant, broker: str, words: str) -> None:
        self._troubles.append((at, broker, words))

    def _ended(self, order_id: str, words: str) -> None:
        name = OrderName.parse(order_id)
        if name is not None and name.leg is Leg.ENTRY:
            self._ends[name.trade] = words

    # --- what it comes to ---------------------------------------------------------------------------------------------

    def records(self) -> list[commands.TradeRecord]:
        """Return every trade that was entered, its last record where it was told twice; in order of the entries."""
        latest = {one.trade_id: one for one in self.story.trades if one.entered_at is not None}
        return sorted(latest.values(), key=lambda one: (one.entered_at or one.at, one.trade_id))

    def trade(self, record: commands.TradeRecord) -> TradeSide:
        """Return `record` as a side of a comparison."""
        held = record.error_code == "unclosed"
        return TradeSide(
            instrument=record.instrument,
            quantity=record.size,
            asked=self._asked.get(record.trade_id, record.size),
            entry_price=record.entry_price,
            exit_price=record.exit_price,
            signal_at=self.signal_at(record.ticker, record.side),
            entered_at=record.entered_at,
            exited_at=None if held else record.at,
            pnl=record.pnl,
            fees=record.fees,
            exit_reason=record.exit_reason,
            error_code=record.error_code,
            held=held,
        )

    def signal_at(self, symbol: str, direction: Direction) -> Instant | None:
        """Return when `symbol` first signalled in `direction`."""
        found = (one.at for one in self.story.signals if (one.symbol, one.direction) == (symbol, direction))
        return next(found, None)

    def why_not(self, symbol: str, broker: str, by: Instant) -> str:
        """Return why nothing was bought of `symbol` at `broker`, where the other side was in it at `by`."""
        for one in self.story.trades:
            if (one.ticker, one.broker) == (symbol, broker) and one.entered_at is None:
                default = (
                    "the broker rejected the order" if one.error_code == "rejected" else "the entry was not filled"
                )
                return self._ends.get(one.trade_id, default)
        for drop in self.story.drops:
            if drop.symbol == symbol and drop.broker in {"", broker}:
                return f"dropped ({drop.code}): {drop.reason}"
        waiting = [one for one in self.story.signals if one.symbol == symbol]
        story_end = self.story.ended
        if story_end is not None and story_end.at <= by:
            return f"the session was over at {_time(story_end.at)}: {story_end.reason}"
        troubles = [one for one in self._troubles if one[0] <= by and one[1] in {"", broker}]
        if troubles:
            return f"since {_time(troubles[-1][0])}: {troubles[-1][2]}"
        silent = next((one for one in self.story.non_decisions if one.symbol == symbol), None)
        if silent is not None:
            return f"no signal: {silent.reason}"
        if waiting:
            return f"it signalled at {_time(waiting[0].at)}, and no order came of it"
        return "no signal" if symbol in self.story.candidates else "not among the candidates"


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _time(at: Instant) -> str:
    return f"{iso(at)[11:19]}Z"


__all__ = ["Side", "TradeSide"]
