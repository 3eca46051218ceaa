"""Each check of the start, seen passing and seen failing."""

import base64
import os
import platform
import shutil
import subprocess
import sys
import zoneinfo
from collections import namedtuple
from dataclasses import replace
from datetime import date
from importlib import metadata

import apsw
import pytest
from pydantic import SecretStr

import tbot_bot
from tbot_bot.config.choices import Environment
from tbot_bot.config.security_bot import SealingKey, seal
from tbot_bot.config.settings import load_settings
from tbot_bot.core import calendar_table
from tbot_bot.core.calendar import exchange_time
from tbot_bot.core.identity import Mode, StrategyName
from tbot_bot.core.instants import Instant, parse_iso
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import Entry, Journal
from tbot_bot.reporting.report_router import records_for
from tbot_bot.runtime import build_check as subject
from tbot_bot.runtime import strategy_checks
from tbot_bot.runtime.build_check import build_check, check_home, check_line
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.control import ControlFolder, Flag
from tbot_bot.strategy.strategy_router import STRATEGIES
from tbot_bot.trading import gate, orders_bot, risk_bot, safety
from tbot_bot.trading.orders_bot import OrderState, Trigger
from tbot_bot.trading.safety import SAFETY_MODULES


class Answered:
    """In the place of the strategies' process: no test but one needs it."""

    def __init__(self, bot):
        self.bot = bot

    def checks(self):
        return tuple(subject._strategy_check(name, []) for name in self.bot.strategies)


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setattr(subject, "_Strategies", Answered)
    return load_settings(tmp_path, defaults_if_absent=True)


def failed(settings):
    """Return the one check that does not pass."""
    (check,) = build_check(settings.home, settings).failures
    assert check.mend
    assert check.mend in check_line(check)
    assert check_line(check).startswith("FAIL")
    return check


def make_journal(settings, mode=Mode.PAPER, rows=3):
    path = records_for(settings.home, Mode.PAPER, test_mode=True).journal
    path.parent.mkdir(parents=True)
    with Journal.open(path, mode) as journal:
        entry = Entry(at=1, recorded_at=1, kind=Kind.NOTE, payload='{"a": 1}')
        journal.append([entry] * rows)
    return path


def test_a_fresh_installation_passes(settings):
    report = build_check(settings.home, settings)
    assert report.passed
    assert [check.name for check in report.checks if not check.passed] == []
    assert {"disk space", "python", "library apsw", "sqlite", "time zones", "clock", "trading calendar"} <= {
        check.name for check in report.checks
    }
    assert {path.name for path in settings.home.iterdir()} == {"output", "logs", "control"}
    assert all(check_line(check).startswith("pass") for check in report.checks)


def test_it_imports_nothing_heavy_and_no_strategy():
    code = "import sys, tbot_bot.runtime.build_check\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"numpy", "pandas", "pyarrow", "exchange_calendars", "tbot_bot.strategy.strategy_router", "rich", "typer"}
    assert heavy.isdisjoint(loaded)
    assert not [name for name in loaded if name.startswith("tbot_bot.strategy.strategy_o")]


@pytest.mark.parametrize("folder", ["output", "logs", "control"])
def test_a_file_in_the_place_of_a_folder(settings, folder):
    (settings.home / folder).write_text("")
    assert failed(settings).name == f"folder {folder}"


@pytest.mark.skipif(not os.path.isdir("/proc/self/fdinfo"), reason="needs a folder that not even root may write")  # noqa: PTH112
def test_a_folder_that_nobody_may_write(settings):
    (settings.home / "logs").symlink_to("/proc/self/fdinfo")
    assert "not writable" in failed(settings).detail


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(settings):
    (settings.home / "logs").mkdir(mode=0o500)
    assert "not writable: Permission denied" in failed(settings).detail


@pytest.mark.parametrize(("free", "passes"), [(199_999_999, False), (200_000_000, True)])
def test_disk_space(settings, monkeypatch, free, passes):
    usage = namedtuple("usage", "total used free")  # noqa: PYI024 - shutil's own shape
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**12, 0, free))
    assert build_check(settings.home, settings).passed is passes
    if not passes:
        assert failed(settings).detail == "199 MB free, 200 MB needed"


def test_a_home_that_is_not_there(settings):
    shutil.rmtree(settings.home)
    settings.home.write_text("a file")
    names = [check.name for check in build_check(settings.home, settings).failures]
    assert names[:3] == ["folder output", "folder logs", "folder control"]


def test_an_old_python(settings, monkeypatch):
    monkeypatch.setattr(platform, "python_version", lambda: "3.10.14")
    assert failed(settings).name == "python"
    monkeypatch.setattr(platform, "python_version", lambda: "3.14.0")
    assert failed(settings).detail.startswith("3.14.0, wanted <3.14")
    monkeypatch.setattr(platform, "python_version", lambda: "3.13.9")
    assert build_check(settings.home, settings).passed


@pytest.mark.parametrize(
    ("version", "passes"),
    [("3.53.0.0", False), ("3.53.1.0", True), ("4.0", True), ("", False)],
)
def test_a_library_of_the_wrong_version(settings, monkeypatch, version, passes):
    true_version = metadata.version

    def answer(name):
        if name != "apsw":
            return true_version(name)
        if not version:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(metadata, "version", answer)
    assert build_check(settings.home, settings).passed is passes
    if not passes:
        assert failed(settings).name == "library apsw"
        assert failed(settings).detail == f"{version or 'not installed'}, wanted >=3.53.1"


def test_a_library_that_is_too_new(settings, monkeypatch):
    true_version = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "4.0.0" if name == "apscheduler" else true_version(name))
    assert failed(settings).name == "library apscheduler"


def test_a_package_that_is_not_installed(settings, monkeypatch):
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", absent)
    assert failed(settings).name == "libraries"


def test_an_sqlite_that_loses_data(settings, monkeypatch):
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.2")
    assert "SQLite 3.51.2" in failed(settings).detail


def test_a_version_tag_of_another_program(settings, monkeypatch):
    monkeypatch.setattr(tbot_bot, "__version__", "1.1.0")
    check = failed(settings)
    assert check.detail == "VERSION_TAG is v1.0.0, this program says v1.1.0"


@pytest.mark.parametrize("head", ["# v1.2.3\n", "# Version\n"])
def test_a_version_file_that_says_otherwise(settings, head):
    (settings.home / "VERSION.md").write_text(head)
    assert "VERSION.md says" in failed(settings).detail


def test_no_time_zone_data(settings, monkeypatch):
    monkeypatch.setattr(zoneinfo._common, "load_tzdata", absent_zone)
    zoneinfo.reset_tzpath(to=[])
    try:
        assert failed(settings).name == "time zones"
    finally:
        zoneinfo.reset_tzpath()


def absent_zone(key):
    raise zoneinfo.ZoneInfoNotFoundError(key)


def test_time_zone_data_of_another_world(settings, monkeypatch):
    class Elsewhere(zoneinfo.ZoneInfo):
        @classmethod
        def no_cache(cls, key):
            return zoneinfo.ZoneInfo("Asia/Tokyo")

    monkeypatch.setattr(subject, "ZoneInfo", Elsewhere)
    assert failed(settings).detail == "New York is at UTC+9 in winter, UTC+9 in summer"


def test_a_clock_that_lost_its_battery(settings, monkeypatch):
    monkeypatch.setattr(subject, "wall_now", lambda: Instant(0))
    names = [check.name for check in build_check(settings.home, settings).failures]
    assert names == ["clock", "trading calendar"]
    monkeypatch.setattr(subject, "wall_now", lambda: subject.RELEASED_AT)
    assert build_check(settings.home, settings).passed


def test_a_clock_beyond_all_that_is_known(settings, monkeypatch):
    monkeypatch.setattr(subject, "wall_now", lambda: parse_iso("2099-01-05T15:00:00Z"))
    clock, calendar = build_check(settings.home, settings).failures
    assert (clock.name, calendar.name) == ("clock", "trading calendar")
    assert "beyond the trading calendar" in clock.detail
    assert "install a newer version" in clock.mend


def test_a_monotonic_clock_that_goes_back(settings, monkeypatch):
    readings = iter([2.0, 1.5])
    monkeypatch.setattr(subject, "monotonic_seconds", lambda: next(readings))
    (check,) = build_check(settings.home, settings).failures
    assert check.detail == "the monotonic clock went back by 0.500 s"


def test_a_calendar_that_ends_soon(settings, monkeypatch):
    today = exchange_time(wall_now()).date()
    monkeypatch.setattr(calendar_table, "LAST", date.fromordinal(today.toordinal() + 399))
    assert failed(settings).name == "trading calendar"
    monkeypatch.setattr(calendar_table, "LAST", date.fromordinal(today.toordinal() + 401))
    assert build_check(settings.home, settings).passed


def test_a_journal_is_opened_but_not_read_through(settings):
    make_journal(settings)
    (check,) = [check for check in build_check(settings.home, settings).checks if check.name == "journal paper"]
    assert check.passed
    assert check.detail.startswith("3 rows, head ")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_bytes(b""), "cut short"),
        (lambda path: path.write_text("not a database, whatever its name may say"), "not a journal"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "cut short"),
        (lambda path: path.write_bytes(path.read_bytes()[:4096] + b"\xff" * (path.stat().st_size - 4096)), "damaged"),
    ],
)
def test_a_journal_that_is_damaged(settings, damage, words):
    path = make_journal(settings)
    damage(path)
    check = failed(settings)
    assert check.name == "journal paper"
    assert words in check.detail


def test_a_journal_of_another_mode(settings):
    make_journal(settings, Mode.BACKTEST)
    assert failed(settings).detail == "the file is the journal of mode backtest"


def test_a_journal_that_leads_nowhere(settings):
    path = records_for(settings.home, Mode.PAPER, test_mode=True).journal
    path.parent.mkdir(parents=True)
    path.symlink_to(settings.home / "unmounted" / "journal")
    assert failed(settings).name == "journal paper"


def test_an_engaged_kill_switch(settings):
    ControlFolder(settings.home / "control").latch(by="anna", why="the market is mad")
    check = failed(settings)
    assert (check.name, check.detail) == (subject.KILL_SWITCH, "engaged by anna: the market is mad")
    assert "run tbot resume --why TEXT" in check.mend


def test_a_kill_that_nobody_has_taken_yet(settings):
    ControlFolder(settings.home / "control").write(Flag.KILL, by="anna")
    assert "run tbot resume --why TEXT" in failed(settings).mend


def test_built_in_settings_are_called_so(tmp_path):
    def said():
        return next(check.detail for check in check_home(tmp_path, defaults_if_absent=True).checks)

    assert said().startswith("no .env and no .env_bot: built-in settings")
    (tmp_path / ".env").write_text("# nothing but defaults\n")
    assert said().startswith("no .env_bot: built-in settings")
    (tmp_path / ".env_bot").write_text("# nothing but defaults\n")
    assert said() == "read and consistent"


def test_settings_that_cannot_be_used(tmp_path):
    (check,) = check_home(tmp_path).failures
    assert check.name == subject.CONFIGURATION
    assert ".env_bot" in check.detail
    assert not check_home(tmp_path, {"MAX_TRADES": "many"}, defaults_if_absent=True).passed


# --- files and keys


@pytest.mark.parametrize("name", [".env", ".env_bot", ".env_bot.enc", "control", "output"])
def test_what_others_may_change(settings, name):
    build_check(settings.home, settings)  # makes the folders
    path = settings.home / name
    path.touch()
    path.chmod(0o757)
    if name.endswith(".enc"):
        path.write_bytes(seal(b"", SealingKey.parse(settings.env.encryption_key.get_secret_value() or KEY)))
    found = {check.name: check for check in build_check(settings.home, settings).failures}["files and rights"]
    assert found.detail == f"{name} has mode 0757: others than its owner can change it"
    path.chmod(0o700)
    assert "files and rights" not in {check.name for check in build_check(settings.home, settings).failures}


KEY = base64.urlsafe_b64encode(bytes(32)).decode()


def with_key(settings, environment, key=""):
    """Return the settings as another environment and key would make them."""
    changes = {"environment": Environment(environment), "encryption_key": SecretStr(key)}
    return replace(settings, env=settings.env.model_copy(update=changes))


@pytest.mark.parametrize(("environment", "sealed"), [("production", False), ("development", True)])
def test_no_key_where_one_is_needed(settings, environment, sealed):
    assert build_check(settings.home, with_key(settings, "development")).passed
    if sealed:
        (settings.home / ".env_bot.enc").write_bytes(seal(b"", SealingKey.parse(KEY)))
    check = failed(with_key(settings, environment))
    assert check.name == "keys"
    assert "there is no ENCRYPTION_KEY" in check.detail
    assert build_check(settings.home, with_key(settings, environment, KEY)).passed


def test_another_key_than_the_one_that_sealed(settings):
    (settings.home / ".env_bot.enc").write_bytes(seal(b"", SealingKey.generate()))
    assert "is sealed with key" in failed(with_key(settings, "production", KEY)).detail
    (settings.home / ".env_bot.enc").write_bytes(b"not sealed at all")
    assert failed(with_key(settings, "production", KEY)).name == "keys"


def test_settings_that_cannot_be_used_keep_no_other_check_from_being_made(tmp_path):
    names = {check.name for check in check_home(tmp_path).checks}
    assert {"disk space", "python", "sqlite", "time zones", "clock", "trading calendar"} < names


# --- safety modules


def test_every_safety_module_is_asked_and_all_agree(tmp_path):
    report = check_home(tmp_path, defaults_if_absent=True)
    asked = {check.name for check in report.checks if check.name.startswith("safety ")}
    assert (
        asked == {f"safety {name}" for name in SAFETY_MODULES} == {f"safety {name}" for name in subject.SAFETY_MODULES}
    )
    assert report.passed


@pytest.mark.parametrize(
    ("answer", "words"),
    [(["the check budget does not refuse"], "the check budget does not refuse"), (None, "it did not answer")],
)
def test_a_safety_module_that_objects_stops_the_start(settings, monkeypatch, answer, words):
    monkeypatch.setattr(Answered, "checks", lambda self: (subject._safety_check("risk_bot", answer),))
    check = failed(settings)
    assert (check.name, check.detail, check.critical) == ("safety risk_bot", words, True)
    assert not build_check(settings.home, settings).passed


def test_a_pre_trade_check_that_lets_everything_pass_is_found(tmp_path, monkeypatch):
    agrees = tuple((name, (lambda *_: None) if name == "budget" else rule) for name, rule in risk_bot.RULES)
    monkeypatch.setattr(risk_bot, "RULES", agrees)
    bot = load_settings(tmp_path, defaults_if_absent=True).bot
    found = {name: list(words) for name, words in strategy_checks.safety_objections(bot).items() if words}
    assert found == {"safety risk_bot": ["the check budget does not refuse what it is there to refuse"]}


def test_a_gate_that_is_open_and_a_table_that_loses_executions_are_found(tmp_path, monkeypatch):
    bot = load_settings(tmp_path, defaults_if_absent=True).bot
    monkeypatch.setattr(gate, "check", lambda *_: ())
    rows = {state: dict(row) for state, row in orders_bot.TRANSITIONS.items() if state is not OrderState.EXPIRED}
    del rows[OrderState.WORKING][Trigger.FILLED_PARTLY]
    monkeypatch.setattr(safety, "TRANSITIONS", rows)
    found = strategy_checks.safety_objections(bot)
    assert found["safety gate"] == ["an entry passes that every check refuses"]
    assert found["safety orders_bot"] == [
        "an order that is expired has no row in the table",
        "an execution of an order that is working has no place in the table",
    ]
    monkeypatch.setattr(safety, "approve_entry", None)
    assert "raised TypeError" in strategy_checks.safety_objections(bot)["safety gate"][0]


# --- strategies


def test_the_strategies_are_asked_in_a_process_of_their_own(tmp_path):
    report = check_home(tmp_path, {"STRAT_MID_ENABLED": "false"}, defaults_if_absent=True)
    assert report.passed
    assert [check.strategy for check in report.checks if check.strategy] == [StrategyName.OPEN, StrategyName.CLOSE]


def test_a_strategy_that_objects_is_left_out_and_stops_nothing(settings, monkeypatch):
    objections = {"open": ["buffer 2.0 is not a fraction"], "close": []}

    def checks(self):
        return tuple(subject._strategy_check(name, objections.get(name.value)) for name in self.bot.strategies)

    monkeypatch.setattr(Answered, "checks", checks)
    report = build_check(settings.home, settings)
    assert report.passed
    assert report.failures == ()
    assert dict(report.skipped) == {
        StrategyName.OPEN: "buffer 2.0 is not a fraction",
        StrategyName.MID: "it did not answer",
    }
    assert [check_line(check)[:4] for check in report.checks[-3:]] == ["skip", "skip", "pass"]


def test_every_strategy_is_asked_with_its_own_parameters(tmp_path, monkeypatch):
    bot = load_settings(tmp_path, defaults_if_absent=True).bot
    asked: dict[StrategyName, object] = {}
    for name in StrategyName:
        monkeypatch.setitem(STRATEGIES, name, Asked(name, asked))
    found = strategy_checks.strategy_objections(bot, date(2025, 8, 30))
    assert found == {"open": [], "mid": ["no"], "close": ["its self-check raised ZeroDivisionError: oh"]}
    assert {name: type(params).__name__ for name, params in asked.items()} == {
        StrategyName.OPEN: "OpenParams",
        StrategyName.MID: "MidParams",
        StrategyName.CLOSE: "CloseParams",
    }


class Asked:
    """A strategy that keeps what it is asked with."""

    def __init__(self, name, asked):
        self.name, self.asked = name, asked

    def self_check(self, params):
        self.asked[self.name] = params
        if self.name is StrategyName.CLOSE:
            raise ZeroDivisionError("oh")
        return [] if self.name is StrategyName.OPEN else ["no"]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("import sys; sys.exit('ImportError: no such thing')", "ImportError: no such thing"),
        ("print('hello')", "no answer"),
        ("print('[1]')", "not an answer"),
    ],
)
def test_strategies_that_cannot_be_asked_stop_the_start(tmp_path, monkeypatch, script, words):
    true_popen = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda command, **options: true_popen([sys.executable, "-c", script], **options)
    )
    (check,) = check_home(tmp_path, defaults_if_absent=True).failures
    assert check.name == "strategies"
    assert words in check.detail


def test_strategies_that_never_answer_stop_the_start(tmp_path, monkeypatch):
    true_popen = subprocess.Popen
    script = "import time; time.sleep(60)"
    monkeypatch.setattr(
        subprocess, "Popen", lambda command, **options: true_popen([sys.executable, "-c", script], **options)
    )
    monkeypatch.setattr(subject, "_STRATEGY_SECONDS", 0.2)
    (check,) = check_home(tmp_path, defaults_if_absent=True).failures
    assert "no answer within" in check.detail


def test_settings_that_cannot_be_used_are_told_apart_from_a_place_where_the_bot_cannot_start(tmp_path, capsys):
    (tmp_path / ".env").write_text("LOCAL_PORT=x\n")
    assert subject.main(["--home", str(tmp_path)]) == 2
    assert "FAIL  configuration: .env:1: LOCAL_PORT='x': expected" in capsys.readouterr().out


@pytest.mark.parametrize(("tag", "status"), [("v1.0.0", 0), ("v9.0.0", 3)])
def test_the_command_prints_the_list(tmp_path, capsys, tag, status):
    (tmp_path / ".env").write_text("")
    (tmp_path / ".env_bot").write_text(f"VERSION_TAG={tag}\n")
    assert subject.main(["--home", str(tmp_path)]) == status
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("FAIL  version tag") for line in lines) is (status == 3)
