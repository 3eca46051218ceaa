"""A recorded day beside its backtest: read the journal and its tapes (never written), trade the day again, compare."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final

from tbot_bot.accounting.second_run import TapedBars
from tbot_bot.assembly.fingerprint import code_fingerprint
from tbot_bot.backtest.day_comparison import (
    FORM,
    ComparedSession,
    ComparedTrade,
    DayComparison,
    compare_session,
    sums,
    verdict_of,
)
from tbot_bot.backtest.day_side import Side
from tbot_bot.backtest.recorded_puts import QuotedPuts
from tbot_bot.backtest.session_again import MarketFact, RecordedSession, trade_again
from tbot_bot.config.error_handler import DataError, JournalError
from tbot_bot.core.bars import Bar, VixReading
from tbot_bot.core.calendar import trading_day
from tbot_bot.core.commands import Decided, ReadPutQuotes
from tbot_bot.core.events import (
    AccountsRead,
    EarlierToday,
    FillBusted,
    ImbalancesRead,
    OrderFilled,
    PutQuotesRead,
    QuotesRead,
    ScreenCompleted,
    VixRead,
)
from tbot_bot.core.halts import HaltsTold
from tbot_bot.core.identity import Mode, OrderName, SessionId, StrategyName
from tbot_bot.core.instants import MINUTE, Instant
from tbot_bot.core.orders import Fill
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import JournalReader
from tbot_bot.journal.tape import TapeReader
from tbot_bot.marketdata.recorded import RecordedDay, SymbolDay
from tbot_bot.reporting.facts import Item
from tbot_bot.reporting.noted import SessionSkipped
from tbot_bot.reporting.projector import item_of
from tbot_bot.reporting.report_router import OutputPaths, records_for
from tbot_bot.runtime.background import control_path
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.locks import RUNNER_LOCK, holder
from tbot_bot.runtime.reconciliation_desk import open_journal
from tbot_bot.runtime.session_progress import progress_of
from tbot_bot.trading.spec import SessionSpec

TAPE: Final = "tape"
Progress = Callable[[int, str], None]
"""Hears how many sessions are done, and which one is next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRequest:
    """What is to be compared."""

    home: Path
    day: date
    mode: Mode
    data: Path | None = None
    """Bars for the backtest; None: those of the day's own tapes."""
    strategies: tuple[StrategyName, ...] = ()
    """Empty: all."""
    run: int | None = None
    """Which run of the day's sessions, as test mode makes several; None: the latest of each."""


@dataclass(slots=True)
class _Told:
    """What the journal has of one session, as its rows are read."""

    session: SessionId
    side: Side
    accounts: AccountsRead | None = None
    earlier: EarlierToday | None = None
    screened: ScreenCompleted | None = None
    facts: list[MarketFact] = field(default_factory=list)
    vix: list[VixRead] = field(default_factory=list)
    asked: dict[str, ReadPutQuotes] = field(default_factory=dict)
    puts: dict[str, QuotedPuts] = field(default_factory=dict)
    fills: dict[str, Fill] = field(default_factory=dict)

    def feed(self, item: Item) -> None:  # noqa: C901 - one case for each kind of record
        """Take in the next row."""
        self.side.feed(item)
        match item:
            case AccountsRead():
                self.accounts = self.accounts or item
            case EarlierToday():
                self.earlier = self.earlier or item
            case ScreenCompleted():
                self.screened = self.screened or item
            case QuotesRead() | HaltsTold() | ImbalancesRead():
                self.facts.append(item)
            case VixRead():
                self.vix.append(item)
            case PutQuotesRead(trade_id=trade) if trade in self.asked:
                self.puts.setdefault(trade, QuotedPuts(asked=self.asked[trade], told=item))
            case OrderFilled(fill=fill):
                self.fills[fill.execution_id] = fill
            case FillBusted():
                self.fills.pop(item.execution_id, None)
            case Decided():
                for output in item.outputs:
                    if isinstance(output, ReadPutQuotes):
                        self.asked.setdefault(output.trade_id, output)
            case _:
                pass

    @property
    def spec(self) -> SessionSpec | None:
        """Return what the session was made of."""
        return self.side.story.spec

    @property
    def brokers(self) -> list[str]:
        """Return at whom it had an account."""
        return [] if self.accounts is None else [account.broker for account in self.accounts.accounts]

    def recorded(self) -> RecordedSession | None:
        """Return what it takes to trade the session again; None where it ended before it had screened."""
        if self.spec is None or self.accounts is None or self.earlier is None or self.screened is None:
            return None
        fills: dict[str, tuple[Fill, ...]] = {}
        for fill in sorted(self.fills.values(), key=lambda one: one.transacted_at):
            name = OrderName.parse(fill.client_order_id)
            if name is not None:
                fills[name.trade] = (*fills.get(name.trade, ()), fill)
        return RecordedSession(
            spec=self.spec, accounts=self.accounts, earlier=self.earlier, screened=self.screened,
            facts=tuple(self.facts), vix=tuple(self.vix), puts=self.puts, fills=fills,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bars:
    """The day's bars, and where they end."""

    day: RecordedDay
    until: Instant


def compare_day(request: ComparisonRequest, progress: Progress = lambda _, __: None) -> DayComparison:
    """Trade a recorded day again at the simulated venue and set its trades beside those of the day.

    Raises:
        JournalError: there is no journal, no session of that day in it, one is still running, or its tape is gone.
        DataError: `data` cannot be used for the day.
    """
    records = records_for(request.home, request.mode, test_mode=False)
    with open_journal(records) as journal:
        names = _chosen(journal, records, request)
        skipped = _skipped(journal, request)
        told: list[_Told] = []
        for session in names:
            _require_over(journal, request.home, session)
            told.append(_read(journal, records, session))
        bars = _bars_of(request, records, told)
        vix = next((one.reading for each in told for one in each.vix if one.reading is not None), None)
        trades: list[ComparedTrade] = []
        sessions: list[ComparedSession] = []
        for done, one in enumerate(told):
            progress(done, str(one.session))
            found, note = _compared(one, bars, vix, request)
            trades += found or ()
            sessions.append(_session(one.session, note, compared=found is not None))
    sessions += [_session(session, f"it did not take place: {why}", compared=False) for session, why in skipped]
    traded = dict.fromkeys(one.session.strategy for one in told)
    brokers = dict.fromkeys(name for one in told for name in one.brokers)
    return DayComparison(
        form=FORM,
        mode=request.mode,
        day=request.day,
        at=wall_now(),
        bars=TAPE if request.data is None else str(request.data),
        same_code=all(one.spec is None or one.spec.code_fingerprint == code_fingerprint() for one in told),
        verdict=verdict_of(trades),
        total=sums(trades),
        strategies=tuple(sums(trades, strategy) for strategy in traded),
        brokers=tuple(sums(trades, broker=broker) for broker in brokers),
        sessions=tuple(sorted(sessions, key=lambda one: tuple(StrategyName).index(one.strategy))),
        trades=tuple(trades),
    )


def _session(session: SessionId, note: str, *, compared: bool) -> ComparedSession:
    return ComparedSession(session=str(session), strategy=session.strategy, compared=compared, note=note)


def _chosen(journal: JournalReader, records: OutputPaths, request: ComparisonRequest) -> list[SessionId]:
    """Return the run that is asked for, or the latest, of each strategy's session, in the order of the day."""
    runs: dict[StrategyName, SessionId] = {}
    known = [SessionId.parse(name) for name in journal.sessions_of(request.day)]
    numbers = sorted({session.run for session in known})
    if known and request.run is not None and request.run not in numbers:
        has = ", ".join(map(str, numbers))
        what = f"no run {request.run} of {request.day.isoformat()} in it; it has {has}"
        raise JournalError(what, where=str(records.journal), mend="Name one of those, or leave out --run.")
    for session in known:
        if request.run not in {None, session.run}:
            continue
        if session.strategy not in runs or runs[session.strategy].run < session.run:
            runs[session.strategy] = session
    wanted = request.strategies or tuple(StrategyName)
    found = [runs[strategy] for strategy in StrategyName if strategy in runs and strategy in wanted]
    if found:
        return found
    day, days = request.day.isoformat(), sorted({SessionId.parse(name).day for name in journal.sessions()})
    if known:
        what = f"no {' and no '.join(wanted)} session of {day} in it; it has {', '.join(sorted(runs))}"
        raise JournalError(what, where=str(records.journal), mend="Name one of those, or leave out --strategy.")
    has = f"it has {len(days)} days, {days[0]} to {days[-1]}" if days else "it has none"
    mend = "`tbot report range` and `tbot journal show` tell which days have."
    raise JournalError(f"no session of {day} in it; {has}", where=str(records.journal), mend=mend)


def _skipped(journal: JournalReader, request: ComparisonRequest) -> list[tuple[SessionId, str]]:
    """Return the sessions of the day that never began, and why."""
    wanted, begun = request.strategies or tuple(StrategyName), set(journal.sessions_of(request.day))
    found: dict[StrategyName, tuple[SessionId, str]] = {}
    for row in journal.rows(kind=Kind.NOTE):
        note = item_of(row)
        if not isinstance(note, SessionSkipped) or note.day != request.day or note.strategy not in wanted:
            continue
        session = SessionId(day=note.day, strategy=note.strategy)
        if not any(SessionId.parse(name).strategy is note.strategy for name in begun):
            found[note.strategy] = session, note.reason
    return list(found.values())


def _require_over(journal: JournalReader, home: Path, session: SessionId) -> None:
    if progress_of(journal, session).ended_at is None and holder(control_path(home) / RUNNER_LOCK) is not None:
        mend = "`tbot status` tells how far it is; compare the day when its sessions are over."
        raise JournalError(f"session {session} is still running", where=str(journal.path), mend=mend)


def _read(journal: JournalReader, records: OutputPaths, session: SessionId) -> _Told:
    told = _Told(session, Side(session, records.mode))
    for row in journal.rows(session=str(session)):
        item = item_of(row)
        if item is not None:
            told.feed(item)
    return told


def _compared(
    told: _Told, bars: _Bars, vix: VixReading | None, request: ComparisonRequest
) -> tuple[list[ComparedTrade] | None, str]:
    """Return the compared trades of one session, None where it cannot be compared; and what is to be known of it."""
    recorded, spec = told.recorded(), told.spec
    if recorded is None or spec is None:
        return None, f"it ended before it had screened: {_last_words(told)}"
    span = spec.windows.bar_span
    if bars.day.span != span:
        what = f"its bars are {bars.day.span // MINUTE} minutes long; {told.session} traded on {span // MINUTE}"
        raise DataError(what, where=str(request.data), mend="Give bars of that length, or leave out --data.")
    notes = []
    if told.side.story.ended is None:
        notes.append("it never came to its end; compared as far as it goes")
    missing = [one for one in told.side.story.candidates if one not in bars.day.symbols]
    if missing:
        notes.append(f"no bars of {len(missing)} of its candidates: {', '.join(missing[:5])}")
    if spec.code_fingerprint != code_fingerprint():
        notes.append("the code has changed since: the backtest decides by that of today")
    return compare_session(told.side, trade_again(recorded, bars.day, bars.until, vix)), "; ".join(notes)


def _last_words(told: _Told) -> str:
    story = told.side.story
    if story.ended is not None:
        return story.ended.reason
    return story.errors[-1] if story.errors else "no end is on record"


# --- bars -------------------------------------------------------------------------------------------------------------


def _bars_of(request: ComparisonRequest, records: OutputPaths, told: Sequence[_Told]) -> _Bars:
    if request.data is not None:
        from tbot_bot.marketdata.recorded_loader import load_day  # noqa: PLC0415 - numpy

        loaded = load_day(request.data, request.day)
        return _Bars(day=loaded, until=loaded.day.close_at)
    taped = TapedBars()
    for one in told:
        path = records.tape(one.session)
        if not path.exists():
            if one.screened is None:
                continue  # it never listened to the market
            mend = "Restore it from a backup, or give the bars of the day with --data."
            raise JournalError(f"session {one.session} has no tape", where=str(path), mend=mend)
        for event in TapeReader(path):
            taped.take(event.bars)
    specs = [one.spec for one in told if one.spec is not None]
    span = specs[0].windows.bar_span if specs else MINUTE
    until = max((bar.end for bar in taped.last.values()), default=0)
    return _Bars(day=_taped_day(request.day, span, taped), until=Instant(until))


def _taped_day(day: date, span: int, taped: TapedBars) -> RecordedDay:
    """Return the bars of the tapes as a recorded day: what was not watched has none."""
    hours = trading_day(day)
    by_symbol: dict[str, list[Bar]] = {}
    for _, bars in sorted(taped.by_start.items()):
        for symbol, bar in bars.items():
            by_symbol.setdefault(symbol, []).append(bar)
    days: Mapping[str, SymbolDay] = {symbol: _symbol_day(bars, hours.open_at) for symbol, bars in by_symbol.items()}
    return RecordedDay(day=hours, span=span, by_symbol=days, history={}, fundamentals={}, vix=None, notices=())


def _symbol_day(bars: Sequence[Bar], bell: Instant) -> SymbolDay:
    regular = tuple(bar for bar in bars if bar.start >= bell)
    return SymbolDay(
        bars=regular,
        bar_ends=tuple(bar.end for bar in regular),
        known_ends=tuple(bar.end for bar in bars),
        known_prices=tuple(bar.close for bar in bars),
    )


__all__ = ["TAPE", "ComparisonRequest", "compare_day"]
