"""What a screen knows beforehand: slow facts and listings of every symbol, on disk, each with source and age.

One SQLite file of its own. The refresh takes hours and may be killed at any moment: every symbol is a committed row,
so the next one goes on where it ended, and a session reads the same file meanwhile. Nothing in it is a record: it may
be deleted, and is built anew.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import apsw

from tbot_bot.config.error_handler import DataError
from tbot_bot.core.instants import DAY, HOUR, Duration, Instant, later
from tbot_bot.core.money import exact, plain
from tbot_bot.core.screen_sources import Listing

FACTS_AGE_MAX: Final = Duration(7 * DAY)
"""Older key figures are as good as none: a missed week is noticed, a missed night is not felt."""
FACTS_FRESH: Final = Duration(20 * HOUR)
"""Younger ones are not asked for again: every night's refresh asks for all."""
PROFILE_FRESH: Final = Duration(30 * DAY)
"""Sector and exchange hardly ever change; asking for them once a month halves the calls of a night."""
LISTINGS_AGE_MAX: Final = Duration(4 * DAY)
"""A long weekend; beyond it whether a symbol may be traded is unknown."""
_RETRY_FIRST: Final = HOUR
_RETRY_LONGEST: Final = Duration(3 * DAY)
_BUSY_MILLISECONDS: Final = 5_000
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS facts (
  symbol TEXT PRIMARY KEY, market_cap TEXT, average_volume TEXT, facts_at INTEGER,
  facts_source TEXT NOT NULL DEFAULT '', sector TEXT NOT NULL DEFAULT '', exchange TEXT NOT NULL DEFAULT '',
  profile_at INTEGER, failures INTEGER NOT NULL DEFAULT 0,
  failure TEXT NOT NULL DEFAULT '', failed_at INTEGER) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS listings (
  symbol TEXT PRIMARY KEY, exchange TEXT NOT NULL, tradable INTEGER, shortable INTEGER, fractionable INTEGER,
  source TEXT NOT NULL, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
"""
_VERSION: Final = 1
_FACTS: Final = (
    "SELECT symbol, market_cap, average_volume, facts_at, facts_source, sector, exchange, profile_at, failures,"
    " failure, failed_at FROM facts"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFacts:
    """What is kept about one symbol."""

    symbol: str
    market_cap: Decimal | None = None
    """US dollars."""
    average_volume: Decimal | None = None
    """Shares a day."""
    facts_at: Instant | None = None
    """When the two above were told; None: never."""
    facts_source: str = ""
    sector: str = ""
    exchange: str = ""
    profile_at: Instant | None = None
    failures: int = 0
    """In a row."""
    failure: str = ""
    """What the last one said; empty after a success."""
    failed_at: Instant | None = None

    def usable(self, now: Instant) -> bool:
        """Return whether the figures are young enough to decide by."""
        return self.facts_at is not None and now - self.facts_at <= FACTS_AGE_MAX

    def due(self, now: Instant) -> bool:
        """Return whether it should be asked about at `now`: it is old, and no failure is too recent."""
        if self.failed_at is not None and self.failures:
            pause = min(_RETRY_FIRST << min(self.failures - 1, 16), _RETRY_LONGEST)
            if later(self.failed_at, 0) <= now < later(self.failed_at, pause):
                return False
        return self.facts_at is None or not 0 <= now - self.facts_at < FACTS_FRESH

    def profile_due(self, now: Instant) -> bool:
        """Return whether sector and exchange should be asked for as well."""
        return self.profile_at is None or not 0 <= now - self.profile_at < PROFILE_FRESH


class FundamentalsCache:
    """The file; one writer and several readers at a time, from any process. All methods raise `DataError`."""

    def __init__(self, path: Path) -> None:
        """Open or create the file at `path`, with its folder.

        Raises:
            DataError: it cannot be opened, or is something else.
        """
        self.path: Final = path
        with self._told():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = apsw.Connection(str(path))
            self._db.set_busy_timeout(_BUSY_MILLISECONDS)
            version = next(self._db.execute("PRAGMA user_version"))[0]
            if version not in {0, _VERSION}:
                self._db.close()
                raise DataError(
                    f"was written by another version ({version})", where=path.name, mend="Delete it; it is built anew."
                )
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")  # a power cut may cost the last symbols: asked for again
            if version == 0:
                self._db.execute(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT")

    def __enter__(self) -> Self:
        """Return itself; the end of the block closes."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Let the file go."""
        with self._told():
            self._db.close()

    def facts(self) -> Mapping[str, KnownFacts]:
        """Return what is kept, by symbol."""
        with self._told():
            return {row[0]: _facts(row) for row in self._db.execute(_FACTS)}

    def facts_of(self, symbol: str) -> KnownFacts:
        """Return what is kept about `symbol`; nothing but its name where it is new."""
        with self._told():
            rows = list(self._db.execute(f"{_FACTS} WHERE symbol = ?", (symbol,)))
        return _facts(rows[0]) if rows else KnownFacts(symbol=symbol)

    def keep(self, facts: KnownFacts) -> None:
        """Keep `facts` in the place of what was known of the symbol; committed when this returns."""
        values = (
            facts.symbol, _text(facts.market_cap), _text(facts.average_volume), facts.facts_at, facts.facts_source,
            facts.sector, facts.exchange, facts.profile_at, facts.failures, facts.failure, facts.failed_at,
        )  # fmt: skip
        with self._told():
            self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)

    def due(self, symbols: Iterable[str], now: Instant) -> tuple[str, ...]:
        """Return which of `symbols` should be asked about at `now`: unknown ones first, then the oldest."""
        known = self.facts()
        wanted = [known.get(symbol) or KnownFacts(symbol=symbol) for symbol in dict.fromkeys(symbols)]
        due = [facts for facts in wanted if facts.due(now)]
        due.sort(key=lambda facts: (facts.failures > 0, facts.facts_at or 0, facts.symbol))
        return tuple(facts.symbol for facts in due)

    def keep_listings(self, listings: Iterable[Listing], at: Instant) -> None:
        """Keep a whole list in the place of the one before: what is listed no longer is gone."""
        rows = [
            (
                one.symbol,
                one.exchange,
                _flag(one.tradable),
                _flag(one.shortable),
                _flag(one.fractionable),
                one.source,
                at,
            )
            for one in listings
        ]
        with self._told(), self._db:
            self._db.execute("DELETE FROM listings")
            self._db.executemany("INSERT OR REPLACE INTO listings VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def listings(self) -> tuple[tuple[Listing, ...], Instant | None]:
        """Return the list that is kept, and when it was told; None where there is none."""
        columns = "symbol, exchange, tradable, shortable, fractionable, source, at"
        with self._told():
            rows = list(self._db.execute(f"SELECT {columns} FROM listings ORDER BY symbol"))  # noqa: S608 - constant
        found = tuple(
            Listing(
                symbol=row[0], exchange=row[1], tradable=_bool(row[2]), shortable=_bool(row[3]),
                fractionable=_bool(row[4]), source=row[5],
            )
            for row in rows
        )  # fmt: skip
        return found, Instant(min(row[6] for row in rows)) if rows else None

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Rename what SQLite says."""
        try:
            yield
        except (apsw.Error, OSError) as error:
            mend = "Look at the room on the disk and the rights of the folder; a damaged file may be deleted."
            raise DataError(f"cannot be used: {error}", where=self.path.name, mend=mend) from None


def _facts(row: tuple[object, ...]) -> KnownFacts:
    symbol, cap, volume, facts_at, source, sector, exchange, profile_at, failures, failure, failed_at = row
    return KnownFacts(
        symbol=str(symbol),
        market_cap=_number(cap),
        average_volume=_number(volume),
        facts_at=_instant(facts_at),
        facts_source=str(source),
        sector=str(sector),
        exchange=str(exchange),
        profile_at=_instant(profile_at),
        failures=int(str(failures)),
        failure=str(failure),
        failed_at=_instant(failed_at),
    )


def _text(number: Decimal | None) -> str | None:
    return None if number is None else plain(number)


def _number(value: object) -> Decimal | None:
    return None if value is None else exact(str(value))


def _instant(value: object) -> Instant | None:
    return Instant(value) if isinstance(value, int) else None


def _flag(value: bool | None) -> int | None:  # noqa: FBT001 - a column
    return None if value is None else int(value)


def _bool(value: object) -> bool | None:
    return None if value is None else bool(value)


__all__ = ["FACTS_AGE_MAX", "FACTS_FRESH", "LISTINGS_AGE_MAX", "PROFILE_FRESH", "FundamentalsCache", "KnownFacts"]
