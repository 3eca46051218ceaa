"""Every secret of the settings, under every error path that can be reached, is in no file and in no output.

`ERROR_PATHS` is the table: a path is a function that makes something fail in a home whose settings hold a canary in
each secret variable. The short form runs those that a few commands reach; the slow one runs them all. Run with `-s` to
see how many files and bytes were searched.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tbot_bot.core.identity import Mode
from tbot_bot.journal.store import Journal
from tests.support.canaries import (
    SECRET_NAMES,
    CanaryRoom,
    Resetting,
    Searched,
    Telltale,
    canary_of,
    forms_of,
    said_of,
    search,
)
from tests.support.crafted_day import DAY, breakout_up, write_day
from tests.support.float_home import ACCOUNTS, read_accounts

ALPACA: Final = {"TEST_MODE_VENUE": "broker_paper", "ALPACA_ENABLED": "true", "IBKR_ENABLED": "false"}
BROKEN_ENGINE: Final = """
import sys, urllib.parse
from pathlib import Path
from tbot_bot.config.error_handler import LogicError
from tbot_bot.core.errors import BrokerUnavailable
from tbot_bot.runtime.cli import main
from tbot_bot.trading.engine import Engine
home = Path(sys.argv[sys.argv.index("--set") + 2])
del sys.argv[sys.argv.index("--set") + 2]
secrets = [line.partition("=")[2] for line in (home / ".env").read_text().splitlines()]
def handle(self, event):
    sys.stderr.write("printed: " + " ".join(secrets) + "\\n")
    try:
        try:
            raise BrokerUnavailable(" ".join(secrets))
        except BrokerUnavailable as error:
            error.add_note("noted: " + secrets[3])
            raise KeyError({"token": secrets[0], "url": "https://x.test/?q=" + urllib.parse.quote(secrets[1], safe="")},
                           [secret.encode() for secret in secrets]) from error
    except KeyError as error:
        raise LogicError("the sum of the parts: " + ", ".join(map(repr, secrets)), where=secrets[2]) from error
Engine.handle = handle
sys.exit(main())
"""


def looks(room: CanaryRoom, path: str) -> None:
    """Have everything shown that shows settings or states."""
    for words in ("config show", "config show --json", "config check", "check", "check --json", "status",
                  "alerts list", "backup list", "float show", "guard --status", "schedule"):  # fmt: skip
        room.tbot(path, *words.split())


def glance(room: CanaryRoom, path: str) -> None:
    """Have the two things shown that show settings."""
    room.tbot(path, "config", "show", "--json")
    room.tbot(path, "check")


def no_line(room: CanaryRoom, path: str) -> None:
    """A secret on a line of its own, as after a careless paste, one twice, one under another name."""
    text = (room.home / ".env").read_text(encoding="utf-8")
    secret, other = room.secrets["FINNHUB_API_KEY"], room.secrets["SMTP_PASS"]
    room.write(".env", f"{text}{secret}\nSMTP_PASS={other}\nFINHUB_API_KEY={secret}\nSMTP_PORT={other}\n")
    assert room.tbot(path, "config", "check") == 2
    assert room.tbot(path, "check") in {2, 3}
    assert room.tbot(path, "run", "--once") == 2
    assert room.tbot(path, "kill", "--why", "settings that cannot be read") in {0, 1}


def bad_values(room: CanaryRoom, path: str) -> None:
    """Every secret variable with a value that it refuses, and .env_bot with secrets in the places of numbers."""
    lines = {name: f"{canary_of(name, room.closed)[0]} \t," for name in SECRET_NAMES}
    room.write(".env", "".join(f'{name}="{value}"\n' for name, value in lines.items()))
    room.write(".env_bot", f"MAX_TRADES={room.secrets['SMTP_PASS']}\nALPACA_LIVE_SECRET_KEY=x\n")
    for words in (("config", "check"), ("config", "show"), ("run", "--once"), ("start", "--once")):
        assert room.tbot(path, *words) in {1, 2, 3}


def no_utf8(room: CanaryRoom, path: str) -> None:
    """A settings file with a byte that is no text in the middle of secrets, and an unclosed quote."""
    whole = (room.home / ".env").read_bytes()
    (room.home / ".env").write_bytes(whole + b"SMTP_HOST=\xff\xfe\n")
    assert room.tbot(path, "config", "check") == 2
    (room.home / ".env").write_bytes(whole + b'SMTP_HOST="unclosed\n')
    assert room.tbot(path, "config", "check") == 2


def at_alpaca(status: int) -> Callable[[CanaryRoom, str], None]:
    """Return the path on which everything at Alpaca answers with `status` and quotes what it was asked."""

    def path_of(room: CanaryRoom, path: str) -> None:
        with Telltale(status) as vendor:
            room.furnish(_alpaca(vendor.url), ALPACA)
            room.tbot(path, "run", "--once")
            room.tbot(path, "flatten", "--why", "a test", "--wait", "3")

    return path_of


def alpaca_resets(room: CanaryRoom, path: str) -> None:
    """Every connection to Alpaca is reset after its first bytes."""
    with Resetting() as vendor:
        room.furnish(_alpaca(vendor.url), ALPACA)
        room.tbot(path, "run", "--once")


def alpaca_is_gone(room: CanaryRoom, path: str) -> None:
    """Nobody listens at Alpaca's addresses."""
    room.furnish(_alpaca(f"http://127.0.0.1:{room.closed}"), ALPACA)
    room.tbot(path, "run", "--once")


def ibkr_refuses(room: CanaryRoom, path: str) -> None:
    """At the gateway's port somebody resets every connection, then nobody is there."""
    enabled = {**ALPACA, "ALPACA_ENABLED": "false", "IBKR_ENABLED": "true"}
    with Resetting() as gateway:
        room.furnish({"IBKR_PAPER_PORT": str(gateway.port)}, enabled)
        room.tbot(path, "run", "--once")
    room.furnish({}, enabled)
    room.tbot(path, "run", "--once")


def finnhub_fails(room: CanaryRoom, path: str) -> None:
    """Finnhub and Yahoo refuse, break down, reset, and are not there."""
    for status in (401, 500):
        with Telltale(status) as vendor:
            room.furnish({"FINNHUB_URL": vendor.url, "YAHOO_URL": vendor.url, **_alpaca(vendor.url)}, ALPACA)
            room.tbot(path, "fundamentals", "refresh")
            room.tbot(path, "screen", "--live")
    with Resetting() as vendor:
        room.furnish({"FINNHUB_URL": vendor.url, "YAHOO_URL": vendor.url, **_alpaca(vendor.url)}, ALPACA)
        room.tbot(path, "fundamentals", "refresh")
    room.furnish({"FINNHUB_URL": f"http://127.0.0.1:{room.closed}"}, ALPACA)
    room.tbot(path, "fundamentals", "refresh")


def alerts_fail(room: CanaryRoom, path: str) -> None:
    """Every channel fails, and quotes its address where it can speak."""
    with Journal.open(room.home / "output" / "journal" / "tbot_paper.sqlite3", Mode.PAPER):
        pass
    assert room.tbot(path, "alerts", "test") == 1
    with Telltale(403) as service:
        host = service.url.removeprefix("http://")
        word = room.secrets["ALERT_URLS"]
        room.furnish({
            "SLACK_WEBHOOK_URL": f"{service.url}/services/{room.secrets['SLACK_WEBHOOK_URL']}",
            "ALERT_URLS": f"json://user:{word}@{host}/x,ping+{service.url}/{word}",
        })  # fmt: skip
        assert room.tbot(path, "alerts", "test") == 1
        assert room.tbot(path, "alerts", "test", "--json") == 1
    with Resetting() as service:
        room.furnish({"SLACK_WEBHOOK_URL": f"{service.url}/services/{room.secrets['SLACK_WEBHOOK_URL']}",
                      "SMTP_PORT": str(service.port)})  # fmt: skip
        assert room.tbot(path, "alerts", "test") == 1
    room.furnish()
    room.tbot(path, "alerts", "send", patience=60)


def backups_fail(room: CanaryRoom, path: str) -> None:
    """Neither remote takes a copy: nobody is there; then one that refuses and quotes."""
    with Journal.open(room.home / "output" / "journal" / "tbot_paper.sqlite3", Mode.PAPER):
        pass
    assert room.tbot(path, "backup", "create") == 1
    with Telltale(403) as storage:
        word = room.secrets["BACKUP_REMOTE"]
        room.furnish({"BACKUP_REMOTE": f"s3://{word}:{word}@bucket/tbot?endpoint={storage.url}"})
        assert room.tbot(path, "backup", "create") == 1
        room.tbot(path, "backup", "list", "--remote")
        room.tbot(path, "backup", "drill")
    room.furnish({"BACKUP_REMOTE_SECOND": f"sftp://user:{room.secrets['BACKUP_REMOTE_SECOND']}@127.0.0.1/x"})
    assert room.tbot(path, "backup", "create") in {1, 2}
    room.tbot(path, "backup", "verify")


def another_key(room: CanaryRoom, path: str) -> None:
    """Settings and a backup are sealed with a key that is not the one at hand."""
    with Journal.open(room.home / "output" / "journal" / "tbot_paper.sqlite3", Mode.PAPER):
        pass
    room.tbot(path, "backup", "create", "--local")
    assert room.tbot(path, "config", "encrypt") == 0
    room.write(".env_bot", "")
    (room.home / ".env_bot").unlink()
    text = (room.home / ".env").read_text(encoding="utf-8")
    room.write(".env", text.replace(room.secrets["ENCRYPTION_KEY"], room.secrets["BACKUP_RECIPIENT_KEY"]))
    for words in (("check",), ("config", "decrypt"), ("run", "--once"), ("backup", "verify"), ("kill",)):
        room.tbot(path, *words)


def bank_fails(room: CanaryRoom, path: str) -> None:
    """The bank refuses and quotes the token's header, breaks down, resets, is not there."""
    (room.home / "float_accounts.csv").write_text(ACCOUNTS, encoding="ascii")
    floats = {"ALPACA_ENABLED": "true", "IBKR_ENABLED": "true", "TOTAL_CAPITAL": "400000"}
    read_accounts(room.home, alpaca="150000", ibkr="250000")
    transfer = ("float", "transfer", "--authorize", "--why", "the floats differ")
    for status in (401, 500):
        with Telltale(status) as bank:
            room.furnish({"MERCURY_URL": bank.url}, floats)
            assert room.tbot(path, *transfer) != 0
    with Resetting() as bank:
        room.furnish({"MERCURY_URL": bank.url}, floats)
        assert room.tbot(path, *transfer) != 0
    room.tbot(path, "float", "show", "--json")
    assert "bank" in room.said(path)


def bank_refuses(room: CanaryRoom, path: str) -> None:
    """The bank does not know the token, and quotes it."""
    (room.home / "float_accounts.csv").write_text(ACCOUNTS, encoding="ascii")
    read_accounts(room.home, alpaca="150000", ibkr="250000")
    with Telltale(401) as bank:
        room.furnish({"MERCURY_URL": bank.url}, {"IBKR_ENABLED": "true", "TOTAL_CAPITAL": "400000"})
        assert room.tbot(path, "float", "transfer", "--authorize", "--why", "the floats differ") != 0


def engine_breaks(room: CanaryRoom, path: str) -> None:
    """An engine that quotes every secret in a chain of exceptions, with a traceback."""
    write_day(room.home / "bars.csv", {"AAA": breakout_up()})
    words = ("dry-run", "--data", str(room.home / "bars.csv"), "--day", DAY.isoformat())
    status = room.tbot(path, *words, "--set", "STRATEGY_OVERRIDE=open", str(room.home), program=BROKEN_ENGINE)
    assert status not in {0, 2}, room.said(path)


def killed_and_guarded(room: CanaryRoom, path: str) -> None:
    """The kill path, the guard and the dead-man path cannot reach a broker that a session named."""
    with Telltale(403) as vendor:
        room.furnish(_alpaca(vendor.url), ALPACA)
        (room.home / "control").mkdir(exist_ok=True)
        room.tbot(path, "guard", "--once")
        room.tbot(path, "kill", "--why", "a test", "--wait", "5")
        room.tbot(path, "start", "--once")
        room.tbot(path, "resume", "--why", "a test")
    words = ["--home", str(room.home), "--session", "2025-12-02/open", "--seconds", "5"]
    room.tbot(path, program=f"import sys; from tbot_bot.runtime.dead_man import main; sys.exit(main({words!r}))")


def journal_in_the_way(room: CanaryRoom, path: str) -> None:
    """What should be a file is a folder, and the journal is rubbish with a secret in it."""
    journal = room.home / "output" / "journal" / "tbot_paper.sqlite3"
    journal.parent.mkdir(parents=True)
    journal.mkdir()
    for words in (("run", "--once"), ("status",), ("journal", "verify"), ("alerts", "list"), ("backup", "create")):
        room.tbot(path, *words)


def _alpaca(url: str) -> Mapping[str, str]:
    stream = url.replace("http", "ws", 1)
    return {"ALPACA_PAPER_URL": url, "ALPACA_DATA_URL": url, "ALPACA_STREAM_URL": stream, "ALPACA_LIVE_URL": url}


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorPath:
    """One row of the table."""

    does: Callable[[CanaryRoom, str], None]
    speaks: str = ""
    """A word that the output must hold: the path was reached."""


ERROR_PATHS: Final[Mapping[str, ErrorPath]] = {
    "settings are shown": ErrorPath(does=looks, speaks="********"),
    "settings: no line, twice, misspelt, in another's place": ErrorPath(does=no_line, speaks="expected"),
    "settings: refused values": ErrorPath(does=bad_values, speaks="expected"),
    "settings: no text, no closing quote": ErrorPath(does=no_utf8, speaks=".env"),
    "settings sealed with another key": ErrorPath(does=another_key, speaks="key"),
    "alpaca 401": ErrorPath(does=at_alpaca(401), speaks="ALPACA_"),
    "alpaca 403": ErrorPath(does=at_alpaca(403), speaks="alpaca"),
    "alpaca 500": ErrorPath(does=at_alpaca(500), speaks="alpaca"),
    "alpaca resets": ErrorPath(does=alpaca_resets, speaks="alpaca"),
    "alpaca is gone": ErrorPath(does=alpaca_is_gone, speaks="alpaca"),
    "ibkr resets and is gone": ErrorPath(does=ibkr_refuses, speaks="ibkr"),
    "finnhub 401, 500, resets, is gone": ErrorPath(does=finnhub_fails, speaks="innhub"),
    "alerts": ErrorPath(does=alerts_fail, speaks="FAILED"),
    "backups": ErrorPath(does=backups_fail, speaks="BACKUP_REMOTE"),
    "bank": ErrorPath(does=bank_fails, speaks="bank"),
    "engine": ErrorPath(does=engine_breaks, speaks="the sum of the parts"),
    "kill, guard, dead man": ErrorPath(does=killed_and_guarded, speaks="kill switch"),
    "a folder where the journal should be": ErrorPath(does=journal_in_the_way, speaks="journal"),
}
QUICK: Final[Mapping[str, ErrorPath]] = {
    "settings are shown": ErrorPath(does=glance, speaks="********"),
    "bank 401": ErrorPath(does=bank_refuses, speaks="bank"),
    **{name: ERROR_PATHS[name] for name in ("settings: no text, no closing quote", "alpaca 401", "engine")},
}


def run_through(home: Path, paths: Mapping[str, ErrorPath]) -> tuple[Searched, ...]:
    """Run `paths`, each in a home of its own, and search what they left and printed."""
    found = []
    for number, (name, path) in enumerate(paths.items()):
        room = CanaryRoom(home=home / f"home{number}")
        room.home.mkdir()
        room.furnish()
        path.does(room, name)
        assert path.speaks in room.said(name), (name, room.said(name))
        searched = room.search()
        assert searched.leaks == (), name
        found.append(searched)
    return tuple(found)


def test_no_secret_is_in_any_file_or_output_of_the_commonest_error_paths(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    told = said_of(run_through(tmp_path, QUICK), len(QUICK))
    record_property("searched", told)
    sys.stdout.write(f"{told}\n")  # with -s, for the closing note


@pytest.mark.slow  # its short form: above
@pytest.mark.parametrize("name", ERROR_PATHS)
def test_no_secret_is_in_any_file_or_output_of_an_error_path(
    name: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    told = said_of(run_through(tmp_path, {name: ERROR_PATHS[name]}), 1)
    record_property("searched", told)
    sys.stdout.write(f"{name}: {told}\n")  # with -s, for the closing note


def test_the_search_finds_every_form_of_every_secret_that_stands_somewhere(tmp_path: Path) -> None:
    """Nothing is proven by a search that finds nothing anywhere."""
    room = CanaryRoom(home=tmp_path)
    for name, secret in room.secrets.items():
        forms = sorted(forms_of(secret))
        assert len(forms) >= 7
        for form in forms:
            found = search({"a file": b"before " + form + b" after"}, room.secrets)
            assert (name, "a file") in {(leak[0], leak[1]) for leak in found.leaks}
    assert search({"a file": b"nothing of the kind"}, room.secrets).leaks == ()


def test_every_secret_variable_has_a_canary_of_its_own_that_its_variable_takes(tmp_path: Path) -> None:
    room = CanaryRoom(home=tmp_path)
    room.furnish()
    assert room.tbot("taken", "config", "check") == 0, room.said("taken")
    assert len(set(room.secrets.values())) == len(SECRET_NAMES) >= 19
    assert set(room.secrets) == set(SECRET_NAMES)
