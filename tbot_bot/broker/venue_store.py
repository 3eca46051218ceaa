"""A venue on disk: one small SQLite file that survives the death of the process the venue lives in."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import apsw

from tbot_bot.broker.matching import Venue
from tbot_bot.broker.venue_state import Execution, VenueClock, VenueOrder, VenueState
from tbot_bot.config.error_handler import BrokerError
from tbot_bot.core.codec import CodecError, dumps, loads
from tbot_bot.core.errors import BrokerUnavailable
from tbot_bot.core.identity import Mode
from tbot_bot.core.money import exact

_BUSY_MILLISECONDS: Final = 5_000
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS venue (
  only INTEGER PRIMARY KEY CHECK (only = 1), broker TEXT NOT NULL, cash_start TEXT NOT NULL,
  clock TEXT NOT NULL, revision INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS orders (
  client_order_id TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, body TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS executions (number INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;
"""

T = TypeVar("T")


class VenueStore:
    """Saves what changed in a venue; several processes may take turns at one file.

    Everything that SQLite refuses becomes `BrokerUnavailable`: whether the effect is on disk is not known.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file at `path`, with its folder.

        Raises:
            BrokerError: the file cannot be opened or is no venue.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = apsw.Connection(str(path))
            self._db.set_busy_timeout(_BUSY_MILLISECONDS)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute(_SCHEMA)
        except (apsw.Error, OSError) as error:
            raise BrokerError(f"cannot keep the simulated account: {error}", where=path.name) from error
        self._name = path.name
        self._seen = 0
        """Revision of the file that the venue in memory equals; 0 where it equals none."""

    @contextmanager
    def turn(self, venue: Venue) -> Iterator[None]:
        """Hold the file for one request or step: bring `venue` up to date, then save durably what it changed.

        Where another process changed the file meanwhile, `venue` is loaded anew.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except apsw.Error as error:
            raise BrokerUnavailable(f"{self._name}: {error}") from error
        try:
            self._catch_up(venue)
            yield
            self._save(venue)
            self._db.execute("COMMIT")
        except apsw.Error as error:
            self._seen = 0
            raise BrokerUnavailable(f"{self._name}: {error}") from error
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        venue.forget_changes()

    def load(self) -> VenueState | None:
        """Return the state on disk; None where nothing was saved yet.

        Raises:
            BrokerError: a row is not what we wrote.
        """
        rows = list(self._db.execute("SELECT broker, cash_start, clock FROM venue"))
        if not rows:
            return None
        broker, cash_start, clock = rows[0]
        orders = self._db.execute("SELECT body FROM orders ORDER BY number")
        executions = self._db.execute("SELECT body FROM executions ORDER BY number")
        return VenueState(
            broker=str(broker),
            cash_start=exact(str(cash_start)),
            clock=self._read(clock, VenueClock),
            orders=tuple(self._read(body, VenueOrder) for (body,) in orders),
            executions=tuple(self._read(body, Execution) for (body,) in executions),
        )

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _catch_up(self, venue: Venue) -> None:
        revision = self._revision()
        if revision == self._seen:
            return
        state = self.load()
        if state is None:
            self._insert(venue)
            return
        venue.restore(state)
        self._seen = revision

    def _insert(self, venue: Venue) -> None:
        state = venue.snapshot()
        row = (state.broker, str(state.cash_start), dumps(state.clock))
        self._db.execute("INSERT INTO venue VALUES (1, ?, ?, ?, 1)", row)
        self._write_rows(state.orders, state.executions)
        self._seen = 1

    def _save(self, venue: Venue) -> None:
        orders, executions = venue.changes()
        if not orders and not executions:
            return
        self._write_rows(orders, executions)
        self._db.execute("UPDATE venue SET clock = ?, revision = revision + 1", (dumps(venue.clock()),))
        self._seen += 1

    def _write_rows(self, orders: tuple[VenueOrder, ...], executions: tuple[Execution, ...]) -> None:
        self._db.executemany(
            "INSERT INTO orders VALUES (?, ?, ?) ON CONFLICT (client_order_id) DO UPDATE SET body = excluded.body",
            [(order.request.client_order_id, order.number, dumps(order)) for order in orders],
        )
        self._db.executemany(
            "INSERT INTO executions VALUES (?, ?) ON CONFLICT (number) DO UPDATE SET body = excluded.body",
            [(execution.number, dumps(execution)) for execution in executions],
        )

    def _revision(self) -> int:
        return next((int(str(row[0])) for row in self._db.execute("SELECT revision FROM venue")), 0) or -1

    def _read(self, body: object, kind: type[T]) -> T:
        try:
            value = loads(str(body))
        except CodecError as error:
            raise BrokerError(f"the simulated account is damaged: {error}", where=self._name) from error
        if not isinstance(value, kind):
            raise BrokerError(f"the simulated account is damaged: {kind.__name__} expected", where=self._name)
        return value


def venue_path(output: Path, broker: str, mode: Mode) -> Path:
    """Return where the simulated account of `broker` in `mode` lies under the folder of outputs."""
    return output / "venue" / f"{broker}_{mode}.sqlite3"
