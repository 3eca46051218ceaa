"""Changing settings by program: whole or not at all, sealed where they are sealed, never lost to a kill."""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tbot_bot.config.error_handler import ConfigError, TbotError
from tbot_bot.config.security_bot import SealingKey, key_id_of, seal, unseal
from tbot_bot.config.settings import load_settings
from tbot_bot.config.settings_bot import (
    current_text,
    decrypt,
    encrypt,
    finish_rotation,
    plan_set,
    plan_text,
    rotate,
)

KEY = SealingKey(bytes(range(32)))
BOT = b"# mine\nMAX_TRADES=2  # two\nWEIGHTS=0.6,0.4\n"
KEPT = f"# secrets\nENVIRONMENT=production\nENCRYPTION_KEY={KEY.text}\n"
WRITING = {"os.rename", "os.remove", "os.mkdir", "os.chmod", "tempfile.mkstemp", "os.truncate"}


@pytest.fixture
def sealed_home(tmp_path: Path) -> Path:
    """Return a production home whose key stands in `.env`."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".env").write_text(KEPT)
    (home / ".env").chmod(0o600)
    (home / ".env_bot.enc").write_bytes(seal(BOT, KEY))
    return home


@pytest.fixture
def plain_home(tmp_path: Path) -> Path:
    (tmp_path / ".env").write_text("")
    (tmp_path / ".env_bot").write_bytes(BOT)
    return tmp_path


def names_in(home: Path) -> list[str]:
    return sorted(path.name for path in home.iterdir())


# --- set


def test_a_change_is_written_where_it_stands_and_nothing_else_moves(plain_home):
    plan = plan_set(plain_home, [("MAX_TRADES", "1"), ("WEIGHTS", "1")])
    assert (plain_home / ".env_bot").read_bytes() == BOT  # a plan is only a plan

    plan.write()

    assert (plain_home / ".env_bot").read_bytes() == b"# mine\nMAX_TRADES=1  # two\nWEIGHTS=1\n"
    assert [(change.name, change.old, change.new) for change in plan.changes] == [
        ("MAX_TRADES", "2", "1"),
        ("WEIGHTS", "0.6,0.4", "1"),
    ]
    assert (plain_home / ".env_bot").stat().st_mode & 0o777 == 0o600
    assert load_settings(plain_home).bot.max_trades == 1


def test_a_change_that_does_not_fit_the_rest_is_refused_and_nothing_is_written(plain_home):
    with pytest.raises(ConfigError, match=r"\.env_bot:3: WEIGHTS"):
        plan_set(plain_home, [("MAX_TRADES", "3")])

    assert (plain_home / ".env_bot").read_bytes() == BOT
    assert names_in(plain_home) == [".env", ".env_bot"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MAX_TRADE", "2", "did you mean MAX_TRADES"),
        ("MAX_TRADES", "2\nTEST_MODE=false", "for one line of a file"),
        ("MAX_TRADES", "many", "expected a whole number"),
        ("CONTROL_DIR", "../outside", "without `..`"),
    ],
)
def test_what_cannot_be_set_is_said(plain_home, name, value, said):
    with pytest.raises(ConfigError, match=said):
        plan_set(plain_home, [(name, value)])


def test_variables_of_both_files_are_not_set_in_one_go(plain_home):
    with pytest.raises(ConfigError, match="one file at a time"):
        plan_set(plain_home, [("MAX_TRADES", "2"), ("LOCAL_PORT", "7000")])


def test_a_variable_at_its_default_gets_a_line(plain_home):
    plan = plan_set(plain_home, [("MAX_PRICE", "150")])
    plan.write()

    assert (plain_home / ".env_bot").read_bytes() == BOT + b"MAX_PRICE=150\n"
    assert plan.changes[0].old == "100"


def test_secrets_are_masked_in_what_a_plan_tells(plain_home):
    plan_set(plain_home, [("FINNHUB_API_KEY", "changeme")]).write()
    plan = plan_set(plain_home, [("FINNHUB_API_KEY", "changeme-too")])

    assert (plan.changes[0].old, plan.changes[0].new) == ("********", "********")
    assert "changeme-too" not in repr(plan.changes)
    assert load_settings(plain_home).env.finnhub_api_key.get_secret_value() == "changeme"


def test_sealed_settings_stay_sealed(sealed_home):
    plan_set(sealed_home, [("MAX_TRADES", "1"), ("WEIGHTS", "1")]).write()

    data = (sealed_home / ".env_bot.enc").read_bytes()
    assert b"WEIGHTS" not in data
    assert unseal(data, KEY) == BOT.replace(b"=2", b"=1").replace(b"0.6,0.4", b"1")
    assert names_in(sealed_home) == [".env", ".env_bot.enc"]


def test_a_change_by_somebody_else_in_between_is_not_overwritten(plain_home):
    plan = plan_set(plain_home, [("MAX_PRICE", "150")])
    (plain_home / ".env_bot").write_bytes(BOT + b"MIN_PRICE=10\n")

    with pytest.raises(TbotError, match="changed by somebody else"):
        plan.write()

    assert b"MIN_PRICE=10" in (plain_home / ".env_bot").read_bytes()


def test_a_link_to_the_settings_stays_a_link(plain_home, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("shared") / "settings"
    shutil.move(plain_home / ".env_bot", elsewhere)
    (plain_home / ".env_bot").symlink_to(elsewhere)

    plan_set(plain_home, [("MAX_PRICE", "150")]).write()

    assert (plain_home / ".env_bot").is_symlink()
    assert b"MAX_PRICE=150" in elsewhere.read_bytes()


def test_a_full_disk_leaves_the_old_settings(plain_home, monkeypatch):
    plan = plan_set(plain_home, [("MAX_PRICE", "150")])

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        plan.write()

    assert (plain_home / ".env_bot").read_bytes() == BOT
    assert names_in(plain_home) == [".env", ".env_bot"]


def test_a_whole_new_text_is_judged_like_a_file(sealed_home):
    before = current_text(sealed_home, ".env_bot")
    with pytest.raises(ConfigError, match=r"\.env_bot:1: MAX_PRICE"):
        plan_text(sealed_home, ".env_bot", b"MAX_PRICE=0\n", before)

    plan = plan_text(sealed_home, ".env_bot", b"MAX_PRICE=50\n", before)
    plan.write()

    assert decrypt(sealed_home) == b"MAX_PRICE=50\n"
    assert {change.name for change in plan.changes} == {"MAX_PRICE", "MAX_TRADES", "WEIGHTS"}


# --- encrypt, decrypt


def test_encrypting_makes_a_key_and_removes_the_plaintext(plain_home):
    with pytest.raises(ConfigError, match="encrypt --new-key"):
        encrypt(plain_home)
    assert names_in(plain_home) == [".env", ".env_bot"]

    key_id = encrypt(plain_home, new_key=True)

    assert names_in(plain_home) == [".env", ".env_bot.enc"]
    assert decrypt(plain_home) == BOT
    assert key_id_of((plain_home / ".env_bot.enc").read_bytes()) == key_id
    assert {path.stat().st_mode & 0o777 for path in plain_home.iterdir()} == {0o600}
    assert load_settings(plain_home).bot.max_trades == 2


def test_settings_that_could_not_be_used_are_not_sealed(plain_home):
    (plain_home / ".env_bot").write_bytes(b"MAX_TRADES=0\n")

    with pytest.raises(ConfigError, match=r"\.env_bot:1: MAX_TRADES"):
        encrypt(plain_home, new_key=True)

    assert names_in(plain_home) == [".env", ".env_bot"]
    assert (plain_home / ".env").read_bytes() == b""


def test_other_sealed_settings_are_not_overwritten(sealed_home):
    (sealed_home / ".env_bot").write_bytes(b"MAX_TRADES=1\nWEIGHTS=1\n")

    with pytest.raises(ConfigError, match="no other settings in"):
        encrypt(sealed_home)
    assert decrypt(sealed_home) == BOT

    (sealed_home / ".env_bot").write_bytes(BOT)  # the same: an encryption that was cut off
    encrypt(sealed_home)
    assert names_in(sealed_home) == [".env", ".env_bot.enc"]


def test_a_lost_file_and_key_come_back_from_a_backup_by_the_keys_id(sealed_home, tmp_path):
    """The restore path of docs/security.md: both are needed, and the file names the key it wants."""
    backup = tmp_path / "backup"
    shutil.copytree(sealed_home, backup)
    rotate(sealed_home)
    (sealed_home / ".env_bot.enc").unlink()

    shutil.copy(backup / ".env_bot.enc", sealed_home)
    with pytest.raises(ConfigError, match=f"it names the key {KEY.id}"):
        load_settings(sealed_home)
    shutil.copy(backup / ".env", sealed_home)

    assert load_settings(sealed_home).bot.max_trades == 2


# --- change of keys


def test_a_key_in_env_is_changed_in_one_go(sealed_home):
    rotation = rotate(sealed_home)

    assert rotation.finished
    assert rotation.old_id == KEY.id != rotation.new_id
    assert names_in(sealed_home) == [".env", ".env_bot.enc"]
    assert KEY.text not in (sealed_home / ".env").read_text()
    assert (sealed_home / ".env").read_text().startswith("# secrets\nENVIRONMENT=production\n")
    assert key_id_of((sealed_home / ".env_bot.enc").read_bytes()) == rotation.new_id
    assert decrypt(sealed_home) == BOT


def test_a_key_from_systemd_is_changed_in_two_steps(sealed_home, tmp_path, monkeypatch):
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "encryption_key").write_text(KEY.text)
    (sealed_home / ".env").write_text("ENVIRONMENT=production\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))

    with pytest.raises(ConfigError, match="--key-out FILE"):
        rotate(sealed_home)
    rotation = rotate(sealed_home, tmp_path / "new")

    assert not rotation.finished
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600
    assert load_settings(sealed_home).warnings == ()  # the old key still opens its own
    assert not finish_rotation(sealed_home)
    shutil.copy(tmp_path / "new", credentials / "encryption_key")
    assert "--finish" in load_settings(sealed_home).warnings[0]
    assert finish_rotation(sealed_home)
    assert load_settings(sealed_home).warnings == ()
    assert names_in(sealed_home) == [".env", ".env_bot.enc"]


def test_a_change_in_the_middle_of_a_change_of_keys_is_not_lost(sealed_home, tmp_path, monkeypatch):
    monkeypatch.setenv("ENCRYPTION_KEY", KEY.text)
    rotate(sealed_home, tmp_path / "new")
    monkeypatch.setenv("ENCRYPTION_KEY", (tmp_path / "new").read_text().strip())

    plan_set(sealed_home, [("MAX_PRICE", "150")]).write()

    assert not finish_rotation(sealed_home)
    assert load_settings(sealed_home).bot.max_price == 150


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Run `work` in a child that is killed before its `step`-th change of the file system; return whether it was."""
    child = os.fork()
    if child == 0:
        seen = [0]

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            opens = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if event in WRITING or opens:
                seen[0] += 1
                if seen[0] == step:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        try:
            work()
        except BaseException:  # noqa: BLE001 - a child of the test must not go on as a second test run
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def steps_of(home: Path, work: Callable[[Path], object]) -> list[Path]:
    """Return a copy of `home` for each step at which `work` can be killed, as the kill left it."""
    left: list[Path] = []
    for step in range(1, 60):
        copy = home.with_name(f"step{step}")
        shutil.copytree(home, copy)
        if not killed_at(step, partial(work, copy)):
            return left
        left.append(copy)
    pytest.fail("it never ends")


def test_a_change_of_keys_survives_a_kill_at_any_step(sealed_home):
    left = steps_of(sealed_home, rotate)

    assert len(left) >= 5
    for home in left:
        assert decrypt(home) == BOT
        assert load_settings(home).bot.max_trades == 2
        assert rotate(home).finished
        assert decrypt(home) == BOT
        assert names_in(home) == [".env", ".env_bot.enc"]


def test_encrypting_survives_a_kill_at_any_step(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / ".env").write_text("")
    (home / ".env_bot").write_bytes(BOT)

    left = steps_of(home, lambda place: encrypt(place, new_key=True))

    assert len(left) >= 4
    for place in left:
        assert current_text(place, ".env_bot") == BOT
        if (place / ".env_bot").exists():
            encrypt(place, new_key=True)
        assert decrypt(place) == BOT


def test_a_change_survives_a_kill_at_any_step(sealed_home):
    left = steps_of(sealed_home, lambda home: plan_set(home, [("MAX_PRICE", "150")]).write())

    assert left
    for home in left:
        assert current_text(home, ".env_bot") in {BOT, BOT + b"MAX_PRICE=150\n"}
