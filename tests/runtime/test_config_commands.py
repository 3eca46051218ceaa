"""`tbot config`: what the owner sees, what the journal keeps, and what never leaves memory."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tbot_bot.config.error_handler import TbotError
from tbot_bot.config.security_bot import SealingKey, seal
from tbot_bot.config.settings import load_settings
from tbot_bot.config.settings_bot import decrypt
from tbot_bot.config.templates import templates
from tbot_bot.core.codec import loads
from tbot_bot.core.identity import Mode
from tbot_bot.journal.settings_changed import SettingsChanged
from tbot_bot.journal.store import open_reader
from tbot_bot.reporting.report_router import OutputPaths
from tbot_bot.runtime.cli import main
from tbot_bot.runtime.locks import Lock
from tbot_bot.runtime.settings_changes import SETTINGS_LOCK
from tbot_bot.runtime.settings_editor import memory_backed

KEY = SealingKey(bytes(range(32)))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home as the README has it made, with the files as they come."""
    for name, template in ((".env", ".env.example"), (".env_bot", ".env_bot.template-test")):
        (tmp_path / name).write_text(templates()[template])
        (tmp_path / name).chmod(0o600)
    monkeypatch.setenv("TBOT_HOME", str(tmp_path))
    return tmp_path


def journaled(home: Path) -> list[SettingsChanged]:
    with open_reader(OutputPaths(home=home, mode=Mode.PAPER).journal) as journal:
        rows = [loads(row.payload) for row in journal.rows()]
    return [row for row in rows if isinstance(row, SettingsChanged)]


# --- show, check


def test_show_tells_value_place_and_no_secret(home, capsys):
    main(["config", "set", "FINNHUB_API_KEY", "changeme"])
    capsys.readouterr()

    assert main(["config", "show"]) == 0
    shown = capsys.readouterr().out
    assert main(["config", "show", "MAX_TRADES", "FINNHUB_API_KEY", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["settings"]

    assert "changeme" not in shown
    assert "MAX_TRADES=4  # .env_bot:" in shown
    assert [(one["name"], one["value"]) for one in found] == [("MAX_TRADES", "4"), ("FINNHUB_API_KEY", "********")]


def test_check_says_everything_and_its_status(home, capsys):
    assert main(["config", "check"]) == 0
    (home / ".env_bot").write_text("MAX_TRADES=0\nMAX_PRISE=1\n")
    capsys.readouterr()

    assert main(["config", "check"]) == 2
    said = capsys.readouterr().err
    assert main(["config", "check", "--json"]) == 2
    problems = json.loads(capsys.readouterr().out)["problems"]

    assert ".env_bot:1: MAX_TRADES='0'" in said
    assert "did you mean MAX_PRICE?" in said
    assert [(problem["line"], problem["variable"]) for problem in problems] == [(1, "MAX_TRADES"), (2, "MAX_PRISE")]


# --- set


def test_a_change_is_journaled_with_who_why_old_and_new(home, capsys):
    assert main(["config", "set", "MAX_TRADES", "2", "WEIGHTS", "0.6,0.4", "--why", "smaller"]) == 0

    (row,) = journaled(home)
    assert "MAX_TRADES: 4 -> 2" in capsys.readouterr().out
    assert row.why == "smaller"
    assert row.by.endswith("(tbot config set)")
    assert row.changes == (("MAX_TRADES", "4", "2"), ("WEIGHTS", "0.4,0.2,0.2,0.2", "0.6,0.4"))
    assert load_settings(home).bot.max_trades == 2


def test_a_change_that_is_refused_leaves_neither_file_nor_journal_changed(home, capsys):
    before = (home / ".env_bot").read_bytes()

    assert main(["config", "set", "MAX_TRADES", "2"]) == 2
    assert main(["config", "set", "MAX_TRADES"]) == 2
    assert main(["config", "set", "MAX_TRADES", "5", "--dry-run"]) == 2
    assert main(["config", "set", "MAX_PRICE", "60", "--dry-run"]) == 0

    assert (home / ".env_bot").read_bytes() == before
    assert not OutputPaths(home=home, mode=Mode.PAPER).journal.exists()
    assert "expected as many weights as MAX_TRADES=2" in capsys.readouterr().err


def test_a_change_that_cannot_be_journaled_is_not_made(home, capsys):
    before = (home / ".env_bot").read_bytes()
    journal = OutputPaths(home=home, mode=Mode.PAPER).journal
    journal.parent.mkdir(parents=True)
    journal.write_bytes(b"this is no journal" * 100)

    assert main(["config", "set", "MAX_PRICE", "60"]) == 1

    assert (home / ".env_bot").read_bytes() == before
    assert "error: " in capsys.readouterr().err


def test_a_secret_comes_from_stdin_and_is_nowhere_else(home):
    tbot = [sys.executable, "-m", "tbot_bot.runtime.cli", "config", "set", "FINNHUB_API_KEY", "-"]
    done = subprocess.run(tbot, input="changeme-secret\n", text=True, capture_output=True, check=True)

    assert "changeme-secret" not in done.stdout + done.stderr
    assert load_settings(home).env.finnhub_api_key.get_secret_value() == "changeme-secret"
    everywhere = [path for path in home.rglob("*") if path.is_file() and b"changeme-secret" in path.read_bytes()]
    assert [path.name for path in everywhere] == [".env"]


def test_two_changes_at_once_do_not_overwrite_each_other(home, capsys):
    with Lock(home / "control" / SETTINGS_LOCK):
        assert main(["config", "set", "MAX_PRICE", "60"]) == 4

    assert "already running" in capsys.readouterr().err
    assert main(["config", "set", "MAX_PRICE", "60"]) == 0


# --- encrypt, decrypt, rotate


def test_settings_are_sealed_opened_and_sealed_anew(home, capfdbinary):
    plain = (home / ".env_bot").read_bytes()
    assert main(["config", "encrypt"]) == 2
    assert main(["config", "encrypt", "--new-key"]) == 0
    capfdbinary.readouterr()

    assert main(["config", "decrypt"]) == 0
    assert capfdbinary.readouterr().out == plain
    assert main(["config", "rotate"]) == 0
    assert main(["config", "set", "MAX_PRICE", "60"]) == 0

    assert decrypt(home) == plain.replace(b"MAX_PRICE=100", b"MAX_PRICE=60")
    assert sorted(path.name for path in home.glob(".*")) == [".env", ".env_bot.enc"]
    assert [row.what.split(",")[0].split(" from")[0] for row in journaled(home)] == ["encrypted", "key changed", ""]
    key = load_settings(home).env.encryption_key.get_secret_value().encode()
    assert [path.name for path in home.rglob("*") if path.is_file() and key in path.read_bytes()] == [".env"]


def test_the_tools_of_the_build_document_do_the_same(home):
    tool = str(Path(__file__).parents[2] / "tools" / "encrypt_env_bot.py")
    plain = (home / ".env_bot").read_bytes()

    subprocess.run([sys.executable, tool, "encrypt", "--new-key"], check=True, capture_output=True)
    opened = subprocess.run([sys.executable, tool, "decrypt"], check=True, capture_output=True).stdout
    subprocess.run([sys.executable, tool, "rotate"], check=True, capture_output=True)

    assert opened == plain == decrypt(home)


def test_the_dashboards_password_is_kept_as_a_hash_that_only_it_opens(home):
    from cryptography.exceptions import InvalidKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id  # noqa: PLC0415

    tool = str(Path(__file__).parents[2] / "tools" / "encrypt_password.py")
    refused = subprocess.run([sys.executable, tool], input="short\n", text=True, capture_output=True, check=False)
    subprocess.run([sys.executable, tool], input="changeme changeme\n", text=True, check=True, capture_output=True)

    kept = load_settings(home).env.encrypted_password.get_secret_value()
    assert refused.returncode == 2
    assert "at least 12 characters" in refused.stderr
    assert kept.startswith("$argon2id$v=19$")
    Argon2id.verify_phc_encoded(b"changeme changeme", kept)
    with pytest.raises(InvalidKey):
        Argon2id.verify_phc_encoded(b"changeme", kept)
    assert "changeme" not in (home / ".env").read_text()
    assert journaled(home)[-1].changes == (("ENCRYPTED_PASSWORD", "", "********"),)


# --- edit


def edit(home: Path, script: str, tmp_path: Path) -> int:
    """Run `tbot config edit` with an editor that is a small program of ours."""
    program = tmp_path / "editor.py"
    program.write_text(script)
    os.environ["EDITOR"] = f"{sys.executable} {program}"
    try:
        return main(["config", "edit"])
    finally:
        del os.environ["EDITOR"]


@pytest.mark.skipif(sys.platform != "linux", reason="memory-backed storage is known on Linux only")
def test_sealed_settings_are_edited_in_memory_only(home, tmp_path_factory, capsys):
    main(["config", "encrypt", "--new-key"])
    seen = tmp_path_factory.mktemp("seen") / "path"
    script = (
        "import os, sys, pathlib\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "modes = [f'{one.stat().st_mode:o}' for one in (path, path.parent)]\n"
        f"pathlib.Path({str(seen)!r}).write_text(' '.join([str(path), *modes]))\n"
        "path.write_text(path.read_text().replace('MAX_PRICE=100', 'MAX_PRICE=60'))\n"
    )

    assert edit(home, script, seen.parent) == 0

    path, mode, folder_mode = seen.read_text().split(" ")
    assert (mode[-3:], folder_mode[-3:]) == ("600", "700")
    assert Path(path).is_relative_to(memory_backed())
    assert not Path(path).parent.exists()
    assert load_settings(home).bot.max_price == 60
    assert journaled(home)[-1].changes == (("MAX_PRICE", "100", "60"),)


@pytest.mark.skipif(sys.platform != "linux", reason="memory-backed storage is known on Linux only")
def test_an_edit_that_cannot_be_used_changes_nothing(home, tmp_path_factory, capsys):
    before = (home / ".env_bot").read_bytes()
    folder = tmp_path_factory.mktemp("editor")

    assert edit(home, "import sys; open(sys.argv[1], 'a').write('MAX_PRICES=1\\n')", folder) == 0
    assert "did you mean MAX_PRICE?" in capsys.readouterr().err
    assert edit(home, "raise SystemExit(1)", folder) == 1
    assert edit(home, "", folder) == 0

    assert (home / ".env_bot").read_bytes() == before


def test_without_memory_backed_storage_nothing_is_decrypted_to_a_disk(tmp_path, monkeypatch):
    mounts = tmp_path / "mountinfo"
    mounts.write_text("36 35 98:0 / / rw,noatime master:1 - ext4 /dev/root rw\n")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))

    with pytest.raises(TbotError, match="no memory-backed storage"):
        memory_backed(mounts)


# --- production


@pytest.mark.parametrize(
    ("env", "bot", "said"),
    [
        (f"ENCRYPTION_KEY={SealingKey(bytes(32)).text}\n", "", "tampered or wrong key"),
        ("", "", f"the key that opens it (the one whose id is {KEY.id})"),
        (f"ENCRYPTION_KEY={KEY.text}\n", "TEST_MODE=false\n", "a credential, because Alpaca in paper mode is enabled"),
    ],
)
def test_a_start_without_key_or_credential_is_on_record(home, capsys, env, bot, said):
    (home / ".env").write_text(env)
    (home / ".env_bot").unlink()
    (home / ".env_bot.enc").write_bytes(seal(bot.encode(), KEY))

    assert main(["run", "--once"]) == 2

    records = OutputPaths(home=home, mode=Mode.PAPER)
    lines = [json.loads(line) for line in records.unresolved_log.read_text().splitlines()]
    assert said in capsys.readouterr().err
    assert any(said in line["text"] for line in lines)
    assert {line["error_class"] for line in lines} == {"ConfigError"}
    assert main(["journal", "verify"]) == 0
    assert not list(home.rglob("*_live*"))


def test_a_typing_error_leaves_no_record(home):
    (home / ".env_bot").write_text("MAX_TRADES=0\n")

    assert main(["run", "--once"]) == 2

    assert sorted(path.name for path in home.iterdir()) == [".env", ".env_bot"]


def files_holding(mark: bytes, folders: list[Path]) -> Iterator[Path]:
    for folder in folders:
        for path in folder.rglob("*"):
            try:
                if path.is_file() and mark in path.read_bytes():
                    yield path
            except OSError:
                continue  # gone again


def test_a_production_start_leaves_no_plaintext_anywhere(home, tmp_path_factory):
    """A mark in a comment of the sealed settings must never be in any file while the bot starts and runs."""
    scratch = tmp_path_factory.mktemp("scratch")
    mark = b"the-mark-that-nobody-else-writes"
    (home / ".env").write_text(f"ENVIRONMENT=production\nENCRYPTION_KEY={KEY.text}\n")
    (home / ".env").chmod(0o600)
    (home / ".env_bot").unlink()
    text = templates()[".env_bot.template-test"].encode().replace(b"SEQUENCE=open,mid,close", b"SEQUENCE=open")
    (home / ".env_bot.enc").write_bytes(seal(b"# " + mark + b"\n" + text, KEY))
    shutil.copy(Path(__file__).parents[2] / "VERSION.md", home)
    watched = [home, scratch, *([memory_backed()] if sys.platform == "linux" else [])]
    (scratch / "proof").write_bytes(mark)
    assert list(files_holding(mark, watched)) == [scratch / "proof"]  # the watch sees what it should
    (scratch / "proof").unlink()

    command = [sys.executable, "-m", "tbot_bot.runtime.cli", "run", "--once", "--day", "2025-09-02", "--speed", "2000"]
    environment = {**os.environ, "TBOT_HOME": str(home), "TMPDIR": str(scratch)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        found: set[Path] = set()
        looks = 0
        while process.poll() is None:
            found.update(files_holding(mark, watched))
            looks += 1
            time.sleep(0.01)
        said = process.stdout.read().decode() if process.stdout else ""

    found.update(files_holding(mark, watched))
    assert process.returncode == 0, said
    assert looks > 5
    assert found == set()
    assert OutputPaths(home=home, mode=Mode.PAPER).journal.exists()
    assert mark.decode() not in said
