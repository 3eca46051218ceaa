"""Writing a ledger: whole bookings or nothing, entries that are never changed, days that can be locked.

One SQLite file per mode, WAL with `synchronous=FULL` as the journal's. A booking is one transaction: a process killed
at any moment has written all of it or none.
"""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Final, Self

import apsw

from tbot_bot.accounting.entries import LedgerEntry, balance_of, genesis, hash_of, line_guid
from tbot_bot.accounting.ledger_files import DayLocked, LedgerError, connect, create, write_failure
from tbot_bot.accounting.ledger_reader import BUSY_SECONDS, ENTRY_COLUMNS, LedgerReader, Mark
from tbot_bot.accounting.ledger_schema import account_made
from tbot_bot.accounting.units import EntryRefused, spelled
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import Instant

_INSERT: Final = f"INSERT INTO entries ({ENTRY_COLUMNS}) VALUES ({', '.join('?' * 16)})"  # noqa: S608 - constant
_LINE: Final = (
    "INSERT INTO lines (entry, number, guid, account, amount, instrument, quantity, lot)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)


class Ledger(LedgerReader):
    """Writes a ledger."""

    @classmethod
    def open(cls, path: Path, mode: Mode, *, busy_seconds: float = BUSY_SECONDS) -> Self:
        """Open the ledger of `mode` at `path`, or make a new one where there is no file.

        Raises:
            LedgerError: the file is no ledger, is damaged, or belongs to another mode. Nothing was changed.
        """
        if not path.exists():
            create(path, mode)
        connection, found = connect(path, writable=True, busy_seconds=busy_seconds)
        if found is not mode:
            connection.close()
            mend = "Put it back under its own name; live and paper never share a file."
            raise LedgerError(f"this is the ledger of mode {found}, not {mode}", where=str(path), mend=mend)
        return cls(path, connection, mode)

    def begin(self) -> None:
        """Keep every other writer out until `commit` or `roll_back`.

        Raises:
            LedgerError: another process writes.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except apsw.Error as error:
            raise write_failure(self.path, error) from error

    def write(self, entries: Sequence[LedgerEntry], *, journal_seq: int, at: Instant) -> None:
        """Put `entries` behind the last one, all booked from the journal up to `journal_seq`; needs `begin`.

        Raises:
            EntryRefused: an entry's lines do not add up to zero.
            DayLocked: an entry's day is locked.
            LedgerError: it cannot be written.
        """
        self.require_open(entries)
        number, previous = self.head()
        known = {one.guid for one in self.accounts()}
        try:
            for entry in entries:
                if balance_of(entry.lines) or not entry.lines:
                    off = spelled(balance_of(entry.lines))
                    raise EntryRefused(f"entry {entry.guid} ({entry.text}) is off by {off} dollars")
                number += 1
                previous = self._insert(number, entry, previous, known)
            self._connection.execute(
                "INSERT INTO bookings SELECT coalesce(max(number), 0) + 1, ?, ?, ? FROM bookings",
                (journal_seq, number, int(at)),
            )
        except apsw.Error as error:
            raise write_failure(self.path, error) from error

    def mark(self, day: date, mark: Mark, *, at: Instant, who: str, why: str) -> None:
        """Put a mark on `day`; needs `begin`.

        Raises:
            LedgerError: it cannot be written, or the day is closed for good.
        """
        state = self.days().get(day)
        if state is not None and state.status == "DECOMMISSIONED":
            raise DayLocked(f"{day.isoformat()} is decommissioned", where=str(self.path), mend="It is closed for good.")
        last = [*self.marks()][-1:]
        head, entry_hash = self.head()
        previous = last[0].hash if last else genesis(self.mode)
        number = last[0].number + 1 if last else 1
        final_at = state.final_at if state is not None else Instant(0)
        body = "\0".join(map(str, (number, day.isoformat(), mark.value, head, final_at, int(at), who, why)))
        digest = hash_of_mark(previous, entry_hash, body)
        values = (number, day.isoformat(), mark.value, head, final_at, int(at), who, why, previous, digest)
        try:
            self._connection.execute("INSERT INTO marks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
        except apsw.Error as error:
            raise write_failure(self.path, error) from error

    def commit(self) -> None:
        """Make durable what was written since `begin`.

        Raises:
            LedgerError: it could not be; nothing of it is in the file.
        """
        try:
            self._connection.execute("COMMIT")
        except apsw.Error as error:
            self.roll_back()
            raise write_failure(self.path, error) from error

    def roll_back(self) -> None:
        """Forget what was written since `begin`."""
        with suppress(apsw.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def require_open(self, entries: Sequence[LedgerEntry]) -> None:
        """Refuse entries of locked days.

        Raises:
            DayLocked: names the day and the entry.
        """
        days = self.days()
        for entry in entries:
            state = days.get(entry.day)
            if state is not None and state.locked:
                mend = (
                    "It was reconciled and closed. `tbot ledger lock DAY --reopen --why ...` opens it, with a reason."
                )
                if state.status == "DECOMMISSIONED":
                    mend = "It is closed for good."
                what = f"{entry.day.isoformat()} is locked; refused: {entry.text} (journal row {entry.journal_seq})"
                raise DayLocked(what, where=str(self.path), mend=mend)

    def _insert(self, number: int, entry: LedgerEntry, previous: bytes, known: set[str]) -> bytes:
        execute = self._connection.execute
        for line in entry.lines:
            if line.account not in known:
                self._open_account(line.account)
                known.add(line.account)
        digest = hash_of(number, entry, previous)
        execute(
            _INSERT,
            (
                number, entry.guid, int(entry.at), entry.day.isoformat(), entry.template.value, entry.source.value,
                entry.broker, entry.trade_id, entry.confirmation, entry.strategy, entry.session, entry.journal_seq,
                entry.reverses, entry.text, previous, digest,
            ),
        )  # fmt: skip
        rows = [
            (
                number, place, line_guid(entry.guid, place), line.account, line.amount, line.instrument, line.quantity,
                line.lot,
            )
            for place, line in enumerate(entry.lines, start=1)
        ]  # fmt: skip
        self._connection.executemany(_LINE, rows)
        return digest

    def _open_account(self, guid: str) -> None:
        one = account_made(guid)
        values = (one.guid, one.role.value, one.kind.value, one.broker, one.name, one.title)
        self._connection.execute("INSERT INTO accounts VALUES (?, ?, ?, ?, ?, ?)", values)


def hash_of_mark(previous: bytes, entry_hash: bytes, body: str) -> bytes:
    """Return the SHA-256 that links a mark to the mark before it and to the last entry."""
    return hashlib.sha256(b"tbot-ledger-mark-1\0" + previous + entry_hash + body.encode()).digest()


__all__ = ["Ledger", "hash_of_mark"]
