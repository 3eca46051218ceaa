"""The requests that all processes of an installation have made of a vendor, and whose turn it is.

One row a request in a small file of its own: the nightly refresh, a session and a person at the command line share one
key, and the vendor counts them together. Within a process whoever waits is served in order, orders before data.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import apsw

from tbot_bot.config.error_handler import MachineError
from tbot_bot.core.backoff import Waiting
from tbot_bot.core.instants import MILLISECOND, Duration, Instant, later
from tbot_bot.core.token_bucket import Limit, Turns, longest, remembered, rest_seen_at, wait_for

_BUSY_MILLISECONDS: Final = 5_000
_NAP: Final = Duration(20 * MILLISECOND)
"""While orders of this process wait for their own turn."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS granted (purse TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS by_purse ON granted (purse, at);
CREATE TABLE IF NOT EXISTS resting (
  purse TEXT PRIMARY KEY, since INTEGER NOT NULL, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
"""


class GrantBook:
    """The file. All methods raise `MachineError`: without it nobody knows what may still be asked."""

    def __init__(self, path: Path) -> None:
        """Open or create the file at `path`, with its folder."""
        self._name: Final = path.name
        with self._told():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = apsw.Connection(str(path))
            self._db.set_busy_timeout(_BUSY_MILLISECONDS)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = OFF")  # a machine that went down has asked nobody for a minute
            self._db.execute(_SCHEMA)

    def __enter__(self) -> Self:
        """Return itself; the end of the block closes."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self._db.close()

    def take(self, purse: str, limits: tuple[Limit, ...], clock: Callable[[], Instant], *, urgent: bool) -> Duration:
        """Note a request and return 0, or return how long to wait."""
        with self._told(), self._turn():
            now = clock()  # only now that the others wait: two who read it before would overtake each other
            self._db.execute("DELETE FROM granted WHERE purse = ? AND at < ?", (purse, later(now, -longest(limits))))
            # a clock that was set back: as if all had been asked just now
            self._db.execute("UPDATE granted SET at = ? WHERE purse = ? AND at > ?", (now, purse, now))
            rows = self._db.execute(
                "SELECT at FROM granted WHERE purse = ? ORDER BY at DESC LIMIT ?", (purse, remembered(limits))
            )
            granted = [Instant(row[0]) for row in rows][::-1]
            wait = wait_for(limits, granted, now, urgent=urgent)
            if not urgent:
                wait = Duration(max(wait, self._rest_until(purse, now) - now))
            if wait <= 0:
                self._db.execute("INSERT INTO granted VALUES (?, ?)", (purse, now))
        return Duration(max(wait, 0))

    def rest(self, purse: str, now: Instant, until: Instant) -> None:
        """Let data traffic rest until `until`."""
        with self._told(), self._turn():
            self._db.execute("DELETE FROM resting WHERE purse = ? AND until <= ?", (purse, until))
            self._db.execute("INSERT OR IGNORE INTO resting VALUES (?, ?, ?)", (purse, now, until))

    def _rest_until(self, purse: str, now: Instant) -> Instant:
        found = next(self._db.execute("SELECT since, until FROM resting WHERE purse = ?", (purse,)), None)
        if found is None:
            return Instant(0)
        since, until = rest_seen_at(now, Instant(found[0]), Instant(found[1]))
        if since != found[0]:
            self._db.execute("UPDATE resting SET since = ?, until = ? WHERE purse = ?", (since, until, purse))
        return until

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Hold the file, and commit."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (apsw.Error, OSError) as error:
            mend = "Look at the room on the disk and the rights of the folder; the file may be deleted."
            raise MachineError(f"cannot be used: {error}", where=self._name, mend=mend) from None


class SharedTurns:
    """The turns of one vendor and credential; one object for all tasks of a process."""

    def __init__(
        self,
        book: GrantBook,
        vendor: str,
        credential: str,
        limits: tuple[Limit, ...],
        *,
        now: Callable[[], Instant],
        waiting: Waiting,
        within: Turns | None = None,
    ) -> None:
        """Name the purse by a digest: the file shall not hold a key. `within` is taken as well: the process's own."""
        digest = hashlib.sha256(f"{vendor}\0{credential}".encode()).hexdigest()[:16]
        self._purse: Final = f"{vendor}-{digest}"
        self._book, self._limits, self._now, self._waiting = book, limits, now, waiting
        self._within = within
        self._lines = {True: asyncio.Lock(), False: asyncio.Lock()}
        self._orders_waiting = 0

    async def take(self, *, urgent: bool = False) -> None:
        """Return when one request may be made; `urgent` ones are about orders."""
        self._orders_waiting += urgent
        try:
            async with self._lines[urgent]:
                while wait := self._wait(urgent=urgent):
                    await self._waiting.sleep(wait)
        finally:
            self._orders_waiting -= urgent
        if self._within is not None:
            await self._within.take(urgent=urgent)

    def rest(self, span: Duration) -> None:
        """Let data traffic rest for `span`: the vendor said so."""
        now = self._now()
        self._book.rest(self._purse, now, later(now, span))

    def _wait(self, *, urgent: bool) -> Duration:
        if self._orders_waiting and not urgent:
            return _NAP
        return self._book.take(self._purse, self._limits, self._now, urgent=urgent)


__all__ = ["GrantBook", "SharedTurns"]
