"""The dead-man path: what a supervisor starts when a session's runner cannot be started any more.

A process of its own, without engine and strategies. It takes the runner's lock, closes what is ours at each
venue (`flattening`), journals what it did, and prints it. The journal tells which orders are ours; where it
cannot be read, every order that bears a name of our making counts. Exit status 0: nothing of ours is left.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tbot_bot.broker.broker_sim import SimulatedBroker, VenueStore
from tbot_bot.broker.matching import Venue
from tbot_bot.broker.venue_state import PutPricer
from tbot_bot.config.error_handler import BrokerError, JournalError, TbotError
from tbot_bot.core.codec import CodecError
from tbot_bot.core.errors import BrokerProblem, BrokerUnavailable
from tbot_bot.core.identity import Mode, OrderName, SessionId, TradeName
from tbot_bot.core.instants import Duration, Instant
from tbot_bot.core.market_day import MarketDay
from tbot_bot.core.money import ZERO
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import Entry, Journal, journal_path
from tbot_bot.reporting.noted import DeadManReport
from tbot_bot.runtime.background import control_path, say
from tbot_bot.runtime.clock import RunClock, monotonic_seconds, wall_now
from tbot_bot.runtime.dead_man_real import Done, close_at_real_brokers
from tbot_bot.runtime.flattening import EXIT_REASON, Flattener, VenueTrade, is_of_our_making
from tbot_bot.runtime.flattening_records import record_of
from tbot_bot.runtime.heartbeat import Heart
from tbot_bot.runtime.known_trades import Known, known_trades
from tbot_bot.runtime.last_resort import scrubbed_output
from tbot_bot.runtime.locks import RUNNER_LOCK, AlreadyRunning, Lock
from tbot_bot.runtime.runner_arguments import RunnerArguments, RunnerExit

CLOSING: Final = "closing without an engine"
"""Phase that its heartbeat shows."""
SECONDS_MAX: Final = 600.0
"""Real time for everything: at real speed a simulated venue fills with the next bar, five minutes away at worst."""
_NAP_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """The embedded market of the day, with what prices its puts."""

    day: MarketDay
    puts: PutPricer


def _any(_: TradeName) -> bool:
    return True


def _always(_: Sequence[VenueTrade]) -> bool:
    return True


@dataclass(slots=True, kw_only=True)
class Work:
    """One run of the path."""

    request: RunnerArguments
    control: Path
    why: str
    tell: Callable[[str], None]
    deadline: float
    """On the monotonic clock."""
    left: list[str] = field(default_factory=list)
    reason: str = EXIT_REASON
    """Exit reason of what is closed, for the trade history."""
    wanted: Callable[[TradeName], bool] = _any
    """Which of our trades are meant."""
    hands: type[Flattener] = Flattener
    """What is done with them at each broker."""
    done: list[Done] = field(default_factory=list)
    """What was done, one for each account."""
    flatteners: tuple[Flattener, ...] = ()
    """The same, once the work is over."""
    everywhere: bool = False
    """Also where the last session at real brokers was of another day or run than the one at hand."""
    may_report: Callable[[Sequence[VenueTrade]], bool] = _always
    """Whether the journal is told, given what was done: a report without anything left ends its session."""
    knows_market: bool = True
    """Whether the day's market is known: at made-up prices nothing is closed."""

    async def run(self) -> int:
        """Close everything, record it, and return the exit status.

        Raises:
            AlreadyRunning: a runner is alive and does not let go of its lock.
        """
        lock = await Lock(self.control / RUNNER_LOCK).take_when_free(self.late)
        pulse = asyncio.create_task(self._beat())
        try:
            return await self.close_all()
        finally:
            pulse.cancel()
            await asyncio.wait({pulse})
            lock.release()

    async def close_all(self) -> int:
        """Do the same for a caller that holds the runner's lock. Real brokers come first: that is real money."""
        self.done += await close_at_real_brokers(self)
        await self._close_at_embedded_venues()
        self.flatteners = tuple(one.flattener for one in self.done)
        for flattener in self.flatteners:
            held = (trade for trade in flattener.trades.values() if not trade.flat)
            self.left += [f"{trade.trade_id}: {trade.words or 'nobody has looked at it'}" for trade in held]
        for session, mode in dict.fromkeys((one.session, one.mode) for one in self.done):
            mine = [one.flattener for one in self.done if (one.session, one.mode) == (session, mode)]
            known = self.known(session) or Known()
            self._record(session, mode, [trade for flat in mine for trade in flat.trades.values()], known)
        self.tell(f"LEFT: {'; '.join(self.left)}" if self.left else "nothing of ours rests or is held any more")
        return RunnerExit.FAILED if self.left else RunnerExit.DONE

    async def _close_at_embedded_venues(self) -> None:
        known, market = self.known(self.request.session), self._market()
        venues = tuple(self._venues(market))
        flatteners = [self._flattener(broker, known) for _, broker in venues]
        session = self.request.session
        self.done += [
            Done(session=session, mode=mode, flattener=flattener)
            for flattener, (mode, _) in zip(flatteners, venues, strict=True)
        ]
        async for _ in steps_of(market, [broker for _, broker in venues], self.request.clock, self.late):
            if all([await flattener.step() for flattener in flatteners]):
                break

    def late(self) -> bool:
        """Return whether the time for everything is over."""
        return monotonic_seconds() >= self.deadline

    async def _beat(self) -> None:
        """Show that whoever holds the runner's lock lives: a person's kill ends one that does not."""
        heart = Heart(self.control, str(self.request.session))
        try:
            while True:
                with suppress(OSError):  # a full disk must not keep anything from being closed
                    heart.beat(CLOSING, self.request.clock.now())
                await asyncio.sleep(_NAP_SECONDS)
        finally:
            with suppress(OSError):  # a pulse that cannot be removed goes stale by itself
                heart.stop()

    # --- what is ours -------------------------------------------------------------------------------------------------

    def known(self, session: SessionId) -> Known | None:
        """Return what the journals say of the day and run of `session`; None where one cannot be read."""
        folder = self.request.home / "output" / "journal"
        try:
            found = [
                known_trades(journal_path(folder, mode), session)
                for mode in (Mode.PAPER, Mode.LIVE)
                if journal_path(folder, mode).exists()
            ]
        except (JournalError, CodecError, OSError) as error:
            self.tell(f"the journal cannot be read, so names decide what is ours: {error}")
            return None
        return Known(
            trades=frozenset().union(*(known.trades for known in found)),
            open=frozenset().union(*(known.open for known in found)),
            told=frozenset().union(*(known.told for known in found)),
        )

    def _flattener(self, broker: SimulatedBroker, known: Known | None) -> Flattener:
        session = self.request.session

        def of_today(trade: TradeName) -> bool:
            return (trade.session.day, trade.session.run, trade.broker) == (session.day, session.run, broker.name)

        def ours(order_id: str) -> bool:
            name = OrderName.parse(order_id)
            if known is None:
                return is_of_our_making(order_id, of_today)
            return name is not None and name.trade in known.trades

        def meant(order_id: str) -> bool:
            name = OrderName.parse(order_id)
            return name is not None and self.is_meant(name.trade) and ours(order_id)

        return self.hands(broker, ours=meant, since=Instant(0), tell=self.tell)

    def is_meant(self, trade_id: str) -> bool:
        """Return whether one of our trades is meant."""
        trade = TradeName.parse(trade_id)
        return trade is not None and self.wanted(trade)

    # --- the embedded venues ------------------------------------------------------------------------------------------

    def _market(self) -> Market | None:
        request = self.request
        if not self.knows_market:
            return None
        try:
            from tbot_bot.runtime.embedded_market import ModelledPuts  # noqa: PLC0415 - may be what is broken
            from tbot_bot.runtime.market_source import market_day_of  # noqa: PLC0415

            day = market_day_of(request.session.day, data=request.data, vix=request.vix, seed=request.seed)
            return Market(day=day, puts=ModelledPuts(day))
        except Exception as error:  # noqa: BLE001 - whatever it is: without prices orders can still be cancelled
            self.left.append(f"no market to close positions in: {type(error).__name__}: {error}")
            return None

    def _venues(self, market: Market | None) -> Iterator[tuple[Mode, SimulatedBroker]]:
        """Yield the venues that this day's sessions have traded at; their files tell names and modes."""
        for path in sorted(self.request.venue_folder.glob("*.sqlite3")):
            name, _, mode = path.stem.rpartition("_")
            try:
                broker = venue_at(path, name, market)
                if broker is not None:
                    yield Mode(mode), broker
            except (BrokerError, BrokerUnavailable, ValueError) as error:
                self.left.append(f"{path.name} cannot be opened: {error}")

    # --- what is left behind ------------------------------------------------------------------------------------------

    def _record(self, session: SessionId, mode: Mode, trades: Sequence[VenueTrade], known: Known) -> None:
        """Journal what was done; where that fails it has at least been printed."""
        at = self.request.clock.now()
        unsettled = {trade_id for trade_id in known.open - known.told if self.is_meant(trade_id)}
        news = [trade for trade in trades if trade.cancelled or trade.trade_id not in known.told]
        told = [trade for trade in news if trade.touched or trade.trade_id in unsettled]
        if not self.may_report(told):
            return
        records = tuple(found for trade in told if (found := record_of(trade, mode, at, self.reason)) is not None)
        cancelled = tuple(order_id for trade in told for order_id in trade.cancelled)
        spared = sorted(trade_id for trade_id in known.open - known.told if not self.is_meant(trade_id))
        left = (*self.left, *(f"{trade_id}: not asked for" for trade_id in spared))
        report = DeadManReport(at=at, why=self.why, cancelled=cancelled, trades=records, left=left)
        for record in records:
            self.tell(f"{record.trade_id}: result {record.pnl} dollars, {record.error_code}")
        try:
            with Journal.open(journal_path(self.request.home / "output" / "journal", mode), mode) as journal:
                row = Entry.of(report, kind=Kind.ERROR, at=at, recorded_at=wall_now(), session=str(session))
                journal.append([row])
        except (JournalError, OSError) as error:
            self.tell(f"not journaled: {error}")
            return
        self._show(mode)

    def _show(self, mode: Mode) -> None:
        """Bring the files for people up to date with the journal."""
        try:
            from tbot_bot.runtime.show_records import show_records  # noqa: PLC0415 - may be what is broken

            show_records(self.request, mode)
        except Exception as error:  # noqa: BLE001 - the journal has it; the next start shows it
            self.tell(f"the files for people are not up to date: {type(error).__name__}: {error}")


def venue_at(path: Path, name: str, market: Market | None) -> SimulatedBroker | None:
    """Return the venue whose books are at `path`; None where nothing was ever traded there.

    Raises:
        BrokerError, BrokerUnavailable: the books cannot be read.
    """
    store = VenueStore(path)
    if store.load() is None:
        store.close()
        return None
    hours = None if market is None else market.day.day

    def is_open(at: Instant) -> bool:
        return hours is None or hours.open_at <= at < hours.close_at

    puts = None if market is None else market.puts
    return SimulatedBroker(Venue(broker=name, cash=ZERO, pricer=puts, is_open=is_open), store=store)


async def steps_of(
    market: Market | None, brokers: Sequence[SimulatedBroker], clock: RunClock, late: Callable[[], bool]
) -> AsyncIterator[None]:
    """Let the venues live through what they missed, then through bar after bar; yield whenever one may act."""
    if market is None or not brokers:
        yield None
        return
    since = min(broker.last_step or market.day.day.open_at for broker in brokers)
    for piece in market.day.slices(since):
        if piece.end > clock.now():
            yield None
        while (ahead := clock.real_seconds(Duration(piece.end - clock.now()))) > 0:
            if late():
                return
            await asyncio.sleep(min(ahead, _NAP_SECONDS))
        bars = {bar.symbol: bar for bar in piece.bars}
        for broker in brokers:
            broker.step_open(piece.start, bars)
            while broker.step_range(piece.end, bars):
                pass  # nobody answers within the bar
            broker.drain()
    yield None


def main(argv: Sequence[str] | None = None) -> int:
    """Close what is ours and return the exit status; takes a runner's arguments and some of its own."""
    parser = argparse.ArgumentParser(prog="python -m tbot_bot.runtime.dead_man", allow_abbrev=False)
    parser.add_argument("--why", default="the runner could not be started any more")
    parser.add_argument("--seconds", type=float, default=SECONDS_MAX)
    given, rest = parser.parse_known_args(argv)
    request = RunnerArguments.parse(rest)
    with scrubbed_output(stdout=True):
        control = control_path(request.home)  # with the settings come the secrets that are not to be printed
        return _end_of(request, control, why=given.why, seconds=given.seconds)


def _end_of(request: RunnerArguments, control: Path, *, why: str, seconds: float) -> int:
    work = Work(
        request=request,
        control=control,
        why=why,
        tell=say,
        deadline=monotonic_seconds() + seconds,
    )
    try:
        return asyncio.run(work.run())
    except AlreadyRunning as error:
        say(f"a runner is alive: {error}")
        return RunnerExit.LOCKED
    except (TbotError, BrokerProblem) as error:
        say(f"the dead-man path failed: {error}")
        return RunnerExit.FAILED


if __name__ == "__main__":
    sys.exit(main())
