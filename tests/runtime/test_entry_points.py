"""The entry points beside the CLI, against a fake supervisor, and once against the real one."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from tbot_bot.core.instants import SECOND, Instant
from tbot_bot.runtime import start_bot, stop_bot
from tbot_bot.runtime.background import control_path, supervisor_pid, wait_until
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.control import ControlFolder, Flag
from tbot_bot.runtime.locks import RUNNER_LOCK, SUPERVISOR_LOCK, Lock
from tbot_bot.runtime.service_bot import Service
from tbot_bot.runtime.status_bot import show_status

# a supervisor left running on purpose looks to Python like one forgotten
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

UNTIL_STOPPED = """
    while folder.peek(Flag.STOP) is None: time.sleep(0.01)
    folder.take(Flag.STOP)
"""


def fake(home, then=UNTIL_STOPPED, *, before=""):
    """Return the command of a supervisor that notes its arguments, takes the lock and its day, and does `then`."""
    head = f"""
        import sys, time; from pathlib import Path
        from tbot_bot.runtime.control import ControlFolder, Flag
        from tbot_bot.runtime.locks import SUPERVISOR_LOCK, AlreadyRunning, Lock
        home = Path(sys.argv[sys.argv.index("--home") + 1]); control = home / "control"; folder = ControlFolder(control)
        with (home / "starts").open("a") as file: print(*sys.argv[1:], file=file)
        {before}
        try: lock = Lock(control / SUPERVISOR_LOCK).take()
        except AlreadyRunning: sys.exit(4)
        (control / "supervisor.json").write_text("{{}}")
    """
    path = home / "fake.py"
    path.write_text(textwrap.dedent(head) + textwrap.dedent(then))
    return (sys.executable, str(path))


def starts(home):
    return (home / "starts").read_text().splitlines() if (home / "starts").exists() else []


@pytest.fixture
def home(tmp_path):
    yield tmp_path
    pid = supervisor_pid(tmp_path / "control")
    if pid:
        os.kill(pid, signal.SIGKILL)


def test_a_start_waits_until_the_bot_is_at_work_and_a_second_one_changes_nothing(home, capsys):
    assert start_bot.start(home, once=True, module=fake(home)) == 0
    pid = supervisor_pid(home / "control")
    assert capsys.readouterr().out == f"the bot is started (pid {pid})\n"
    assert pid is not None
    assert os.getsid(pid) == pid
    assert start_bot.start(home, module=fake(home)) == 0
    assert capsys.readouterr().out == f"the bot runs already (pid {pid})\n"
    assert starts(home) == [f"--home {home} --once"]


@pytest.mark.parametrize(
    ("before", "status", "words"),
    [
        ("sys.exit('error: .env: expected this file to exist')", 1, "error: .env: expected this file to exist"),
        ("sys.exit(3)", 3, "the build check failed"),
        ("sys.exit(5)", 5, "the kill switch is engaged"),
        ("sys.exit(77)", 77, "it ended with status 77"),
        ("import os; os.kill(os.getpid(), 9)", 1, "status -9"),
        ("sys.exit(4)", 4, "it ended with status 4"),
    ],
)
def test_a_start_repeats_what_the_bot_died_of(home, capsys, before, status, words):
    (home / "logs" / "bot").mkdir(parents=True)
    (home / "logs" / "bot" / "supervisor.out").write_text("from the day before\n")
    assert start_bot.start(home, module=fake(home, before=before)) == status
    said = capsys.readouterr().out
    assert words in said
    assert "the day before" not in said


def test_a_bot_that_dies_after_taking_the_lock_has_not_started(home, capsys):
    script = fake(home, before="held = Lock(control / SUPERVISOR_LOCK).take(); time.sleep(0.3); sys.exit(3)")
    assert start_bot.start(home, module=script) == 3
    assert "the build check failed" in capsys.readouterr().out


def test_a_day_that_is_over_is_no_failure(home, capsys):
    assert start_bot.start(home, once=True, module=fake(home, "sys.exit(0)", before="sys.exit(0)")) == 0
    assert "nothing left to do" in capsys.readouterr().out


def test_a_slow_start_is_told(home, capsys):
    slow = fake(home, before="lock = Lock(control / SUPERVISOR_LOCK).take(); time.sleep(30)")
    assert start_bot.start(home, module=slow, patience=1.0) == 0
    assert "it is not ready after 1 s" in capsys.readouterr().out


def test_what_cannot_be_started_is_said(home, capsys):
    assert start_bot.start(home, module=(str(home / "absent"),)) == 1
    assert "could not be started" in capsys.readouterr().out


def test_two_starts_at_once_start_one(home):
    script = fake(home)
    code = "import sys; from pathlib import Path; from tbot_bot.runtime.start_bot import start; "
    code += f"sys.exit(start(Path({str(home)!r}), module={script!r}))"
    racers = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [racer.communicate()[0] for racer in racers]
    assert [sum(words in one for one in said) for words in ("is started", "runs already")] == [1, 2], said


def test_in_the_foreground_the_caller_becomes_the_bot(home):
    script = fake(home, "sys.exit(7)")
    code = "from pathlib import Path; from tbot_bot.runtime.start_bot import start; "
    code += f"start(Path({str(home)!r}), foreground=True, module={script!r})"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 7


# --- stop


def test_a_stop_waits_for_the_end(home, capsys):
    assert start_bot.start(home, module=fake(home)) == 0
    pid = supervisor_pid(home / "control")
    capsys.readouterr()
    assert stop_bot.stop(home, "anna", "lunch") == 0
    assert capsys.readouterr().out == f"the bot (pid {pid}) is asked to stop\nthe bot has stopped\n"
    assert supervisor_pid(home / "control") is None


def test_a_stop_with_nothing_to_stop_leaves_no_flag(home, capsys):
    assert stop_bot.stop(home, "anna") == 0
    assert capsys.readouterr().out == "the bot does not run\n"
    assert not (home / "control").exists()


def test_a_stop_does_not_wait_for_ever(home, capsys):
    with Lock(home / "control" / SUPERVISOR_LOCK):
        assert stop_bot.stop(home, "anna", wait=0.1) == 1
    assert "still closing" in capsys.readouterr().out


def test_a_runner_without_supervisor_is_stopped_and_its_flag_set_aside(home, capsys):
    control = home / "control"
    lock = Lock(control / RUNNER_LOCK).take()
    threading.Timer(0.3, lock.release).start()
    assert stop_bot.stop(home, "anna", wait=5) == 0
    assert ControlFolder(control).peek(Flag.STOP) is None


def test_a_flag_set_aside_by_a_bot_that_was_just_starting_is_left_again(home):
    then = "while folder.peek(Flag.STOP) is None: time.sleep(0.01)\nfolder.take(Flag.STOP)\n"  # once as stale
    assert start_bot.start(home, module=fake(home, then * 2)) == 0
    assert stop_bot.stop(home, "anna", wait=10) == 0


def test_broken_settings_do_not_keep_anybody_from_stopping(home):
    (home / ".env").write_text("CONTROL_DIR=flags\nLOCAL_PORT=many\n")
    (home / ".env_bot").write_text("")
    assert control_path(home) == home / "flags"
    (home / ".env").write_text("LOCAL_PORT=many\n")
    assert control_path(home) == home / "control"


def test_a_folder_that_cannot_be_written_is_said(home, capsys):
    with Lock(home / "control" / SUPERVISOR_LOCK):
        (home / "control" / "control_stop.txt").mkdir()
        assert stop_bot.stop(home, "anna") == 1
    assert "could not be written" in capsys.readouterr().out


# --- service


class Listener:
    """A real `service_bot` process over the fake supervisor."""

    def __init__(self, home, script):
        code = "from pathlib import Path; from tbot_bot.runtime.service_bot import Service; "
        code += f"Service(Path({str(home)!r}), module={script!r}).run()"
        self.out = home / "service.out"
        with self.out.open("w") as file:
            self.process = subprocess.Popen([sys.executable, "-c", code], stdout=file, stderr=file)

    def until(self, words, times=1):
        assert wait_until(lambda: self.out.read_text().count(words) >= times, 10), self.out.read_text()

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)


@pytest.fixture
def listen(home):
    begun = []

    def start(script=None):
        begun.append(Listener(home, script or fake(home)))
        begun[-1].until("waiting for control_start.txt")
        return begun[-1]

    yield start
    for listener in begun:
        listener.process.kill()
        listener.process.wait()


def test_the_listener_starts_the_bot_again_and_again(home, listen):
    folder = ControlFolder(home / "control")
    listener = listen()
    for time_ in (1, 2):
        folder.write(Flag.START, by="anna", why="go")
        listener.until("the bot is started", time_)
        assert wait_until(lambda: supervisor_pid(home / "control") is not None, 10)
        assert stop_bot.stop(home, "anna") == 0
        listener.until("the bot ended with status 0", time_)
    assert len(starts(home)) == 2
    assert "start asked for by anna: go" in listener.out.read_text()
    assert listener.end() == 0


def test_a_signal_stops_the_bot_safely_and_then_the_listener(home, listen):
    listener = listen()
    ControlFolder(home / "control").write(Flag.START, by="anna")
    assert wait_until(lambda: supervisor_pid(home / "control") is not None, 10)
    assert listener.end() == 0
    assert "the bot ended with status 0" in listener.out.read_text()
    assert supervisor_pid(home / "control") is None


def test_flags_from_before_the_listener_are_set_aside_but_a_kill_is_obeyed(home, listen):
    folder = ControlFolder(home / "control")
    for flag in Flag:
        folder.write(flag, by="anna", why="long ago")
    listener = listen()
    listener.until("the kill switch is engaged by anna")
    assert "a start flag from before the start was set aside" in listener.out.read_text()
    assert folder.killed() == "by anna: long ago"
    assert listener.end() == 0
    assert starts(home) == []


def test_a_stop_for_a_resting_bot_does_not_stop_the_next_one(home, listen):
    listener = listen()
    ControlFolder(home / "control").write(Flag.STOP, by="anna")
    listener.until("a stop was asked for; the bot does not run")


def test_there_is_one_listener(home, listen):
    listen()
    found = subprocess.run(
        [sys.executable, "-m", "tbot_bot.runtime.service_bot", "--home", str(home)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, "already running" in found.stdout) == (4, True)


def test_while_another_bot_runs_the_flags_are_its_own(home, listen):
    folder = ControlFolder(home / "control")
    with Lock(home / "control" / SUPERVISOR_LOCK):
        folder.write(Flag.START, by="anna")
        listener = listen()
        time.sleep(0.6)
        assert folder.peek(Flag.START) is not None
    listener.until("the bot is started")
    assert wait_until(lambda: starts(home), 10)


def test_a_bot_that_is_not_there_is_said(home):
    service = Service(home, module=(str(home / "absent"),))
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
    threading.Timer(0.2, lambda: ControlFolder(home / "control").write(Flag.START, by="anna")).start()
    assert service.run() == 0


# --- status and help


def test_no_status_yet_is_said(home, capsys):
    assert show_status(home) == 1
    assert "has not run here yet" in capsys.readouterr().out


@pytest.mark.parametrize("module", ["start_bot", "stop_bot", "service_bot", "status_bot", "build_check"])
def test_help_has_an_example(module):
    found = subprocess.run(
        [sys.executable, "-m", f"tbot_bot.runtime.{module}", "--help"], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0
    assert "example" in found.stdout


@pytest.mark.slow
def test_the_real_bot_starts_shows_itself_and_stops(home):
    def run(module, *words):
        command = [sys.executable, "-m", f"tbot_bot.runtime.{module}", "--home", str(home), *words]
        found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        return found.returncode, found.stdout

    began = wall_now()
    status, said = run("start_bot", "--rehearsal", "--once")
    assert (status, "is started" in said) == (0, True), said
    assert wall_now() - began < 5 * SECOND
    pid = supervisor_pid(home / "control")
    assert run("start_bot") == (0, f"the bot runs already (pid {pid})\n")
    assert wait_until(lambda: "session 2025-09-02/open" in run("status_bot")[1], 20)
    assert "broker" in run("status_bot")[1]
    assert run("stop_bot", "--why", "the test is over")[0] == 0
    assert run("stop_bot") == (0, "the bot does not run\n")
    assert "shutdown: stop asked" in run("status_bot")[1]
    written = json.loads((home / "output" / "status_bot.json").read_text())
    assert written["pid"] == pid
    assert Instant(began) < wall_now()
