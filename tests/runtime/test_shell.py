"""The shell of a session: killed anywhere and taken up again, with brokers that lose answers, on a full disk."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from tbot_bot.broker.broker_sim import Fault, Request, SimulatedBroker, VenueStore
from tbot_bot.config.inverse_etf import load_inverse_etf_map
from tbot_bot.config.settings import load_settings
from tbot_bot.core.commands import Phase
from tbot_bot.core.identity import Mode, SessionId, StrategyName
from tbot_bot.core.instants import Duration
from tbot_bot.journal.files import JournalWriteFailed
from tbot_bot.journal.store import Journal
from tbot_bot.marketdata.recorded_loader import load_day
from tbot_bot.reporting.report_router import records_for
from tbot_bot.runtime.bootstrap import screener_for, session_spec, simulated_brokers
from tbot_bot.runtime.earlier_today import earlier_today
from tbot_bot.runtime.embedded_market import EmbeddedMarket
from tbot_bot.runtime.replay import replay_day
from tbot_bot.runtime.schedule import plan_day, schedule_rules
from tbot_bot.runtime.session_run import Controls, FullSpeed
from tbot_bot.runtime.session_setup import Workplace, journaled_spec, replay_into, session_of
from tests.support.rehearsal import DAY, SENSITIVE, random_walks, write_csv, write_vix

PUTS = {"SHORT_TYPE_OPEN": "LongPut", "TOTAL_ALLOCATION": "0.2", "MAX_RISK_PER_TRADE": "0.2"}


class Watcher:
    """Sees the session from inside; `seen` is called after each input, before its answer is journaled."""

    has_read_journal = False

    def __init__(self, seen=None, answered=None):
        self.seen, self.answered = seen or (lambda: None), answered or (lambda: None)

    def session(self, spec):
        pass

    def event(self, session, event):
        self.seen()

    def decided(self, session, decided):
        self.answered()


class Rig:
    """One session over a random day with its venue on disk, begun or taken up as the runner does it."""

    def __init__(self, folder, strategy, home=None, seed=3, *, observer=None, faults=None, after=None, **settings):
        self.home = home or folder / "home"
        self.settings = load_settings(self.home, {**SENSITIVE, **settings}, defaults_if_absent=True)
        self.day = load_day(_data(folder, seed), DAY, vix=write_vix(folder / "vix.csv"))
        self.session = SessionId(day=DAY, strategy=strategy)
        self.records = records_for(self.home, Mode.PAPER, test_mode=True)
        self.observer, self.faults, self.after = observer or Watcher(), faults, after
        self.brokers: Mapping[str, SimulatedBroker] = {}
        self.shell: Any = None

    @contextmanager
    def open(self):
        """Give (run, shell, whether the journal knows the session)."""
        with Journal.open(self.records.journal, Mode.PAPER) as journal:
            bot = self.settings.bot
            made = simulated_brokers(
                bot, self.day, lambda name: VenueStore(self.home / "output" / "venue" / f"{name}.sqlite3")
            )
            self.brokers = made
            for broker in made.values():
                broker._faults = self.faults
                _tell_after(broker, self.after)
            known = journaled_spec(journal, self.records, self.session)
            spec = known or self.spec()
            place = Workplace(
                records=self.records, journal=journal, brokers=made, observers=(self.observer,),
                log=structlog.wrap_logger(None, processors=[_drop]), wall_clock=lambda: 0,
            )  # fmt: skip
            self.place = place
            market = EmbeddedMarket(self.day, screener_for(self.settings, spec))
            earlier = earlier_today(journal, self.session, spec.windows.screen_at)
            given = session_of(place, spec, market, earlier=earlier, pacer=FullSpeed(), controls=Controls([]))
            with given as (run, self.shell):
                yield run, self.shell, known is not None
            for broker in made.values():
                asyncio.run(broker.close())

    def spec(self):
        plan = plan_day(schedule_rules(self.settings.bot), DAY)
        planned = next(one for one in plan.due if one.strategy is self.session.strategy)
        return session_spec(
            self.settings.bot, planned, session=self.session, mode=Mode.PAPER, bar_span=Duration(self.day.span),
            inverse=load_inverse_etf_map(None), settings_fingerprint="",
        )  # fmt: skip

    def run(self):
        """Begin or go on, to the session's end."""
        with self.open() as (run, shell, known):
            if known:
                replay_into(shell, self.place, self.session)
                asyncio.run(run.resume())
            else:
                shell.begin()
                asyncio.run(run.run())
        return self

    def venue(self):
        return next(iter(self.brokers.values())).venue

    def result(self):
        """Return what the venue executed, by client order id, and its cash."""
        venue = self.venue()
        fills = [(fill.client_order_id, fill.price, fill.quantity, fill.fees) for fill in venue.fills_since(0)]
        return sorted(fills), venue.books.cash

    def check(self):
        """Hold the end of the session against the promises that no accident may break."""
        venue, state = self.venue(), self.shell.engine.state
        assert state.ended
        assert venue.positions() == ()
        assert venue.open_orders() == ()
        ours = Counter(fill.execution_id for order in state.orders.values() for fill in order.fills)
        theirs = Counter(fill.execution_id for fill in venue.fills_since(0))
        assert ours == theirs, "a fill was lost or counted twice"
        booked = sum(state.realized.values())
        assert abs(venue.books.cash - venue.snapshot().cash_start - booked) < len(state.trades) + 1
        replayed = replay_day(self.home, DAY, Mode.PAPER)
        assert replayed.identical, replayed
        return self


def _drop(*_):
    raise structlog.DropEvent


@cache
def _data(folder, seed):
    return write_csv(folder / "data" / f"bars_{seed}.csv", random_walks(seed))


def _tell_after(broker, after):
    """Call `after` when the venue has done a request and nobody has heard of it yet."""
    if after is None:
        return
    for name in ("submit", "cancel", "replace"):
        original = getattr(broker, name)

        async def told(argument, original=original):
            await original(argument)
            after()

        setattr(broker, name, told)


FIRST_LOOKS = 6
"""Pictures taken of each kind in any case: a session's beginning is unlike the rest of it."""


class Camera:
    """Copies the home as a SIGKILL would leave it: what is only in memory is not in the picture."""

    def __init__(self, home, folder, every):
        self.home, self.folder, self.every = home, folder, every
        self.calls: Counter[str] = Counter()
        self.pictures: list[Path] = []

    def at(self, place):
        def look():
            self.calls[place] += 1
            if self.calls[place] <= FIRST_LOOKS or self.calls[place] % self.every == 0:
                picture = self.folder / f"{place}_{self.calls[place]:04}"
                shutil.copytree(self.home, picture)
                self.pictures.append(picture)

        return look


@pytest.mark.parametrize("every", [9, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("strategy", "settings"),
    [(StrategyName.OPEN, {}), (StrategyName.OPEN, PUTS), (StrategyName.MID, {}), (StrategyName.CLOSE, {})],
    ids=["open", "open with puts", "mid", "close"],
)
def test_a_session_killed_anywhere_ends_with_the_very_fills_and_cash(tmp_path, strategy, settings, every):
    seed = 5 if strategy is StrategyName.CLOSE else 3
    home = tmp_path / "home"
    camera = Camera(home, tmp_path / "pictures", every=every)
    watcher = Watcher(seen=camera.at("before the answer is journaled"), answered=camera.at("before it is done"))
    undisturbed = Rig(
        tmp_path, strategy, home, seed, observer=watcher, after=camera.at("before the venue's answer"), **settings
    )
    fills, cash = undisturbed.run().check().result()
    assert fills or strategy is StrategyName.CLOSE
    assert len(camera.pictures) > 10
    for picture in camera.pictures:
        again = Rig(tmp_path, strategy, picture, seed, **settings).run().check()
        assert again.result() == (fills, cash), picture.name


class Lossy:
    """Loses the n-th request of a kind, before or after it has taken effect."""

    def __init__(self, fault, kind, nth):
        self.fault, self.kind, self.nth = fault, kind, nth
        self.count = 0

    def of_request(self, request, client_order_id):
        if request is not self.kind:
            return Fault.NONE
        self.count += 1
        return self.fault if self.count == self.nth else Fault.NONE

    def of_events(self, events):
        return events


@pytest.mark.parametrize("fault", [Fault.LOST_BEFORE, Fault.LOST_AFTER])
@pytest.mark.parametrize("kind", [Request.SUBMIT, Request.CANCEL, Request.REPLACE])
def test_a_lost_request_or_answer_leads_to_exactly_one_execution(tmp_path, fault, kind):
    undisturbed = Rig(tmp_path, StrategyName.OPEN, tmp_path / "calm").run().check()
    for nth in range(1, 7):
        faults = Lossy(fault, kind, nth)
        rig = Rig(tmp_path, StrategyName.OPEN, tmp_path / f"lost_{nth}", faults=faults).run().check()
        assert faults.count >= nth or kind is not Request.SUBMIT
        entered = {fill[0] for fill in rig.result()[0] if "-entry" in fill[0]}
        assert entered <= {fill[0] for fill in undisturbed.result()[0]}


def test_a_broker_that_cannot_be_asked_for_a_while_is_asked_again(tmp_path):
    class Deaf(Lossy):
        reads_lost = 0

        def of_request(self, request, client_order_id):
            if self.count >= self.nth and request is Request.READ and self.reads_lost < 5:
                self.reads_lost += 1
                return Fault.LOST_BEFORE
            return super().of_request(request, client_order_id)

    faults = Deaf(Fault.LOST_BEFORE, Request.SUBMIT, 2)
    Rig(tmp_path, StrategyName.OPEN, faults=faults).run().check()
    assert faults.reads_lost == 5


def test_an_id_that_the_broker_has_already_is_looked_up_and_never_sent_under_another(tmp_path):
    """As after a session that closed out without a journal: the engine does not know that its exit went out."""
    rig = Rig(tmp_path, StrategyName.OPEN, tmp_path / "home")
    camera = Camera(rig.home, tmp_path / "pictures", every=1)
    rig.observer = Watcher(seen=lambda: camera.at("x")() if rig.venue().positions() and not camera.pictures else None)
    rig.run().check()
    picture = camera.pictures[0]
    # the venue of the end with the journal of the middle: all orders since then are unknown to the journal
    shutil.rmtree(picture / "output" / "venue")
    shutil.copytree(rig.home / "output" / "venue", picture / "output" / "venue")
    again = Rig(tmp_path, StrategyName.OPEN, picture).run()
    assert again.venue().positions() == ()
    assert again.shell.engine.state.ended
    assert again.result() == rig.result()


def test_every_position_has_a_stop_of_its_size_whenever_the_market_moves(tmp_path):
    rig = Rig(tmp_path, StrategyName.OPEN)
    naked = []

    def look():
        venue, state = rig.venue(), rig.shell.engine.state
        leaving = {trade.instrument.symbol for trade in state.active_trades() if trade.exit_code and trade.instrument}
        stops = {order.request.instrument.symbol: order for order in venue.open_orders() if order.request.stop}
        for position in venue.positions():
            symbol = position.instrument.symbol
            guarded = symbol in stops and stops[symbol].request.quantity == abs(position.quantity)
            if symbol not in leaving and not guarded:
                naked.append((state.at, symbol))

    with rig.open() as (run, shell, _):

        async def each_step():
            look()

        run._each_step = each_step
        shell.begin()
        asyncio.run(run.run())
    rig.check()
    assert rig.result()[0]
    assert naked == []


@pytest.mark.parametrize("victim", ["journal", "tape"])
def test_a_failing_write_with_a_position_open_closes_it_and_opens_nothing_more(tmp_path, victim):
    rig = Rig(tmp_path, StrategyName.OPEN, MAX_TRADES="4", MAX_CONCURRENT_TRADES_PER_BROKER="4")
    at_break: list[set[str]] = []

    def full(*_):
        if not at_break and rig.shell.engine.state.phase is Phase.BREAKOUT and rig.venue().positions():
            at_break.append(_entries(rig))
        return bool(at_break)

    with pytest.raises(JournalWriteFailed, match="No space left"):
        _run_until_full(rig, victim, full)
    state, venue = rig.shell.engine.state, rig.venue()
    assert at_break, "the story needs an open position"
    assert venue.positions() == ()
    assert venue.open_orders() == ()
    assert [_entries(rig)] == at_break, "an entry went out that is not in the journal"
    assert state.ended
    assert state.stop_code == "stop_request"
    assert "No space left" in state.stop_reason
    assert max(fill.transacted_at for fill in venue.fills_since(0)) < state.spec.windows.entry_end


def _entries(rig):
    orders = rig.venue().snapshot().orders
    return {order.request.client_order_id for order in orders if "-entry" in order.request.client_order_id}


def _run_until_full(rig, victim, full):
    """Run a session whose journal, or tape, cannot be written any more once `full` says so."""
    with rig.open() as (run, shell, _):
        shell.begin()
        part, name = (shell._journal, "append") if victim == "journal" else (shell._tape, "sync")
        original = getattr(part, name)

        def write(*arguments):
            if full(*arguments):
                raise JournalWriteFailed("No space left")
            return original(*arguments)

        if victim == "journal":
            shell._journal = SimpleNamespace(append=write)
        else:
            shell._tape.sync = write
        asyncio.run(run.run())


def test_the_very_entry_that_could_not_be_journaled_is_not_sent(tmp_path):
    rig = Rig(tmp_path, StrategyName.OPEN)
    unrecorded: list[str] = []

    def full(entries):
        payloads = [entry.payload for entry in entries]
        unrecorded.extend(one for one in payloads if '"SubmitOrder"' in one and "-entry1" in one)
        return len(unrecorded) > 0

    with pytest.raises(JournalWriteFailed, match="No space left"):
        _run_until_full(rig, "journal", full)
    assert unrecorded
    assert rig.venue().snapshot().orders == ()
    assert rig.shell.engine.state.ended


def test_after_a_full_disk_the_next_start_finds_out_what_the_journal_could_not_hold(tmp_path):
    """The exits went out and are not in the journal: they are found at the venue, not sent a second time."""
    rig = Rig(tmp_path, StrategyName.OPEN)
    with pytest.raises(JournalWriteFailed):
        _run_until_full(rig, "journal", lambda _: bool(rig.venue().positions()) or bool(rig.shell.broken))
    fills = rig.result()[0]
    again = Rig(tmp_path, StrategyName.OPEN).run().check()
    assert fills
    assert set(fills) <= set(again.result()[0])


SMALL_DISK = """
import resource, signal, sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from tests.support.rehearsal import *
from tbot_bot.config.error_handler import TbotError
folder, limit = Path(sys.argv[1]), int(sys.argv[2])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    Rehearsed(folder / "home", folder / "bars.csv", vix=folder / "vix.csv", **SENSITIVE)
except TbotError as error:
    print(type(error).__name__, error)
    sys.exit(1)
"""


def without_coverage():
    """Return an environment in which the child writes no coverage data: its own file would hit the limit too."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COV")}


@pytest.mark.parametrize("limit", [4_000, 30_000, 60_000, 90_000, 120_000, 150_000])
def test_a_full_disk_ends_a_dry_run_with_one_clear_error(tmp_path, limit):
    write_csv(tmp_path / "bars.csv", random_walks(3))
    write_vix(tmp_path / "vix.csv")
    done = subprocess.run(
        [sys.executable, "-c", SMALL_DISK, str(tmp_path), str(limit)],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2], env=without_coverage(),
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stdout.startswith(("JournalWriteFailed", "JournalError")), done.stdout
    assert len(done.stdout.splitlines()) == 1
