"""The kill switch: its latch in two places, every way of pulling it, and that it needs nothing that may be broken.

After each kill, by real processes: latched, no open order, flat by the venue's own books, `shutdown_flag.json`
written, status `halted`, the next start refused with 5, and `tbot resume --why` lets it start again.
"""

import json
import os
import signal
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import Instant
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.engaged import KillSwitchEngaged
from tbot_bot.journal.released import KillSwitchReleased
from tbot_bot.journal.store import Entry, Journal, journal_path
from tbot_bot.reporting.noted import Noted
from tbot_bot.runtime.control import KILLED_FILE, ControlFolder, Flag
from tbot_bot.runtime.kill_switch import engage, engaged, engagement
from tbot_bot.runtime.kill_switch_flag import ShutdownFlag
from tbot_bot.runtime.kill_switch_order import Patience, kill
from tbot_bot.runtime.resume import resume
from tests.support.crafted_day import breakout_up
from tests.support.killing import PATIENCE_SECONDS, Bot, spoil

QUICK = Patience(silent=1.5, disobedient=0.8, idle=5.0, wait=PATIENCE_SECONDS)


# --- the latch -------------------------------------------------------------------------------------------------------


def journal_in(home, mode=Mode.PAPER):
    path = journal_path(home / "output" / "journal", mode)
    path.parent.mkdir(parents=True, exist_ok=True)
    return Journal.open(path, mode)


def pull(home, why="prices look wrong"):
    return engage(home, home / "control", by="anna", why=why, source="cli")


def test_it_is_engaged_where_either_place_says_so_and_says_which(tmp_path):
    control = tmp_path / "control"
    journal_in(tmp_path).close()
    assert engaged(tmp_path, control) == ""
    _, problems = pull(tmp_path)
    assert problems == ()
    assert engaged(tmp_path, control) == "by anna: prices look wrong"

    (control / KILLED_FILE).unlink()
    assert engaged(tmp_path, control) == (
        "by anna: prices look wrong (the paper journal says so, though killed.json is missing)"
    )


@pytest.mark.parametrize("content", [b"", b"\0" * 20, b"[]", b"{", b"x" * 10_000], ids=str)
def test_a_latch_that_cannot_be_read_is_engaged(tmp_path, content):
    (tmp_path / "control").mkdir()
    (tmp_path / "control" / KILLED_FILE).write_bytes(content)
    assert "unreadable" in engaged(tmp_path, tmp_path / "control")


def test_a_broken_journal_neither_hides_it_nor_keeps_it_from_being_engaged(tmp_path):
    journal_in(tmp_path).close()
    journal_path(tmp_path / "output" / "journal", Mode.PAPER).write_bytes(b"rubbish" * 1000)
    found, problems = pull(tmp_path)

    assert found.words == engaged(tmp_path, tmp_path / "control") == "by anna: prices look wrong"
    assert len(problems) == 1
    assert "the paper journal could not be told" in problems[0]


def test_a_folder_that_cannot_be_written_leaves_it_to_the_journal(tmp_path):
    journal_in(tmp_path).close()
    (tmp_path / "control").write_text("a file where a folder should be")
    _, problems = pull(tmp_path)

    assert "killed.json could not be written" in problems[0]
    assert "by anna: prices look wrong" in engaged(tmp_path, tmp_path / "control")


STEPS = ("pull", "pull again", "lose the file", "resume")


@settings(max_examples=40)
@given(st.lists(st.sampled_from(STEPS), max_size=9))
def test_whatever_happens_only_a_resume_releases_it_and_each_engagement_is_one_row(tmp_path_factory, steps):
    home = tmp_path_factory.mktemp("home")
    control = home / "control"
    journal_in(home).close()
    model, rows = "", 0
    for step in steps:
        match step:
            case "pull" | "pull again":
                pull(home, why=step)
                rows += not model
                model = model or step
            case "lose the file":
                (control / KILLED_FILE).unlink(missing_ok=True)
            case _ if model:
                resume(home, by="anna", why="all is well")
                rows, model = rows + 1, ""
            case _:
                pass
        assert bool(engaged(home, control)) is bool(model)
        assert model in engaged(home, control)  # the first reason stands
    with journal_in(home) as journal:
        assert len(list(journal.rows(kind=Kind.CONTROL))) == rows


def test_resume_releases_every_journal_that_says_engaged(tmp_path):
    journal_in(tmp_path).close()
    journal_in(tmp_path, Mode.LIVE).close()
    pull(tmp_path)
    (tmp_path / "output" / "shutdown_flag.json").write_text("{}")
    resume(tmp_path, by="bert", why="the feed is sound again")

    assert engagement(tmp_path, tmp_path / "control") is None
    for mode in (Mode.PAPER, Mode.LIVE):
        with journal_in(tmp_path, mode) as journal:
            assert len(list(journal.rows(kind=Kind.CONTROL))) == 2
    assert not (tmp_path / "output" / "shutdown_flag.json").exists()
    assert len(list((tmp_path / "control" / "done").glob("*shutdown_flag.json"))) == 1


TEXTS = st.lists(st.text(max_size=20), max_size=3).map(tuple)


@given(
    st.builds(
        ShutdownFlag, reason=st.text(), by=st.text(), source=st.text(), keep_positions=st.booleans(),
        done=st.booleans(), at=st.integers(0, 4 * 10**18).map(Instant), written_at=st.integers(0, 10**18).map(Instant),
        cancelled=TEXTS, closed=TEXTS, kept=TEXTS, left=TEXTS, problems=TEXTS,
    )
)  # fmt: skip
def test_a_shutdown_flag_is_read_as_it_was_written(flag):
    assert ShutdownFlag.of(json.loads(json.dumps(flag.plain()))) == flag


@given(st.recursive(st.none() | st.booleans() | st.text(), lambda inner: st.dictionaries(st.text(), inner)))
def test_what_is_no_shutdown_flag_is_none(data):
    assert ShutdownFlag.of(data) is None


# --- every way of pulling it -----------------------------------------------------------------------------------------


@pytest.fixture
def bot(tmp_path):
    made = Bot(tmp_path)
    yield made
    made.clean_up()


def assert_killed(bot, source, *, journal=True, closed=2):
    """Hold everything that a kill promises against the files, the venue and the next start."""
    assert bot.held() == {}
    assert bot.resting() == []
    assert json.loads((bot.home / "control" / KILLED_FILE).read_text())["source"] == source
    flag = bot.flag()
    assert (flag["done"], flag["left"], flag["source"]) == (True, [], source)
    assert closed is None or len(flag["closed"]) == closed
    assert bot.read("output", "status_bot.json")["state"] == "halted"
    if journal:
        assert [row.source for row in bot.rows(Kind.CONTROL) if isinstance(row, KillSwitchEngaged)] == [source]


def assert_only_a_resume_lets_it_start(bot):
    refused = bot.tbot("run", "--rehearsal", "--once")
    assert (refused.returncode, "`tbot resume --why TEXT` lets it trade again" in refused.stderr) == (5, True), refused
    resumed = bot.tbot("resume", "--why", "looked into")
    assert resumed.returncode == 0, resumed
    assert isinstance(bot.rows(Kind.CONTROL)[-1], KillSwitchReleased)
    began = time.time()
    again = bot.start()
    bot.until(lambda: again.poll() is not None or (bot.home / "output" / "status_bot.json").stat().st_mtime > began)
    assert again.poll() in {None, 0}


def test_by_the_flag_of_a_running_bot(bot):
    bot.started_with_positions()
    began = time.monotonic()
    ControlFolder(bot.home / "control").write(Flag.KILL, by="anna", why="prices look wrong")
    status = bot.ended()

    assert (status, time.monotonic() - began < 10) == (5, True)
    assert_killed(bot, source="engine")  # it came by the session, which latches first
    assert "prices look wrong" in bot.flag()["reason"]
    assert_only_a_resume_lets_it_start(bot)


def test_by_the_command_of_a_running_bot(bot):
    bot.started_with_positions()
    told = bot.tbot("kill", "--why", "prices look wrong", "--json")

    assert told.returncode == 0, told
    answer = json.loads(told.stdout)
    assert (answer["done"], answer["left"], answer["took_over"]) == (True, [], "")
    assert bot.ended() == 5
    assert_killed(bot, source="cli")


def test_by_the_command_where_everything_is_dead(bot):
    bot.started_with_positions()
    bot.plant_a_stranger()
    bot.die()
    told = bot.tbot("kill", "--why", "nobody is there")

    assert told.returncode == 0, told
    assert told.stdout.count("closed 20251202-open") == 2
    assert bot.held() == {"BBB": 3}  # not ours
    assert bot.flag()["done"]
    assert bot.read("output", "status_bot.json")["state"] == "halted"
    again = bot.tbot("kill", "--json")
    assert (again.returncode, json.loads(again.stdout)["left"]) == (0, [])
    assert [row.source for row in bot.rows(Kind.CONTROL) if isinstance(row, KillSwitchEngaged)] == ["cli"]


def test_a_flag_left_while_nobody_runs_is_carried_out_by_the_start_that_it_refuses(bot):
    bot.started_with_positions()
    bot.die()
    ControlFolder(bot.home / "control").write(Flag.KILL, by="anna", why="enough")
    refused = bot.tbot("run", "--rehearsal", "--once")

    assert (refused.returncode, "nothing of ours rests" in refused.stderr) == (5, True), refused
    assert_killed(bot, source="flag")


@pytest.mark.parametrize(
    "trouble",
    [
        "hangs",
        pytest.param("is deaf", marks=pytest.mark.slow),
        pytest.param("hangs alone", marks=pytest.mark.slow),
    ],
)
def test_by_the_command_where_the_bot_does_not_obey(bot, trouble):
    bot.started_with_positions()
    match trouble:
        case "hangs":
            bot.hang()
        case "hangs alone":
            os.kill(bot.runner(), signal.SIGSTOP)
        case _:
            before = bot.poison("deaf")
            bot.until(lambda: bot.runner() not in {0, before})
    began = time.monotonic()
    done = kill(bot.home, by="anna", why="it hangs", patience=QUICK)

    assert done.flag.done, done
    assert ("no heartbeat" in done.took_over) is (trouble != "is deaf")
    assert done.took_over
    assert time.monotonic() - began < 15
    bot.ended()
    assert_killed(bot, source="cli")


@pytest.mark.slow
def test_by_a_runner_that_is_given_up(bot):
    bot.started_with_positions()
    bot.poison("raises")

    assert bot.ended() == 5
    assert_killed(bot, source="supervisor")
    assert "the runner ended 4 times" in bot.flag()["reason"]


@pytest.mark.slow
def test_by_the_loss_limit(tmp_path):
    falling = [*breakout_up(30), *[(50.5, 50.6, 50.4, 50.5)] * 360]
    bot = Bot(tmp_path, bars={"AAA": falling, "BBB": falling}, settings=("DAILY_LOSS_LIMIT=0.0001",))
    try:
        bot.start()
        assert bot.ended() == 5
        assert_killed(bot, source="engine", closed=None)  # the stops may have closed both before
        assert "reached the limit" in bot.flag()["reason"]
    finally:
        bot.clean_up()


def test_positions_are_kept_under_their_stops_where_that_is_asked_for(bot):
    bot.started_with_positions()
    held = bot.held()
    told = bot.tbot("kill", "--keep-positions", "--why", "the feed is down", "--json")

    assert told.returncode == 0, told
    answer = json.loads(told.stdout)
    assert (answer["keep_positions"], len(answer["kept"]), answer["left"]) == (True, 2, [])
    assert bot.held() == held
    assert len(bot.resting()) == 2
    assert bot.read("output", "status_bot.json")["state"] == "halted"
    refused = bot.tbot("run", "--rehearsal", "--once")  # which looks again, and closes nothing either
    assert refused.returncode == 5
    assert (bot.held(), len(bot.resting())) == (held, 2)


# --- nothing that may be broken is needed ----------------------------------------------------------------------------


def unreadable(path):
    path.chmod(0)


BREAKAGES = {
    "settings are garbage": lambda bot: spoil(bot.home / ".env_bot", "garbage"),
    "both settings files are garbage": lambda bot: (
        spoil(bot.home / ".env_bot", "garbage"), spoil(bot.home / ".env", "garbage"),
    ),
    "the key is missing": lambda bot: ((bot.home / ".env_bot.enc").write_bytes(b"gAAAA"), spoil(
        bot.home / ".env_bot", "gone")),
    "the journal is garbage": lambda bot: spoil(bot.journal, "garbage"),
    "the journal may not be read": lambda bot: unreadable(bot.journal),
    "the day in hand is garbage": lambda bot: spoil(bot.home / "control" / "runner.json", "garbage"),
}  # fmt: skip


@pytest.mark.parametrize("breakage", [
    "both settings files are garbage",
    "the journal is garbage",
    *(pytest.param(name, marks=pytest.mark.slow) for name in BREAKAGES
      if name not in {"both settings files are garbage", "the journal is garbage"}),
])  # fmt: skip
def test_the_command_works_where_the_bot_is_dead_and_this_is_broken(bot, breakage):
    bot.started_with_positions()
    bot.die()
    BREAKAGES[breakage](bot)
    began = time.monotonic()
    told = bot.tbot("kill", "--why", "everything is broken")

    assert told.returncode == 0, told
    assert time.monotonic() - began < 10
    assert_killed(bot, source="cli", journal=not breakage.startswith("the journal"))


@pytest.mark.slow
@pytest.mark.parametrize("breakage", [
    "the journal is garbage",
    pytest.param("both settings files are garbage", marks=pytest.mark.slow),
])  # fmt: skip
def test_the_flag_works_where_the_bot_runs_and_this_is_broken(bot, breakage):
    bot.started_with_positions()
    BREAKAGES[breakage](bot)
    ControlFolder(bot.home / "control").write(Flag.KILL, by="anna", why="it is broken")
    began = time.monotonic()

    assert bot.ended() == 5, (bot.home / "stderr.txt").read_text()
    assert time.monotonic() - began < 30
    assert bot.held() == {}
    assert bot.resting() == []
    assert bot.flag()["done"]
    assert bot.read("output", "status_bot.json")["state"] == "halted"


@pytest.mark.slow
@pytest.mark.parametrize("way", ["flag", "command"])
def test_it_works_with_an_engine_that_raises_on_every_bar(bot, way):
    bot.started_with_positions()
    bot.poison("raises")
    began = time.monotonic()
    if way == "flag":
        ControlFolder(bot.home / "control").write(Flag.KILL, by="anna", why="it raises")
    else:
        assert kill(bot.home, by="anna", why="it raises", patience=QUICK).flag.done

    assert bot.ended() in {5, -signal.SIGKILL}
    assert time.monotonic() - began < 30
    assert bot.held() == {}
    assert bot.resting() == []
    assert bot.flag()["done"]


@pytest.mark.slow
def test_it_works_on_a_full_disk_and_says_what_could_not_be_written(bot):
    """The venue's own books stand for the broker's: they have room, the journal has none."""
    bot.started_with_positions()
    bot.die()
    with journal_in(bot.home) as journal:  # held open, so that its log on disk stays as long as it is
        noted = Noted(at=Instant(1), text="x" * 2_000)
        journal.append([Entry.of(noted, kind=Kind.NOTE, at=1, recorded_at=1)] * 300)
        told = bot.tbot("kill", "--why", "no room", "--json", file_bytes=500_000)

        assert told.returncode == 0, told
        assert any("the paper journal could not be told" in words for words in json.loads(told.stdout)["problems"])
    assert_killed(bot, source="cli", journal=False)
    assert engaged(bot.home, bot.home / "control") == f"by {bot.flag()['by']}: no room"


def test_what_cannot_be_reached_is_listed_and_the_exit_status_says_so(bot):
    bot.started_with_positions()
    bot.die()
    spoil(bot.venue_file, "garbage")
    told = bot.tbot("kill", "--why", "no answer", "--json")

    assert told.returncode == 1, told
    answer = json.loads(told.stdout)
    assert not answer["done"]
    assert "cannot be opened" in answer["left"][0]
    assert bot.flag()["left"] == answer["left"]
