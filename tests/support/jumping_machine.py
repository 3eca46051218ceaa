"""A machine whose clock jumps, under the real clock classes, and one session run on it."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace

import structlog

from tbot_bot.broker.broker_sim import VenueStore
from tbot_bot.config.inverse_etf import load_inverse_etf_map
from tbot_bot.config.settings import load_settings
from tbot_bot.core.identity import Mode, SessionId, StrategyName
from tbot_bot.core.instants import SECOND, Duration, instant, later, seconds
from tbot_bot.journal.store import Journal
from tbot_bot.journal.verify import verify
from tbot_bot.marketdata.recorded_loader import load_day
from tbot_bot.reporting.report_router import records_for
from tbot_bot.runtime import clock as clock_module
from tbot_bot.runtime import pacers
from tbot_bot.runtime.bootstrap import screener_for, session_spec, simulated_brokers
from tbot_bot.runtime.clock import RealClock
from tbot_bot.runtime.earlier_today import earlier_today
from tbot_bot.runtime.embedded_market import EmbeddedMarket
from tbot_bot.runtime.replay import replay_day
from tbot_bot.runtime.schedule import plan_day, schedule_rules
from tbot_bot.runtime.session_run import ClockPacer, Controls
from tbot_bot.runtime.session_setup import Workplace, journaled_spec, replay_into, session_of
from tests.support.crafted_day import BELL, DAY


def at(minute):
    """Return the instant so many minutes after the bell of the crafted day."""
    return instant(BELL + timedelta(minutes=minute))


class Machine:
    """Two clocks that go on when somebody sleeps; `jumps` are (time of the wall clock, seconds)."""

    def __init__(self, start, jumps=()):
        self.wall, self.monotonic = start, Duration(5 * SECOND)
        self.jumps = sorted(jumps)

    def pass_time(self, span):
        """Let both clocks go on, and the wall clock jump where its time has come."""
        self.wall, self.monotonic = later(self.wall, span), Duration(self.monotonic + span)
        while self.jumps and self.wall >= self.jumps[0][0]:
            self.wall = later(self.wall, seconds(self.jumps.pop(0)[1]))

    def put_under(self, monkeypatch):
        """Make it the machine that the bot's clocks read, and sleeping its passing of time."""
        real_sleep = asyncio.sleep

        async def sleep(delay):
            self.pass_time(seconds(delay))
            await real_sleep(0)

        read = SimpleNamespace(
            time_ns=lambda: self.wall, monotonic_ns=lambda: self.monotonic, monotonic=lambda: self.monotonic / SECOND
        )
        monkeypatch.setattr(clock_module, "time", read)
        monkeypatch.setattr(pacers, "asyncio", _With(asyncio, sleep=sleep))
        return self


class _With:
    """A module with some of its functions in other hands."""

    def __init__(self, module, **changed):
        self._module, self._changed = module, changed

    def __getattr__(self, name):
        return self._changed.get(name) or getattr(self._module, name)


class JumpRig:
    """OPEN on a day of bars, at real speed on a machine of our own."""

    has_read_journal = False

    def __init__(self, home, data, **settings):
        self.home, self.seen, self.noticed, self.orders = home, [], [], []
        self.settings = load_settings(home, {"STRATEGY_OVERRIDE": "open", **settings}, defaults_if_absent=True)
        self.day = load_day(data, DAY)
        self.session_id = SessionId(day=DAY, strategy=StrategyName.OPEN)
        self.records = records_for(home, Mode.PAPER, test_mode=True)
        self.dies_at = lambda _: False

    def session(self, spec):
        """Look on: the session began."""

    def event(self, _, event, /):
        """Look on, and die at the input that `dies_at` says."""
        self.seen.append((event, self.shell.engine.state.at))
        if self.dies_at(event):
            raise PowerCut

    def decided(self, _, decided, /):
        """Look on: an answer."""
        self.orders += [(output, self.seen[-1][0]) for output in decided.outputs]

    def run(self):
        """Begin or go on, to the session's end."""
        with Journal.open(self.records.journal, Mode.PAPER) as journal:
            made = simulated_brokers(
                self.settings.bot, self.day, lambda name: VenueStore(self.home / "venue" / f"{name}.sqlite3")
            )
            self.brokers = made
            known = journaled_spec(journal, self.records, self.session_id)
            spec = known or self._spec()
            place = Workplace(
                records=self.records, journal=journal, brokers=made, observers=(self,),
                log=structlog.wrap_logger(None, processors=[_drop]), wall_clock=lambda: 0,
            )  # fmt: skip
            market = EmbeddedMarket(self.day, screener_for(self.settings, spec))
            earlier = earlier_today(journal, self.session_id, spec.windows.screen_at)
            pacer = ClockPacer(RealClock(), noticed=self.noticed.append)
            given = session_of(place, spec, market, earlier=earlier, pacer=pacer, controls=Controls([]))
            with given as (running, self.shell):
                if known is None:
                    self.shell.begin()
                    asyncio.run(running.run())
                else:
                    replay_into(self.shell, place, self.session_id)
                    asyncio.run(running.resume())
            self.venues = [broker.venue for broker in made.values()]
        return self

    def _spec(self):
        (planned,) = plan_day(schedule_rules(self.settings.bot), DAY).due
        return session_spec(
            self.settings.bot, planned, session=self.session_id, mode=Mode.PAPER, bar_span=Duration(self.day.span),
            inverse=load_inverse_etf_map(None), settings_fingerprint="",
        )  # fmt: skip

    def inputs(self, kind):
        """Return the inputs of `kind`, in order."""
        return [event for event, _ in self.seen if isinstance(event, kind)]

    def outputs(self, kind):
        """Return the decisions and commands of `kind`, in order."""
        return [output for output, _ in self.orders if isinstance(output, kind)]

    def sound(self):
        """Assert what holds over any jump: flat, verified, replayed; market time never went back."""
        times = [time for _, time in self.seen]
        assert times == sorted(times)
        assert self.shell.engine.state.ended
        assert all(venue.positions() == () and venue.open_orders() == () for venue in self.venues)
        assert verify(self.records.journal).ok
        assert replay_day(self.home, DAY, Mode.PAPER).identical
        return self


class PowerCut(Exception):
    """The process ends here."""


def _drop(*_):
    raise structlog.DropEvent
