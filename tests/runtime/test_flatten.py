"""Closing our positions without the kill switch: through the runner, and over own connections where none lives."""

import json
from decimal import Decimal

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.core.events import ControlKind, ControlReceived
from tbot_bot.core.instants import Instant
from tbot_bot.journal.chain import Kind
from tbot_bot.runtime.flatten_requests import Flatten, FlattenDesk, leave, read
from tbot_bot.runtime.kill_switch import engaged
from tests.support.killing import Bot
from tests.support.street import SESSION


@given(st.binary(max_size=200) | st.text().map(str.encode))
def test_no_file_can_break_the_reading_of_wishes(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("control") / "wish.json"
    path.write_bytes(content)
    try:
        assert read(path).session
    except ValueError:
        return


def test_the_runner_takes_its_own_wishes_once_and_sets_the_others_aside(tmp_path):
    taken = []
    desk = FlattenDesk(tmp_path, SESSION, lambda make: taken.append(make(Instant(5))), structlog.get_logger())
    desk.look()  # nobody has left one yet
    mine = Flatten(session=str(SESSION), by="anna", why="news", symbol="AAA")
    assert read(leave(tmp_path, mine)) == mine
    leave(tmp_path, Flatten(session="2025-12-01/open", by="anna", why="of yesterday"))
    (tmp_path / "flatten" / "zzz.json").write_text("rubbish")
    for _ in range(2):
        desk.look()

    asked = ControlReceived(at=Instant(5), kind=ControlKind.FLATTEN, by="anna", why="news", symbol="AAA")
    assert taken == [asked]
    done = sorted(path.name.split("_", 1)[1].split("_")[0] for path in (tmp_path / "done").iterdir())
    assert [name for name in done if name in {"stale", "unreadable"}] == ["stale", "unreadable"]
    assert list((tmp_path / "flatten").iterdir()) == []


@pytest.fixture
def bot(tmp_path):
    made = Bot(tmp_path)
    yield made
    made.clean_up()


def test_a_running_bot_closes_what_is_meant_and_goes_on_with_the_rest(bot):
    bot.started_with_positions()
    told = bot.tbot("flatten", "--symbol", "AAA", "--why", "news", "--json")

    assert told.returncode == 0, told
    answer = json.loads(told.stdout)
    assert (answer["through"], len(answer["closed"]), answer["left"]) == ("bot", 1, [])
    assert set(bot.held()) == {"BBB"}
    assert engaged(bot.home, bot.home / "control") == ""
    (asked,) = (event for event in bot.rows(Kind.INPUT) if isinstance(event, ControlReceived))
    assert (asked.kind, asked.symbol, asked.why) == (ControlKind.FLATTEN, "AAA", "news")
    assert bot.tbot("stop").returncode == 0
    history = json.loads((bot.home / "output" / "trades" / "trade_history_paper.json").read_text())
    reasons = {trade["ticker"]: trade["exit_reason"] for trade in history}
    assert (reasons["AAA"], reasons["BBB"] in {"stop_request", "time"}) == ("flatten", True)


def test_where_nothing_lives_it_is_closed_over_own_connections_and_never_again(bot):
    bot.settings = ("--plain",)  # a rehearsal would begin its day anew
    bot.started_with_positions()
    bot.plant_a_stranger()
    bot.die()
    told = bot.tbot("flatten", "--symbol", "AAA", "--why", "news", "--json")

    assert told.returncode == 0, told
    assert json.loads(told.stdout)["through"] == "brokers"
    assert bot.held()["BBB"] > 3
    assert "AAA" not in bot.held()
    assert engaged(bot.home, bot.home / "control") == ""

    bot.start()  # its engine still believes in AAA, so the session does not go on: the rest is closed, too
    assert bot.processes[-1].wait(timeout=30) == 1
    assert bot.held() == {"BBB": Decimal(3)}
    assert bot.resting() == []
    assert "closed without its engine" in next(bot.home.rglob("runner.out")).read_text()


def test_another_broker_or_symbol_is_not_touched(bot):
    bot.started_with_positions()
    bot.die()
    for words in (("--broker", "elsewhere"), ("--symbol", "ZZZ")):
        told = bot.tbot("flatten", *words, "--why", "a slip of the pen")
        assert (told.returncode, told.stdout) == (0, "nothing of the kind was open\n"), told
    assert set(bot.held()) == {"AAA", "BBB"}
    assert len(bot.resting()) == 2
