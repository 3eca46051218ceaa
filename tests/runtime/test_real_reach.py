"""Closing what is ours at real brokers without a session: the runner is dead, the adapters speak to the sandbox."""

import json
import time

import pytest

from tbot_bot.config.choices import BrokerMode
from tbot_bot.runtime.real_reach import real_reach
from tbot_bot.runtime.runner_arguments import RunnerArguments
from tbot_bot.runtime.session_brokers import BROKERS_FILE, SessionBrokers, session_brokers
from tests.support.doomed_runner import DAY, HELD, QUANTITY, SESSION, SHORTED
from tests.support.killing import spoil
from tests.support.reach_kit import FOREIGN, PATIENCE_SECONDS, Ground

BROKERS = ("alpaca", "ibkr")
ACTED = {"kill": 0, "flatten": 0, "dead_man": 0, "guard": 5}


@pytest.fixture
def ground(tmp_path):
    made = []

    def _ground(broker, *words, **settings):
        made.append(Ground(tmp_path, broker, **settings))
        made[-1].somebody_else_trades()
        made[-1].runner_dies_in_the_market(*words)
        short = {HELD: FOREIGN, SHORTED: -QUANTITY}
        assert made[-1].held() == (short if words else {HELD: QUANTITY + FOREIGN})
        return made[-1]

    yield _ground
    for one in made:
        one.close()


def is_closed(floor):
    """Hold the venue's own truth against what should be left: what is not ours."""
    assert floor.held() == {HELD: FOREIGN}
    assert floor.resting() == ["by hand 2"]
    assert floor.sold() == QUANTITY


@pytest.mark.slow
@pytest.mark.parametrize("broker", BROKERS)
@pytest.mark.parametrize("way", ACTED)
def test_what_is_ours_is_closed_once_and_nothing_else(ground, broker, way):
    floor = ground(broker)
    status, said = floor.ended(floor.path(way))
    assert status == ACTED[way], said
    is_closed(floor)
    names = sorted(floor.ours())

    status, said = floor.ended(floor.path(way))
    assert status == 0, said
    is_closed(floor)
    assert sorted(floor.ours()) == names


@pytest.mark.slow
@pytest.mark.parametrize("broker", BROKERS)
@pytest.mark.parametrize("way", ACTED)
def test_a_path_that_is_killed_over_it_is_finished_by_the_next_and_nothing_is_sold_twice(ground, broker, way):
    """The market stands still, so that the first path dies while its exit is working."""
    floor = ground(broker)
    first = floor.path(way)
    end = time.monotonic() + PATIENCE_SECONDS
    while not floor.exits():
        assert first.poll() is None, first.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.01)
    first.kill()
    first.communicate()
    floor.left_behind()

    status, said = floor.ended(floor.path(way))
    assert status in {0, ACTED[way]}, said  # a guard finds nothing to do where the exit has filled before it looks
    is_closed(floor)
    assert len(floor.exits()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("broker", BROKERS)
def test_a_short_position_is_bought_back_once_and_what_others_hold_stays(ground, broker):
    floor = ground(broker, "short")
    status, said = floor.ended(floor.path("kill"))
    assert status == 0, said
    assert floor.held() == {HELD: FOREIGN}
    assert floor.resting() == ["by hand 2"]
    assert len(floor.exits()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("broker", BROKERS)
@pytest.mark.parametrize("way", ["kill", "flatten"])
def test_puts_are_sold_to_close_once_and_shares_of_others_stay_though_options_were_switched_off(tmp_path, broker, way):
    floor = Ground(tmp_path, broker, ALPACA_OPTIONS_ENABLED="true")
    try:
        floor.somebody_else_trades()
        put = floor.put()
        floor.runner_dies_in_the_market("put", str(put.strike))
        assert floor.held() == {HELD: FOREIGN, put.symbol: QUANTITY}
        settings = tmp_path / ".env_bot"
        settings.write_text(settings.read_text().replace("OPTIONS_ENABLED=true", "OPTIONS_ENABLED=false"))

        status, said = floor.ended(floor.path(way))
        assert status == 0, said
        is_closed(floor)
        assert len(floor.exits()) == 1
    finally:
        floor.close()


@pytest.mark.slow
@pytest.mark.parametrize("broker", BROKERS)
@pytest.mark.parametrize("way", ["kill", "flatten"])
def test_a_live_account_is_closed_by_the_same_way_and_in_the_live_books(ground, broker, way):
    floor = ground(broker, **{"TEST_MODE": "false", f"{broker.upper()}_MODE": "live"})
    status, said = floor.ended(floor.path(way))

    assert status == 0, said
    is_closed(floor)
    assert (floor.home / "output" / "journal" / "tbot_live.sqlite3").exists()
    assert not (floor.home / "output" / "journal" / "tbot_paper.sqlite3").exists()


@pytest.mark.parametrize("broker", BROKERS)
def test_a_broken_journal_and_broken_settings_hinder_no_kill(ground, broker):
    floor = ground(broker)
    journal = floor.home / "output" / "journal" / "tbot_paper.sqlite3"
    journal.parent.mkdir(parents=True, exist_ok=True)
    spoil(journal, "garbage")
    settings = floor.home / ".env_bot"
    settings.write_text(settings.read_text().replace("TEST_MODE=true", "TEST_MODE=maybe"))

    status, said = floor.ended(floor.path("kill"))
    assert status == 0, said
    is_closed(floor)


@pytest.mark.slow
@pytest.mark.parametrize("broker", BROKERS)
def test_a_guard_that_only_cancels_leaves_the_position_under_its_stop(ground, broker):
    floor = ground(broker)
    status, said = floor.ended(floor.path("guard_cancel"))

    assert status == 5, said
    assert floor.held() == {HELD: QUANTITY + FOREIGN}
    assert [name for name in floor.resting() if "entry" in name] == []
    assert len(floor.resting()) == 2


def test_a_broker_that_is_away_is_named_and_nothing_is_said_to_be_flat(ground):
    floor = ground("ibkr")
    settings = floor.home / ".env"
    port = floor.sandbox.sandbox.ports["tws"]
    settings.write_text(settings.read_text().replace(f"IBKR_PAPER_PORT={port}", "IBKR_PAPER_PORT=1"))

    status, said = floor.ended(floor.start("-m", "tbot_bot.runtime.cli", "flatten", "--why", "a test", "--wait", "4"))
    assert status == 1, said
    assert "ibkr cannot be reached" in said


# --- which accounts --------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path):
    (tmp_path / "control").mkdir()
    (tmp_path / ".env").write_text("ENVIRONMENT=development\n")
    (tmp_path / ".env_bot").write_text("TEST_MODE=true\nTEST_MODE_VENUE=simulator\n")
    return tmp_path


def left_word(home, *, test_mode, mode):
    word = SessionBrokers(
        session=SESSION,
        test_mode=test_mode,
        modes=(("alpaca", mode),),
        ibkr_client_id=7,
        argv=RunnerArguments(session=SESSION, home=home).argv(),
    )
    word.save(home / "control")


def test_a_word_that_was_left_is_read_as_it_was_and_a_broken_one_as_none(home):
    left_word(home, test_mode=True, mode=BrokerMode.PAPER)
    found = session_brokers(home / "control")
    assert found is not None
    assert (found.session, found.ibkr_client_id, found.modes) == (SESSION, 7, (("alpaca", BrokerMode.PAPER),))

    (home / "control" / BROKERS_FILE).write_text(json.dumps({"session": str(SESSION), "argv": ["--nonsense"]}))
    assert session_brokers(home / "control") is None


def test_no_live_account_is_reached_from_test_mode_and_that_is_said(home):
    left_word(home, test_mode=False, mode=BrokerMode.LIVE)
    reach = real_reach(home, home / "control", None, everywhere=True)
    assert reach is not None
    assert reach.brokers == ()
    assert "traded a live account" in reach.problems[0]


def test_what_the_settings_do_not_tell_any_more_the_session_has_told(home):
    left_word(home, test_mode=False, mode=BrokerMode.LIVE)
    (home / ".env_bot").write_text("TEST_MODE=perhaps\n")
    reach = real_reach(home, home / "control", None, everywhere=True)
    assert reach is not None
    assert reach.brokers == ("alpaca",)
    assert (reach.settings.bot.test_mode, reach.settings.bot.alpaca_mode) == (False, BrokerMode.LIVE)
    assert reach.days == frozenset({(DAY, 1)})


def test_a_rehearsal_of_its_own_reaches_no_account_and_a_simulated_day_none_either(home):
    request = RunnerArguments(session=SESSION, home=home)
    assert real_reach(home, home / "control", request, everywhere=True) is None
    (home / ".env_bot").write_text("TEST_MODE=true\nTEST_MODE_VENUE=broker_paper\n")
    rehearsal = RunnerArguments(session=SESSION, home=home, rehearsal=True)
    assert real_reach(home, home / "control", rehearsal, everywhere=True) is None
    reach = real_reach(home, home / "control", request, everywhere=False)
    assert reach is not None
    assert reach.brokers == ("alpaca",)
