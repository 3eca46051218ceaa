"""What a service manager hears from `tbot run`, over real sockets: path and abstract."""

import subprocess
import sys
from itertools import pairwise

import pytest

from tbot_bot.runtime.sd_notify import SdNotify
from tests.support.systemd import PATIENCE_SECONDS, NotifySocket

LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="the abstract namespace is Linux's")
RUN = [sys.executable, "-m", "tbot_bot.runtime.cli", "run", "--rehearsal", "--once", "--speed", "900"]
ONE_SESSION = ["--set", "STRATEGY_OVERRIDE=open"]


@pytest.fixture
def listening(request, tmp_path):
    """Return a socket of the form that the parameter names."""
    made = NotifySocket(str(tmp_path / "notify") if request.param == "path" else f"@{tmp_path}")
    yield made
    made.close()


FORMS = pytest.mark.parametrize("listening", ["path", pytest.param("abstract", marks=LINUX_ONLY)], indirect=True)


@FORMS
def test_a_day_is_ready_tells_where_it_stands_pings_on_time_and_says_that_it_stops(tmp_path, listening):
    home = tmp_path / "home"
    home.mkdir()
    environment = {**listening.environment(watchdog_seconds=2.0), "TBOT_HOME": str(home)}
    with (home / "stderr.txt").open("wb") as told:
        bot = subprocess.Popen([*RUN, *ONE_SESSION], env=environment, stdout=subprocess.DEVNULL, stderr=told)
        try:
            listening.until(lambda: "READY=1" in listening.lines(), bot)
            journaled = (home / "output" / "journal" / "tbot_paper.sqlite3").exists()
            listening.until(lambda: bot.poll() is not None)
        finally:
            bot.kill()
            bot.wait()
    listening.listen(0.2)
    lines = listening.lines()

    assert bot.returncode == 0, (home / "stderr.txt").read_text()
    assert lines[0] == "READY=1"
    assert journaled, "ready only once the checks are passed and the journal stands"
    assert lines.count("READY=1") == lines.count("STOPPING=1") == 1
    assert [line for line in lines if not line.startswith("STATUS=")][-1] == "STOPPING=1"
    states = " | ".join(listening.states())
    for phase in ("analysis", "breakout", "monitoring"):
        assert f"2025-09-02/open: {phase}" in states
    pings = listening.pings()
    assert len(pings) > 2
    assert max(second - first for first, second in pairwise(pings)) < 2.0, "later than systemd allows"


@pytest.mark.parametrize("listening", ["path"], indirect=True)
@pytest.mark.parametrize(("spoiled", "status"), [(("--set", "MAX_TRADES=many"), 2), ((), 3)])
def test_a_start_that_fails_is_never_ready(tmp_path, listening, spoiled, status):
    home = tmp_path / "home"
    home.mkdir()
    if not spoiled:
        (home / "output").write_text("a file where a folder belongs", encoding="ascii")
    environment = {**listening.environment(watchdog_seconds=1.0), "TBOT_HOME": str(home)}
    ended = subprocess.run(
        [*RUN, *spoiled], env=environment, capture_output=True, check=False, timeout=PATIENCE_SECONDS
    )
    listening.listen(0.2)

    assert ended.returncode == status, ended.stderr
    assert "READY=1" not in listening.lines()
    assert listening.pings() == []


def test_words_are_one_line_told_once_and_half_of_the_time_is_taken(tmp_path):
    listening = NotifySocket(str(tmp_path / "notify"))
    notify = SdNotify(listening.address, 30.0)
    notify.ready("two\nlines")
    notify.status("two\nlines")
    notify.alive()
    notify.stopping("over")
    listening.listen(0.1)
    listening.close()
    assert [message for _, message in listening.heard] == [
        "READY=1\nSTATUS=two lines", "WATCHDOG=1", "STOPPING=1\nSTATUS=over",
    ]  # fmt: skip
    assert notify.watchdog_every == 15.0
    notify.alive()  # the listener has gone; trading goes on
    SdNotify("", 0).ready("nobody listens")
