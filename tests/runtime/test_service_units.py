"""The systemd units: read by systemd's own tools, and worn by a real bot as far as a test can."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.config.error_handler import TbotError
from tbot_bot.runtime import cli, cli_service, service_units
from tbot_bot.runtime.service_state import service_state
from tbot_bot.runtime.service_units import (
    Place,
    UnitFile,
    backup_check_units,
    bot_unit,
    credential_drop_in,
    guard_unit,
    web_unit,
)

HOME = Path("/srv/tbot")
PLACE = Place(
    user="changeme",
    home=HOME,
    writable=tuple(HOME / name for name in ("control", "output", "logs", "backups")),
    python=Path(sys.executable),
    code=(Path("/opt/tbot"),),
)
EXPOSURE_MAX = 3.0


def _why_not() -> str:
    if shutil.which("systemd-analyze") is None:
        return "systemd-analyze is not installed here"
    told = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"systemd (\d+)", told)
    if version is None or int(version[1]) < 250:
        return "systemd-analyze is older than 250 and cannot judge units offline"
    return ""


WHY_NOT = _why_not()
needs_systemd_analyze = pytest.mark.skipif(bool(WHY_NOT), reason=f"systemd units not proven: {WHY_NOT}")


def put(folder: Path, *files: UnitFile) -> None:
    for file in files:
        path = folder / file.name
        path.parent.mkdir(exist_ok=True)
        path.write_text(file.text, encoding="utf-8")


def analyze(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *words], cwd=folder, capture_output=True, text=True, check=False)


def check_verified(folder: Path, *names: str) -> None:
    for name in names:
        told = analyze(folder, "verify", "--man=no", f"./{name}")
        # an unknown directive or a bad value is a warning only, and the status stays 0
        assert (told.returncode, told.stderr) == (0, ""), name


@needs_systemd_analyze
def test_systemd_takes_every_unit_without_a_word(tmp_path):
    check, timer = backup_check_units(PLACE)
    credential = Path("/etc/credstore/changeme")
    drop_ins = credential_drop_in(credential), credential_drop_in(credential, "tbot-guard.service")
    put(tmp_path, bot_unit(PLACE), web_unit(PLACE), guard_unit(PLACE), check, timer, *drop_ins)
    check_verified(tmp_path, "tbot.service", "tbot-web.service", "tbot-guard.service", check.name, timer.name)


@needs_systemd_analyze
@pytest.mark.parametrize("home", ["/srv/the bot's home", "/srv/100%/$HOME/${X}", '/srv/"quoted"', "/srv/back\\slash/x"])
def test_systemd_takes_a_home_with_an_awkward_name(tmp_path, home):
    put(tmp_path, bot_unit(replace(PLACE, home=Path(home), writable=(Path(home) / "control",))))
    check_verified(tmp_path, "tbot.service")


@needs_systemd_analyze
@pytest.mark.parametrize(
    ("old", "new"),
    [("KillMode=process", "KilMode=process"), ("WatchdogSec=30", "WatchdogSec=often"), ("-/srv", "srv")],
)
def test_a_spoiled_unit_would_be_found(tmp_path, old, new):
    unit = bot_unit(PLACE)
    assert old in unit.text
    put(tmp_path, replace(unit, text=unit.text.replace(old, new)))
    assert analyze(tmp_path, "verify", "--man=no", "./tbot.service").stderr != ""


@needs_systemd_analyze
def test_a_spoiled_drop_in_would_be_found(tmp_path):
    drop_in = credential_drop_in(Path("/etc/credstore/changeme"))
    put(tmp_path, bot_unit(PLACE), replace(drop_in, text=drop_in.text.replace("LoadCredential", "LoadCredentials")))
    assert "credential.conf" in analyze(tmp_path, "verify", "--man=no", "./tbot.service").stderr


@needs_systemd_analyze
@pytest.mark.parametrize("home", [HOME, Path("/", "home", "changeme", "tbot")])
def test_each_service_is_little_exposed(tmp_path, home):
    place = replace(PLACE, home=home)
    units = (bot_unit(place), web_unit(place), guard_unit(place), backup_check_units(place)[0])
    put(tmp_path, *units)
    for unit in units:
        told = analyze(tmp_path, "security", "--offline=yes", f"--threshold={EXPOSURE_MAX * 10:.0f}", f"./{unit.name}")
        score = re.search(r"exposure level for \S+: ([\d.]+) (\w+)", told.stdout)
        assert told.returncode == 0, told.stdout[-400:]
        assert score is not None
        assert (float(score[1]) < EXPOSURE_MAX, score[2]) == (True, "OK")


def test_the_supervisors_unit_keeps_what_the_program_relies_on():
    told = dict(line.split("=", 1) for line in bot_unit(PLACE).text.splitlines() if "=" in line and line[0] != "#")
    assert told["Type"] == "notify"
    assert told["WatchdogSec"] == "30"
    assert told["Restart"] == "on-failure"
    assert told["RestartPreventExitStatus"] == "2 3 4 5 6"
    assert told["KillMode"] == "process", "the runner outlives its supervisor"
    assert told["LoadCredentialEncrypted"] == "encryption_key"
    assert told["ReadWritePaths"] == " ".join(f'"-{path}"' for path in PLACE.writable)
    assert told["ProtectHome"] == "yes"
    assert {"StartLimitBurst", "TimeoutStopSec", "NoNewPrivileges", "ProtectSystem", "MemoryMax"} <= set(told)


def test_what_lies_in_a_home_directory_can_still_be_read():
    venv = replace(PLACE, code=(Path("/", "root", "venv"),))
    assert "\nProtectHome=read-only\n" in bot_unit(venv).text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"user": "root"}, "must not run as root"),
        ({"user": "a b"}, "not an account's name"),
        ({"user": "x\nExecStartPre=evil"}, "not an account's name"),
        ({"home": Path("/srv/x\nUser=root")}, "cannot be written into a unit"),
        ({"home": Path("/")}, "cannot be an installation"),
        ({"home": Path("srv")}, "cannot be an installation"),
        ({"home": Path("/tmp/tbot")}, "temporary folder"),  # noqa: S108 - refused, not used
    ],
)
def test_what_cannot_serve_is_refused_with_the_reason(changes, says):
    with pytest.raises(TbotError, match=re.escape(says)):
        bot_unit(replace(PLACE, **changes))


@given(st.text(min_size=1, max_size=30).filter(lambda text: not text.startswith("/")))
def test_no_path_adds_a_line_to_a_unit(name):
    plain = bot_unit(PLACE).text
    try:
        told = bot_unit(replace(PLACE, home=HOME / name)).text
    except TbotError:
        return
    keys = [[line.partition("=")[0] for line in text.split("\n")] for text in (plain, told)]
    assert keys[0] == keys[1]


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Return a function that runs `tbot service ...`: status, stdout, stderr. Here a home may be temporary."""
    monkeypatch.setattr(service_units, "_HIDDEN_BY_PRIVATE_TMP", ())
    monkeypatch.setenv("TBOT_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "units").mkdir()

    def run(*words):
        status = cli.main(["service", *words])
        told = capsys.readouterr()
        return status, told.out, told.err

    return run


def test_install_writes_readable_units_makes_the_folders_enables_nothing_and_says_what_is_next(tmp_path, command):
    words = ("install", "--user", "changeme", "--dest", str(tmp_path / "units"), "--credential", "/etc/x/key")
    status, told, _ = command(*words)
    unit = tmp_path / "units" / "tbot.service"

    assert status == 0
    assert unit.stat().st_mode & 0o777 == 0o644
    assert f"TBOT_HOME={tmp_path / 'home'}" in unit.read_text()
    drop_in = tmp_path / "units" / "tbot.service.d" / "credential.conf"
    assert "LoadCredentialEncrypted=encryption_key:/etc/x/key\n" in drop_in.read_text()
    for folder in ("control", "output", "logs", "backups"):
        assert (tmp_path / "home" / folder).stat().st_mode & 0o777 == 0o700
    for line in ("useradd --system", "systemctl daemon-reload", "systemctl enable --now tbot.service"):
        assert line in told
    check = unit.parent / "tbot-backup-check.service.d" / "credential.conf"
    assert "LoadCredentialEncrypted=encryption_key:/etc/x/key\n" in check.read_text()
    assert sorted(path.name for path in unit.parent.iterdir()) == [
        "tbot-backup-check.service", "tbot-backup-check.service.d", "tbot-backup-check.timer",
        "tbot.service", "tbot.service.d",
    ]  # fmt: skip
    again = json.loads(command(*words, "--json")[1])
    assert set(again["files"].values()) == {"unchanged"}
    assert json.loads(command(*words, "--memory-max", "2G", "--json")[1])["files"]["tbot.service"] == "replaced"


def test_print_writes_nothing_at_all(tmp_path, command):
    status, told, _ = command("install", "--user", "changeme", "--print", "--dest", str(tmp_path / "units"))
    assert status == 0
    assert "\nKillMode=process\n" in told
    assert list((tmp_path / "units").iterdir()) == list((tmp_path / "home").iterdir()) == []
    as_json = json.loads(command("install", "--user", "changeme", "--print", "--json")[1])
    assert list(as_json["units"]) == ["tbot.service", "tbot-backup-check.service", "tbot-backup-check.timer"]


def test_a_unit_of_somebody_else_is_kept(tmp_path, command):
    unit = tmp_path / "units" / "tbot.service"
    unit.write_text("[Service]\n")
    status, _, error = command("install", "--user", "changeme", "--dest", str(unit.parent))
    assert (status, unit.read_text()) == (1, "[Service]\n")
    assert "was not written by" in error


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("--dest", "/nowhere/at/all"), 1, "no such folder"),
        (("--home", "/nowhere/at/all"), 1, "no such folder"),
        (("--web",), 1, "no dashboard"),
        (("--credential", "/a b"), 1, "without spaces"),
        (("--memory-max", "much"), 2, "is not a size"),
    ],
)
def test_what_cannot_be_installed_is_refused_with_the_reason(command, words, status, says):
    ended, told, error = command("install", "--user", "changeme", "--print", *words)
    if "--dest" in words:  # printing needs no folder
        assert ended == 0
        ended, told, error = command("install", "--user", "changeme", *words)
    assert (ended, told) == (status, "")
    assert says in error


def test_the_guard_is_a_unit_of_its_own_that_always_comes_back(command):
    words = ("--guard", "--credential", "/etc/credstore/changeme")
    found = json.loads(command("install", "--user", "changeme", "--print", *words, "--json")[1])["units"]
    told = found["tbot-guard.service"]
    assert "Restart=always" in told
    assert "tbot.service" not in re.findall(r"^(?:Wants|Requires|BindsTo|PartOf)=(.*)$", told, re.MULTILINE)
    assert re.search(r'^ExecStart=.*"guard"$', told, re.MULTILINE)
    assert "changeme" in found["tbot-guard.service.d/credential.conf"]
    assert (
        "tbot-guard.service"
        not in json.loads(command("install", "--user", "changeme", "--print", "--json")[1])["units"]
    )


def test_units_come_with_the_commands_that_they_start(command, monkeypatch):
    monkeypatch.setattr(cli_service, "_has_command", lambda name: True)
    found = json.loads(command("install", "--user", "changeme", "--print", "--web", "--json")[1])["units"]
    assert list(found) == [
        "tbot.service", "tbot-backup-check.service", "tbot-backup-check.timer", "tbot-web.service",
    ]  # fmt: skip


@pytest.fixture
def systemctl(tmp_path, monkeypatch):
    """Return a function that puts a systemctl of our own, a real program, before all others."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")

    def says(text, status=0):
        program = programs / "systemctl"
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {status}\n")
        program.chmod(0o755)

    return says


def test_status_tells_what_systemd_knows(tmp_path, systemctl):
    systemctl(
        "LoadState=loaded\nUnitFileState=enabled\nActiveState=active\nSubState=running\n"
        "StatusText=2025-09-02/open: monitoring\nNRestarts=2"
    )
    found = service_state(tmp_path)
    assert (found.installed, found.enabled, found.active) == (False, "enabled", "active (running)")
    assert (found.says, found.restarts, found.unknown_because) == ("2025-09-02/open: monitoring", 2, "")
    (tmp_path / "tbot.service").touch()
    systemctl("LoadState=not-found\nActiveState=inactive")
    assert (service_state(tmp_path).installed, "daemon-reload" in service_state(tmp_path).says) == (True, True)


def test_status_says_plainly_that_nobody_can_be_asked(tmp_path, command, systemctl, monkeypatch):
    systemctl("System has not been booted with systemd", status=1)
    assert "not been booted" in service_state(tmp_path).unknown_because
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    status, told, _ = command("status", "--dest", str(tmp_path))
    assert status == 0
    assert "installed: no" in told
    assert "there is no systemctl on this machine" in told


# --- what the units allow is enough -----------------------------------------------------------------------------------

CONFINED = bool(WHY_NOT) or sys.platform != "linux" or not any(Path("/usr/lib").glob("*/libseccomp.so.2"))
needs_seccomp = pytest.mark.skipif(
    CONFINED, reason="systemd units not proven: no libseccomp (or systemd-analyze) to confine a process with"
)


def confined(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command as the unit's memory rule and system call filter would have it."""
    filters = re.findall(r"^SystemCallFilter=(.*)$", bot_unit(PLACE).text, re.MULTILINE)
    return subprocess.run(
        [sys.executable, "-m", "tests.support.confined", *filters, "--", *words],
        env={**os.environ, "TBOT_HOME": str(home)},
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )


@needs_seccomp
def test_the_checks_pass_within_the_units_limits_and_the_limits_hold(tmp_path):
    checked = confined(tmp_path, sys.executable, "-m", "tbot_bot.runtime.cli", "check")
    assert checked.returncode == 0, checked
    refused = confined(tmp_path, sys.executable, "-c", f"import os; os.chown({str(tmp_path)!r}, 0, 0)")
    assert "PermissionError" in refused.stderr


@needs_seccomp
@pytest.mark.slow
def test_a_session_runs_within_the_units_limits_and_writes_only_to_the_runtime_folders(tmp_path):
    run = ("run", "--once", "--rehearsal", "--speed", "900", "--set", "STRATEGY_OVERRIDE=open")
    ended = confined(tmp_path, sys.executable, "-m", "tbot_bot.runtime.cli", *run)
    assert ended.returncode == 0, ended.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {path.name for path in PLACE.writable}
