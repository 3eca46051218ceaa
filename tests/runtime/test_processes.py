"""Clock, locks, flags, heartbeat, runner's arguments and watch, words to systemd."""

import json
import os
import re
import subprocess
import sys
import textwrap
from datetime import date
from pathlib import Path

import pytest

import tbot_bot
from tbot_bot.core.identity import SessionId, StrategyName
from tbot_bot.core.instants import SECOND, Instant, seconds
from tbot_bot.runtime.clock import CompressedClock, RealClock, market_before, wall_now
from tbot_bot.runtime.control import ControlFolder, Flag
from tbot_bot.runtime.heartbeat import Heart, read_beat
from tbot_bot.runtime.locks import RUNNER_LOCK, AlreadyRunning, Lock, holder
from tbot_bot.runtime.restart_policy import Crash, GiveUp, Restart, RestartPolicy, after_crash
from tbot_bot.runtime.runner_arguments import RunnerArguments
from tbot_bot.runtime.runner_watch import EndKind, RunnerWatch
from tbot_bot.runtime.vital_signs import WatchLimits


def test_only_the_clock_reads_the_machines_time():
    reads = re.compile(r"^\s*(import time\b|from time import)|datetime\.now\(|utcnow\(|date\.today\(", re.MULTILINE)
    room = Path(tbot_bot.__file__).parent
    guilty = [str(path.relative_to(room)) for path in room.rglob("*.py") if reads.search(path.read_text("utf-8"))]
    assert guilty == ["runtime/clock.py"]


async def test_two_clocks_of_one_anchor_agree_and_sleep():
    clock = CompressedClock.starting_at(Instant(10**18), 1000)
    again = CompressedClock.from_anchor(clock.anchor(), 1000)
    assert again == clock
    until = Instant(clock.now() + 50 * SECOND)
    await clock.sleep_until(until)
    assert until <= again.now() < until + 100 * SECOND
    assert clock.real_seconds(seconds(1000)) == 1.0
    assert market_before(clock, until, 2.0) == until - 2000 * SECOND
    assert abs(RealClock().now() - wall_now()) < SECOND


def test_a_lock_is_held_once_and_freed_by_death(tmp_path):
    path = tmp_path / RUNNER_LOCK
    code = f"from pathlib import Path; from tbot_bot.runtime.locks import Lock; Lock(Path({str(path)!r})).take(); print(1, flush=True); input()"  # noqa: E501
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    assert holder(path) == child.pid
    with pytest.raises(AlreadyRunning, match=f"pid {child.pid}"):
        Lock(path).take()
    child.kill()
    child.communicate()
    assert holder(path) is None
    with Lock(path):
        assert holder(path) == os.getpid()


async def test_a_waiting_runner_gives_up_when_told(tmp_path):
    with Lock(tmp_path / "a"), pytest.raises(AlreadyRunning):
        await Lock(tmp_path / "a").take_when_free(lambda: True)
    await Lock(tmp_path / "a").take_when_free(lambda: True)


@pytest.mark.parametrize(
    ("text", "by", "why"),
    [
        ("", "unknown", ""),
        ('{"by": "anna", "why": "lunch"}', "anna", "lunch"),
        ('{"by": "an', "unknown", "unreadable"),
        ("[1]", "unknown", "not a JSON object"),
        ("x" * 5000, "unknown", "more than"),
    ],
)
def test_a_flag_is_obeyed_whatever_it_holds(tmp_path, text, by, why):
    control = ControlFolder(tmp_path)
    (tmp_path / "control_stop.txt").write_text(text)
    found = control.take(Flag.STOP)
    assert found is not None
    assert found.by == by
    assert why in found.why
    assert control.take(Flag.STOP) is None
    assert [path.name.endswith("_control_stop.txt") for path in (tmp_path / "done").iterdir()] == [True]


def test_old_flags_are_set_aside_but_a_kill_is_never_old(tmp_path):
    control = ControlFolder(tmp_path)
    for flag in Flag:
        control.write(flag, by="test")
    stale = control.take_stale(Instant(wall_now() + SECOND))
    assert [request.flag for request in stale] == [Flag.START, Flag.STOP]
    assert control.killed() == ""
    kill = control.take(Flag.KILL)
    assert kill is not None
    assert kill.by == "test"
    assert "by test" in control.killed()


def test_a_heartbeat_is_read_back(tmp_path):
    Heart(tmp_path, "2025-09-02/open").beat("screen", Instant(5), data_until=Instant(6), data_due=Instant(7))
    beat = read_beat(tmp_path)
    assert beat is not None
    assert (beat.pid, beat.phase, beat.market_time) == (os.getpid(), "screen", 5)
    assert (beat.data_until, beat.data_due) == (6, 7)
    (tmp_path / "runner.json").write_text(json.dumps({"pid": "x"}))
    assert read_beat(tmp_path) is None


def test_three_restarts_and_no_more():
    crash = Crash(exit_code=1, why="it fell")
    answers = [after_crash(RestartPolicy(), [crash] * count) for count in range(1, 5)]
    assert answers[:3] == [Restart(delay_seconds=delay) for delay in (0.0, 1.0, 2.0)]
    assert isinstance(answers[3], GiveUp)


def test_the_runners_arguments_come_back_as_they_were():
    arguments = RunnerArguments(
        session=SessionId(day=date(2025, 9, 2), strategy=StrategyName.MID, run=3), home=Path("/h"), anchor="1:2",
        speed=400.0, data=Path("d"), seed=4, rehearsal=True, overrides=(("A", "b=c"),), expects_fingerprint="f",
    )  # fmt: skip
    assert RunnerArguments.parse(arguments.argv()) == arguments
    bare = RunnerArguments(session=arguments.session, home=Path("/h"))
    assert RunnerArguments.parse(bare.argv()) == bare


def watch_of(tmp_path, script: str, **changes) -> RunnerWatch:
    """Return a watch over a fake runner that counts its starts in `starts`."""
    head = f"""
        import sys, time; from pathlib import Path
        from tbot_bot.core.instants import Instant
        from tbot_bot.runtime.heartbeat import Heart
        from tbot_bot.runtime.locks import RUNNER_LOCK, Lock
        home = Path({str(tmp_path)!r}); starts = home / "starts"
        n = len(starts.read_text()) + 1 if starts.exists() else 1
        starts.write_text("x" * n); lock = Lock(home / RUNNER_LOCK).take()
        Heart(home, "s").beat("screen", Instant(n))
    """
    fake = tmp_path / "fake.py"
    fake.write_text(textwrap.dedent(head) + script)
    known = {
        "command": (sys.executable, str(fake)), "control": tmp_path, "output": tmp_path / "out.log",
        "ended": lambda: False, "note": lambda text: None, "policy": RestartPolicy(delay_next_seconds=0.0),
        "limits": WatchLimits(silence_max=seconds(0.4), terminate_seconds=0.2),
    }  # fmt: skip
    return RunnerWatch(**(known | changes))


async def test_a_runner_that_dies_is_started_again_until_it_is_done(tmp_path):
    end = await watch_of(tmp_path, "sys.exit(1 if n < 3 else 0)").run()
    assert (end.kind, len(end.crashes)) == (EndKind.DONE, 2)


async def test_a_runner_that_keeps_dying_is_given_up(tmp_path):
    end = await watch_of(tmp_path, "import os; os.kill(os.getpid(), 9)").run()
    assert (end.kind, [crash.exit_code for crash in end.crashes]) == (EndKind.GAVE_UP, [-9] * 4)


@pytest.mark.parametrize(("code", "kind"), [(2, EndKind.CONFIGURATION), (5, EndKind.KILLED)])
async def test_some_ends_are_final(tmp_path, code, kind):
    end = await watch_of(tmp_path, f"sys.exit({code})").run()
    assert (end.kind, end.crashes) == (kind, ())


async def test_a_silent_runner_is_killed_though_it_ignores_sigterm(tmp_path):
    deaf = "import signal; signal.signal(15, signal.SIG_IGN)\ntime.sleep(60 if n == 1 else 0)"
    end = await watch_of(tmp_path, deaf).run()
    assert end.kind is EndKind.DONE
    assert "silent" in end.crashes[0].why


async def test_a_running_runner_is_adopted(tmp_path):
    watch = watch_of(tmp_path, "time.sleep(0.3)", ended=lambda: True)
    with subprocess.Popen([sys.executable, str(tmp_path / "fake.py")]) as child:  # noqa: ASYNC220 - not the watch's own
        while holder(tmp_path / RUNNER_LOCK) != child.pid:
            pass
        end = await watch.run(adopt=child.pid)
        assert end.kind is EndKind.DONE
    assert (tmp_path / "starts").read_text() == "x"
