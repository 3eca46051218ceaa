"""A home folder with a day's records, and what backs it up."""

import os
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import apsw

from tbot_bot.config.security_bot import SealingKey, seal
from tbot_bot.core import events as e
from tbot_bot.core.commands import Decided
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import SECOND, Instant
from tbot_bot.journal.store import Entry, Journal, Kind
from tbot_bot.reporting.auto_backup import BackupRoom
from tbot_bot.reporting.backup_keys import SettingsKey
from tbot_bot.reporting.noted import ErrorRaised, Noted
from tbot_bot.reporting.projector import rebuild
from tbot_bot.reporting.report_router import OutputPaths, records_for
from tbot_bot.trading.spec import SessionSpec
from tests.reporting.days import whole_day

KEY = SettingsKey(SealingKey(bytes(range(32))))
OTHER = SettingsKey(SealingKey(bytes(range(1, 33))))
BEGIN = Instant(1_764_700_000 * SECOND)
WRITING = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "tempfile.mkstemp", "os.truncate"}


class Clock:
    """Goes on by a second each time it is looked at."""

    def __init__(self):
        self.at = BEGIN

    def __call__(self):
        self.at = Instant(self.at + SECOND)
        return self.at

    def days(self, count):
        self.at = Instant(self.at + count * 86_400 * SECOND)


def entry_of(own, item):
    kinds = {SessionSpec: Kind.SESSION, Decided: Kind.COMMAND, ErrorRaised: Kind.ERROR}
    kind = kinds.get(type(item), Kind.INPUT if isinstance(item, e.Event) else Kind.NOTE)
    moment = item.windows.screen_at if isinstance(item, SessionSpec) else item.at
    return Entry.of(item, kind=kind, at=moment, recorded_at=0, session="" if own is None else str(own))


def write_records(home: Path, mode: Mode = Mode.PAPER) -> OutputPaths:
    """Write the journal of a day, its files for people, a ledger, a log and sealed settings."""
    records = records_for(home, mode, test_mode=False)
    with Journal.open(records.journal, mode) as journal:
        story = [(own, item) for own, item in whole_day() if not isinstance(item, e.BarsClosed)]
        journal.append([entry_of(own, item) for own, item in story])
        rebuild(journal, records)
    ledger = home / "output" / "ledgers" / f"tbot_{mode}_ledger.sqlite3"
    ledger.parent.mkdir(parents=True, exist_ok=True)
    with_ledger = apsw.Connection(str(ledger))
    with_ledger.execute("CREATE TABLE lines (cents INTEGER); INSERT INTO lines VALUES (4590)")
    with_ledger.close()
    log = records.process_log("runner")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("one line\n")
    (home / ".env_bot.enc").write_bytes(seal(b"MAX_TRADES=2\n", KEY.key))
    (home / ".env").write_text("ENCRYPTION_KEY=changeme\n")
    return records


def note(records: OutputPaths, text: str) -> None:
    """Journal a remark that no file shows."""
    with Journal.open(records.journal, records.mode) as journal:
        told = Noted(at=BEGIN, text=text)
        journal.append([Entry.of(told, kind=Kind.NOTE, at=BEGIN, recorded_at=0)])


def room_for(records: OutputPaths, clock: Callable[[], Instant], **changes) -> BackupRoom:
    given = {
        "records": records,
        "seal_for": (KEY,),
        "key": KEY,
        "retention_days": 30,
        "log_format": "json",
        "level": "info",
        "sealed_settings": (".env_bot.enc", ".env_bot.enc.next"),
        "remotes": (),
        "now": clock,
    }
    return BackupRoom(**{**given, **changes})


def visible(folder: Path) -> list[str]:
    """Return what a person sees in a folder."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def hidden(folder: Path) -> list[str]:
    """Return drafts and the like, lock files apart."""
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(".") and ".lock" not in path.name)


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


def names_of(things: Iterable[object]) -> list[str]:
    return [str(thing) for thing in things]
