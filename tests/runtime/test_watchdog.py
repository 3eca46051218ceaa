"""Alive, silent or blind: the judgement over a runner's words, and who feeds systemd's watchdog meanwhile."""

import contextlib
import os
import signal
import sys
import textwrap
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.core.events import BarsClosed
from tbot_bot.core.instants import MINUTE, SECOND, Instant, later, minutes, seconds
from tbot_bot.runtime.clock import CompressedClock, RealClock
from tbot_bot.runtime.data_clock import DataClock
from tbot_bot.runtime.heartbeat import Beat, read_beat
from tbot_bot.runtime.restart_policy import RestartPolicy
from tbot_bot.runtime.runner_watch import EndKind, RunnerWatch
from tbot_bot.runtime.vital_signs import Pulse, Signs, WatchLimits, complaint, judge, look
from tests.support.scenario import spec_of
from tests.support.systemd import NotifySocket, can_go_blind, supervise

LIMITS = WatchLimits()
MARGIN_SECONDS = 5
NOON = 1_700_000_000 * SECOND
steps = st.lists(st.floats(min_value=0.01, max_value=1.0), min_size=1, max_size=80)


def beat_at(second: float, count: int, until: float = 0.0, due: float | None = None) -> Beat:
    """Return a beat at `second` after noon; `until` and `due` are seconds after noon too, None: no data is due."""
    at = Instant(NOON + round(second * SECOND))
    return Beat(
        pid=7, session="s", phase="analysis", market_time=at, real_time=at, count=count,
        data_until=Instant(NOON + round(until * SECOND)),
        data_due=Instant(0 if due is None else NOON + round(due * SECOND)),
    )  # fmt: skip


class Onlooker:
    """Looks at a runner again and again, and keeps what it judged."""

    def __init__(self, limits=LIMITS):
        self.signs, self.limits, self.monotonic = Signs(looked_at=0.0), limits, 0.0

    def look(self, passed, beat, now):
        """Look once, `passed` seconds after the look before; `now` is in seconds after noon."""
        self.monotonic += passed
        self.signs = look(
            self.signs,
            beat,
            now=Instant(NOON + round(now * SECOND)),
            monotonic=self.monotonic,
            limits=self.limits,
        )
        return judge(self.signs, self.limits)


@given(steps, st.floats(min_value=-86_400, max_value=86_400))
def test_who_beats_and_whose_data_moves_is_fine_whatever_the_wall_clock_does(looks, step_of_the_clock):
    onlooker, at = Onlooker(), 0.0
    for number, passed in enumerate(looks):
        at += passed + (step_of_the_clock if number == len(looks) // 2 else 0.0)
        beat = beat_at(at, number, until=at - 1 + number / 1000, due=at + 59)
        assert onlooker.look(passed, beat, at) is Pulse.FINE


@given(steps, st.booleans())
def test_nobody_is_silent_before_the_limit_and_everybody_after_it(looks, has_beaten):
    onlooker = Onlooker()
    beat = beat_at(0, 1) if has_beaten else None
    limit = (LIMITS.silence_max if has_beaten else LIMITS.startup_max) / SECOND
    onlooker.look(0.0, beat, 0.0)
    silence = 0.0
    for passed in looks:
        silence += passed
        assert (onlooker.look(passed, beat, silence) is Pulse.SILENT) == (silence > limit)
    assert onlooker.look(0.0, beat_at(silence, 2), silence) is Pulse.FINE, "one beat is enough"


@given(steps, st.floats(min_value=0, max_value=40))
def test_a_loop_that_turns_over_data_that_does_not_come_is_blind_after_the_limit(looks, due):
    onlooker, at, overdue = Onlooker(), 0.0, 0.0
    onlooker.look(0.0, beat_at(0, 0, until=-60, due=due), 0.0)
    for number, passed in enumerate(looks, start=1):
        at += passed
        overdue = overdue + passed if at * SECOND // 1 > due * SECOND // 1 else 0.0
        pulse = onlooker.look(passed, beat_at(at, number, until=-60, due=due), at)
        if abs(at - due) > 1e-6:
            assert (pulse is Pulse.BLIND) == (overdue > LIMITS.blind_max / SECOND)
    moved = beat_at(at, 99, until=0, due=at + 30)
    assert onlooker.look(0.1, moved, at) is Pulse.FINE, "one step of the market is enough"


@given(st.integers(min_value=1, max_value=100))
def test_where_no_data_is_needed_nobody_is_blind(hours):
    onlooker = Onlooker()
    for number in range(40):
        assert onlooker.look(1.0, beat_at(number, number), number + hours * 3600) is Pulse.FINE


@given(st.floats(min_value=0, max_value=3600))
def test_a_feed_that_moves_but_stays_behind_is_blind_beyond_the_limit_for_lateness(lag):
    onlooker = Onlooker()
    pulses = [onlooker.look(1.0, beat_at(at, at, until=at - 60 - lag, due=at - lag), at) for at in range(60)]
    assert (pulses[-1] is Pulse.BLIND) == (round(lag * SECOND) > LIMITS.stale_max)
    assert set(pulses[:15]) == {Pulse.FINE}


@given(st.floats(min_value=0, max_value=1e6))
def test_a_suspended_machine_finds_its_runner_fine(asleep):
    onlooker = Onlooker()
    onlooker.look(0.0, beat_at(0, 1, until=0, due=60), 0.0)
    # the onlooker wakes first: neither beat nor data are of now, however its monotonic clock counts sleep
    assert onlooker.look(asleep, beat_at(0, 1, until=0, due=60), asleep) is Pulse.FINE
    for number in range(10):
        catching_up = beat_at(asleep + number, 2 + number, until=number * asleep / 10, due=60 + number * asleep / 10)
        assert onlooker.look(1.0, catching_up, asleep + number) is Pulse.FINE


def test_what_is_wrong_is_said_in_words():
    silent = Signs(looked_at=0.0, silent=31.4)
    assert complaint(silent, Pulse.SILENT) == "was silent since its start"
    assert complaint(replace(silent, last=beat_at(0, 1)), Pulse.SILENT) == "was silent for 31 s"
    blind = Signs(looked_at=0.0, last=beat_at(0, 1, until=0.0), unmoved=15.2)
    assert complaint(blind, Pulse.BLIND) == "was blind for 15 s (market data until: 2023-11-14T22:13:20Z)"
    unfed = replace(blind.last, data_until=Instant(0)) if blind.last else None
    assert "none at all" in complaint(replace(blind, last=unfed), Pulse.BLIND)


def test_the_data_clock_counts_steps_of_the_grid_and_asks_for_nothing_before_the_start():
    spec = spec_of()
    windows = spec.windows
    data = DataClock(spec, RealClock())
    assert data.due(ended=False) == windows.start + windows.bar_span
    data.event(spec.session, BarsClosed(at=later(windows.start, minutes(9)), bars=(), backfill=True))
    assert data.until == 0, "what was caught up on is the past"
    data.event(spec.session, BarsClosed(at=later(windows.start, minutes(3)), bars=()))
    assert data.until == windows.start + 3 * MINUTE, "nobody has to trade for the clock to move"
    assert data.due(ended=False) == data.until + windows.bar_span
    assert data.due(ended=True) == 0


def test_on_a_compressed_clock_data_is_due_sooner():
    spec = spec_of()
    start = spec.windows.start
    clock = CompressedClock(anchor_market=start, anchor_real=Instant(NOON), speed=60.0)
    assert DataClock(spec, clock).due(ended=False) == NOON + spec.windows.bar_span // 60


# --- with processes ---------------------------------------------------------------------------------------------------


async def test_a_blind_runner_is_killed_without_being_asked_to_sell_and_is_not_well_until_the_next_one_is_up(tmp_path):
    script = tmp_path / "blind_once.py"
    script.write_text(
        textwrap.dedent(f"""
        import signal, sys, time; from pathlib import Path
        from tbot_bot.core.instants import Instant
        from tbot_bot.runtime.heartbeat import Heart
        from tbot_bot.runtime.locks import RUNNER_LOCK, Lock
        home = Path({str(tmp_path)!r})
        signal.signal(signal.SIGTERM, lambda *_: (home / "asked").touch())
        first = not (home / "begun").exists(); (home / "begun").touch()
        lock = Lock(home / RUNNER_LOCK).take(); heart = Heart(home, "s", every=0)
        for turn in range(400 if first else 15):
            moving = Instant(1 if first else time.time_ns())
            heart.beat("analysis", Instant(5), data_until=moving, data_due=Instant(5)); time.sleep(0.02)
        """)
    )
    notes: list[str] = []

    def note(text: str) -> None:
        notes.append(f"{'well' if watch.is_well else 'not well'}: {text}")

    watch = RunnerWatch(
        command=(sys.executable, str(script)),
        control=tmp_path,
        output=tmp_path / "out.log",
        ended=lambda: False,
        note=note,
        policy=RestartPolicy(),
        limits=WatchLimits(blind_max=seconds(0.4), stale_max=seconds(10**10)),
    )
    end = await watch.run()
    assert (end.kind, [crash.exit_code for crash in end.crashes]) == (EndKind.DONE, [255])
    assert notes[0].startswith("not well: ")
    assert "blind" in notes[0]
    assert watch.is_well
    assert not (tmp_path / "asked").exists()


@pytest.fixture
def systemd(tmp_path):
    listening = NotifySocket(str(tmp_path / "notify"))
    yield listening
    listening.close()


@contextlib.contextmanager
def service(home, systemd, *, speed, patience, watchdog, **environment):
    """Run a supervisor as systemd's service; nothing is left behind."""
    told = {**systemd.environment(watchdog), **environment}
    process = supervise(home, told, speed=speed, patience=patience)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        beat = read_beat(home / "control")
        if beat is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(beat.pid, signal.SIGKILL)


def lose_and_recover(home, systemd, lose, *, speed, patience, watchdog, **environment):
    """Lose a real runner in its session; the pings stop in time, the runner is replaced, the pings come back."""
    control = home / "control"
    with service(home, systemd, speed=speed, patience=patience, watchdog=watchdog, **environment) as supervisor:
        systemd.until(lambda: getattr(read_beat(control), "phase", "") == "analysis", supervisor)
        lost = read_beat(control)
        assert lost is not None
        lose(lost.pid)
        lost_at = time.monotonic()
        systemd.until(lambda: any("is recovered" in state for state in systemd.states()), supervisor)
        judged_at = time.monotonic()
        systemd.until(lambda: getattr(read_beat(control), "pid", lost.pid) != lost.pid, supervisor)
        back_at = time.monotonic()
        systemd.until(lambda: any(at > back_at for at in systemd.pings()), supervisor)

        assert patience - 1 <= judged_at - lost_at <= patience + MARGIN_SECONDS
        assert not [at for at in systemd.pings() if judged_at < at < back_at], "no ping while nobody trades"
        assert supervisor.poll() is None
        supervisor.send_signal(signal.SIGTERM)
        systemd.until(lambda: supervisor.poll() is not None)
        assert supervisor.returncode == 0
    with pytest.raises(ProcessLookupError):
        os.kill(lost.pid, 0)


def freeze(pid):
    os.kill(pid, signal.SIGSTOP)


def test_a_frozen_runner_stops_the_pings_and_is_replaced(tmp_path, systemd):
    lose_and_recover(tmp_path, systemd, freeze, speed=120.0, patience=1.5, watchdog=0.4)
    assert "was silent for" in logged(tmp_path)


def test_a_runner_that_lives_on_without_data_stops_the_pings_and_is_replaced(tmp_path, systemd):
    flag = tmp_path / "blind"
    environment = can_go_blind(tmp_path / "site", flag)
    lose_and_recover(
        tmp_path, systemd, lambda pid: flag.touch(), speed=120.0, patience=1.5, watchdog=0.4, **environment
    )
    assert "was blind for" in logged(tmp_path)


@pytest.mark.slow
def test_a_frozen_runner_stops_the_pings_within_fifteen_seconds_and_is_replaced(tmp_path, systemd):
    lose_and_recover(tmp_path, systemd, freeze, speed=40.0, patience=15, watchdog=2.0)


def logged(home):
    """Return what the processes wrote into their own logs."""
    return "".join(path.read_text() for path in (home / "logs").rglob("*") if path.is_file())
